/* The language of the page: the EN / RU switch, else the lesson's language, else the browser's. */

import { keep, kept } from "./kept.js";
import { preferred, translate } from "./words.js";

/** Write the page in the caller's language. */
export function writePage() {
  const tag = preferred(kept().interface, kept().language, ...navigator.languages);
  translate(tag);
  for (const button of document.querySelectorAll("[data-tongue]")) {
    button.setAttribute("aria-pressed", String(button.dataset.tongue === tag));
  }
}

/** Write the page now, and whenever a button says another language; then `redraw` the rest. */
export function chooseTongue(redraw) {
  writePage();
  for (const button of document.querySelectorAll("[data-tongue]")) {
    button.addEventListener("click", () => {
      keep({ interface: button.dataset.tongue });
      writePage();
      redraw();
    });
  }
}
