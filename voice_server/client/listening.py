"""What a listener hears of the sound that arrives, and when: a playout clock without a speaker.

Each piece is played when it arrives or when the piece before it has ended, whichever is
later; between them the listener hears silence. What is kept is exactly what was heard, so a
reply that stuttered is saved as a stutter.
"""

from __future__ import annotations

from engines.audio import BadAudio, OpusDecoder, wav

from .caller import Sound

RATE_HZ = 24_000
_BYTES_PER_MS = 2 * RATE_HZ // 1_000
# An hour of sound; a call that talks longer is saved up to here.
_BYTES_MAX = 3_600_000 * _BYTES_PER_MS
_GAP_MS_MAX = 60_000


class Listener:
    """Plays what it is given; `ends_us` is when the last of it will have been heard."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.ends_us = 0
        self.heard_ms = 0
        self._keeps = keeps
        self._decoder = OpusDecoder(RATE_HZ)
        self._pcm = bytearray()

    def hear(self, sound: Sound) -> None:
        gap_ms = (sound.at_us - self.ends_us) // 1_000 if self.heard_ms else 0
        begins_us = max(self.ends_us, sound.at_us)
        self.ends_us = begins_us + sound.duration_ms * 1_000
        self.heard_ms += sound.duration_ms
        if self._keeps and len(self._pcm) < _BYTES_MAX:
            self._keep(sound, min(gap_ms, _GAP_MS_MAX))

    def drop(self, at_us: int) -> None:
        """The server took back what has not been heard by now."""
        unheard_ms = max(0, self.ends_us - at_us) // 1_000
        if unheard_ms:
            del self._pcm[max(0, len(self._pcm) - unheard_ms * _BYTES_PER_MS) :]
            self.ends_us = at_us
            self.heard_ms = max(1, self.heard_ms - unheard_ms)

    def wav(self) -> bytes:
        """All that was heard, as a WAV file: mono, 16-bit, 24 kHz."""
        return wav(bytes(self._pcm), RATE_HZ)

    def _keep(self, sound: Sound, gap_ms: int) -> None:
        # Packets in step arrive a little early or late; only a real pause is silence.
        if gap_ms >= 5:
            self._pcm += bytes(gap_ms * _BYTES_PER_MS)
        try:
            self._pcm += self._decoder.decode(sound.audio) if sound.opus else sound.audio
        except BadAudio:
            self._pcm += bytes(sound.duration_ms * _BYTES_PER_MS)
