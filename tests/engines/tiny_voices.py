"""Networks with the inputs and outputs of Kokoro and of a Piper voice, and hardly any weights.

Each holds every phoneme for a time of its own, divided by the speed, and sounds a tone while it
does; spaces and marks are silent. So what comes out can be held against what went in: how long
it is, where its words are, and that the style of the voice was used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

KOKORO_RATE_HZ, KOKORO_HOP = 24_000, 600
PIPER_RATE_HZ, PIPER_HOP = 22_050, 256
STYLES = 510
# What warms a network up has no more tokens than this, phonemes and what stands around them.
QUICK_TOKENS = 24
SILENT = " ,.!?;:—…_^$ˈˌ\"“”"


def build_kokoro(
    directory: Path, *, voices: Sequence[str] = ("af_heart", "bm_fable", "ef_dora"),
    durations: bool = True, work: int = 0, tokens: str = "input_ids",
) -> Path:  # fmt: skip
    """Put a network and its voices into `directory`. `durations`: it says for how long it holds
    its sounds. `work`: how many matrices it multiplies first, for every token of a text that is
    not very short."""
    from kokoro_onnx.config import DEFAULT_VOCAB

    directory.mkdir(parents=True, exist_ok=True)
    loud = np.zeros(max(DEFAULT_VOCAB.values()) + 1, np.float32)
    for phoneme, token in DEFAULT_VOCAB.items():
        loud[token] = 0.0 if phoneme in SILENT else 0.3
    held = np.where(loud > 0, 4.0, 2.0).astype(np.float32)
    held[0] = 3.0
    graph = _Graph(work)
    graph.input(tokens, "INT64", [1, None])
    graph.input("style", "FLOAT", [1, 256])
    graph.input("speed", "FLOAT", [1])
    frames = graph.held(tokens, held, lambda g, each: g.node("Div", each, "speed"))
    sound = graph.sound(tokens, loud, frames, KOKORO_HOP, KOKORO_RATE_HZ, tone="style")
    graph.output(sound, "waveform", "FLOAT", [None])
    if durations:
        flat = graph.node("Reshape", frames, graph.constant(np.array([-1])))
        graph.output(graph.node("Cast", flat, to=7), "duration", "INT64", [None])
    graph.save(directory / "model.onnx")
    random = np.random.default_rng(1)
    styles = {
        name: np.full((STYLES, 1, 256), number / 4, np.float32)
        + random.normal(0, 1e-4, (STYLES, 1, 256)).astype(np.float32)
        for number, name in enumerate(voices)
    }
    with (directory / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **styles)  # type: ignore[arg-type]
    return directory


def build_piper(
    directory: Path, name: str, *, speakers: Sequence[str] = (), work: int = 0,
    says_times: bool = True,
) -> Path:  # fmt: skip
    """Put a voice, such as "en_US-tiny-low", into `directory`. Without `says_times` nobody can
    ask it for how long it holds its sounds."""
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

    directory.mkdir(parents=True, exist_ok=True)
    loud = np.zeros(256, np.float32)
    for phoneme, (token, *_) in DEFAULT_PHONEME_ID_MAP.items():
        loud[token] = 0.0 if phoneme in SILENT else 0.3
    held = np.where(loud > 0, 6.0, 1.0).astype(np.float32)
    graph = _Graph(work)
    graph.input("input", "INT64", [1, None])
    graph.input("input_lengths", "INT64", [1])
    graph.input("scales", "FLOAT", [3])
    if speakers:
        graph.input("sid", "INT64", [1])

    def stretched(graph: _Graph, each: str) -> str:
        one = graph.node("Slice", "scales", graph.constant([1]), graph.constant([2]))
        length = graph.node("Cast", "input_lengths", to=1)  # Used, or it would be no input.
        nothing = graph.node("Mul", length, graph.zero)
        return graph.node("Add", graph.node("Mul", each, one), nothing)

    frames = graph.held("input", held, stretched, rounded=not says_times)
    sound = graph.sound(
        "input", loud, frames, PIPER_HOP, PIPER_RATE_HZ, tone="sid" if speakers else ""
    )
    shaped = graph.node("Reshape", sound, graph.constant(np.array([1, 1, 1, -1])))
    graph.output(shaped, "output", "FLOAT", [1, 1, 1, None])
    path = directory / f"{name}.onnx"
    graph.save(path)
    code, dataset, quality = name.split("-")
    description: dict[str, Any] = {
        "dataset": dataset,
        "audio": {"sample_rate": PIPER_RATE_HZ, "quality": quality},
        "espeak": {"voice": code.replace("_", "-").lower() if code == "en_US" else code[:2]},
        "language": {"code": code, "family": code[:2], "name_english": code},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "num_symbols": 256,
        "num_speakers": max(1, len(speakers)),
        "speaker_id_map": {name: number for number, name in enumerate(speakers)},
        "hop_length": PIPER_HOP,
    }
    Path(f"{path}.json").write_text(json.dumps(description))
    return path


class _Graph:
    """An ONNX graph that grows node by node; every node is named by what it gives."""

    def __init__(self, work: int) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._work = work
        self.zero = self.constant(np.zeros(1, np.float32))

    def constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        array = np.asarray(value)
        array = array.astype(np.int64) if array.dtype.kind == "i" else array
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def input(self, name: str, kind: str, shape: list[int | None]) -> None:
        self._inputs.append(_value(name, kind, shape))

    def output(self, source: str, name: str, kind: str, shape: list[int | None]) -> None:
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [source], [name]))
        self._outputs.append(_value(name, kind, shape))

    def held(self, tokens: str, held: Any, paced: Any, *, rounded: bool = False) -> str:
        """For how many frames each token is held, as a float (1, 1, tokens)."""
        each = paced(self, self.node("Gather", self.constant(held), tokens))
        half = self.constant(np.array(0.499, np.float32))
        whole = self.node("Round", self.node("Add", each, half)) if rounded else ""
        frames = whole or self.node("Ceil", each)
        return self.node("Reshape", frames, self.constant(np.array([1, 1, -1])))

    def sound(
        self, tokens: str, loud: Any, frames: str, hop: int, rate_hz: int, tone: str
    ) -> str:
        """A tone for as long as each token is held, silent where it is; `tone` shifts it."""
        flat = self.node("Reshape", frames, self.constant(np.array([-1])))
        edges = self.node("CumSum", flat, self.constant(np.array(0)))
        total = self.node("Cast", self.node("ReduceSum", flat, keepdims=0), to=7)
        at = self.node("Range", self.constant(np.array(0)), total, self.constant(np.array(1)))
        column = self.node("Unsqueeze", self.node("Cast", at, to=1), self.constant(np.array([1])))
        row = self.node("Unsqueeze", edges, self.constant(np.array([0])))
        passed = self.node("Cast", self.node("GreaterOrEqual", column, row), to=7)
        token_at = self.node("ReduceSum", passed, self.constant(np.array([1])), keepdims=0)
        plain = self.node("Reshape", tokens, self.constant(np.array([-1])))
        loudness = self.node("Gather", self.constant(loud), self.node("Gather", plain, token_at))
        tall = self.node("Unsqueeze", loudness, self.constant(np.array([1])))
        wide = self.constant(np.ones((1, hop), np.float32))
        envelope = self.node(
            "Reshape", self.node("Mul", tall, wide), self.constant(np.array([-1]))
        )
        carrier = self._tone(total, hop, rate_hz, tone)
        return self.node("Mul", carrier, self._slowed(envelope, tokens))

    def _tone(self, frames: str, hop: int, rate_hz: int, tone: str) -> str:
        samples = self.node("Mul", frames, self.constant(np.array(hop)))
        zero, one = self.constant(np.array(0)), self.constant(np.array(1))
        times = self.node("Cast", self.node("Range", zero, samples, one), to=1)
        step = self.constant(np.array(2 * np.pi * 220 / rate_hz, np.float32))
        if tone:
            shift = self.node("ReduceMean", self.node("Cast", tone, to=1), keepdims=0)
            above = self.node("Add", shift, self.constant(np.array(1, np.float32)))
            step = self.node("Mul", step, above)
        return self.node("Sin", self.node("Mul", times, step))

    def _slowed(self, value: str, tokens: str) -> str:
        """The value, after some work that comes to nothing and cannot be left out: as many
        products of matrices as `work` says, for every token beyond the first `QUICK_TOKENS`."""
        from onnx import TensorProto, helper

        if not self._work:
            return value
        size = self.constant(np.full((512, 512), 1 / 512, np.float32))
        state = self.node("Mul", size, self.node("ReduceMean", value, keepdims=0))
        count = self.node("Size", tokens)
        beyond = self.node("Sub", count, self.constant(np.array(QUICK_TOKENS)))
        trips = self.node(
            "Mul", self.node("Max", beyond, self.constant(np.array(0))),
            self.constant(np.array(self._work)),
        )  # fmt: skip
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["on"], ["still"]),
                helper.make_node("MatMul", ["before", size], ["after"]),
            ],
            "work",
            [_value("trip", "INT64", []), _value("on", "BOOL", []),
             helper.make_tensor_value_info("before", TensorProto.FLOAT, [512, 512])],
            [_value("still", "BOOL", []),
             helper.make_tensor_value_info("after", TensorProto.FLOAT, [512, 512])],
        )  # fmt: skip
        state = self.node("Loop", trips, self.constant(np.array(True)), state, body=body)
        rest = self.node("ReduceMean", state, keepdims=0)
        nothing = self.constant(np.array(1e-20, np.float32))
        return self.node("Add", value, self.node("Mul", rest, nothing))

    def save(self, path: Path) -> None:
        import onnx
        from onnx import helper

        graph = helper.make_graph(
            self._nodes, "tiny", self._inputs, self._outputs, self._constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def _value(name: str, kind: str, shape: list[int | None]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape)
