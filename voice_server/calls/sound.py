"""The two ends of a call's sound: what a client sends into 32 ms frames, and 20 ms Opus packets
into what a client plays.

State is kept from one piece to the next, so it does not matter how the sound was cut.
"""

from __future__ import annotations

from collections.abc import Callable

from engines.audio import (
    BadAudio,
    OpusDecoder,
    PcmFramer,
    Resampler,
    alaw_to_pcm,
    mulaw_to_pcm,
    pcm_to_alaw,
    pcm_to_mulaw,
)
from engines.speech import OPUS_FRAME_MS, PCM_RATE_HZ, OpusFrame, PcmFrame

from .realtime.session import AudioFormat

TELEPHONE_RATE_HZ = 8_000
_BYTES_PER_MS = PCM_RATE_HZ * 2 // 1_000
# A lost stretch is guessed for this long; then it is silence.
CONCEALED_MS_MAX = 60


class Microphone:
    """A client's sound as 16 kHz frames. One per call; the format may change between pieces."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._framer = PcmFramer()
        self._format: AudioFormat | None = None
        self.use(audio_format)

    def use(self, audio_format: AudioFormat) -> None:
        """From the next piece on, sound comes in this format."""
        if audio_format != self._format:
            self._format = audio_format
            self._decoder = OpusDecoder(PCM_RATE_HZ)
            self._to_pcm = self._reader(audio_format)

    def hear(self, piece: bytes) -> list[PcmFrame]:
        """The frames that this piece completes. Raises `BadAudio` for a packet that is none."""
        return self._framer.feed(self._to_pcm(piece))

    def miss(self, duration_ms: int) -> list[PcmFrame]:
        """Frames in place of an Opus packet, or several, that never came."""
        concealed_ms = min(duration_ms, CONCEALED_MS_MAX)
        pcm = b""
        while len(pcm) < concealed_ms * _BYTES_PER_MS:
            pcm += self._decoder.conceal(OPUS_FRAME_MS)
        return self._framer.feed(pcm[: duration_ms * _BYTES_PER_MS].ljust(
            duration_ms * _BYTES_PER_MS, b"\0"
        ))  # fmt: skip

    def _reader(self, audio_format: AudioFormat) -> Callable[[bytes], bytes]:
        match audio_format.type:
            case "audio/opus":
                return self._decoder.decode
            case "audio/pcmu":
                telephone = Resampler(TELEPHONE_RATE_HZ, PCM_RATE_HZ)
                return lambda piece: telephone.feed(mulaw_to_pcm(piece))
            case "audio/pcma":
                telephone = Resampler(TELEPHONE_RATE_HZ, PCM_RATE_HZ)
                return lambda piece: telephone.feed(alaw_to_pcm(piece))
            case "audio/pcm":
                return Resampler(audio_format.rate_hz, PCM_RATE_HZ).feed
        raise BadAudio(f"unknown sound: {audio_format.type}")


class Loudspeaker:
    """Opus packets in the format that a client plays. One per call."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format: AudioFormat | None = None
        self.use(audio_format)

    def use(self, audio_format: AudioFormat) -> None:
        if audio_format != self._format:
            self._format = audio_format
            self._from_packet = self._writer(audio_format)

    def speak(self, frame: OpusFrame) -> bytes:
        """20 ms of sound. Raises `BadAudio` for a packet that is none."""
        return self._from_packet(frame.packet)

    def _writer(self, audio_format: AudioFormat) -> Callable[[bytes], bytes]:
        match audio_format.type:
            case "audio/opus":
                return lambda packet: packet
            case "audio/pcmu":
                telephone = OpusDecoder(TELEPHONE_RATE_HZ)
                return lambda packet: pcm_to_mulaw(telephone.decode(packet))
            case "audio/pcma":
                telephone = OpusDecoder(TELEPHONE_RATE_HZ)
                return lambda packet: pcm_to_alaw(telephone.decode(packet))
            case "audio/pcm":
                return OpusDecoder(audio_format.rate_hz).decode
        raise BadAudio(f"unknown sound: {audio_format.type}")
