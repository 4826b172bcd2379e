// Judges server events by the schemas with which @openai/agents-realtime parses them.
//
// Each line of stdin is {"events": [...]}, each line of stdout {"faults": [{type, issues}]}.
// An event of a type that the client does not know is no fault: it takes it as it is.

import { createInterface } from "node:readline";

// The package does not export its schemas, so they are taken from where it keeps them.
const { realtimeServerEventSchema } = await import(
  "./node_modules/@openai/agents-realtime/dist/openaiRealtimeEvents.mjs"
);
const known = new Set(realtimeServerEventSchema.options.map((each) => each.shape.type.value));

for await (const line of createInterface({ input: process.stdin })) {
  const faults = [];
  for (const event of JSON.parse(line).events) {
    if (!known.has(event.type)) continue;
    const { success, error } = realtimeServerEventSchema.safeParse(event);
    if (!success) faults.push({ type: event.type, issues: error.issues });
  }
  process.stdout.write(`${JSON.stringify({ faults })}\n`);
}
