/* Push-to-talk: the microphone is open only while a button, or the space bar, is held.
 *
 * Down: the tutor stops, what was buffered is forgotten, the track opens. Up: after a short tail,
 * because sound is still on its way through the browser, the utterance is committed and an
 * answer asked for. A tap is no utterance. */

const TAIL_MS = 250;
const TAP_MS = 250;

const writes = (element) => element.closest("input, select, textarea, [contenteditable]") !== null;
const presses = (element) => element.closest("button, a, summary") !== null;

export class PushToTalk extends EventTarget {
  /** `button` is what is held. Nothing happens until `on` is true. `open`: sound may pass. */
  constructor(button) {
    super();
    Object.assign(this, { button, on: false, held: false, open: false, since: 0, tail: 0 });
    button.addEventListener("pointerdown", (event) => this.onPointer(event));
    for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
      button.addEventListener(type, () => this.up());
    }
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => this.onKey(event, true));
    document.addEventListener("keyup", (event) => this.onKey(event, false));
    window.addEventListener("blur", () => this.up());
    document.addEventListener("visibilitychange", () => document.hidden && this.up());
  }

  onPointer(event) {
    if (event.button !== 0) return;
    this.button.setPointerCapture(event.pointerId);
    this.down();
  }

  /** Space anywhere but in a text field or on another button; Enter on the button itself. */
  onKey(event, down) {
    const own = event.target === this.button;
    const space = event.code === "Space" && (own || !(writes(event.target) || presses(event.target)));
    if (!this.on || !(space || (own && event.code === "Enter"))) return;
    event.preventDefault();
    if (!down) this.up();
    else if (!event.repeat) this.down();
  }

  down() {
    if (!this.on || this.held) return;
    clearTimeout(this.tail);
    this.held = true;
    this.open = true;
    this.since = performance.now();
    this.show();
    this.dispatchEvent(new Event("down"));
  }

  up() {
    if (!this.held) return;
    this.held = false;
    this.show();
    this.dispatchEvent(new Event("up"));
    if (performance.now() - this.since < TAP_MS) this.end("tap");
    else this.tail = setTimeout(() => this.end("said"), TAIL_MS);
  }

  end(how) {
    this.open = false;
    this.dispatchEvent(new Event(how));
  }

  show() {
    this.button.setAttribute("aria-pressed", String(this.held));
  }

  turn(on) {
    if (!on) {
      clearTimeout(this.tail);
      this.held = false;
      this.open = false;
      this.show();
    }
    this.on = on;
  }
}
