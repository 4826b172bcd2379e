"""eSpeak NG: the voice that is always there, in 141 voices, without a key or a download.

The library runs in worker processes of its own (`engines.espeak_worker`): it is global, and it
is under the GPL while this server is not. A reply's first packet leaves some milliseconds
after it was asked for, and leaving early stops the worker within one chunk of sound.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from .speech import EngineRefused, OpusFrame, WordTime
from .workers import WorkerPool

TEXT_CHARS_MAX = 5_000
SPEED_MIN, SPEED_MAX = 0.25, 4.0
# The voice of a language whose own name is not its best: two letters may mean any accent.
DEFAULT_VOICES = {"en": "en-us", "pt": "pt-br", "zh": "cmn", "fr": "fr-fr", "no": "nb"}
# Changes of character that go with every language; the library knows many more by "+name".
VARIANTS = (("f2", "female"), ("f4", "female"), ("m3", "male"), ("m7", "male"))
# The voices that clients of other houses ask for by name, as near as this one comes: changes of
# character of the language's default voice.
FAMILIAR = {
    "alloy": "", "ash": "m3", "ballad": "m7", "cedar": "m7", "coral": "f2", "echo": "m3",
    "fable": "m7", "marin": "f2", "nova": "f4", "onyx": "m3", "sage": "f4", "shimmer": "f4",
    "verse": "m3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Voice:
    """`name` is what `synthesize` takes; `title` is for people; `language` is ISO 639;
    `gender` is male, female or unknown (empty)."""

    name: str
    title: str
    language: str
    gender: str


class EspeakTextToSpeech:
    """A `TextToSpeech`. `start` it first; `close` leaves no process behind."""

    def __init__(self, *, workers: int = 1, wait_s: float = 5.0, nice: int = 0) -> None:
        self._pool = WorkerPool(
            "engines.espeak_worker", workers=workers, name="voice", wait_s=wait_s, nice=nice
        )
        self._voices: dict[str, Voice] = {}

    async def start(self) -> None:
        """Start the workers and learn their voices. Raises `EngineError`."""
        await self._pool.start()
        async with self._pool.job({}) as job:
            async for message, _ in job:
                self._voices = {facts["name"]: Voice(**facts) for facts in message["voices"]}

    async def close(self) -> None:
        await self._pool.close()

    def voices(self, language: str = "") -> list[Voice]:
        """All voices of a language, the default one first, with their variants; of every
        language, without variants, when none is named."""
        if not language:
            return list(self._voices.values())
        plain = [voice for voice in self._voices.values() if voice.language == language.lower()]
        if not plain:
            return []
        default = self.default_voice(language)
        plain.sort(key=lambda voice: voice.name != default)
        first = plain[0]
        return plain + [
            Voice(f"{first.name}+{name}", f"{first.title} ({name})", first.language, gender)
            for name, gender in VARIANTS
        ]

    def knows(self, voice: str) -> bool:
        """Whether `synthesize` takes this voice."""
        tag, plus, variant = voice.partition("+")
        # The library would silently ignore a "+name" that it does not know.
        return tag in self._voices and (not plus or variant in {name for name, _ in VARIANTS})

    def default_voice(self, language: str) -> str:
        """The voice for a language. Raises `EngineRefused` when there is none."""
        named = language.lower().replace("_", "-")
        for name in (named, named.split("-")[0]):
            name = DEFAULT_VOICES.get(name, name)
            if name in self._voices:
                return name
            for voice in self._voices.values():
                if voice.language == name:
                    return voice.name
        raise EngineRefused(f"eSpeak NG does not speak {language[:20]!r}")

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of plain text and its words' places. Markup is not obeyed but spoken or
        left out. Text without a letter or digit makes no sound. An empty `voice` is the
        language's default. Raises `EngineError`, and `EngineRefused` for what it cannot say."""
        if not SPEED_MIN <= speed <= SPEED_MAX:
            raise EngineRefused(f"a speed is from {SPEED_MIN:g} to {SPEED_MAX:g}")
        if len(text) > TEXT_CHARS_MAX:
            raise EngineRefused(f"a text to be spoken has at most {TEXT_CHARS_MAX} characters")
        request = {
            "text": text.encode(errors="replace").decode(),  # Half a surrogate pair: a "?".
            "voice": self._named(voice, language),
            "speed": speed,
        }
        if not any(char.isalnum() for char in text):
            return
        async with self._pool.job(request) as job:
            async for message, payload in job:
                for start, end, at_ms in message["words"]:
                    yield WordTime(start, end, at_ms)
                at = 0
                for size in message["sizes"]:
                    yield OpusFrame(payload[at : at + size])
                    at += size

    def _named(self, voice: str, language: str) -> str:
        if voice and voice not in FAMILIAR:
            return self._checked(voice)
        variant = FAMILIAR.get(voice, "")
        return self.default_voice(language) + (f"+{variant}" if variant else "")

    def _checked(self, voice: str) -> str:
        if not self.knows(voice):
            raise EngineRefused(f"eSpeak NG has no voice {voice[:40]!r}")
        return voice
