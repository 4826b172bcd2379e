"""The worker that speaks with Piper. The package is under the GPL, so it lives here, apart from
the server.

A voice is a network of its own, loaded when it is first asked for. Most networks know for how
long they hold each sound and do not say; where the package `onnx` is installed they are made to.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..serving import Assignment, Message, Options, Steps, Work, serve
from ..speech import EngineError
from .neural_work import Interruptible, Neural, Said, faults, speaking
from .phoneme_times import Sounding, words_of

# Each takes some hundred megabytes.
VOICES_MAX = 4
WARM_TEXT = "1"


class Piper(Neural):
    def __init__(self, directory: Path, threads: int) -> None:
        self._directory, self._threads = directory, threads
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._faults = faults()

    def rate_hz(self, request: Message) -> int:
        return int(self._voice(request).config.sample_rate)

    def tempo(self, request: Message) -> float:
        return 1.0

    def say(self, text: str, request: Message, assignment: Assignment | None) -> Said:
        voice = self._voice(request)
        # What stands between such brackets would be taken for phonemes.
        text = text.replace("[[", "  ").replace("]]", "  ")
        voice.session.assignment = assignment
        sounds: list[Any] = []
        soundings: list[Sounding] = []
        made = 0
        try:
            for chunk in voice.synthesize(text, _manner(voice, request), include_alignments=True):
                soundings += _soundings(chunk, made)
                sounds.append(chunk.audio_float_array)
                made += len(chunk.audio_float_array)
            words = [text[start:end] for start, end in words_of(text)] if soundings else []
            alone = ["".join(itertools.chain(*voice.phonemize(word))) for word in words]
        except self._faults as error:
            raise EngineError("Piper could not say this.") from error
        return Said(np.concatenate([np.zeros(0, np.float32), *sounds]), soundings, alone)

    def _voice(self, request: Message) -> Any:
        name = str(request["voice"]).partition("#")[0]
        if name not in self._loaded:
            self._loaded[name] = self._load(self._directory / f"{name}.onnx")
            while len(self._loaded) > VOICES_MAX:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _load(self, path: Path) -> Any:
        from piper import PiperConfig, PiperVoice

        try:
            config = PiperConfig.from_dict(json.loads(Path(f"{path}.json").read_bytes()))
            session = Interruptible(_with_times(path), self._threads)
        # What these libraries raise for damaged files: anything that parsing can.
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            said = f"Piper's voice {path.stem} cannot be used; pull it again."
            raise EngineError(said) from error
        return PiperVoice(session, config)


def _with_times(path: Path) -> Path | bytes:
    """The network; changed so that it says for how long it holds each sound, where that can be
    done."""
    if importlib.util.find_spec("onnx") is None:
        return path
    import onnx
    from google.protobuf.message import DecodeError
    from piper.patch_voice_with_alignment import add_alignment_output

    try:
        model = onnx.load(str(path))
        add_alignment_output(model)
    except (ValueError, DecodeError):  # It says so already, or nobody knows how to ask it.
        return path
    return bytes(model.SerializeToString())


def _manner(voice: Any, request: Message) -> Any:
    from piper import SynthesisConfig

    _, _, speaker = str(request["voice"]).partition("#")
    return SynthesisConfig(
        speaker_id=voice.config.speaker_id_map.get(speaker) if speaker else None,
        length_scale=voice.config.length_scale / float(request["speed"]),
        normalize_audio=False,
    )


def _soundings(chunk: Any, before: int) -> Iterator[Sounding]:
    at = before
    for aligned in chunk.phoneme_alignments or ():
        yield Sounding(aligned.phoneme, round(at * 1_000 / chunk.sample_rate))
        at += int(aligned.num_samples)


def prepare(options: Options) -> Work:
    piper = Piper(Path(str(options["directory"])), int(options["threads"]))
    # The first call should not wait for what every call needs.
    piper.say(WARM_TEXT, {"voice": options["voice"], "speed": 1.0}, None)
    gains: dict[str, float] = {}

    def work(assignment: Assignment) -> Steps:
        return speaking(assignment, piper, gains)

    return work


if __name__ == "__main__":
    serve(prepare)
