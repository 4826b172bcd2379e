"""Yandex SpeechKit v3 speaks: sound comes in chunks while the rest is still being made.

The vendor takes 250 characters at a time, and no more than 24 seconds of sound may come of them.
A longer text is cut at its sentences, and the next piece is asked for as soon as the former
begins to sound: between them is no more silence than the voice itself leaves. It says of each
chunk how long it is, but not where its words lie; so no words' times are given.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from yandex.cloud.ai.tts.v3 import tts_pb2, tts_service_pb2_grpc

from ..opus import OpusEncoder
from ..speech import EngineError, EngineRefused, OpusFrame, WordTime
from ..vendors import YandexOptions
from .connection import Connection, leave, said_plainly
from .cutting import cut

RATE_HZ = 24_000
TEXT_CHARS_MAX = 5_000
PIECE_CHARS_MAX, PIECE_CHARS_MIN = 250, 40
# What of the vendor's 24 seconds a piece may need when it is spoken slowly.
SLOWEST_FULL = 0.85
SPEED_MIN, SPEED_MAX = 0.1, 3.0
# More than the vendor makes of one request; a server that goes on for ever is not listened to.
PIECE_BYTES_MAX = 60 * RATE_HZ * 2
_ENCODED_BYTES = RATE_HZ // 10 * 2
# The vendor reads these as its markup: phonemes, pauses, emphasis, stress. We give it plain text.
_MARKUP = re.compile(r"\[\[|\]\]|<\[|\]>|\*\*|\+(?=[^\W\d_])|\0")


@dataclass(frozen=True, slots=True)
class YandexVoice:
    """`name` is what `synthesize` takes, with one of `roles` after a colon if wanted; `language`
    is ISO 639-1; `gender` is male or female."""

    name: str
    title: str
    language: str
    gender: str
    roles: tuple[str, ...] = ()


def _voices(language: str, gender: str, *names: str) -> list[YandexVoice]:
    split = (name.partition(":") for name in names)
    return [
        YandexVoice(
            name, name.removesuffix("_ru").capitalize(), language, gender, tuple(roles.split())
        )
        for name, _, roles in split
    ]


VOICES = (
    *_voices(
        "ru", "female",
        "marina:neutral whisper friendly", "alena:neutral good", "jane:neutral good evil",
        "omazh:neutral evil", "dasha:neutral good friendly", "julia:neutral strict",
        "lera:neutral friendly", "masha:good strict friendly", "saule_ru:neutral strict whisper",
        "zamira_ru:neutral strict friendly", "zhanar_ru:neutral strict friendly",
        "yulduz_ru:neutral strict friendly whisper",
    ),
    *_voices(
        "ru", "male",
        "filipp", "ermil:neutral good", "zahar:neutral good", "alexander:neutral good",
        "kirill:neutral strict good", "anton:neutral good", "madi_ru",
    ),
    *_voices("en", "male", "john"),
    *_voices("de", "female", "lea"),
    *_voices("he", "female", "naomi:modern classic"),
    *_voices("kk", "female", "amira", "saule:neutral strict", "zhanar:neutral friendly"),
    *_voices("kk", "male", "madi"),
    *_voices(
        "uz", "female",
        "nigora", "zamira:neutral strict friendly", "yulduz:neutral strict friendly whisper",
    ),
)  # fmt: skip
LANGUAGES = tuple(dict.fromkeys(voice.language for voice in VOICES))


class YandexTextToSpeech:
    """A `TextToSpeech`. A voice may be named with a role: "marina:friendly"."""

    def __init__(self, options: YandexOptions) -> None:
        self._options = options
        self._connection = Connection(options, options.tts_endpoint)
        # The operator's own voices, which no list knows, are among those that are configured.
        self._defaults = dict(options.voices)

    async def start(self) -> None:
        """Begin to connect. Raises `EngineError` where no key is configured."""
        self._connection.warm()

    async def close(self) -> None:
        await self._connection.close()

    def voices(self, language: str = "") -> list[YandexVoice]:
        """The voices of a language, the default one first; all, when none is named."""
        if not language:
            return list(VOICES)
        wanted = language.lower()[:2]
        default = self._defaults.get(wanted, "").partition(":")[0]
        found = [voice for voice in VOICES if voice.language == wanted]
        return sorted(found, key=lambda voice: voice.name != default)

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        """The sound of plain text; none of a text without a letter or digit. An empty `voice` is
        the language's default. Raises `EngineError`, and `EngineRefused` for a voice or language
        that the vendor does not have."""
        if len(text) > TEXT_CHARS_MAX:
            raise EngineRefused(f"a text to be spoken has at most {TEXT_CHARS_MAX} characters")
        speed = min(max(speed, SPEED_MIN), SPEED_MAX)
        hints = _hints(self._named(voice, language), speed)
        pieces = pieces_of(text, speed)
        if not pieces:
            return
        with said_plainly(self._options, "synthesis"):
            speaking = _Speaking(self._options, self._connection, hints)
            try:
                async with contextlib.aclosing(speaking.frames(pieces)) as frames:
                    async for frame in frames:
                        yield frame
            finally:
                await speaking.leave()

    def _named(self, voice: str, language: str) -> str:
        """The vendor's name of a voice, with its role."""
        if not voice:
            return self._default(language)
        name, _, role = voice.partition(":")
        known = next((each for each in VOICES if each.name == name), None)
        if voice in self._defaults.values() or (known and (not role or role in known.roles)):
            return voice
        raise EngineRefused(f"Yandex SpeechKit has no voice {voice[:40]!r}")

    def _default(self, language: str) -> str:
        wanted = language.lower()[:2]
        if wanted in self._defaults:
            return self._defaults[wanted]
        if found := self.voices(wanted):
            return found[0].name
        raise EngineRefused(f"Yandex SpeechKit does not speak {language[:20]!r}")


