// What is played with `@openai/agents-realtime`, in Node.js (agents.mjs) and in a browser
// (agents.html). The scenarios are those of tests/sdk/clients/openai_agents.py.
//
// `at` is the place where they are played: its `sdk`, how to make a `transport(options)` and how
// to `speak(talk, options)` over it.

const QUESTION = "What is a verb?";
const PATIENCE_MS = 80_000;
const TRANSCRIBED = "raw conversation.item.input_audio_transcription.completed";
const DONE = "raw response.done";
// A reply begins to sound: on a socket, on a track.
const SOUNDS = ["raw response.output_audio.delta", "raw output_audio_buffer.started"];
const NOTED = ["agent_end", "audio", "audio_interrupted", "error", "agent_tool_end"];

// One session and all it has told.
class Talk {
  happened = [];
  #read = 0;
  #news = () => {};

  constructor(at, options, { tools = [], config = {} } = {}) {
    const { RealtimeAgent, RealtimeSession } = at.sdk;
    const agent = new RealtimeAgent({ name: "Tutor", instructions: "Teach grammar.", tools });
    const transport = at.transport(options);
    this.options = options;
    at.talks.push(this);
    this.session = new RealtimeSession(agent, { transport, tracingDisabled: true, config });
    for (const kind of NOTED) {
      this.session.on(kind, (...found) => this.#note(kind, found));
    }
    this.session.on("transport_event", (event) => this.#note(`raw ${event.type}`, [event]));
  }

  #note(kind, found) {
    this.happened.push({ kind, found });
    this.#news();
  }

  async connect() {
    await this.session.connect({ apiKey: this.options.key });
    await this.until("raw session.updated");
    return this;
  }

  // The next thing of one of these kinds, after the one that was waited for before.
  async until(...kinds) {
    let late;
    const patience = new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error(
        `no ${kinds} after ${this.happened.map((each) => each.kind)}`)), PATIENCE_MS);
    });
    for (;;) {
      while (this.#read < this.happened.length) {
        const each = this.happened[this.#read++];
        if (!kinds.includes(each.kind)) continue;
        clearTimeout(late);
        return each.found;
      }
      await Promise.race([patience, new Promise((resolve) => { this.#news = resolve; })]);
    }
  }

  async count() {
    this.session.sendMessage("Please count.");
    await this.until(...SOUNDS);
  }

  of(kind) {
    return this.happened.filter((each) => each.kind === kind).map((each) => each.found[0]);
  }

  errors() {
    return this.of("error").map((each) => JSON.stringify(each.error ?? each));
  }

  // Who said what, as the session remembers it.
  history() {
    return this.session.history.map((item) =>
      item.type === "message"
        ? [item.role, item.content.map((part) => part.transcript ?? part.text ?? "").join(" ")]
        : [item.name, item.arguments, item.output]);
  }

  seen(more = {}) {
    const sound_bytes = this.of("audio").reduce((sum, each) => sum + each.data.byteLength, 0);
    return { errors: this.errors(), sound_bytes, history: this.history(), ...more };
  }
}

const scenarios = {
  async writes(at, options) {
    const talk = await new Talk(at, options).connect();
    talk.session.sendMessage(QUESTION);
    await talk.until("agent_end");
    return talk.seen();
  },

  async speaks(at, options) {
    const { format } = options;
    const audio = format ? { input: { format }, output: { format } } : {};
    const talk = await new Talk(at, options, { config: { audio } }).connect();
    const speaking = at.speak(talk, options);
    await talk.until(TRANSCRIBED);
    await talk.until("agent_end");
    await speaking;
    return talk.seen();
  },

  // Speaks over a reply.
  async interrupts(at, options) {
    const talk = await new Talk(at, options).connect();
    await talk.count();
    const speaking = at.speak(talk, options);
    const [cut] = await talk.until(DONE);
    await talk.until(DONE);
    await speaking;
    return talk.seen({ cut: cut.response, interrupted: talk.of("audio_interrupted").length });
  },

  // Presses the button that says "stop talking", where the server interrupts nobody itself.
  async stops(at, options) {
    const turnDetection = { type: "server_vad", interruptResponse: false };
    const config = { audio: { input: { turnDetection } } };
    const talk = await new Talk(at, options, { config }).connect();
    await talk.count();
    talk.session.interrupt();
    const [cut] = await talk.until(DONE);
    return talk.seen({ cut: cut.response });
  },

  async pushes_to_talk(at, options) {
    const config = { audio: { input: { turnDetection: null } } };
    const talk = await new Talk(at, options, { config }).connect();
    await at.speak(talk, options);
    talk.session.transport.sendEvent({ type: "input_audio_buffer.commit" });
    await talk.until(TRANSCRIBED);
    talk.session.transport.sendEvent({ type: "response.create" });
    await talk.until("agent_end");
    return talk.seen();
  },

  async calls_a_tool(at, options) {
    const asked = [];
    const properties = { city: { type: "string" }, days: { type: "integer" } };
    const lookUpWeather = at.sdk.tool({
      name: "look_up_weather",
      description: "Look up the weather forecast for a city.",
      parameters: {
        type: "object", properties, required: Object.keys(properties), additionalProperties: false,
      },
      execute: async ({ city, days }) => {
        asked.push([city, days]);
        return `Sunny in ${city}.`;
      },
    });
    const talk = await new Talk(at, options, { tools: [lookUpWeather] }).connect();
    talk.session.sendMessage("Please look up the weather forecast for the city.");
    await talk.until("agent_tool_end");
    await talk.until("raw response.created");
    await talk.until("agent_end");
    return talk.seen({ asked });
  },

  async talks_beside_others(at, options) {
    const counting = await new Talk(at, options).connect();
    const other = await new Talk(at, options).connect();
    await counting.count();
    other.session.sendMessage(QUESTION);
    await other.until("agent_end");
    counting.session.interrupt();
    await counting.until(DONE);
    const errors = [...counting.errors(), ...other.errors()];
    return { errors, counted: counting.history().slice(1), other: other.history().slice(1) };
  },

  async is_refused(at, options) {
    try {
      await new Talk(at, options).connect();
      return { refused: 0 };
    } catch (error) {
      return { refused: Number(/(?:response:|status) (\d+)/.exec(error.message)?.[1]) };
    }
  },
};

// Play the scenario that the options name; returns what was seen.
export async function play(at, options) {
  const talks = [];
  try {
    return await scenarios[options.scenario]({ ...at, talks }, options);
  } finally {
    for (const talk of talks) talk.session.close();
  }
}
