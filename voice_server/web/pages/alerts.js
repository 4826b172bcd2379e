/* What went wrong and what can be done about it: one card, read out at once, never a dead end. */

import { useKey } from "./api.js";
import { button, icon, make, one } from "./dom.js";
import { has, say } from "./words.js";

let countdown = 0;

export function clearAlert() {
  clearInterval(countdown);
  one("alert").replaceChildren();
}

function keyForm(again) {
  const input = make("input", "field");
  Object.assign(input, { type: "password", autocomplete: "current-password", required: true });
  const label = make("label", "", make("span", "", say("error.key")), input);
  const send = make("button", "button primary", say("error.key.use"));
  const form = make("form", "key", label, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(input.value.trim());
    again();
  });
  return form;
}

function waiting(seconds, retry) {
  const note = make("p", "wait");
  const words = () => {
    const time = say("unit.seconds", { n: seconds });
    note.textContent = seconds > 0 ? say("error.wait", { time }) : "";
    retry.disabled = seconds > 0;
  };
  words();
  countdown = setInterval(() => {
    seconds -= 1;
    words();
    if (seconds <= 0) clearInterval(countdown);
  }, 1000);
  return note;
}

/** Show `failure`. `again` tries once more; `others` are further buttons. */
export function showAlert(failure, again, others = []) {
  clearAlert();
  const code = has(`error.${failure.code}.title`) ? failure.code : "unexpected";
  const reason = failure.reason || failure.message || "";
  const retry = button("button", say("error.again"), again, "again");
  const card = make("section", "alert", icon("alert"),
    make("div", "", make("h2", "", say(`error.${code}.title`)),
      make("p", "", say(`error.${code}.text`, { reason }))));
  card.dataset.code = code;
  const words = card.lastElementChild;
  if (failure.retryAfter > 0) words.append(waiting(Math.ceil(failure.retryAfter), retry));
  if (code === "unauthorized") words.append(keyForm(again));
  else words.append(make("div", "actions", retry, ...others));
  one("alert").append(card);
}
