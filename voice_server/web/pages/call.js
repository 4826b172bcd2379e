/* The call page: from the button to the bill.
 *
 *   ready ──start──► connecting ──► live ──hang up, goodbye, lost──► ended ──again──► connecting
 *     ▲                  │ a failure, said in words
 *     └──────────────────┘
 *
 * One `Attempt` owns all that one call opens and closes it again, however the call ends; an
 * event of an attempt that is over changes nothing. */

import { clearAlert, showAlert } from "./alerts.js";
import { Failure } from "./api.js";
import { askForBill, receipt } from "./bill.js";
import { Choices, turnDetection } from "./choices.js";
import { button, make, one } from "./dom.js";
import { engineName, noticeOf } from "./engines.js";
import { Floor } from "./floor.js";
import { latencyCard } from "./latency.js";
import { Meter, openSound } from "./meter.js";
import { checkBrowser, openMicrophone, silence } from "./microphone.js";
import { PushToTalk } from "./push.js";
import { RealtimeCall } from "./realtime.js";
import { chooseTongue, writePage } from "./tongues.js";
import { Transcript } from "./transcript.js";
import { Wallet } from "./wallet.js";
import { clock, has, say } from "./words.js";

// The bill comes on the data channel; this long after hanging up it is asked for instead.
const BILL_MS = 2_500;
const HINT_MS = 6_000;
const SILENT_FAILURES = new Set(["denied", "missing", "in_use"]);

const choices = new Choices();
const wallet = new Wallet();
const push = new PushToTalk(one("hold"));
const transcript = new Transcript(one("lines"), one("scroller"), one("latest"));

let attempt = null;
let muted = false;
let pushes = false;
let ended = null; // What the last call left: {id, reason, bill}.
let lastLatency = null;
let lastEngines = null;
let hintTimer = 0;

/** One call, from asking for the microphone to its last event. */
class Attempt {
  constructor(silent) {
    this.silent = silent;
    this.call = new RealtimeCall();
    this.floor = new Floor(transcript);
    this.meters = [];
    this.over = false;
    this.unstable = false;
    this.endsAt = 0;
    this.asks = false;
  }

  get current() {
    return attempt === this && !this.over;
  }

  /** Listen to `target` for as long as this attempt is the one on the page. */
  on(target, type, act) {
    target.addEventListener(type, (event) => this.current && act(event.detail));
  }

  async open() {
    this.sound = openSound();
    this.stream = this.silent ? silence(this.sound) : await openMicrophone();
    if (!this.current) return this.close();
    this.listen();
    tellProgress("state.connecting");
    this.meters.push(new Meter(this.sound, this.stream, [one("meter-mine"), one("orb-mine")]));
    applyMicrophone();
    await this.call.connect(this.stream, choices.session({ pushes }));
  }

  listen() {
    const { call, floor } = this;
    this.on(call, "message", (event) => floor.receive(event));
    this.on(call, "sound", (stream) => this.play(stream));
    this.on(call, "unstable", (unstable) => ((this.unstable = unstable), showState()));
    this.on(call, "lost", () => finish(this, "link_lost"));
    this.on(floor, "state", showState);
    this.on(floor, "free", () => this.asks && ((this.asks = false), ask()));
    this.on(floor, "latency", showLatency);
    this.on(floor, "engines", (engines) => this.work(engines));
    this.on(floor, "ending_soon", (left) => (this.endsAt = performance.now() + left));
    this.on(floor, "bill", (bill) => finish(this, bill.reason, bill));
    this.on(floor, "refused", (error) => hint(error.code === "input_audio_buffer_commit_empty"
      ? say("talk.hold.short") : error.message ?? error.code));
    for (const track of this.stream.getAudioTracks()) {
      track.addEventListener("ended", () => this.current && hint(say("talk.lostmic"), true));
    }
  }

  /** The server says who is at work; it may be that nobody hears. */
  work(engines) {
    const before = deaf();
    showEngines(engines);
    if (deaf() && pushes) setPushes(false);
    if (deaf()) hint(noticeOf(engines), true);
    else if (before) hint("");
    applyMicrophone();
    showMute();
    showState();
  }

