"""Kokoro: a neural voice for English, French, Spanish, Italian, Portuguese and Hindi, on this
machine's processor. It needs the extra `kokoro` and weights that somebody has pulled.

The work is done in a process of its own (`engines.neural.kokoro_worker`).
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import AsyncGenerator
from pathlib import Path

from ..espeak import Voice
from ..speech import EngineError, EngineRefused, OpusFrame, WordTime
from ..vendors import LocalVoiceOptions
from .local_voice import LocalVoice, checked
from .voice_weights import KOKORO, directory_of, kokoro_files, missing_kokoro

# The first letter of a voice's name to its language and, as eSpeak NG has it, its accent. There
# are Japanese and Chinese voices too; but they need words cut by a dictionary, which is not here.
ACCENTS = {
    "a": ("en", "en-us"), "b": ("en", "en-gb"), "e": ("es", "es"), "f": ("fr", "fr-fr"),
    "h": ("hi", "hi"), "i": ("it", "it"), "p": ("pt", "pt-br"),
}  # fmt: skip
GENDERS = {"f": "female", "m": "male"}
# Of the voices of a language the one that its makers rate best; else the first.
BEST = ("af_heart", "bf_emma", "ff_siwis", "ef_dora", "if_sara", "pf_dora", "hf_alpha")
# The voices that clients of other houses ask for by name, as near as these come.
FAMILIAR = {
    "alloy": "af_alloy", "ash": "am_michael", "ballad": "bm_george", "cedar": "am_fenrir",
    "coral": "af_bella", "echo": "am_echo", "fable": "bm_fable", "marin": "af_heart",
    "nova": "af_nova", "onyx": "am_onyx", "sage": "af_sarah", "shimmer": "af_sky",
    "verse": "am_puck",
}  # fmt: skip


class KokoroTextToSpeech:
    """A `TextToSpeech`. `start` it, or let the first text do so; `close` leaves no process."""

    def __init__(
        self, *, options: LocalVoiceOptions | None = None, wait_s: float = 5.0, nice: int = 0
    ) -> None:
        self._options = options or LocalVoiceOptions()
        self._wait_s, self._nice = wait_s, nice
        self._worker: LocalVoice | None = None
        self._names: tuple[str, ...] = ()

    async def start(self) -> None:
        """Load the weights. Raises `EngineError`, which says what is missing."""
        await self._here().ready()

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    def voices(self, language: str = "") -> list[Voice]:
        """The voices of a language, the default one first; of every language when none is
        named. None where there are no weights."""
        found = [_voice(name) for name in self._known()]
        if not language:
            return found
        code = language.casefold().partition("-")[0]
        default = self._default(code) if any(voice.language == code for voice in found) else ""
        own = [voice for voice in found if voice.language == code]
        return sorted(own, key=lambda voice: voice.name != default)

    def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of plain text, and where its words are if the weights say so. An empty
        `voice` is the language's default. Raises `EngineError`."""
        return self._spoken(text, voice, language, speed)

    async def _spoken(
        self, text: str, voice: str, language: str, speed: float
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        text, worker = checked(text, speed), self._here()
        code = language.casefold().replace("_", "-")
        named = self._named(voice, code.partition("-")[0])
        request = {"voice": named, "accent": _accent(named, code), "speed": speed}
        async with contextlib.aclosing(worker.speak(text, request)) as sounds:
            async for each in sounds:
                yield each

    def _named(self, voice: str, language: str) -> str:
        """The voice of our weights that is meant. Raises `EngineRefused`."""
        if not any(language == spoken for spoken, _ in ACCENTS.values()):
            raise EngineRefused(f"Kokoro does not speak {language[:20]!r}")
        if voice in self._known():
            return voice
        if voice and voice not in FAMILIAR:
            raise EngineRefused(f"Kokoro has no voice {voice[:40]!r}")
        near = FAMILIAR.get(voice, "")
        if near in self._known() and ACCENTS[near[0]][0] == language:
            return near
        return self._default(language)

    def _default(self, language: str) -> str:
        """The voice of a language; any, where the weights have none of it."""
        names = self._known()
        own = [name for name in names if ACCENTS[name[0]][0] == language]
        if self._options.voice in own:
            return self._options.voice
        return next((name for name in BEST if name in own), (own or list(names))[0])

    def _known(self) -> tuple[str, ...]:
        if not self._names:
            files = kokoro_files(directory_of(self._options, KOKORO))
            self._names = _names_in(files[1]) if files else ()
        return self._names

    def _here(self) -> LocalVoice:
        """The worker. Raises `EngineError` where something is missing."""
        if self._worker is not None:
            return self._worker
        if missing := missing_kokoro(self._options):
            raise EngineError(missing)
        files = kokoro_files(directory_of(self._options, KOKORO))
        if files is None or not self._known():
            raise EngineError("Kokoro's voices cannot be used; pull them again.")
        default = self._default("en")
        options: dict[str, str | int | float] = {
            "model": str(files[0]), "voices": str(files[1]), "threads": self._options.threads,
            "voice": default, "accent": ACCENTS[default[0]][1],
        }  # fmt: skip
        self._worker = LocalVoice(
            "engines.neural.kokoro_worker", "Kokoro", options, wait_s=self._wait_s, nice=self._nice
        )
        return self._worker


def _names_in(path: Path) -> tuple[str, ...]:
    """The voices of a file that we can speak with."""
    try:
        with zipfile.ZipFile(path) as file:
            names = sorted(Path(name).stem for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return ()
    return tuple(name for name in names if name[:1] in ACCENTS and name[2:3] == "_")


def _voice(name: str) -> Voice:
    language, accent = ACCENTS[name[0]]
    title = f"{name[3:].title()} ({accent})"
    return Voice(name, title, language, GENDERS.get(name[1:2], ""))


def _accent(voice: str, language: str) -> str:
    """How a voice says a language: in its own accent where it is its own language."""
    own, accent = ACCENTS[voice[0]]
    code = language.partition("-")[0]
    known = [accent for _, accent in ACCENTS.values()]
    if language in known:
        return language
    return accent if own == code else next(a for c, a in ACCENTS.values() if c == code)
