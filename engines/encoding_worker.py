"""The worker that encodes speech for those who listen later: many streams in turn.

Messages to a job: {"sizes": bytes of each Opus packet} with the packets as the payload, and
with {"end": true} in the last one. From it: pieces of the file, as payloads.
"""

from __future__ import annotations

import av
import av.audio
from av.audio.frame import AudioFrame

from .opus import OpusDecoder
from .serving import Assignment, Options, Steps, Work, serve

RATE_HZ = 24_000
# Container, codec, bits a second, what the muxer must know. The sink cannot be wound back: so
# nothing may be written at the end into the head.
SHAPES: dict[str, tuple[str, str, int | None, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", 64_000, {"write_xing": "0", "id3v2_version": "0"}),
    "aac": ("adts", "aac", 64_000, {}),
    "flac": ("flac", "flac", None, {}),
    "wav": ("wav", "pcm_s16le", None, {"fflags": "+bitexact"}),
    "pcm": ("s16le", "pcm_s16le", None, {}),
}


class _Sink:
    """What the muxer writes to. It has no `seek`: it is a stream."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        written = bytes(self._written)
        self._written.clear()
        return written


class FormatEncoder:
    """Mono s16le at 24 kHz into one of `SHAPES`, piece by piece."""

    def __init__(self, audio_format: str) -> None:
        container, codec, bitrate, options = SHAPES[audio_format]
        self._sink = _Sink()
        self._file = av.open(self._sink, mode="w", format=container, options=options)
        stream = self._file.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.audio.AudioStream)
        stream.codec_context.layout = "mono"
        stream.codec_context.thread_type = "NONE"
        if bitrate is not None:
            stream.codec_context.bit_rate = bitrate
        self._stream = stream
        self._samples = 0

    def encode(self, pcm: bytes) -> bytes:
        """What the file grows by with this sound, a whole number of samples."""
        if pcm:
            frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2, align=1)
            frame.sample_rate, frame.pts = RATE_HZ, self._samples
            frame.planes[0].update(pcm)
            self._samples += frame.samples
            self._file.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        """The end of the file."""
        self._file.mux(self._stream.encode(None))
        self._file.close()
        return self._sink.take()


def encoding(assignment: Assignment) -> Steps:
    """One job: packets in, pieces of the file out."""
    decoder, encoder = OpusDecoder(RATE_HZ), FormatEncoder(assignment.request["format"])
    ended = False
    while not ended:
        message, packets = yield
        sound, at = bytearray(), 0
        for size in message["sizes"]:
            sound += decoder.decode(packets[at : at + size])
            at += size
        if piece := encoder.encode(bytes(sound)):
            assignment.send({}, piece)
        ended = bool(message.get("end"))
    if piece := encoder.finish():
        assignment.send({}, piece)


def prepare(options: Options) -> Work:
    return encoding


if __name__ == "__main__":
    serve(prepare)