  /** Let the tutor be heard. A browser that wants a gesture first is given a button for it. */
  play(stream) {
    const audio = one("remote");
    audio.srcObject = stream;
    audio.play().catch(() => {
      one("sound-on").hidden = false;
      hint(say("talk.sound"), true);
    });
    this.meters.push(new Meter(this.sound, stream, [one("meter-theirs"), one("orb-theirs")]));
  }

  /** Give back the microphone, the connection and the sound. */
  close() {
    this.over = true;
    this.call.close();
    for (const meter of this.meters.splice(0)) meter.close();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.sound?.close().catch(() => {});
    this.wakeLock?.release().catch(() => {});
    one("remote").srcObject = null;
  }
}

// Screens.

function show(screen) {
  document.body.dataset.screen = screen;
  one("ready").hidden = screen !== "ready" && screen !== "connecting";
  one("live").hidden = screen !== "live";
  one("ended").hidden = screen !== "ended";
  one("start").hidden = screen === "connecting";
  one("give-up").hidden = screen !== "connecting";
  one(screen === "live" ? "choices-during" : "choices-before").append(one("choices"));
  one(screen === "ended" ? "conversation-ended" : "conversation-live").append(one("conversation"));
  one("choices").disabled = screen === "connecting";
}

const announce = (words) => (one("announce").textContent = words);
const tellProgress = (key) => (one("ready-state").textContent = say(key));

function hint(words, stays = false) {
  clearTimeout(hintTimer);
  one("hint").textContent = words ?? "";
  one("hint").hidden = !words;
  if (words && !stays) hintTimer = setTimeout(() => hint(""), HINT_MS);
}

function stateKey() {
  if (attempt.ending) return "ending";
  if (attempt.unstable) return "unstable";
  const { state } = attempt.floor;
  if (state !== "listening") return state;
  if (attempt.silent || deaf()) return "writing";
  if (pushes) return push.held ? "hearing" : "waiting";
  return muted ? "muted" : state;
}

function showState() {
  if (!attempt) return;
  const key = stateKey();
  one("state").textContent = say(`state.${key}`);
  one("live").dataset.state = key;
  one("stop").disabled = !attempt.floor.answering;
  one("hold-words").textContent = say(push.held ? "talk.hold.now" : "talk.hold");
}

function showTime() {
  if (!attempt?.began) return;
  const now = performance.now();
  one("timer").textContent = clock((now - attempt.began) / 1000);
  const ending = one("ending-soon");
  ending.hidden = !attempt.endsAt;
  if (!attempt.endsAt) return;
  const time = clock((attempt.endsAt - now) / 1000);
  ending.textContent = say("ending.soon", { time });
}

function showLatency(latency) {
  lastLatency = latency;
  if (latency) one("latency-card").replaceChildren(...latencyCard(latency));
}

function showEngines(engines) {
  lastEngines = engines;
  one("engines").hidden = !engines;
  if (!engines) return;
  const voice = [engineName(engines.text_to_speech), engines.voice].filter(Boolean).join(" · ");
  const rows = [
    ["engines.hears", engineName(engines.speech_to_text) || say("engines.nobody")],
    ["engines.answers", engineName(engines.dialogue)],
    ["engines.speaks", voice],
  ];
  one("engines-list").replaceChildren(...rows.map(([words, value]) =>
    make("div", "", make("dt", "", say(words)), make("dd", "", value))));
  const notice = noticeOf(engines);
  one("engines-notice").textContent = notice;
  one("engines-notice").parentElement.hidden = !notice;
  transcript.list.lang = engines.language ?? "";
}

function showMute() {
  one("mute").setAttribute("aria-pressed", String(muted));
  one("mute").disabled = pushes || deaf() || Boolean(attempt?.silent);
  one("push").disabled = deaf() || Boolean(attempt?.silent);
}

// A call.

/** Nobody at the server understands the language: what is said would only be noise there. */
const deaf = () => lastEngines?.speech_to_text === "";

