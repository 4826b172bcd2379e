"""Piper: small neural voices for some forty languages, on this machine's processor. It needs the
extra `piper` and voices that somebody has pulled.

The work is done in a process of its own (`engines.neural.piper_worker`): the package is under the
GPL, and this server is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from ..espeak import Voice
from ..speech import EngineError, EngineRefused, OpusFrame, WordTime
from ..vendors import LocalVoiceOptions
from .local_voice import LocalVoice, checked
from .voice_weights import (
    PIPER,
    PIPER_VOICES,
    PiperVoice,
    directory_of,
    missing_piper,
    piper_voices,
)

# More speakers of one network than this are not listed; all of them can be asked for.
LISTED_MAX = 8
# What clients of other houses ask for by name is the language's default voice here.
FAMILIAR = frozenset({
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage",
    "shimmer", "verse",
})  # fmt: skip


class PiperTextToSpeech:
    """A `TextToSpeech`. `start` it, or let the first text do so; `close` leaves no process. A
    voice is the name of its file, with "#" and a speaker's name where it has several."""

    def __init__(
        self, *, options: LocalVoiceOptions | None = None, wait_s: float = 5.0, nice: int = 0
    ) -> None:
        self._options = options or LocalVoiceOptions()
        self._wait_s, self._nice = wait_s, nice
        self._worker: LocalVoice | None = None
        self._found: dict[str, PiperVoice] = {}

    async def start(self) -> None:
        """Load a voice. Raises `EngineError`, which says what is missing."""
        await self._here().ready()

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()

    def voices(self, language: str = "") -> list[Voice]:
        """The voices of a language, the default one first; of every language when none is
        named. None where there are no weights."""
        code = _code(language)
        found = [each for each in self._known().values() if code in ("", each.language)]
        if not found:
            return []
        default = self._default(code) if code else ""
        found.sort(key=lambda each: each.name != default)
        return [voice for each in found for voice in _listed(each)]

    def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of plain text, and where its words are if the package `onnx` is here. An
        empty `voice` is the language's default. Raises `EngineError`."""
        return self._spoken(text, voice, language, speed)

    async def _spoken(
        self, text: str, voice: str, language: str, speed: float
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        text, worker = checked(text, speed), self._here()
        request = {"voice": self._named(voice, _code(language)), "speed": speed}
        async with contextlib.aclosing(worker.speak(text, request)) as sounds:
            async for each in sounds:
                yield each

    def _named(self, voice: str, language: str) -> str:
        """The voice that is meant, which is here. Raises `EngineRefused`."""
        if not voice or voice in FAMILIAR:
            return self._default(language)
        name, _, speaker = voice.partition("#")
        known = self._known().get(name)
        if known is None or (speaker and speaker not in known.speakers):
            raise EngineRefused(f"Piper has no voice {voice[:40]!r} here")
        return voice

    def _default(self, language: str) -> str:
        own = [each.name for each in self._known().values() if each.language == language]
        if not own:
            raise EngineRefused(
                f"no voice of Piper here speaks {language[:20]!r}; its voices are fetched by name: "
                "voice-server models pull piper:de_DE-thorsten-medium"
            )
        preferred = (self._options.voice, *PIPER_VOICES)
        return next((name for name in preferred if name in own), own[0])

    def _known(self) -> dict[str, PiperVoice]:
        if not self._found:
            self._found = piper_voices(self._directory)
        return self._found

    @property
    def _directory(self) -> Path:
        return directory_of(self._options, PIPER)

    def _here(self) -> LocalVoice:
        """The worker. Raises `EngineError` where something is missing."""
        if self._worker is not None:
            return self._worker
        if missing := missing_piper(self._options):
            raise EngineError(missing)
        names = list(self._known())
        options: dict[str, str | int | float] = {
            "directory": str(self._directory), "threads": self._options.threads,
            "voice": self._options.voice if self._options.voice in names else names[0],
        }  # fmt: skip
        self._worker = LocalVoice(
            "engines.neural.piper_worker", "Piper", options, wait_s=self._wait_s, nice=self._nice
        )
        return self._worker


def _code(language: str) -> str:
    return language.casefold().replace("_", "-").partition("-")[0]


def _listed(voice: PiperVoice) -> list[Voice]:
    plain = Voice(voice.name, voice.title, voice.language, "")
    speakers = voice.speakers if len(voice.speakers) > 1 else ()
    return [plain] + [
        Voice(f"{voice.name}#{name}", f"{voice.title} ({name})", voice.language, "")
        for name in speakers[:LISTED_MAX]
    ]
