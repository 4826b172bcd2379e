"""Telephone sound: ITU-T G.711 mu-law and A-law, one byte a sample, by table."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_Samples = npt.NDArray[np.int32]
# The first magnitude that no longer belongs to each of the eight segments.
_MU_ENDS = np.array([0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF, 0x1FFF])
_A_ENDS = np.array([0x1F, 0x3F, 0x7F, 0xFF, 0x1FF, 0x3FF, 0x7FF, 0xFFF])
_MU_BIAS, _MU_CLIP = 33, 8_159


def pcm_to_mulaw(pcm: bytes) -> bytes:
    """s16le into mu-law. `pcm` holds whole samples."""
    return _encode(pcm, _mulaw_of)


def mulaw_to_pcm(sound: bytes) -> bytes:
    """mu-law into s16le."""
    return _decode(sound, _from_mulaw)


def pcm_to_alaw(pcm: bytes) -> bytes:
    """s16le into A-law. `pcm` holds whole samples."""
    return _encode(pcm, _alaw_of)


def alaw_to_pcm(sound: bytes) -> bytes:
    """A-law into s16le."""
    return _decode(sound, _from_alaw)


def _encode(pcm: bytes, law: Callable[[_Samples], _Samples]) -> bytes:
    return bytes(_codes(law)[np.frombuffer(pcm, "<u2")])


def _decode(sound: bytes, law: Callable[[_Samples], _Samples]) -> bytes:
    return bytes(_values(law)[np.frombuffer(sound, np.uint8)])


@functools.cache
def _codes(law: Callable[[_Samples], _Samples]) -> npt.NDArray[np.uint8]:
    """The code of every sample, found by its bits as an unsigned number."""
    return law(np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)).astype(np.uint8)


@functools.cache
def _values(law: Callable[[_Samples], _Samples]) -> npt.NDArray[np.int16]:
    return law(np.arange(256, dtype=np.int32)).astype("<i2")


def _mulaw_of(samples: _Samples) -> _Samples:
    samples = samples >> 2  # 14 bits, rounded down as the recommendation's integers are.
    mask = np.where(samples < 0, 0x7F, 0xFF)
    magnitude = np.minimum(np.abs(samples), _MU_CLIP) + _MU_BIAS
    segment = np.searchsorted(_MU_ENDS, magnitude)
    code = segment << 4 | magnitude >> segment + 1 & 0xF
    return (np.where(segment > 7, 0x7F, code) ^ mask).astype(np.int32)


def _from_mulaw(codes: _Samples) -> _Samples:
    codes = ~codes & 0xFF
    magnitude = (((codes & 0xF) << 3) + 0x84) << ((codes & 0x70) >> 4)
    return np.where(codes & 0x80, 0x84 - magnitude, magnitude - 0x84).astype(np.int32)


def _alaw_of(samples: _Samples) -> _Samples:
    samples = samples >> 3  # 13 bits.
    mask = np.where(samples < 0, 0x55, 0xD5)
    magnitude = np.where(samples < 0, -samples - 1, samples)
    segment = np.searchsorted(_A_ENDS, magnitude)
    step = np.where(segment < 2, magnitude >> 1, magnitude >> np.maximum(segment, 1))
    return ((segment << 4 | step & 0xF) ^ mask).astype(np.int32)


def _from_alaw(codes: _Samples) -> _Samples:
    codes = codes ^ 0x55
    step, segment = (codes & 0xF) << 4, (codes & 0x70) >> 4
    low, high = step + 8, step + 0x108 << np.maximum(segment, 1) - 1
    magnitude = np.where(segment == 0, low, high)
    return np.where(codes & 0x80, magnitude, -magnitude).astype(np.int32)
