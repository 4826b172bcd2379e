"""G.711 against FFmpeg's tables and against the reference algorithm, bit by bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import av
import numpy as np
import pytest

from engines.g711 import alaw_to_pcm, mulaw_to_pcm, pcm_to_alaw, pcm_to_mulaw

EVERY_SAMPLE = np.arange(-32_768, 32_768).astype("<i2")
EVERY_CODE = bytes(range(256))
Law = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("codec", "decode"), [("pcm_mulaw", mulaw_to_pcm), ("pcm_alaw", alaw_to_pcm)]
)
def test_decoding_is_what_others_decode(codec: str, decode: Law) -> None:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    [frame] = decoder.decode(av.Packet(EVERY_CODE))
    assert decode(EVERY_CODE) == frame.to_ndarray().astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("encode", "digest"),
    [
        (pcm_to_mulaw, "617fa4850d68d3906597e949f7625fb2"),
        (pcm_to_alaw, "f77c76aa923ee25617453f87514828a1"),
    ],
)
def test_encoding_is_the_reference_algorithm(encode: Law, digest: str) -> None:
    """The codes that Sun's g711.c, the usual reference, gives for 0 to 32767, -32768 to -1."""
    codes = encode(np.arange(65_536, dtype=np.uint16).tobytes())
    assert hashlib.sha256(codes).hexdigest().startswith(digest)


@pytest.mark.parametrize(
    ("encode", "decode"), [(pcm_to_mulaw, mulaw_to_pcm), (pcm_to_alaw, alaw_to_pcm)]
)
def test_there_and_back_costs_half_a_step(encode: Law, decode: Law) -> None:
    back = np.frombuffer(decode(encode(EVERY_SAMPLE.tobytes())), "<i2").astype(int)
    error = np.abs(back - EVERY_SAMPLE)[128:-128]
    assert np.all(error <= np.maximum(np.abs(EVERY_SAMPLE[128:-128].astype(int)) / 16, 16))
    assert np.all(np.diff(back) >= 0), "louder never becomes quieter"


@pytest.mark.parametrize(
    ("encode", "decode"), [(pcm_to_mulaw, mulaw_to_pcm), (pcm_to_alaw, alaw_to_pcm)]
)
def test_codes_survive(encode: Law, decode: Law) -> None:
    back = encode(decode(EVERY_CODE))
    # Mu-law has two codes for zero.
    assert [code for code in range(256) if back[code] != code] in ([], [0x7F])


def test_nothing_is_nothing() -> None:
    assert pcm_to_mulaw(b"") == mulaw_to_pcm(b"") == pcm_to_alaw(b"") == alaw_to_pcm(b"") == b""
