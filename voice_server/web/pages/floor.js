/* Who has the floor, told from the server's events: the transcript and one word of state.
 *
 * The states are listening, hearing, thinking and speaking. An answer goes on being heard after
 * the server has made all of it (response.done), so its end is the end of its sound
 * (output_audio_buffer.stopped), or the cut (cleared, or a cancelled response). A paused answer
 * waits for the caller's words: they end it, or it goes on. */

const QUIET_ERRORS = new Set(["response_cancel_not_active", "output_audio_buffer_not_active"]);

const textOf = (content = []) =>
  content.map((part) => part.text ?? part.transcript ?? "").join(" ").trim();

export class Floor extends EventTarget {
  constructor(transcript) {
    super();
    this.transcript = transcript;
    this.state = "listening";
    this.reply = null; // The response being made or heard.
    this.sounding = null; // The response whose sound is out.
    this.paused = false;
    this.mine = new Map(); // event id → item id, of what was typed here.
    this.forgiven = new Set(); // Ids of events that the server may well refuse.
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.tell("state", state);
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Whether the tutor has, or is about to have, the floor. */
  get answering() {
    return this.reply !== null || this.sounding !== null;
  }

  /** Remember that `eventId` carries the item `itemId`, to mark it if the server refuses. */
  typed(eventId, itemId, text) {
    this.mine.set(eventId, itemId);
    this.transcript.final(itemId, text);
  }

  /** The server may refuse this event: nobody needs to be told. */
  forgive(eventId) {
    this.forgiven.add(eventId);
  }

  receive(event) {
    const act = this.handlers[event.type];
    if (act) act.call(this, event);
  }

  handlers = {
    "input_audio_buffer.speech_started": function (event) {
      this.transcript.hearing(event.item_id);
      this.become("hearing");
    },
    // Noise ends here; of speech, `committed` follows at once.
    "input_audio_buffer.speech_stopped": function () {
      this.rest();
    },
    "input_audio_buffer.committed": function () {
      if (this.state === "listening") this.become("thinking");
    },
    "input_audio_buffer.cleared": function () {
      this.transcript.dropUnspoken();
      this.rest();
    },
    "conversation.item.input_audio_transcription.delta": function (event) {
      this.transcript.partial(event.item_id, event.delta ?? "");
    },
    "conversation.item.input_audio_transcription.completed": function (event) {
      this.transcript.final(event.item_id, event.transcript ?? "");
      if (!event.transcript?.trim() && !this.answering) this.become("listening");
    },
    "conversation.item.input_audio_transcription.failed": function (event) {
      this.transcript.unheard(event.item_id);
      if (!this.answering) this.become("listening");
    },
    "conversation.item.added": function ({ item }) {
      const text = item?.role === "user" ? textOf(item.content) : "";
      if (text) this.transcript.final(item.id, text);
    },
    "conversation.item.deleted": function (event) {
      this.transcript.removed(event.item_id);
    },
    "response.created": function ({ response }) {
      this.reply = response.id;
      this.transcript.reply(response.id);
      if (!this.sounding) this.become("thinking");
    },
    "response.output_audio_transcript.delta": function (event) {
      this.transcript.say(event.response_id, event.delta ?? "");
    },
    "response.output_text.delta": function (event) {
      this.transcript.say(event.response_id, event.delta ?? "");
    },
    "response.done": function ({ response }) {
      this.done(response);
    },
    "output_audio_buffer.started": function (event) {
      this.sounding = event.response_id;
      this.paused = false;
      this.become("speaking");
    },
    "output_audio_buffer.stopped": function (event) {
      this.transcript.complete(event.response_id);
      this.silent(event.response_id);
    },
    "output_audio_buffer.cleared": function (event) {
      this.transcript.cut(event.response_id);
      this.silent(event.response_id);
    },
    "voice_server.reply_heard": function (event) {
      this.transcript.heard(event.response_id, event.chars);
    },
    "voice_server.paused": function () {
      this.paused = true;
    },
    "voice_server.resumed": function () {
      this.paused = false;
      this.transcript.dropUnspoken();
      this.become("speaking");
    },
    "voice_server.latency": function (event) {
      this.transcript.latency(event);
      this.tell("latency", event);
    },
    "voice_server.engines": function (event) {
      this.tell("engines", event);
    },
    "voice_server.ending_soon": function (event) {
      this.tell("ending_soon", event.left_ms);
    },
    "voice_server.bill": function (event) {
      this.tell("bill", event);
    },
    error: function ({ error }) {
      this.refused(error ?? {});
    },
  };

  done(response) {
    const { id, status, status_details: details } = response;
    if (this.reply === id) this.reply = null;
    if (status === "failed") {
      this.transcript.failed(id, details?.error?.message ?? details?.error?.code ?? "");
      this.silent(id);
    } else if (status === "cancelled" || status === "incomplete") {
      this.transcript.cut(id);
      this.silent(id);
    } else if (this.sounding !== id && this.state !== "hearing") this.rest();
    if (!this.reply) this.tell("free");
  }

  /** The sound of this response is over. */
  silent(responseId) {
    if (this.sounding === responseId) this.sounding = null;
    if (!this.sounding) this.paused = false;
    if (this.state !== "hearing") this.rest();
  }

  /** The state when nothing is happening to change it. */
  rest() {
    if (this.sounding && !this.paused) this.become("speaking");
    else this.become(this.sounding || this.reply ? "thinking" : "listening");
  }

  refused(error) {
    const item = this.mine.get(error.event_id);
    if (item) this.transcript.refused(item, error.message ?? error.code ?? "");
    else if (!QUIET_ERRORS.has(error.code) && !this.forgiven.has(error.event_id)) this.tell("refused", error);
  }
}
