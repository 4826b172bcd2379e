"""Opus packets are whole, last 20 ms, sound like what went in, and bad ones are refused."""

from __future__ import annotations

import io
import os

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.ogg import ogg_opus
from engines.opus import BadAudio, OpusDecoder, OpusEncoder, packet_ms
from tests.engines.sounds import fitted, loudness, noise, samples_of, sine


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3_000), max_size=20))
def test_packets_do_not_depend_on_how_sound_is_cut(cuts: list[int]) -> None:
    pcm, encoder = noise(5_000).tobytes(), OpusEncoder(24_000)
    whole = OpusEncoder(24_000)
    expected = whole.encode(pcm) + whole.flush()
    made, rest = [], pcm
    for cut in cuts:
        piece, rest = rest[:cut], rest[cut:]
        made += encoder.encode(piece)
    assert made + encoder.encode(rest) + encoder.flush() == expected
    assert len(expected) == 11, "ten whole packets, and one filled up"
    assert encoder.flush() == []


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 24_000, 48_000])
def test_sound_survives(rate_hz: int) -> None:
    frames = OpusEncoder(rate_hz).encode(sine(440, rate_hz).tobytes())
    assert {packet_ms(frame.packet) for frame in frames} == {20}
    decoder = OpusDecoder(16_000)
    made = b"".join(decoder.decode(frame.packet) for frame in frames)
    assert len(made) == 32_000
    amplitude, clean_db = fitted(samples_of(made)[3_200:], 440, 16_000)
    assert amplitude == pytest.approx(16_000, rel=0.05)
    assert clean_db > 20


def test_the_bitrate_is_kept() -> None:
    frames = OpusEncoder(24_000, bitrate=32_000).encode(noise(240_000).tobytes())
    bits = sum(len(frame.packet) for frame in frames) * 8
    assert bits / 10 == pytest.approx(32_000, rel=0.1)


def test_the_decoder_takes_what_others_encode() -> None:
    """Two channels at 48 kHz, as browsers say in SDP, become one at 16 kHz."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout = 48_000, "stereo"
    encoder.format = "s16"
    sound = sine(440, 48_000).repeat(2)
    frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="stereo")
    frame.sample_rate, frame.pts = 48_000, 0
    decoder, made = OpusDecoder(16_000), b""
    for packet in encoder.encode(frame) + encoder.encode(None):
        made += decoder.decode(bytes(packet))
    amplitude, _ = fitted(samples_of(made)[3_200:15_000], 440, 16_000)
    assert amplitude == pytest.approx(16_000, rel=0.05)


def test_others_decode_what_we_encode() -> None:
    frames = OpusEncoder(24_000).encode(sine(440, 24_000).tobytes())
    with av.open(io.BytesIO(ogg_opus(frames)), mode="r") as file:
        planes = [frame.to_ndarray().ravel() for frame in file.decode(file.streams.audio[0])]
    pcm = b"".join(plane.astype("f4").tobytes() for plane in planes)
    assert len(pcm) == 48_000 * 4


def test_bad_packets_are_refused_and_the_decoder_goes_on() -> None:
    frames = OpusEncoder(24_000).encode(sine(440, 24_000).tobytes())
    decoder = OpusDecoder(16_000)
    for bad in (b"", b"\xff", b"\x03\xff" + bytes(5), bytes(1_501)):
        with pytest.raises(BadAudio):
            decoder.decode(bad)
    made = b"".join(decoder.decode(frame.packet) for frame in frames)
    assert loudness(made[3_200:]) == pytest.approx(-9.2, abs=1)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_nonsense_is_refused_or_is_at_most_120_ms(packet: bytes) -> None:
    try:
        pcm = OpusDecoder(16_000).decode(packet)
    except BadAudio:
        return
    assert 0 < len(pcm) <= 16_000 * 120 // 1_000 * 2
    assert len(pcm) % 2 == 0


def test_large_nonsense() -> None:
    for size in (1_275, 1_499, 1_500):
        decoder = OpusDecoder(48_000)
        for code in range(256):
            try:
                decoder.decode(bytes([code]) + os.urandom(size - 1))
            except BadAudio:
                continue


def test_a_lost_packet_is_concealed() -> None:
    frames = OpusEncoder(24_000).encode(sine(440, 24_000).tobytes())
    decoder = OpusDecoder(16_000)
    for frame in frames:
        decoder.decode(frame.packet)
    guess = decoder.conceal(20)
    assert len(guess) == 640
    assert loudness(guess) > -20