function applyMicrophone() {
  const open = !deaf() && (pushes ? push.open : !muted);
  for (const track of attempt?.stream?.getAudioTracks() ?? []) track.enabled = open;
}

async function start({ silent = false } = {}) {
  if (attempt && !attempt.over) return;
  clearAlert();
  reset();
  try {
    checkBrowser();
  } catch (failure) {
    return fail(failure);
  }
  const mine = (attempt = new Attempt(silent));
  show("connecting");
  tellProgress("state.microphone");
  try {
    await mine.open();
    if (mine.current) begin(mine);
  } catch (failure) {
    if (!mine.current) return;
    mine.call.hangUpLeaving();
    mine.close();
    fail(failure instanceof Failure ? failure
      : new Failure("unexpected", { reason: failure.message }));
  }
}

function reset() {
  muted = false;
  ended = null;
  lastLatency = null;
  transcript.clear();
  showEngines(null);
  hint("");
  one("ending-soon").hidden = true;
  one("sound-on").hidden = true;
  one("latency-card").replaceChildren(make("p", "fine", say("latency.none")));
}

function begin(mine) {
  mine.began = performance.now();
  show("live");
  setPushes(pushes && !deaf() && !mine.silent, { tell: false });
  showTime();
  announce(say(mine.silent || deaf() ? "state.writing" : "talk.started"));
  one("state").focus({ preventScroll: true });
  if (mine.silent) hint(say("talk.typing.only"), true);
  // The tutor greets; a server that greets by itself has no need of being asked.
  mine.floor.forgive(mine.call.send({ type: "response.create" }));
  navigator.wakeLock?.request("screen").then((lock) => (mine.wakeLock = lock)).catch(() => {});
}

function fail(failure) {
  show("ready");
  tellProgress("ready.text");
  const silent = () => start({ silent: true });
  const others = SILENT_FAILURES.has(failure.code)
    ? [button("button", say("ready.silent"), silent)] : [];
  showAlert(failure, () => start(), others);
}

function giveUp() {
  attempt?.call.hangUpLeaving();
  attempt?.close();
  show("ready");
  tellProgress("ready.text");
  one("start").focus();
}

async function hangUp() {
  const mine = attempt;
  if (!mine?.current || mine.ending) return;
  mine.ending = true;
  showState();
  await mine.call.hangUp().catch(() => {}); // The bill is asked for in any case.
  setTimeout(() => mine.current && finish(mine, "hung_up"), BILL_MS);
}

/** The call is over. Its bill is here (without figures when nothing is owed), or is asked for. */
async function finish(mine, reason, bill = null) {
  const { id } = mine.call;
  if (reason === "link_lost" && !bill) mine.call.hangUpLeaving();
  mine.close();
  push.turn(false);
  transcript.close();
  const owed = bill?.billed_minutes ? bill : null;
  ended = { id, reason, bill: owed, settled: Boolean(bill) };
  show("ended");
  showEnded(!bill);
  one("ended-title").focus();
  if (!bill) await findBill();
  await wallet.load().catch(() => {});
  wallet.drawBalance(one("balance"));
}

async function findBill() {
  const wanted = ended;
  showEnded(true);
  const found = wanted.id ? await askForBill(wanted.id) : null;
  if (ended !== wanted) return;
  if (found) ended = { ...wanted, bill: found.bill ?? null, settled: true };
  if (found?.reason && wanted.reason !== "hung_up") ended.reason = found.reason;
  showEnded(false);
}

function showEnded(pending) {
  const { id, reason, bill, settled } = ended;
  const key = `reason.${reason}`;
  one("reason").textContent = has(key) ? say(key) : reason ?? "";
  one("bill").replaceChildren(...(bill ? receipt(bill) : []));
  const without = settled ? "bill.none" : "bill.missing";
  one("bill-state").textContent = bill ? "" : say(pending ? "bill.pending" : without);
  one("bill-state").dataset.pending = String(pending);
  one("bill-retry").hidden = Boolean(bill || pending || settled);
  one("call-id").textContent = id ?? "";
}

