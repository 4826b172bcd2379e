"""Sound keeps its length, its pitch and its loudness, however it comes and is cut."""

from __future__ import annotations

import io
import os
import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import audio
from engines.audio import BadAudio, PcmFramer, Resampler, ogg_opus, read_audio, wav
from engines.opus import OpusEncoder
from engines.speech import PcmFrame
from tests.engines.sounds import (
    fitted,
    float_wave_file,
    loudness,
    noise,
    samples_of,
    sine,
    wave_file,
)

RATES = st.sampled_from((8_000, 16_000, 22_050, 24_000, 44_100, 48_000))
CUTS = st.lists(st.integers(0, 4_000), max_size=40)


def joined(frames: list[PcmFrame]) -> bytes:
    return b"".join(frame.samples for frame in frames)


def resampled(pcm: bytes, source_hz: int, target_hz: int, cuts: list[int], channels: int) -> bytes:
    resampler = Resampler(source_hz, target_hz, channels)
    made = b""
    for cut in cuts:
        piece, pcm = pcm[:cut], pcm[cut:]
        made += resampler.feed(piece)
    return made + resampler.feed(pcm) + resampler.flush()


@settings(max_examples=60)
@given(RATES, RATES, CUTS, st.integers(0, 9_000), st.sampled_from((1, 2)))
def test_pieces_make_the_same_sound_as_the_whole(
    source_hz: int, target_hz: int, cuts: list[int], samples: int, channels: int
) -> None:
    pcm = noise(samples * channels).tobytes()
    whole = resampled(pcm, source_hz, target_hz, [], channels)
    assert resampled(pcm, source_hz, target_hz, cuts, channels) == whole
    assert abs(len(whole) // 2 - samples * target_hz / source_hz) <= 1


@pytest.mark.parametrize(("source_hz", "target_hz"), [(8_000, 48_000), (48_000, 16_000)])
def test_the_shortest_sounds_keep_their_length(source_hz: int, target_hz: int) -> None:
    for samples in (*range(1, 100), 1_023, 1_024, 1_025):
        made = resampled(noise(samples).tobytes(), source_hz, target_hz, [], 1)
        assert abs(len(made) / 2 - samples * target_hz / source_hz) <= 1
    tone = resampled(sine(1_000, source_hz, 0.004).tobytes(), source_hz, target_hz, [], 1)
    assert loudness(tone) > -12


@pytest.mark.parametrize(("source_hz", "target_hz"), [(48_000, 16_000), (22_050, 24_000)])
@pytest.mark.parametrize("hz", [200, 1_000, 3_000, 6_500])
def test_resampling_keeps_speech_and_adds_no_clicks(
    source_hz: int, target_hz: int, hz: int
) -> None:
    resampler, sound = Resampler(source_hz, target_hz), sine(hz, source_hz)
    cuts = range(0, len(sound), 441)
    made = samples_of(b"".join(resampler.feed(sound[at : at + 441].tobytes()) for at in cuts))
    amplitude, clean_db = fitted(made[target_hz // 20 : -target_hz // 20], hz, target_hz)
    assert amplitude == pytest.approx(16_000, rel=0.01)
    assert clean_db > 80, "a click at one edge of a piece would cost 30 dB"


@pytest.mark.parametrize("hz", [8_600, 9_500, 12_000, 20_000])
def test_resampling_folds_nothing_back(hz: int) -> None:
    resampler = Resampler(48_000, 16_000)
    made = resampler.feed(sine(hz, 48_000).tobytes())
    assert loudness(made[1_600:]) < -80


def test_resampling_lags_little_and_can_begin_anew() -> None:
    resampler, pcm = Resampler(48_000, 16_000), noise(48_000).tobytes()
    first = resampler.feed(pcm)
    assert len(first) // 2 >= 16_000 - 64
    first += resampler.flush()
    assert resampler.flush() == b""
    assert resampler.feed(pcm) + resampler.flush() == first


def test_resampling_keeps_no_threads() -> None:
    """FFmpeg would keep one per core of the machine for each; and a call has its own."""
    before = sum(1 for _ in Path("/proc/self/task").iterdir())
    made = [Resampler(24_000, 16_000) for _ in range(20)]
    assert all(each.feed(bytes(9_600)) for each in made)
    assert sum(1 for _ in Path("/proc/self/task").iterdir()) <= before + 2


def test_two_channels_become_their_mean() -> None:
    left = sine(500, 16_000)
    stereo = np.stack([left, np.zeros_like(left)], axis=1)
    made = samples_of(resampled(stereo.tobytes(), 16_000, 16_000, [], 2))
    assert np.abs(made[100:-100] - left[100:-100] / 2).max() <= 2


@pytest.mark.parametrize("rate_hz", [0, -1, 3_999, 10**9])
def test_absurd_rates_are_refused(rate_hz: int) -> None:
    with pytest.raises(BadAudio):
        Resampler(rate_hz, 16_000)


@given(CUTS, st.integers(0, 20_000))
def test_frames_hold_the_sound_in_order(cuts: list[int], size: int) -> None:
    pcm, rest, framer = os.urandom(size), 0, PcmFramer()
    frames: list[PcmFrame] = []
    for cut in cuts:
        frames += framer.feed(pcm[rest : rest + cut])
        rest += cut
    frames += framer.feed(pcm[rest:])
    assert len(frames) == size // 1_024
    frames += framer.flush()
    assert all(len(frame.samples) == 1_024 for frame in frames)
    even = size // 2 * 2
    assert joined(frames)[:even] == pcm[:even]
    assert not any(joined(frames)[even:])
    assert framer.flush() == []


# Files.


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_files_of_every_rate(rate_hz: int) -> None:
    frames = read_audio(wave_file(sine(440, rate_hz), rate_hz), seconds_max=2)
    amplitude, clean_db = fitted(samples_of(joined(frames))[800:15_000], 440, 16_000)
    assert len(frames) == 32
    assert amplitude == pytest.approx(16_000, rel=0.01)
    assert clean_db > 60


@pytest.mark.parametrize("channels", [2, 3, 6, 8, 16, 32])
def test_every_channel_is_heard(channels: int) -> None:
    sound = np.zeros((16_000, channels), np.int16)
    sound[:, channels - 1] = sine(440, 16_000)
    frames = read_audio(wave_file(sound, 16_000), seconds_max=2)
    amplitude, _ = fitted(samples_of(joined(frames))[800:15_000], 440, 16_000)
    assert amplitude == pytest.approx(16_000 / channels, rel=0.02)


def test_samples_of_other_kinds() -> None:
    sound = sine(440, 16_000)
    eight_bits = ((sound >> 8) + 128).astype(np.uint8)
    for file in (
        wave_file(eight_bits, 16_000),
        float_wave_file((sound / 32_768).astype(np.float32), 16_000),
    ):
        made = samples_of(joined(read_audio(file, seconds_max=2)))
        assert fitted(made[800:15_000], 440, 16_000)[0] == pytest.approx(16_000, rel=0.02)


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz"),
    [
        *(("mp3", "mp3", 44_100), ("ogg", "libopus", 48_000), ("mp4", "aac", 48_000)),
        *(("flac", "flac", 16_000), ("webm", "libopus", 48_000), ("wav", "pcm_alaw", 8_000)),
    ],
)
def test_files_of_every_kind_from_disk(
    container: str, codec: str, rate_hz: int, tmp_path: Path
) -> None:
    path = tmp_path / f"sound.{container}"
    with av.open(path, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            sine(440, rate_hz, 2.0)[None], format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in stream.encode(frame) + stream.encode(None):
            file.mux(packet)
    sound = samples_of(joined(read_audio(path, seconds_max=3)))
    assert len(sound) / 16_000 == pytest.approx(2.0, abs=0.15)
    assert fitted(sound[8_000:24_000], 440, 16_000)[0] == pytest.approx(16_000, rel=0.1)


def film(seconds: int, sound: bool) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        assert isinstance(pictures, av.VideoStream)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        if sound:
            voice = container.add_stream("pcm_s16le", rate=16_000)
            assert isinstance(voice, av.AudioStream)
            voice.codec_context.layout = "mono"
            heard = sine(440, 16_000, seconds)[None]
            frame = av.AudioFrame.from_ndarray(heard, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux(voice.encode(frame) + voice.encode(None))
        for number in range(10 * seconds):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts = number
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
    return file.getvalue()


def test_a_film_is_its_sound() -> None:
    sound = samples_of(joined(read_audio(film(2, sound=True), seconds_max=3)))
    assert fitted(sound[800:31_000], 440, 16_000)[0] == pytest.approx(16_000, rel=0.01)
    with pytest.raises(BadAudio, match="no sound"):
        read_audio(film(1, sound=False), seconds_max=3)


GOOD = wave_file(sine(440, 16_000), 16_000)


@pytest.mark.parametrize(
    "file",
    [
        *(b"", bytes(100_000), b"hello\n" * 10_000, GOOD[:30], GOOD[:44]),
        noise(50_000).tobytes(),
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        wave_file(sine(440, 16_000), 100),
        wave_file(np.zeros((100, 64), np.int16), 16_000),
        GOOD[:20] + b"\x15" + GOOD[21:],
    ],
    ids="empty zeros text half-a-head no-data noise playlist rate channels codec".split(),
)
def test_what_is_no_sound_is_refused(file: bytes) -> None:
    with pytest.raises(BadAudio):
        read_audio(file, seconds_max=10)


def test_a_list_of_files_does_not_open_them(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(GOOD)
    path = tmp_path / "list.ffconcat"
    path.write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(BadAudio):
        read_audio(path, seconds_max=10)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", "/dev/zero"):
        with pytest.raises(BadAudio, match="no such file"):
            read_audio(path, seconds_max=10)
    with pytest.raises(BadAudio):
        read_audio("http://127.0.0.1/sound.wav", seconds_max=10)


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_audio(GOOD, seconds_max=1.0)) == 32
    with pytest.raises(BadAudio, match=r"longer than 0\.9 seconds"):
        read_audio(GOOD, seconds_max=0.9)
    monkeypatch.setattr(audio, "FILE_BYTES_MAX", len(GOOD) - 1)
    with pytest.raises(BadAudio, match="too large"):
        read_audio(GOOD, seconds_max=10)


def test_a_lying_or_cut_file_gives_the_sound_that_is_there() -> None:
    lying = bytearray(GOOD)
    lying[4:8] = lying[40:44] = struct.pack("<I", 0xFFFF_FFF0)
    assert joined(read_audio(bytes(lying), seconds_max=10)) == joined(
        read_audio(GOOD, seconds_max=10)
    )
    assert len(read_audio(GOOD[:20_000], seconds_max=10)) == 20


@settings(max_examples=150)
@given(st.data())
def test_damage_never_gets_past(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from((GOOD, OPUS_FILE, FILM)))
    file = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 20))):
        if file:
            file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        frames = read_audio(bytes(file), seconds_max=5)
    except BadAudio:
        return
    assert 0 < len(frames) <= 5 * 16_000 / 512 + 1


OPUS_FILE = ogg_opus(OpusEncoder(24_000).encode(sine(440, 24_000).tobytes()))
FILM = film(1, sound=True)


def test_our_wave_files_are_what_others_read() -> None:
    pcm = noise(1_000).tobytes()
    with wave.open(io.BytesIO(wav(pcm, 24_000))) as reader:
        assert reader.getparams()[:4] == (1, 2, 24_000, 1_000)
        assert reader.readframes(2_000) == pcm
