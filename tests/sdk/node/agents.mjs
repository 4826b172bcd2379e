// `@openai/agents-realtime` over a WebSocket, in Node.js: plays the scenarios it is told.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as sdk from "@openai/agents-realtime";
import { play } from "./scenarios.mjs";

const PIECE_MS = 100;

const at = {
  sdk,

  transport: ({ url }) => new sdk.OpenAIRealtimeWebSocket({ url }),

  // A file of sound, at the speed of speech.
  async speak(talk, { sound, bytes_per_ms = 48 }) {
    const whole = await readFile(sound), size = PIECE_MS * bytes_per_ms;
    for (let start = 0; start < whole.length; start += size) {
      talk.session.sendAudio(new Uint8Array(whole.subarray(start, start + size)).buffer);
      await sleep(PIECE_MS);
    }
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const seen = await play(at, JSON.parse(line));
  for (const told of [seen, { over: true }]) process.stdout.write(`${JSON.stringify(told)}\n`);
}
process.exit(0);
