"""Sound in and out of every shape a caller may bring: rates, packets, files, telephone codes.

Everything the rooms above need of sound is named here, wherever it is made.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import av
import av.audio
import av.container
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from .g711 import alaw_to_pcm, mulaw_to_pcm, pcm_to_alaw, pcm_to_mulaw
from .ogg import ogg_opus
from .opus import BadAudio, OpusDecoder, OpusEncoder, packet_ms
from .speech import PCM_FRAME_BYTES, PCM_RATE_HZ, PcmFrame

__all__ = [
    "BadAudio",
    "OpusDecoder",
    "OpusEncoder",
    "PcmFramer",
    "Resampler",
    "SoundFile",
    "alaw_to_pcm",
    "mulaw_to_pcm",
    "ogg_opus",
    "packet_ms",
    "pcm_to_alaw",
    "pcm_to_mulaw",
    "read_audio",
    "sound_file",
    "wav",
]

FILE_BYTES_MAX = 256 * 1024 * 1024
RATE_HZ_MIN, RATE_HZ_MAX = 4_000, 384_000
CHANNELS_MAX = 32
DAMAGED_PACKETS_MAX = 1_000

# Twice the usual length: flat to 7 kHz at 16 kHz and more than 80 dB down at 8.5 kHz, for
# 2 ms of delay and no measurable time.
_FILTER = {"filter_size": "64"}
_SHORT = 1_024
# Containers that hold one sound and cannot point at other files or addresses.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,loas,m4v,matroska,mov,mp3,mpeg,mpegts,"
    "ogg,w64,wav,wv"
)


class Resampler:
    """s16le sound at `source_hz`, `channels` of them interleaved, into mono at `target_hz`.

    However the sound is cut into pieces, even within a sample, the joined output is the same;
    it lags behind by about 2 ms, which `flush` gives.
    """

    def __init__(self, source_hz: int, target_hz: int, channels: int = 1) -> None:
        assert channels in (1, 2)
        for rate in (source_hz, target_hz):
            if not RATE_HZ_MIN <= rate <= RATE_HZ_MAX:
                raise BadAudio(f"sound at {rate} Hz cannot be converted")
        self._source_hz, self._target_hz, self._channels = source_hz, target_hz, channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._rest = b""
        self._begin()

    def _begin(self) -> None:
        self._resampler = _ToMono(self._target_hz)
        self._samples_in = self._samples_out = 0

    def feed(self, pcm: bytes) -> bytes:
        """The next piece of sound, any length; what has become of it so far."""
        if self._rest:
            pcm = self._rest + pcm
        odd = len(pcm) % (2 * self._channels)
        self._rest = pcm[len(pcm) - odd :]
        if odd:
            pcm = pcm[:-odd]
        if not pcm or (self._source_hz == self._target_hz and self._channels == 1):
            return pcm
        samples = len(pcm) // (2 * self._channels)
        frame = AudioFrame(format="s16", layout=self._layout, samples=samples, align=1)
        frame.sample_rate = self._source_hz
        frame.planes[0].update(pcm)
        self._samples_in += samples
        return self._collect(self._resampler.resample(frame))

    def flush(self) -> bytes:
        """The end of the sound; half a sample at the end is dropped. Can be fed anew."""
        self._rest = b""
        samples, made = self._samples_in, self._samples_out
        if not samples:
            return b""
        pcm = b""
        if samples < _SHORT:
            # FFmpeg loses sound that is shorter than its filter: make it longer, and cut it.
            pcm = self.feed(bytes(2 * self._channels * _SHORT))
        pcm += self._collect(self._resampler.resample(None))
        self._begin()
        return pcm[: 2 * (math.ceil(samples * self._target_hz / self._source_hz) - made)]

    def _collect(self, frames: list[AudioFrame]) -> bytes:
        pcm = b"".join(_mono_bytes(frame) for frame in frames)
        self._samples_out += len(pcm) // 2
        return pcm


class _ToMono:
    """Frames of one shape into s16 mono at `rate_hz`. PyAV's own resampler does the same and
    keeps a thread of FFmpeg's per core of the machine, for each of them, as long as it lives."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._graph: Graph | None = None

    def resample(self, frame: AudioFrame | None) -> list[AudioFrame]:
        """What has become of the sound so far; with None, the rest of it."""
        if self._graph is None:
            if frame is None:
                return []
            self._graph = self._begin(frame)
        self._graph.push(frame)
        made: list[AudioFrame] = []
        while True:
            try:
                made.append(cast(AudioFrame, self._graph.pull()))
            except (BlockingIOError, EOFError):  # It wants more, or has given all.
                return made

    def _begin(self, first: AudioFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        shape = {
            "sample_rate": str(first.sample_rate),
            "sample_fmt": first.format.name,
            "channel_layout": first.layout.name,
        }
        if first.time_base is not None:
            shape["time_base"] = str(first.time_base)
        source = graph.add("abuffer", **shape)
        resample = graph.add("aresample", **_FILTER)
        wanted = {"sample_rates": str(self._rate_hz), "sample_fmts": "s16"}
        shaper = graph.add("aformat", **wanted, channel_layouts="mono")
        source.link_to(resample)
        resample.link_to(shaper)
        shaper.link_to(graph.add("abuffersink"))
        graph.configure()
        return graph


def _mono_bytes(frame: AudioFrame) -> bytes:
    # The plane may be padded beyond the samples.
    return bytes(frame.planes[0])[: frame.samples * 2]


class PcmFramer:
    """16 kHz mono s16le of any lengths into frames of 512 samples."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, pcm: bytes) -> list[PcmFrame]:
        sound = self._rest + pcm if self._rest else pcm
        whole = len(sound) - len(sound) % PCM_FRAME_BYTES
        self._rest = sound[whole:]
        return [
            PcmFrame(sound[start : start + PCM_FRAME_BYTES])
            for start in range(0, whole, PCM_FRAME_BYTES)
        ]

    def flush(self) -> list[PcmFrame]:
        """The last frame, filled up with silence; nothing when there is no rest."""
        rest, self._rest = self._rest[: len(self._rest) // 2 * 2], b""
        return [PcmFrame(rest.ljust(PCM_FRAME_BYTES, b"\0"))] if rest else []


def wav(pcm: bytes, rate_hz: int) -> bytes:
    """Mono s16le as a WAV file."""
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(pcm), b"WAVE", b"fmt ", 16),
        *(1, 1, rate_hz, rate_hz * 2, 2, 16),
        *(b"data", len(pcm)),
    )
    return head + pcm


def read_audio(source: str | Path | bytes, *, seconds_max: float) -> list[PcmFrame]:
    """All the sound of a file, or of a file's bytes, in any format PyAV decodes, as frames.

    Blocks: call it from a thread. Raises `BadAudio` when it is no sound, holds none, or is
    longer than `seconds_max`. The length is counted in sound that was really decoded; what a
    header says of it is not believed. Damaged packets are left out.
    """
    framer, frames = PcmFramer(), []
    with _opened(source) as file, sound_file(file, seconds_max=seconds_max) as sound:
        for pcm in sound.pieces:
            frames += framer.feed(pcm)
    frames += framer.flush()
    if not frames:
        raise BadAudio("there is no sound in this file")
    return frames


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file that is open for decoding: its sound as 16 kHz mono s16le, piece by piece, and how
    it was kept. A piece may be empty: it only says that the decoder is still at work."""

    pieces: Iterator[bytes]
    codec: str
    rate_hz: int
    channels: int


@contextlib.contextmanager
def sound_file(file: BinaryIO, *, seconds_max: float) -> Iterator[SoundFile]:
    """Open a file's first sound stream; the memory it takes does not depend on its length.

    Blocks, as taking the pieces does. Raises `BadAudio` when it is no sound; taking a piece
    raises it when the sound is longer than `seconds_max`, counted in what was decoded.
    """
    try:
        with _container(file) as container:
            if not container.streams.audio:
                raise BadAudio("there is no sound in this file")
            context = container.streams.audio[0].codec_context
            if context is None:  # FFmpeg knows the container and not the codec.
                raise BadAudio("sound of this kind cannot be decoded")
            pieces = _bounded(_decoded(container), seconds_max)
            yield SoundFile(pieces, context.name, context.sample_rate or 0, context.channels or 0)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadAudio("this cannot be read as sound") from error


def _bounded(pieces: Iterator[bytes], seconds_max: float) -> Iterator[bytes]:
    bytes_left = round(seconds_max * PCM_RATE_HZ) * 2
    for pcm in pieces:
        bytes_left -= len(pcm)
        if bytes_left < 0:
            raise BadAudio(f"the sound is longer than {seconds_max:g} seconds")
        yield pcm


def _opened(source: str | Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        size = len(source)
    else:
        source = Path(source)
        if not source.is_file():  # A pipe or a device may never end.
            raise BadAudio("there is no such file")
        size = source.stat().st_size
    if size > FILE_BYTES_MAX:
        raise BadAudio("the file is too large")
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _container(file: BinaryIO) -> av.container.InputContainer:
    # Given a file object and these lists, nothing inside the file can make FFmpeg open
    # another file or address, nor decode the pictures of a film.
    return av.open(
        file,
        mode="r",
        metadata_errors="ignore",
        options={"format_whitelist": _FORMATS, "codec_whitelist": _audio_codecs()},
    )


@functools.cache
def _audio_codecs() -> str:
    found = []
    for name in av.codec.codecs_available:
        try:
            codec = av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:
            continue  # It only encodes.
        if codec.type == "audio":
            found.append(name)
    return ",".join(sorted(found))


def _decoded(container: av.container.InputContainer) -> Iterator[bytes]:
    """16 kHz mono pieces of the container's first sound stream, at least one a packet."""
    stream = container.streams.audio[0]
    assert stream.codec_context is not None
    stream.codec_context.thread_type = "NONE"
    mixer: _Mixer | None = None
    damaged = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            damaged += 1
            if damaged > DAMAGED_PACKETS_MAX:
                raise BadAudio("the sound is damaged") from error
            continue
        yield b""
        for frame in frames:
            if mixer is None or not mixer.fits(frame):
                if mixer is not None:
                    yield mixer.flush()
                mixer = _Mixer(frame)
            yield mixer.feed(frame)
    if mixer is not None:
        yield mixer.flush()


class _Mixer:
    """Decoded frames of one shape into 16 kHz mono."""

    def __init__(self, first: AudioFrame) -> None:
        self._shape = _shape(first)
        layout, rate_hz = first.layout, first.sample_rate
        if not RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX or layout.nb_channels > CHANNELS_MAX:
            raise BadAudio("sound of this rate or number of channels cannot be converted")
        # FFmpeg takes channels without names for loudspeakers and leaves some out.
        self._nameless = layout.nb_channels > 2 and layout.name.endswith("channels")
        self._resampler = _ToMono(PCM_RATE_HZ)

    def fits(self, frame: AudioFrame) -> bool:
        return _shape(frame) == self._shape

    def feed(self, frame: AudioFrame) -> bytes:
        if self._nameless:
            frame = _mean_of_channels(frame)
        frame.pts = None  # Sound follows sound, whatever the file says of time.
        return b"".join(_mono_bytes(each) for each in self._resampler.resample(frame))

    def flush(self) -> bytes:
        return b"".join(_mono_bytes(each) for each in self._resampler.resample(None))


def _shape(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _mean_of_channels(frame: AudioFrame) -> AudioFrame:
    sound = frame.to_ndarray()
    sound = sound if frame.format.is_planar else sound.reshape(-1, frame.layout.nb_channels).T
    mean = sound.mean(axis=0, dtype=np.float64)
    if sound.dtype.kind == "f":
        mean *= 32_768
    elif sound.dtype == np.uint8:
        mean = (mean - 128) * 256
    else:
        mean /= float(2 ** (8 * sound.dtype.itemsize - 16))
    mono = np.clip(np.nan_to_num(mean), -32_768, 32_767).astype(np.int16)
    mixed = AudioFrame.from_ndarray(mono[None], format="s16", layout="mono")
    mixed.sample_rate = frame.sample_rate
    return mixed
