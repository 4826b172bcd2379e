"""The picture of a sound that Whisper and its descendants look at: a log-mel spectrogram.

Windows of 25 ms every 10 ms, their power gathered into 80 bands that are as wide as the ear's
(Slaney's scale, each band of the same area), and of that the logarithm, cut 80 dB below the
loudest. It is written in numpy so that a server needs neither torch nor transformers for it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .speech import PCM_RATE_HZ

Floats = npt.NDArray[np.float32]

BANDS = 80
WINDOW, HOP = 400, 160
POWER_MIN = 1e-10
# Bels kept below the loudest band; what is fainter is taken to be that faint.
RANGE_BELS = 8.0
VARIANCE_MIN = 1e-7
# Slaney's scale: linear up to 1 kHz (mel 15), then 27 mel for every factor of 6.4.
LINEAR_HZ, LINEAR_MEL, MEL_PER_HZ = 1_000.0, 15.0, 3 / 200
MEL_PER_E = 27 / np.log(6.4)


def log_mel(sound: Floats) -> Floats:
    """Samples (n,) at 16 kHz, n a multiple of 160, to bands (80, n / 160), about -1 to 2."""
    padded = np.pad(sound, WINDOW // 2, mode="reflect")
    # The window that begins where the sound ends tells nothing new.
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:-1:HOP]
    spectrum = np.fft.rfft(windows * _HANN)
    power = spectrum.real**2 + spectrum.imag**2
    bels = np.log10(np.maximum(_FILTERS @ power.T, POWER_MIN))
    loudest = bels.max()
    scaled: Floats = ((np.maximum(bels, loudest - RANGE_BELS) + 4) / 4).astype(np.float32)
    return scaled


def levelled(sound: Floats) -> Floats:
    """The same sound with a mean of zero and a variance of one, however loud it was."""
    evened: Floats = (sound - sound.mean()) / np.sqrt(sound.var() + np.float32(VARIANCE_MIN))
    return evened


def _mel_of(hz: float) -> float:
    if hz < LINEAR_HZ:
        return hz * MEL_PER_HZ
    return float(LINEAR_MEL + np.log(hz / LINEAR_HZ) * MEL_PER_E)


def _hz_of(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    curved = LINEAR_HZ * np.exp((mel - LINEAR_MEL) / MEL_PER_E)
    return np.where(mel < LINEAR_MEL, mel / MEL_PER_HZ, curved)


def _filters() -> Floats:
    """(bands, frequencies): triangles that overlap by half, each of the same area."""
    highest_hz = PCM_RATE_HZ / 2
    edges = _hz_of(np.linspace(0, _mel_of(highest_hz), BANDS + 2))
    low, peak, high = (edges[i : BANDS + i, None] for i in range(3))
    hz = np.linspace(0, highest_hz, WINDOW // 2 + 1)
    rising, falling = (hz - low) / (peak - low), (high - hz) / (high - peak)
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * 2 / (high - low)).astype(np.float32)


_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
_FILTERS = _filters()
