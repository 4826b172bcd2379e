/* The engines in words: their names, and what is to be known about how well they hear. */

import { has, language, say } from "./words.js";

/** The name of an engine for people; one that the pages do not know keeps its own. */
export const engineName = (id) => (has(`engine.${id}`) ? say(`engine.${id}`) : id ?? "");

/** The honest word about a recogniser: the server's own in English, else ours where we have it.
 * No recogniser at all means that nobody understands the language. */
export function noticeOf({ speech_to_text: id, notice = "" }) {
  const key = id ? `notice.${id}` : "notice.deaf";
  return language() !== "en" && notice && has(key) ? say(key) : notice;
}