def pieces_of(text: str, speed: float) -> list[str]:
    """The text without what the vendor takes for markup, in pieces that it takes; none that has
    nothing to be spoken."""
    # Half a surrogate pair cannot be sent.
    plain = _MARKUP.sub(" ", text.encode(errors="replace").decode())
    longest = min(PIECE_CHARS_MAX, int(PIECE_CHARS_MAX * speed / SLOWEST_FULL))
    pieces = cut(plain, max(PIECE_CHARS_MIN, longest))
    return [piece.strip() for piece in pieces if any(char.isalnum() for char in piece)]


class _Speaking:
    """The requests for one text."""

    def __init__(self, options: YandexOptions, connection: Connection, hints: Any) -> None:
        self._patience_s, self._connection, self._hints = options.patience_s, connection, hints
        stub = tts_service_pb2_grpc.SynthesizerStub(connection.channel)
        self._synthesize = stub.UtteranceSynthesis
        self._encoder = OpusEncoder(RATE_HZ)
        self._calls: list[Any] = []

    async def leave(self) -> None:
        await leave(*self._calls)

    async def frames(self, pieces: Sequence[str]) -> AsyncGenerator[OpusFrame, None]:
        self._ask(pieces[0])
        for number in range(len(pieces)):
            received = 0
            while sound := await self._sound(self._calls[number]):
                if not received and number + 1 < len(pieces):
                    self._ask(pieces[number + 1])
                received += len(sound)
                if received > PIECE_BYTES_MAX:
                    raise EngineError("Yandex SpeechKit speaks without end")
                # Not all at once: others have their frames to send meanwhile.
                for at in range(0, len(sound), _ENCODED_BYTES):
                    for frame in self._encoder.encode(sound[at : at + _ENCODED_BYTES]):
                        yield frame
                    await asyncio.sleep(0)
            if not received:
                raise EngineError("Yandex SpeechKit gave no sound")
        for frame in self._encoder.flush():
            yield frame

    def _ask(self, text: str) -> None:
        request = tts_pb2.UtteranceSynthesisRequest(
            text=text,
            hints=self._hints,
            output_audio_spec=tts_pb2.AudioFormatOptions(
                raw_audio=tts_pb2.RawAudio(
                    audio_encoding=tts_pb2.RawAudio.LINEAR16_PCM, sample_rate_hertz=RATE_HZ
                )
            ),
            loudness_normalization_type=tts_pb2.UtteranceSynthesisRequest.LUFS,
        )
        self._calls.append(self._connection.begin(self._synthesize, request))

    async def _sound(self, call: Any) -> bytes:
        """The next sound; empty when there is no more."""
        while True:
            async with asyncio.timeout(self._patience_s):
                answer = await call.read()
            if answer is grpc.aio.EOF:
                return b""
            if sound := bytes(answer.audio_chunk.data):
                return sound


def _hints(voice: str, speed: float) -> list[Any]:
    name, _, role = voice.partition(":")
    hints = [tts_pb2.Hints(voice=name)]
    if role:
        hints.append(tts_pb2.Hints(role=role))
    if speed != 1.0:
        hints.append(tts_pb2.Hints(speed=speed))
    return hints
