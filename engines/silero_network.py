"""Silero's voice activity network written out in numpy, for many streams in one step.

The same weights and the same arithmetic as the package's model, read from its ONNX file. For
one stream onnxruntime is quicker; from about eight on this is, because every layer becomes one
matrix product over all streams and the Fourier transform is a fast one: 15 µs a stream at 40
streams, where onnxruntime takes 54 and torch 30, without torch's 190 MB and its 1.4 s of
import in the middle of somebody's call. Results agree to 1e-5; `SileroDetector` checks that
before it uses this.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

WINDOW = 576  # 64 samples of context and 512 new ones.
_PADDED, _STEP, _SPAN, _BINS = 640, 128, 256, 129
_FRAMES = 4
# More rows than this at once fall out of the processor's cache.
_ROWS_MAX = 64


class SileroNetwork:
    """Probabilities of speech and new states for a batch of windows. Holds no state itself.

    Raises `ValueError` or `KeyError` for a file that is not the expected model.
    """

    def __init__(self, model: Path) -> None:
        weights = dict(_weights(memoryview(model.read_bytes())))
        _one_thread()
        basis = weights["model.stft.forward_basis_buffer"]
        self._taper = np.ascontiguousarray(basis[0, 0])  # The zero frequency's row is the taper.
        (self._w1, self._b1), (self._w2, self._b2), (w3, self._b3), (w4, self._b4) = (
            _convolution(weights, f"model.encoder.{layer}.reparam_conv") for layer in range(4)
        )
        # The third layer sees two frames after its padding, the fourth one between two.
        self._w3 = np.ascontiguousarray(w3[64:])
        self._w4 = np.ascontiguousarray(w4[64:128])
        rnn = "model.decoder.rnn"
        both = [weights[f"{rnn}.weight_ih"], weights[f"{rnn}.weight_hh"]]
        self._w5 = np.ascontiguousarray(np.concatenate(both, axis=1).T)
        self._b5 = weights[f"{rnn}.bias_ih"] + weights[f"{rnn}.bias_hh"]
        self._w6 = np.ascontiguousarray(weights["model.decoder.decoder.2.weight"].ravel())
        self._b6 = weights["model.decoder.decoder.2.bias"][0]

    def __call__(self, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        """`windows` (streams, 576), `states` (2, streams, 128); gives (streams,) and states."""
        if len(windows) <= _ROWS_MAX:
            return self._step(windows, states)
        parts = [
            self._step(windows[at : at + _ROWS_MAX], states[:, at : at + _ROWS_MAX])
            for at in range(0, len(windows), _ROWS_MAX)
        ]
        chances, after = zip(*parts, strict=True)
        return np.concatenate(chances), np.concatenate(after, axis=1)

    def _step(self, windows: Floats, states: Floats) -> tuple[Floats, Floats]:
        rows = len(windows)
        heard = self._encode(self._spectrum(windows))
        gates = np.concatenate((heard, states[0]), axis=1) @ self._w5
        gates += self._b5
        # In the order of the weights: input, forget, cell, output.
        sigmoid = _sigmoid(gates)
        kept = sigmoid[:, 128:256] * states[1]
        kept += sigmoid[:, :128] * np.tanh(gates[:, 256:384])
        after = np.empty((2, rows, 128), np.float32)
        np.multiply(sigmoid[:, 384:], np.tanh(kept), out=after[0])
        after[1] = kept
        chances: Floats = _sigmoid(np.maximum(after[0], 0) @ self._w6 + self._b6)
        return chances, after

    def _spectrum(self, windows: Floats) -> Floats:
        """Magnitudes (streams, 6, 129): four frames, with silence before and after."""
        rows = len(windows)
        padded = np.empty((rows, _PADDED), np.float32)
        padded[:, :WINDOW] = windows
        padded[:, WINDOW:] = windows[:, WINDOW - 2 : WINDOW - 66 : -1]
        frames = np.lib.stride_tricks.as_strided(
            padded, (rows, _FRAMES, _SPAN), (_PADDED * 4, _STEP * 4, 4)
        )
        magnitudes = np.zeros((rows, _FRAMES + 2, _BINS), np.float32)
        np.abs(np.fft.rfft(frames * self._taper), out=magnitudes[:, 1:-1])
        return magnitudes

    def _encode(self, magnitudes: Floats) -> Floats:
        """Four convolutions of three frames each, as products over all streams: (streams, 128)."""
        rows = len(magnitudes)
        triples = np.lib.stride_tricks.as_strided(
            magnitudes, (rows, 4, 3 * _BINS), (6 * _BINS * 4, _BINS * 4, 4)
        )
        first = triples.reshape(rows * 4, 3 * _BINS) @ self._w1
        first += self._b1
        padded = np.zeros((rows, 5, 128), np.float32)
        np.maximum(first.reshape(rows, 4, 128), 0, out=padded[:, 1:])
        # From here on every layer takes two steps at a time: frames -1 to 1, then 1 to 3.
        triples = np.lib.stride_tricks.as_strided(
            padded, (rows, 2, 3 * 128), (5 * 128 * 4, 2 * 128 * 4, 4)
        )
        second = _relu(triples.reshape(rows * 2, 3 * 128) @ self._w2, self._b2)
        third = _relu(second.reshape(rows, 128) @ self._w3, self._b3)
        return _relu(third @ self._w4, self._b4)


def _relu(sums: Floats, bias: Floats) -> Floats:
    sums += bias
    return np.maximum(sums, 0, out=sums)


def _sigmoid(values: Floats) -> Floats:
    # By way of tanh, which cannot overflow.
    result: Floats = np.tanh(values * np.float32(0.5))
    result += 1
    result *= np.float32(0.5)
    return result


def _convolution(weights: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    """A kernel (out, in, 3) as a matrix (3 × in, out) for frames laid side by side."""
    kernel = weights[f"{name}.weight"]
    matrix = np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, len(kernel)))
    return matrix, weights[f"{name}.bias"]


# An ONNX file is a protocol buffer: the model's field 7 is the graph, whose fields 5 are the
# weights, each with a shape (1), a name (8) and raw little-endian floats (9).


def _weights(model: memoryview) -> Iterator[tuple[str, Floats]]:
    for field, graph in _fields(model):
        if field == 7 and isinstance(graph, memoryview):
            for inner, tensor in _fields(graph):
                if inner == 5 and isinstance(tensor, memoryview):
                    yield from _tensor(tensor)


def _tensor(tensor: memoryview) -> Iterator[tuple[str, Floats]]:
    shape: list[int] = []
    name, raw = "", memoryview(b"")
    for field, value in _fields(tensor):
        if field == 1 and isinstance(value, int):
            shape.append(value)
        elif field == 8 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif field == 9 and isinstance(value, memoryview):
            raw = value
    if name.startswith("model.") and len(raw) == 4 * int(np.prod(shape)):
        yield name, np.frombuffer(raw, "<f4").reshape(shape).astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            size, at = _varint(message, at)
        elif key & 7 in (1, 5):
            size = 8 if key & 7 == 1 else 4
        else:
            raise ValueError("not an ONNX file")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("not an ONNX file")


def _one_thread() -> None:
    """Matrix products of this size do not pay for threads that spin on the other cores."""
    for library in Path(np.__file__).parent.with_name("numpy.libs").glob("*openblas*"):
        loaded = ctypes.CDLL(str(library))
        for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads"):
            if hasattr(loaded, name):
                getattr(loaded, name)(1)
