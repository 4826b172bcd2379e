/* What both said, as it is said.
 *
 * The user's words are tentative until the recogniser has made up its mind. The tutor's words
 * are written ahead of the voice: what has been heard is plain, the word being spoken is marked,
 * the rest is pale, and what an interruption cut off is struck through. Nothing here is read out
 * to screen readers as it changes: the tutor is already speaking. */

import { icon, make } from "./dom.js";
import { latencyLine } from "./latency.js";
import { say } from "./words.js";

// Nearer to the end than this, the reader is following and is kept at the end.
const FOLLOWING_PX = 96;
const LAST_WORD = /\S+\s*$/u;
// What closes a word is heard with it.
const CLOSING = /^[^\s\p{L}\p{N}]+/u;

function dots() {
  const element = make("span", "dots", make("i"), make("i"), make("i"));
  element.setAttribute("aria-hidden", "true");
  return element;
}

class Line {
  constructor(side, who) {
    this.said = make("p", "said");
    this.said.dir = "auto";
    this.notes = make("div", "notes");
    this.element = make("li", `line ${side}`, make("span", "who", who), this.said, this.notes);
    this.text = "";
  }

  note(className, words, picture = null) {
    const note = make("span", `note ${className}`, picture ? icon(picture) : null, words);
    this.notes.append(note);
  }
}

/** The user's line. States: hearing (no words yet), tentative, final. */
class UserLine extends Line {
  constructor() {
    super("you", say("talk.you"));
    this.become("hearing");
    this.said.append(dots());
  }

  become(state) {
    this.state = state;
    this.element.dataset.state = state;
  }

  partial(delta) {
    if (this.state === "final") return;
    this.text += delta;
    this.said.textContent = this.text;
    this.become("tentative");
  }

  final(text) {
    this.text = text;
    this.said.textContent = text;
    this.become("final");
  }
}

/** The tutor's line. States: waiting, speaking, heard (to the end), cut, failed. */
class ReplyLine extends Line {
  constructor() {
    super("tutor", say("talk.tutor"));
    this.chars = 0;
    this.become("waiting");
    this.said.append(dots());
  }

  become(state) {
    this.state = state;
    this.element.dataset.state = state;
  }

  get over() {
    return this.state === "heard" || this.state === "cut" || this.state === "failed";
  }

  say(delta) {
    if (this.over) return;
    this.text += delta;
    this.become("speaking");
    this.draw();
  }

  /** `chars` counts characters as the server does: code points, not UTF-16 units. */
  heard(chars) {
    if (this.over || chars <= this.chars) return;
    this.chars = chars;
    this.draw();
  }

  /** The text up to the end of the word being heard, and the rest. */
  parts() {
    const letters = Array.from(this.text);
    const heard = letters.slice(0, this.chars).join("");
    const rest = letters.slice(this.chars).join("");
    const closing = heard.trim() ? CLOSING.exec(rest)?.[0] ?? "" : "";
    return [heard + closing, rest.slice(closing.length)];
  }

  draw() {
    const [heard, ahead] = this.parts();
    const now = LAST_WORD.exec(heard)?.[0] ?? "";
    this.said.replaceChildren(
      make("span", "heard", heard.slice(0, heard.length - now.length)),
      ...(now ? [make("mark", "now", now.trimEnd())] : []),
      now.slice(now.trimEnd().length),
      make("span", "ahead", ahead),
    );
  }

  complete() {
    if (this.over) return;
    this.become("heard");
    this.said.replaceChildren(make("span", "heard", this.text));
  }

  /** Cut at what was heard. */
  cut() {
    if (this.over) return;
    const [heard, rest] = this.parts();
    if (!rest.trim()) return this.complete();
    this.become("cut");
    this.said.replaceChildren(
      make("span", "heard", heard.trimEnd()), " ", make("s", "unheard", rest.trim()),
    );
    this.note("interrupted", say("talk.interrupted"), "cut");
  }

  fail(reason) {
    if (this.over) return;
    this.draw();
    this.become("failed");
    this.note("bad", say("talk.failed", { reason }), "alert");
  }
}

export class Transcript {
  constructor(list, scroller, latestButton) {
    Object.assign(this, { list, scroller, latestButton });
    this.following = true;
    scroller.addEventListener("scroll", () => this.look(), { passive: true });
    // A keyboard on the screen, or a hold-to-talk button, takes room: stay at the end.
    new ResizeObserver(() => this.following && this.toEnd()).observe(scroller);
    latestButton.addEventListener("click", () => this.toEnd());
    this.clear();
  }

  clear() {
    this.users = new Map();
    this.replies = new Map();
    this.list.replaceChildren();
    this.latestButton.hidden = true;
  }

  /** Where the reader is: at the end, or further up. */
  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < FOLLOWING_PX;
    this.latestButton.hidden = this.following;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Change something, and stay at the end if the reader was there. */
  change(act) {
    act();
    if (this.following) this.toEnd();
    else this.look();
  }

  line(lines, id, Kind) {
    if (!lines.has(id)) {
      const line = new Kind();
      lines.set(id, line);
      this.list.append(line.element);
    }
    return lines.get(id);
  }

  drop(lines, id) {
    lines.get(id)?.element.remove();
    lines.delete(id);
  }

  hearing(itemId) {
    this.change(() => {
      this.dropUnspoken();
      this.line(this.users, itemId, UserLine);
    });
  }

  partial(itemId, delta) {
    this.change(() => this.line(this.users, itemId, UserLine).partial(delta));
  }

  /** The words are settled; a stretch of sound without words leaves no line. */
  final(itemId, text) {
    this.change(() => {
      if (text.trim()) this.line(this.users, itemId, UserLine).final(text);
      else this.drop(this.users, itemId);
    });
  }

  unheard(itemId) {
    this.change(() => {
      const line = this.line(this.users, itemId, UserLine);
      line.final("");
      line.note("bad", say("talk.unheard"), "alert");
    });
  }

  refused(itemId, reason) {
    this.change(() => this.users.get(itemId)?.note("bad", say("error.item", { reason }), "alert"));
  }

  removed(itemId) {
    this.change(() => this.drop(this.users, itemId));
  }

  /** A cough: lines that were opened for speech and got no words. */
  dropUnspoken() {
    for (const [id, line] of this.users) if (line.state === "hearing") this.drop(this.users, id);
  }

  reply(responseId) {
    this.change(() => this.line(this.replies, responseId, ReplyLine));
  }

  say(responseId, delta) {
    this.change(() => this.line(this.replies, responseId, ReplyLine).say(delta));
  }

  heard(responseId, chars) {
    this.change(() => this.replies.get(responseId)?.heard(chars));
  }

  complete(responseId) {
    this.change(() => this.replies.get(responseId)?.complete());
  }

  /** A reply of which nothing was heard was never said: its line goes. */
  cut(responseId) {
    const line = this.replies.get(responseId);
    if (!line || line.over) return;
    this.change(() => (line.chars ? line.cut() : this.drop(this.replies, responseId)));
  }

  failed(responseId, reason) {
    this.change(() => this.line(this.replies, responseId, ReplyLine).fail(reason));
  }

  latency(latency) {
    const line = this.replies.get(latency.response_id);
    if (line) this.change(() => line.notes.prepend(latencyLine(latency)));
  }

  /** The call is over: nothing is tentative any more. */
  close() {
    this.dropUnspoken();
    for (const id of [...this.replies.keys()]) this.cut(id);
    for (const line of this.users.values()) if (line.state !== "final") line.final(line.text);
  }
}
