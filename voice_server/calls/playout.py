"""What has been sent to a listener, and how much of it has been heard.

A reply is made faster than it is spoken, so somebody must hold the rest back. A playout holds
it, and keeps the listener's clock: the sound sent plays from the first frame on, 20 ms a
frame, without a break for as long as frames are there.

1. `lead_ms` says how far ahead of the listener's ear frames may be sent. 0: a frame leaves
   when it is due, which is how RTP is sent. 200: the client holds a small store, so that a
   late frame is not heard as a gap. None: all at once, to a client that keeps its own buffer;
   what it has heard is then known by the clock alone.
2. A frame that a client holds but has not yet heard can be taken back when the client is told
   to empty its store. That is so for every lead above 0.
3. What was paused is played later, whole and in order. What was flushed is never played, and
   nothing more is said of it.
4. After a stall at most `CATCH_UP_MS` of frames leave at once; the rest of the stall becomes
   a gap, because a burst would only fill the listener's buffer.

Pure: `now_ms` is an argument and must not go backwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from engines.speech import OPUS_FRAME_MS, OpusFrame

from .events import Played

CATCH_UP_MS = 60
REPORT_MS = 100
# Ten minutes of sound in one turn, and in all turns together.
FRAMES_MAX = 30_000
# Turns remembered although all their sound was heard: more may yet come for the last ones.
SOUNDS_MAX = 8
# Turns whose late frames are still known to be unwanted.
FLUSHED_MAX = 64


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame that leaves now; the listener hears it from `start_ms` on."""

    turn: int
    frame: OpusFrame
    start_ms: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + OPUS_FRAME_MS


@dataclass(slots=True)
class _Sound:
    """One turn's reply: the frames that wait, and how much of the rest was heard."""

    waiting: deque[OpusFrame] = field(default_factory=deque)
    frames: int = 0
    heard_ms: int = 0
    reported_ms: int = 0
    paused: bool = False


class Playout:
    """The sound of one call on its way to the listener. See the module's rules."""

    def __init__(self, lead_ms: int | None = 0, *, frames_max: int = FRAMES_MAX) -> None:
        self.lead_ms = lead_ms
        self._frames_max = frames_max
        self._sounds: dict[int, _Sound] = {}
        self._flushed: deque[int] = deque(maxlen=FLUSHED_MAX)
        # Sent and not yet heard, in the order in which it is heard.
        self._ahead: deque[Packet] = deque()
        self._end_ms = 0
        self._running = False

    @property
    def active(self) -> bool:
        """Time alone will change something: frames are due, or being heard."""
        return bool(self._ahead) or self._front() is not None

    @property
    def waiting(self) -> int:
        """Frames that have not been sent."""
        return sum(len(sound.waiting) for sound in self._sounds.values())

    def play(self, turn: int, frame: OpusFrame) -> bool:
        """Queue a frame behind the others of its turn.

        False: the turn was flushed, or this frame made it longer than a playout can hold, in
        which case the whole turn is dropped.
        """
        if turn in self._flushed:
            return False
        sound = self._sounds.setdefault(turn, _Sound())
        if sound.frames >= self._frames_max or self.waiting >= self._frames_max:
            self._forget(turn)
            return False
        sound.waiting.append(frame)
        sound.frames += 1
        return True

    def pause(self, turn: int, now_ms: int) -> None:
        """Send no more of the turn; keep every frame that was not heard.

        Without pacing this does nothing: the sound is with the client, and so is the pause.
        """
        if self.lead_ms is None:
            return
        sound = self._sounds.setdefault(turn, _Sound())
        sound.paused = True
        self._hear(now_ms)
        if self.lead_ms:
            unheard = [packet.frame for packet in self._take_back(turn, now_ms)]
            sound.waiting.extendleft(reversed(unheard))

    def resume(self, turn: int) -> None:
        if turn in self._sounds:
            self._sounds[turn].paused = False

    def flush(self, turn: int, now_ms: int) -> None:
        """Forget every frame of the turn that was not heard, and those still to come."""
        self._hear(now_ms)
        self._take_back(turn, now_ms)
        self._forget(turn)

    def due(self, now_ms: int) -> list[Packet]:
        """The frames that must leave now, in order."""
        self._hear(now_ms)
        late_ms = CATCH_UP_MS if self._running else 0
        self._end_ms = max(self._end_ms, now_ms - late_ms)
        packets = []
        while front := self._front():
            # Sent while the listener would run dry before the next beat of the wheel.
            if self.lead_ms is not None and self._end_ms >= now_ms + self.lead_ms + OPUS_FRAME_MS:
                break
            turn, sound = front
            packets.append(Packet(turn, sound.waiting.popleft(), self._end_ms))
            self._end_ms += OPUS_FRAME_MS
        self._ahead.extend(packets)
        self._running = self._front() is not None
        return packets

    def progress(self, now_ms: int) -> list[Played]:
        """What to report: about every 100 ms, when a turn falls silent, and at its end."""
        self._hear(now_ms)
        under_way = {packet.turn for packet in self._ahead}
        reports = []
        for turn, sound in list(self._sounds.items()):
            silent = turn not in under_way and (sound.paused or not sound.waiting)
            news_ms = sound.heard_ms - sound.reported_ms
            if news_ms >= REPORT_MS or (news_ms and silent):
                sound.reported_ms = sound.heard_ms
                reports.append(Played(turn, sound.heard_ms))
            if silent and not sound.waiting and len(self._sounds) > SOUNDS_MAX:
                self._forget(turn)  # The oldest first; later turns have long spoken.
        return reports

    def _front(self) -> tuple[int, _Sound] | None:
        for turn, sound in self._sounds.items():
            if sound.waiting and not sound.paused:
                return turn, sound
        return None

    def _hear(self, now_ms: int) -> None:
        while self._ahead and self._ahead[0].end_ms <= now_ms:
            packet = self._ahead.popleft()
            if packet.turn in self._sounds:
                self._sounds[packet.turn].heard_ms += OPUS_FRAME_MS

    def _take_back(self, turn: int, now_ms: int) -> list[Packet]:
        """Remove the turn's sent but unheard frames. A frame heard in part counts as unheard:
        20 ms heard twice are better than a torn syllable."""
        taken = [packet for packet in self._ahead if packet.turn == turn]
        if taken:
            self._ahead = deque(packet for packet in self._ahead if packet.turn != turn)
            if self.lead_ms != 0:  # What RTP carried away is heard all the same.
                self._end_ms = self._ahead[-1].end_ms if self._ahead else now_ms
        return taken

    def _forget(self, turn: int) -> None:
        self._sounds.pop(turn, None)
        self._flushed.append(turn)
