"""The weights of neural voices on this machine's disk: which are here, and how they come.

Kokoro is one folder of `models_dir`: the network and a file with its voices. Every voice of
Piper is a network of its own, with a description beside it, and all are in one folder. Pulled
from the model hub, each file is compared with the size and the SHA-256 that the hub states, and
with the SHA-256 that we know, where we do. Every voice of Piper has a licence of its own: its
MODEL_CARD comes along and says which.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..models import HUB, OnProgress, fetch_from_hub, unwatched
from ..speech import EngineError
from ..vendors import LocalVoiceOptions

KOKORO, PIPER = "kokoro", "piper"
MEGABYTES = {KOKORO: 355, PIPER: 130}
KOKORO_REPOSITORY = "onnx-community/Kokoro-82M-v1.0-ONNX"
KOKORO_MODEL = "onnx/model.onnx"
KOKORO_VOICES = "voices-v1.0.bin"
# The rows of a voice: one style for each number of phonemes.
STYLE_FLOATS = 256
PIPER_REPOSITORY = "rhasspy/piper-voices"
# What "piper" alone means: one voice for each language of the tutor.
PIPER_VOICES = ("en_US-ljspeech-medium", "ru_RU-irina-medium")
KNOWN_SHA256: Mapping[str, str] = {
    "en_US-ljspeech-medium.onnx": (
        "6f52a751e2349abe7a76735eb09dc1875298c77ea2342ffd2fef79ff81b87f22"
    ),
}
DESCRIPTION_BYTES_MAX = 1024 * 1024
_PIPER_NAME = re.compile(
    r"(?P<family>[a-z]{2,3})_(?P<region>[A-Z0-9]{2,3})-(?P<name>\w+)-(?P<quality>\w+)"
)


@dataclass(frozen=True, slots=True)
class PiperVoice:
    """A voice that is here. `language` is ISO 639; `speakers` has the names of those that one
    network can be."""

    name: str
    title: str
    language: str
    speakers: tuple[str, ...] = ()


def directory_of(options: LocalVoiceOptions, name: str) -> Path:
    """Where the weights of these options are, or would be."""
    return options.models_dir / (options.model or name)  # A path that is absolute stays it.


def kokoro_files(directory: Path) -> tuple[Path, Path] | None:
    """The network and the voices; None where they are not both here."""
    models, voices = sorted(directory.glob("*.onnx")), sorted(directory.glob("voices*.bin"))
    return (models[0], voices[0]) if models and voices else None


def piper_voices(directory: Path) -> dict[str, PiperVoice]:
    """The voices that are here and described, by name."""
    found = {}
    for path in sorted(directory.glob("*.onnx")):
        if (voice := _described(path)) is not None:
            found[path.stem] = voice
    return found


def _described(path: Path) -> PiperVoice | None:
    description = Path(f"{path}.json")
    try:
        if description.stat().st_size > DESCRIPTION_BYTES_MAX:
            return None
        said = json.loads(description.read_bytes())
        language = said.get("language") or {}
        family = str(language.get("family") or path.stem.split("_")[0].split("-")[0])
        speakers = tuple(map(str, said.get("speaker_id_map") or {}))
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    english = str(language.get("name_english") or family)
    name = str(said.get("dataset") or path.stem)
    return PiperVoice(path.stem, f"{english}: {name}", family.lower(), speakers)


def missing_kokoro(options: LocalVoiceOptions) -> str:
    """What keeps Kokoro from speaking here and what to do about it; empty when nothing does."""
    if importlib.util.find_spec("kokoro_onnx") is None:
        return "Kokoro is not installed; in the server's own folder: make kokoro"
    if kokoro_files(directory_of(options, KOKORO)) is None:
        return f"Kokoro's weights are not here; fetch them with: voice-server models pull {KOKORO}"
    return ""


def missing_piper(options: LocalVoiceOptions) -> str:
    """What keeps Piper from speaking here and what to do about it; empty when nothing does."""
    if importlib.util.find_spec("piper") is None:
        return "Piper is not installed; in the server's own folder: make piper"
    if not piper_voices(directory_of(options, PIPER)):
        return f"Piper's voices are not here; fetch them with: voice-server models pull {PIPER}"
    return ""


# Pulling.


def is_known(name: str) -> bool:
    """Whether `pull` takes this name: kokoro, piper, or piper:en_GB-alba-medium."""
    engine, colon, voice = name.partition(":")
    if engine == KOKORO:
        return not colon
    return engine == PIPER and (not colon or _PIPER_NAME.fullmatch(voice) is not None)


def pull(
    name: str, models_dir: Path, on_progress: OnProgress | None = None, *, endpoint: str = HUB
) -> Path:
    """Fetch the weights of this name into a folder of `models_dir`, and return that folder. What
    is there and whole stays, and what broke off goes on. `on_progress` is called from this
    thread. Blocks; raises `EngineError`."""
    if not is_known(name):
        raise EngineError(
            f"No voice is called {name[:40]!r}: say kokoro, piper, or piper:en_GB-alba-medium."
        )
    watch = on_progress or unwatched
    engine, _, voice = name.partition(":")
    if engine == KOKORO:
        return _pull_kokoro(models_dir / KOKORO, watch, endpoint)
    return _pull_piper((voice,) if voice else PIPER_VOICES, models_dir / PIPER, watch, endpoint)


def _pull_kokoro(target: Path, watch: OnProgress, endpoint: str) -> Path:
    def place(file: str) -> Path | None:
        folder, _, name = file.rpartition("/")
        if file == KOKORO_MODEL:
            return target / "model.onnx"
        return target / "voices" / name if folder == "voices" and name.endswith(".bin") else None

    fetch_from_hub(KOKORO_REPOSITORY, place, KOKORO, watch, endpoint=endpoint)
    if not (target / "model.onnx").is_file() or not list((target / "voices").glob("*.bin")):
        raise EngineError("Kokoro's weights came without its network or its voices.")
    _join_voices(target / "voices", target / KOKORO_VOICES)
    return target


def _join_voices(folder: Path, into: Path) -> None:
    """Make one file of the voices, as kokoro-onnx wants it: the network's own home has a file of
    bare numbers for each."""
    import numpy as np

    voices = {}
    for path in sorted(folder.glob("*.bin")):
        style = np.fromfile(path, "<f4")
        if not len(style) or len(style) % STYLE_FLOATS:
            raise EngineError(f"Kokoro's voice {path.stem} came damaged; pull it again.")
        voices[path.stem] = style.reshape(-1, 1, STYLE_FLOATS)
    part = into.with_name(f"{into.name}.part")
    with part.open("wb") as file:
        np.savez(file, **voices)  # type: ignore[arg-type]
    part.replace(into)


def _pull_piper(
    voices: tuple[str, ...], target: Path, watch: OnProgress, endpoint: str
) -> Path:
    wanted = {}
    for voice in voices:
        parts = _PIPER_NAME.fullmatch(voice)
        assert parts is not None
        folder = f"{parts['family']}/{parts['family']}_{parts['region']}/{parts['name']}"
        folder += f"/{parts['quality']}"
        wanted[f"{folder}/{voice}.onnx"] = target / f"{voice}.onnx"
        wanted[f"{folder}/{voice}.onnx.json"] = target / f"{voice}.onnx.json"
        wanted[f"{folder}/MODEL_CARD"] = target / f"{voice}.MODEL_CARD"
    fetch_from_hub(
        PIPER_REPOSITORY, wanted.get, PIPER, watch, endpoint=endpoint, known=KNOWN_SHA256
    )
    here = piper_voices(target)
    if lacking := [voice for voice in voices if voice not in here]:
        raise EngineError(f"{PIPER_REPOSITORY} has no voice {', '.join(lacking)}.")
    return target
