/* The wait before an answer, drawn: one bar, cut where the time went, and its parts named. */

import { make } from "./dom.js";
import { has, say, wait } from "./words.js";

/** The parts in the order in which they pass; their sum is the audible gap. */
export const PARTS = [
  "endpointing_ms",
  "transcript_ms",
  "first_token_ms",
  "first_sentence_ms",
  "first_audio_ms",
  "first_packet_ms",
];

const partsOf = (latency) =>
  PARTS.map((name, index) => ({ name, index, ms: Math.max(0, Number(latency[name]) || 0) }));

const totalOf = (latency) =>
  Number(latency.gap_ms) || partsOf(latency).reduce((sum, part) => sum + part.ms, 0);

/** The stacked bar alone. Screen readers are read the total and the list instead. */
function bar(latency) {
  const element = make("span", "bar");
  element.setAttribute("aria-hidden", "true");
  for (const { index, name, ms } of partsOf(latency)) {
    if (ms === 0) continue;
    const part = make("span", `part part-${index}`);
    part.style.flexGrow = String(ms);
    part.title = `${say(`latency.${name}`)}: ${wait(ms)}`;
    element.append(part);
  }
  return element;
}

function list(latency) {
  const element = make("dl", "parts");
  for (const { index, name, ms } of partsOf(latency)) {
    if (!has(`latency.${name}`)) continue;
    const term = make("dt", "", make("i", `part part-${index}`), say(`latency.${name}`));
    element.append(make("div", "", term, make("dd", "", wait(ms))));
  }
  return element;
}

/** For the transcript: one line that opens into the named parts. */
export function latencyLine(latency) {
  const total = make("span", "total", say("latency.summary", { time: wait(totalOf(latency)) }));
  const summary = make("summary", "", total, bar(latency));
  return make("details", "latency", summary, list(latency));
}

/** For the side panel: the latest answer, parts always named. */
export function latencyCard(latency) {
  const total = make("p", "total", make("strong", "", wait(totalOf(latency))), " ",
    make("span", "", say("latency.total")));
  return [total, bar(latency), list(latency)];
}