// The keys of the call.

/** Take the floor from the tutor: no more is made, and what is on its way is not played. */
function interrupt() {
  if (!attempt.floor.answering) return;
  if (attempt.floor.reply) attempt.call.send({ type: "response.cancel" });
  attempt.call.send({ type: "output_audio_buffer.clear" });
}

/** Ask for an answer: at once, or when the one that was just cancelled is really over. */
function ask() {
  if (attempt.floor.reply) attempt.asks = true;
  else attempt.call.send({ type: "response.create" });
}

function setPushes(on, { tell = true } = {}) {
  pushes = on;
  push.turn(on);
  one("push").setAttribute("aria-pressed", String(on));
  one("hold").hidden = !on;
  if (tell) {
    const turn_detection = turnDetection(on);
    updateSession({ audio: { input: { turn_detection } } });
    if (on) one("hold").focus();
  }
  applyMicrophone();
  showMute();
  showState();
}

function updateSession(session) {
  attempt?.call.send({ type: "session.update", session: { type: "realtime", ...session } });
}

function write(event) {
  event.preventDefault();
  const text = one("words").value.trim();
  if (!text || !attempt?.current) return;
  const item = { id: `item_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`,
    type: "message", role: "user", content: [{ type: "input_text", text }] };
  interrupt();
  const sent = attempt.call.send({ type: "conversation.item.create", item });
  if (!sent) return;
  attempt.floor.typed(sent, item.id, text);
  ask();
  one("words").value = "";
  transcript.toEnd();
}

function chosen({ detail: name }) {
  if (name === "language") {
    writePage();
    redraw();
  }
  const { audio } = choices.session({ pushes });
  delete audio.input.turn_detection;
  if (attempt?.current) updateSession({ audio });
}

/** Write anew what translate() does not reach. */
function redraw() {
  choices.draw();
  wallet.draw(one("wallet"));
  wallet.drawBalance(one("balance"));
  showLatency(lastLatency);
  showEngines(lastEngines);
  showMute();
  if (attempt?.current) showState();
  if (ended) showEnded(!ended.bill && !ended.settled);
}

async function load() {
  try {
    await Promise.all([choices.load(), wallet.load()]);
    clearAlert();
  } catch (failure) {
    if (!attempt || attempt.over) showAlert(failure, load);
  }
  redraw();
}

function onPush() {
  push.addEventListener("down", () => {
    interrupt();
    attempt.call.send({ type: "input_audio_buffer.clear" });
    applyMicrophone();
    showState();
  });
  push.addEventListener("up", showState);
  push.addEventListener("tap", () => {
    applyMicrophone();
    attempt.call.send({ type: "input_audio_buffer.clear" });
    hint(say("talk.hold.short"));
    showState();
  });
  push.addEventListener("said", () => {
    applyMicrophone();
    attempt.call.send({ type: "input_audio_buffer.commit" });
    ask();
    showState();
  });
}

function listen() {
  one("start").addEventListener("click", () => start());
  one("again").addEventListener("click", () => start());
  one("give-up").addEventListener("click", giveUp);
  one("hangup").addEventListener("click", hangUp);
  one("stop").addEventListener("click", interrupt);
  one("push").addEventListener("click", () => setPushes(!pushes));
  one("mute").addEventListener("click", () => {
    muted = !muted;
    applyMicrophone();
    showMute();
    showState();
  });
  one("sound-on").addEventListener("click", () => {
    attempt?.sound?.resume();
    one("remote").play().then(() => (one("sound-on").hidden = true, hint(""))).catch(() => {});
  });
  one("bill-retry").addEventListener("click", findBill);
  one("composer").addEventListener("submit", write);
  // A page that goes away ends its call; one that comes back from the cache starts anew.
  window.addEventListener("pagehide", () => {
    if (!attempt || attempt.over) return;
    attempt.call.hangUpLeaving();
    attempt.close();
    show("ready");
  });
  choices.addEventListener("change", chosen);
  onPush();
  setInterval(showTime, 250);
}

chooseTongue(redraw);
show("ready");
listen();
load();
