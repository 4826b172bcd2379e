/* What the caller may choose: lesson language, voice, recogniser, speed. Kept in this browser.
 *
 * The lists come from the server; an empty choice means "the server's own". A voice belongs to a
 * language, so a new language brings its own voices and forgets the old one. */

import { read } from "./api.js";
import { make, one } from "./dom.js";
import { engineName, noticeOf } from "./engines.js";
import { keep, kept } from "./kept.js";
import { languageName, preferred, say } from "./words.js";

// What a session calls the standard voice of its language.
const OWN_VOICE = "default";
const SPEEDS = { slow: 0.8, usual: 1, fast: 1.2 };

function fill(select, options, chosen) {
  select.replaceChildren(
    ...options.map(({ id, name }) => {
      const option = make("option", "", name);
      option.value = id;
      return option;
    }),
  );
  select.value = options.some(({ id }) => id === chosen) ? chosen : options[0]?.id ?? "";
  select.disabled = options.length < 2;
}

export class Choices extends EventTarget {
  constructor() {
    super();
    this.catalogue = { languages: [], recognisers: [], voices: [] };
    for (const name of ["language", "voice", "recogniser", "speed"]) {
      one(name).addEventListener("change", () => this.changed(name));
    }
  }

  /** The language of the lesson: the one chosen, else the page's or the browser's. */
  get language() {
    return kept().language ?? preferred(...navigator.languages);
  }

  /** Ask the server what there is. Throws `Failure`. */
  async load() {
    this.catalogue = catalogueOf(await read("/v1/models"));
    await this.loadVoices();
    this.draw();
  }

  async loadVoices() {
    const { speaker } = this.catalogue;
    if (!speaker) return;
    const path = `/v1/models/${encodeURIComponent(speaker)}/voices`;
    const answer = await read(path).catch(() => ({ data: [] }));
    this.catalogue.voices = answer.data ?? answer.voices ?? [];
  }

  voicesFor(language) {
    return this.catalogue.voices
      .filter((voice) => preferredBy(voice, language))
      .map((voice) => ({ id: voice.id, name: voice.name ?? voice.id }));
  }

  draw() {
    const { languages, recognisers } = this.catalogue;
    fill(one("language"), languages.map(({ id }) => ({ id, name: languageName(id) })),
      this.language);
    fill(one("voice"),
      [{ id: "", name: say("choice.voice.default") }, ...this.voicesFor(this.language)],
      kept().voice);
    fill(one("recogniser"),
      recognisers.map((id) => ({ id, name: id === "auto" ? say("choice.recogniser.auto") : engineName(id) })),
      kept().recogniser);
    fill(one("speed"),
      Object.keys(SPEEDS).map((id) => ({ id, name: say(`choice.speed.${id}`) })),
      kept().speed ?? "usual");
    const chosen = languages.find(({ id }) => id === one("language").value);
    const note = chosen ? noticeOf(chosen) : "";
    one("language-notice").textContent = note;
    one("language-notice").parentElement.hidden = !note;
  }

  changed(name) {
    const change = { [name]: one(name).value };
    // The page follows the lesson's language, unless the caller set it by hand for this one.
    if (name === "language") Object.assign(change, { voice: "", interface: null });
    keep(change);
    this.dispatchEvent(new CustomEvent("change", { detail: name }));
  }

  /** These choices as the session they ask for. `pushes`: push-to-talk. */
  session({ pushes }) {
    const transcription = { language: one("language").value || this.language };
    if (one("recogniser").value) transcription.model = one("recogniser").value;
    const output = {
      speed: SPEEDS[one("speed").value] ?? 1,
      voice: one("voice").value || OWN_VOICE,
    };
    return {
      type: "realtime",
      audio: { input: { transcription, turn_detection: turnDetection(pushes) }, output },
      voice_server: { events: true, interruption: "resumes" },
    };
  }
}

/** The user's own ear decides (push-to-talk), or the server's. */
export const turnDetection = (pushes) =>
  pushes ? null : { type: "server_vad", create_response: true, interrupt_response: true };

const preferredBy = (voice, language) =>
  String(voice.language ?? "").toLowerCase().split("-")[0] === language;

/** The lists in /v1/models, whatever else it holds. */
function catalogueOf(answer) {
  const models = answer.data ?? [];
  const of = (kind) => models.filter(({ roles = {} }) => kind in roles);
  const named = (kind) => of(kind).map(({ id }) => id);
  // Whoever is asked first.
  const speaker = of("text_to_speech").find(({ roles }) => roles.text_to_speech.standing === 0);
  return {
    languages: answer.languages ?? [],
    recognisers: ["auto", ...named("speech_to_text").filter((id) => id !== "auto")],
    speaker: speaker?.id ?? named("text_to_speech")[0],
    voices: [],
  };
}
