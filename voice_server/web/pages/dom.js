/* Making elements. Text only ever enters the page as text: there is no markup from strings. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id, which the page must have. */
export const one = (id) => document.getElementById(id);

/** make("p", "note", "words", child, …): strings become text nodes. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A picture from icons.svg, hidden from screen readers: the words beside it tell. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", new URL(`./icons.svg#${name}`, import.meta.url).href);
  svg.append(use);
  return svg;
}

/** A button with words, an optional picture, and what it does. */
export function button(className, words, act, picture = null) {
  const element = make("button", className, picture ? icon(picture) : null, make("span", "", words));
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}
