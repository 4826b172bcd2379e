/* Talking to the server over HTTP: one way to ask, one way to fail.
 *
 * Every failure is a `Failure` whose `code` names the words shown for it
 * (error.<code>.title and .text in words.js). */

const KEY = "voice_server.key";

export class Failure extends Error {
  /** `retryAfter` is in seconds, 0 when the server named none. */
  constructor(code, { status = 0, reason = "", retryAfter = 0 } = {}) {
    super(reason || code);
    this.code = code;
    this.status = status;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

/** Keep the access key for this tab only. An empty key forgets it. */
export function useKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

function authorisation() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function codeOf(status, code) {
  if (status === 401) return "unauthorized";
  if (status === 402) return "insufficient_funds";
  if (status === 429) return "too_many_calls";
  if (status === 503) return "busy";
  if (status === 502 || status === 504) return "unreachable";
  return code === "insufficient_funds" ? code : "refused";
}

async function failureOf(response) {
  const body = await response.json().catch(() => ({}));
  const said = typeof body.error === "object" && body.error ? body.error : body;
  const reason = said.message ?? said.error ?? response.statusText ?? "";
  return new Failure(codeOf(response.status, said.code), {
    status: response.status,
    reason: String(reason),
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

/** The response, when it is a good one. Throws `Failure`; `seconds` bounds the wait. */
export async function ask(path, { seconds = 15, headers = {}, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, {
      ...options,
      headers: { ...headers, ...authorisation() },
      signal: AbortSignal.timeout(seconds * 1000),
      cache: "no-store",
    });
  } catch (error) {
    throw new Failure("unreachable", { reason: error.message });
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

/** The JSON at `path`. Throws `Failure`. */
export async function read(path, options) {
  const response = await ask(path, options);
  try {
    return await response.json();
  } catch (error) {
    throw new Failure("unexpected", { reason: error.message });
  }
}

/** Ask for something while the page is going away; nobody waits for the answer. */
export function askLeaving(path) {
  const options = { method: "POST", keepalive: true, headers: authorisation() };
  fetch(path, options).catch(() => navigator.sendBeacon?.(path));
}
