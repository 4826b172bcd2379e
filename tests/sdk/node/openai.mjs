// The `openai` package for Node.js, moved from outside: commands come in, events go out.
//
// The same commands and the same answers as tests/sdk/clients/openai_python.py.

import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const connections = new Map();

const tell = (name, what) => process.stdout.write(`${JSON.stringify({ name, ...what })}\n`);

const play = {
  async connect({ name, url, key, model, query }) {
    const client = new OpenAI({ apiKey: key, baseURL: url, maxRetries: 0 });
    const wanted = query?.intent ? { intent: query.intent } : { model };
    const line = await OpenAIRealtimeWS.create(client, wanted);
    connections.set(name, line);
    line.on("event", (event) => tell(name, { event }));
    line.on("error", (error) => {
      const refused = /Unexpected server response: (\d+)/.exec(error.message);
      if (refused) tell(name, { refused: Number(refused[1]) });
      else if (!error.error) throw error;
    });
    line.socket.on("open", () => tell(name, { connected: true }));
    line.socket.on("close", () => tell(name, { closed: true }));
  },

  async send({ name, event }) {
    connections.get(name).send(event);
  },

  async speak({ name, path, piece_bytes, piece_s }) {
    const sound = await readFile(path), line = connections.get(name);
    for (let start = 0; start < sound.length; start += piece_bytes) {
      if (line.socket.readyState !== line.socket.OPEN) return;
      const audio = sound.subarray(start, start + piece_bytes).toString("base64");
      line.send({ type: "input_audio_buffer.append", audio });
      await sleep(piece_s * 1000);
    }
    tell(name, { spoken: true });
  },

  async secret({ name, url, key, wanted }) {
    const client = new OpenAI({ apiKey: key, baseURL: url, maxRetries: 0 });
    try {
      tell(name, { secret: await client.realtime.clientSecrets.create(wanted) });
    } catch (error) {
      if (!(error instanceof OpenAI.APIError) || !error.status) throw error;
      tell(name, { refused: error.status });
    }
  },

  // Hang up wherever the line is open, so that the next test begins afresh.
  async close_all({ name }) {
    for (const line of connections.values()) line.close();
    connections.clear();
    tell(name, { closed_all: true });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: what, ...command } = JSON.parse(line);
  // Long commands run beside the others, as the tasks of the other client do.
  play[what](command).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}
process.exit(0);
