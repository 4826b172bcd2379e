/* Level meters: the loudness of a stream, drawn many times a second.
 *
 * The level is the root mean square of the latest 21 to 43 ms, on a scale of decibels:
 * 0 at -60 dB and below, 1 at -6 dB and above. Rises at once, falls slowly, as ears do. */

const FLOOR_DB = -60;
const TOP_DB = -6;
const FALL = 0.12;
// Screen readers are told a new value only when it has moved this far.
const TOLD_STEP = 10;

/** A context for measuring. Make it in a user's gesture: elsewhere Safari keeps it asleep. */
export function openSound() {
  const Context = window.AudioContext ?? window.webkitAudioContext;
  const context = new Context();
  context.resume().catch(() => {}); // Resumed again by the next gesture.
  return context;
}

function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const db = 10 * Math.log10(sum / samples.length + 1e-12);
  return Math.min(1, Math.max(0, (db - FLOOR_DB) / (TOP_DB - FLOOR_DB)));
}

export class Meter {
  /** Draws the level of `stream` into `elements`: as --level, and as a meter's value. */
  constructor(context, stream, elements) {
    this.elements = elements;
    this.level = 0;
    this.told = -1;
    this.source = context.createMediaStreamSource(stream);
    this.analyser = context.createAnalyser();
    this.analyser.fftSize = 1024;
    this.samples = new Float32Array(this.analyser.fftSize);
    this.source.connect(this.analyser);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.analyser.getFloatTimeDomainData(this.samples);
    this.level = Math.max(loudness(this.samples), this.level - FALL);
    this.show(this.level);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  show(level) {
    const percent = Math.round(level * 100);
    const tell = Math.abs(percent - this.told) >= TOLD_STEP || (percent === 0 && this.told !== 0);
    if (tell) this.told = percent;
    for (const element of this.elements) {
      element.style.setProperty("--level", level.toFixed(3));
      if (tell && element.getAttribute("role") === "meter") {
        element.setAttribute("aria-valuenow", String(percent));
      }
    }
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.source.disconnect();
    this.show(0);
  }
}
