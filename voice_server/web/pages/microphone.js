/* The microphone: asked for once per call, with words for each way it can fail. */

import { Failure } from "./api.js";

const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

const CODES = {
  NotAllowedError: "denied",
  PermissionDeniedError: "denied",
  SecurityError: "denied",
  NotFoundError: "missing",
  DevicesNotFoundError: "missing",
  OverconstrainedError: "missing",
  NotReadableError: "in_use",
  TrackStartError: "in_use",
  AbortError: "in_use",
};

/** Throws `Failure` when this browser, or this address, cannot make a call at all. */
export function checkBrowser() {
  if (!window.isSecureContext) throw new Failure("insecure");
  if (!window.RTCPeerConnection || !navigator.mediaDevices?.getUserMedia) {
    throw new Failure("unsupported");
  }
}

/** The caller's sound as a stream of one track. Throws `Failure`. */
export async function openMicrophone() {
  checkBrowser();
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: WANTED, video: false });
  } catch (error) {
    const code = CODES[error.name] ?? "unexpected";
    throw new Failure(code, { reason: `${error.name}: ${error.message}` });
  }
}

/** Silence as a stream of one track: for a caller who writes. The server needs a clock. */
export function silence(context) {
  const destination = context.createMediaStreamDestination();
  const source = context.createConstantSource();
  source.offset.value = 0;
  source.connect(destination);
  source.start();
  return destination.stream;
}
