/* One call on the wire: a peer connection, its data channel, and what becomes of them.
 *
 * The server speaks the Realtime dialect; this module carries its events and knows nothing of
 * what they mean. What it tells, as DOM events: "message" (detail: one server event), "sound"
 * (detail: the tutor's stream), "connected", "unstable", "lost". Each call is used once. */

import { Failure, ask, askLeaving, read } from "./api.js";

const CHANNEL = "oai-events";
// Candidates found later than this are not waited for: the offer goes out with what is known.
const GATHERING_MS = 2_000;
const CONNECTING_MS = 20_000;
// A connection that is only "disconnected" often comes back by itself; not after this long.
const UNSTABLE_MS = 10_000;

let counter = 0;
const eventId = () => `event_page_${(counter += 1)}`;

function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    setTimeout(resolve, GATHERING_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") resolve();
    });
  });
}

/** The ICE servers the server names; a list that cannot be had is an empty one. */
async function iceServers() {
  try {
    const answer = await read("/v1/ice", { seconds: 5 });
    return answer.ice_servers ?? answer.iceServers ?? [];
  } catch (failure) {
    if (failure.code === "unauthorized") throw failure;
    return [];
  }
}

export class RealtimeCall extends EventTarget {
  constructor() {
    super();
    this.id = null;
    this.closed = false;
    this.live = false;
  }

  /** Connect `stream` under `session`; resolves when events flow both ways. Throws `Failure`. */
  async connect(stream, session) {
    const peer = new RTCPeerConnection({ iceServers: await iceServers() });
    this.peer = peer;
    peer.addEventListener("track", (event) => this.onTrack(event));
    peer.addEventListener("connectionstatechange", () => this.onState());
    this.channel = peer.createDataChannel(CHANNEL);
    this.channel.addEventListener("message", (event) => this.onMessage(event));
    this.channel.addEventListener("close", () => this.lose());
    for (const track of stream.getAudioTracks()) peer.addTrack(track, stream);
    await peer.setLocalDescription(await peer.createOffer());
    await gathered(peer);
    const answer = await this.place(peer.localDescription.sdp, session);
    if (this.closed) throw new Failure("closed");
    await peer.setRemoteDescription({ type: "answer", sdp: answer });
    await this.opened();
    this.live = true;
    this.tell("connected");
  }

  async place(sdp, session) {
    const body = new FormData();
    body.set("sdp", sdp);
    body.set("session", JSON.stringify(session));
    const response = await ask("/v1/realtime/calls", { method: "POST", body, seconds: 30 });
    this.id = (response.headers.get("Location") ?? "").split("/").pop() || null;
    if (this.closed) this.hangUpLeaving(); // The caller gave up while we were dialling.
    return response.text();
  }

  opened() {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Failure("ice")), CONNECTING_MS);
      const settle = (act) => (value) => (clearTimeout(late), act(value));
      this.refuse = settle(reject);
      if (this.channel.readyState === "open") settle(resolve)();
      this.channel.addEventListener("open", settle(resolve));
    });
  }

  onTrack(event) {
    this.tell("sound", event.streams[0] ?? new MediaStream([event.track]));
  }

  onState() {
    const state = this.peer.connectionState;
    clearTimeout(this.patience);
    if (state === "failed" || state === "closed") return this.lose();
    if (state === "disconnected") {
      this.tell("unstable", true);
      this.patience = setTimeout(() => this.lose(), UNSTABLE_MS);
    } else if (state === "connected") this.tell("unstable", false);
  }

  onMessage(message) {
    let event;
    try {
      event = JSON.parse(message.data);
    } catch {
      return; // Not an event of this dialect: nothing here can use it.
    }
    this.tell("message", event);
  }

  lose() {
    if (this.closed) return;
    if (!this.live) this.refuse?.(new Failure("ice"));
    else this.tell("lost");
  }

  tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Send one client event; returns its id, or null when the channel is gone. */
  send(event) {
    if (this.channel?.readyState !== "open") return null;
    const event_id = eventId();
    this.channel.send(JSON.stringify({ event_id, ...event }));
    return event_id;
  }

  /** Ask the server to end the call. The bill follows on the channel. */
  async hangUp() {
    if (!this.id) return;
    await ask(`/v1/realtime/calls/${this.id}/hangup`, { method: "POST", seconds: 5 });
  }

  /** The page is going away: end the call without waiting. */
  hangUpLeaving() {
    if (this.id) askLeaving(`/v1/realtime/calls/${this.id}/hangup`);
  }

  /** Close everything on this side. */
  close() {
    this.closed = true;
    clearTimeout(this.patience);
    this.channel?.close();
    this.peer?.close();
  }
}
