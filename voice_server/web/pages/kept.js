/* What this browser remembers between visits: the caller's choices, under one key. */

const KEY = "voice_server.choices";

let choices = {};
try {
  choices = JSON.parse(localStorage.getItem(KEY)) ?? {};
} catch {
  // Storage is off, or holds something else: start anew.
}

export const kept = () => choices;

export function keep(change) {
  choices = { ...choices, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(choices));
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}
