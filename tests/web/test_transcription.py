"""Files to text, asked for by the published client of a real server with its real recogniser."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.audio import TranscriptionTextDeltaEvent, TranscriptionTextDoneEvent
from starlette.datastructures import UploadFile

from engines.audio import read_audio
from engines.speech import EngineError, PcmFrame, Transcript
from engines.stretches import CutRules
from tests.calls.exchange import eventually
from tests.engines import tiny_whisper
from tests.engines.sounds import wave_file
from tests.human_speech import HumanSpeech
from voice_server.web.errors import Refusal
from voice_server.web.transcription import asked_of
from voice_server.web.uploads import Form

from .files import LISTENING, PATIENCE_S, client_of, server_with_client
from .outside import Outside
from .served import Served, scripted, served

CLIP = "en_LJ001-0019.wav"


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[tuple[Outside, AsyncOpenAI]]:
    async with server_with_client(tmp_path, free_port, **LISTENING) as both:
        yield both


@pytest.fixture(scope="session")
def twice(speech: HumanSpeech) -> bytes:
    """A sentence, three seconds of silence, and the sentence again."""
    frames = read_audio(speech(CLIP), seconds_max=60)
    sound = np.frombuffer(b"".join(frame.samples for frame in frames), np.int16)
    return wave_file(np.concatenate([sound, np.zeros(48_000, np.int16), sound]), 16_000)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models directory that holds a random Whisper called "tiny"."""
    models_dir = tmp_path_factory.mktemp("models")
    tiny_whisper.build(models_dir / "tiny")
    return models_dir


def is_heard(text: str, speech: HumanSpeech) -> bool:
    """Whether enough of the words were recognised; it knows people better than machines."""
    words = set(re.sub(r"[^\w ]", "", speech.text(CLIP).lower()).split())
    found = words & set(re.sub(r"[^\w ]", "", text.lower()).split())
    return len(found) >= (len(words) // 3 if speech.human else 1)


async def test_words_and_segments_lie_where_they_were_said(
    server: tuple[Outside, AsyncOpenAI], speech: HumanSpeech, twice: bytes
) -> None:
    _, client = server
    verbose: Any = await client.audio.transcriptions.create(
        file=("talk.wav", twice), model="whisper-1", response_format="verbose_json",
        language="en", temperature=0.2, prompt="printing, press",
        timestamp_granularities=["word", "segment"],
    )  # fmt: skip
    seconds = verbose.usage.seconds
    assert abs(seconds - (len(twice) - 44) / 32_000) < 0.01
    assert (verbose.language, verbose.duration) == ("english", seconds)
    assert is_heard(verbose.text, speech)
    assert " ".join(segment.text for segment in verbose.segments) == verbose.text
    assert " ".join(word.word for word in verbose.words) == verbose.text
    edges = [edge for segment in verbose.segments for edge in (segment.start, segment.end)]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= seconds
    assert verbose.word_times == "recognised"
    # Nobody speaks in the three seconds in the middle.
    middle = (seconds - 3) / 2
    assert not [w for w in verbose.words if middle + 0.5 < w.start < middle + 2.5]
    assert [w for w in verbose.words if w.end <= middle + 0.1]
    assert [w for w in verbose.words if w.start >= middle + 2.5]


async def test_every_other_form_of_the_words(tmp_path: Path, twice: bytes) -> None:
    async with served(scripted(tmp_path)) as server, client_of(server.port) as client:

        async def asked(response_format: Any) -> Any:
            return await client.audio.transcriptions.create(
                file=("talk.wav", twice), model="whisper-1", response_format=response_format
            )

        plain = await asked("json")
        assert plain.text.startswith("What is a verb? What is a verb?")
        assert (await asked("text")).strip() == plain.text
        assert (await asked("srt")).startswith("1\n00:00:0")
        assert (await asked("vtt")).startswith("WEBVTT\n\n00:00:0")


async def test_a_stream_gives_the_words_as_they_are_found(
    server: tuple[Outside, AsyncOpenAI], speech: HumanSpeech, twice: bytes
) -> None:
    _, client = server
    stream = await client.audio.transcriptions.create(
        file=("talk.wav", twice), model="gpt-4o-mini-transcribe", stream=True
    )
    events = [event async for event in stream]
    assert len(events) >= 3
    *deltas, done = events
    assert all(type(event) is TranscriptionTextDeltaEvent for event in deltas)
    assert isinstance(done, TranscriptionTextDoneEvent)
    assert done.usage is not None and done.usage.output_tokens > 0
    assert "".join(event.delta for event in deltas) == done.text  # type: ignore[union-attr]
    assert is_heard(done.text, speech)


async def test_what_cannot_be_heard_is_refused_in_openais_words(
    server: tuple[Outside, AsyncOpenAI], speech: HumanSpeech
) -> None:
    _, client = server
    sound = ("talk.wav", speech(CLIP).read_bytes())
    wrong: list[tuple[dict[str, Any], int, str | None]] = [
        ({"language": "ru"}, 422, None),  # Nobody here understands it, and it says what to do.
        ({"language": "klingon"}, 400, "language"),
        ({"model": "whisper"}, 422, None),
        ({"model": "espeak"}, 404, "model"), ({"model": "scripted"}, 404, "model"),
        ({"model": "x" * 200}, 400, "model"),
        ({"response_format": "diarized_json"}, 400, "response_format"),
        ({"response_format": "srt", "stream": True}, 400, "response_format"),
        ({"temperature": float("nan")}, 400, "temperature"),
        ({"temperature": 2}, 400, "temperature"),
        ({"timestamp_granularities": ["word"]}, 400, "timestamp_granularities"),
        ({"response_format": "verbose_json", "timestamp_granularities": ["letter"]}, 400,
         "timestamp_granularities"),
        ({"chunking_strategy": {"type": "server_vad", "threshold": 7}}, 400, "threshold"),
        ({"chunking_strategy": "by the moon"}, 400, "chunking_strategy"),
        ({"prompt": "x" * 10_000}, 400, "prompt"),
        ({"file": ("letter.wav", b"Dear Sir or Madam, " * 50)}, 400, "file"),
        ({"file": ("empty.wav", b"")}, 400, "file"),
    ]  # fmt: skip
    for wishes, status, param in wrong:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.audio.transcriptions.create(
                **{"file": sound, "model": "whisper-1", **wishes}
            )
        assert (refused.value.status_code, refused.value.param) == (status, param), wishes
        assert isinstance(refused.value.body, dict) and refused.value.body["message"]
    with pytest.raises(openai.BadRequestError) as untranslated, pytest.warns(DeprecationWarning):
        await client.audio.translations.create(file=sound, model="whisper-1")
    assert untranslated.value.code == "translation_unavailable"


async def test_a_strategy_of_chunks_is_obeyed(tmp_path: Path, twice: bytes) -> None:
    async with served(scripted(tmp_path)) as server, client_of(server.port) as client:

        async def segments(strategy: Any) -> int:
            found = await client.audio.transcriptions.create(
                file=("talk.wav", twice), model="whisper-1", chunking_strategy=strategy,
                response_format="verbose_json",
            )  # fmt: skip
            return len(found.segments or [])

        assert await segments("auto") >= 2
        assert await segments({"type": "server_vad", "silence_duration_ms": 8_000}) == 1


async def test_the_list_of_models_names_ours_and_what_others_call_them(tmp_path: Path) -> None:
    async with served(scripted(tmp_path)) as server, client_of(server.port) as client:
        names = {model.id async for model in client.models.list()}
        assert {"sphinx", "espeak", "tutor", "gpt-realtime", "tts-1", "whisper-1"} <= names
        for name in [*names, "gpt-realtime-2025-08-28", "gpt-4o-mini-tts-2025-12-15"]:
            found = await client.models.retrieve(name)
            assert (found.id, found.object) == (name, "model")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.models.retrieve("nope")
        assert missing.value.code == "model_not_found"


# With a recogniser that the test holds in its hand.


class Held:
    """Hears a word of each stretch once it is let; may break. Counts who is in it."""

    def __init__(self, breaks_at: int = 99) -> None:
        self.allowed = asyncio.Event()
        self.inside = self.heard = 0
        self._breaks_at = breaks_at

    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        self.inside += 1
        try:
            async for _ in audio:
                pass
            self.heard += 1
            if self.heard > 1:
                await self.allowed.wait()
            if self.heard >= self._breaks_at:
                raise EngineError("the recogniser broke")
            yield Transcript(f"word{self.heard}", final=True)
        finally:
            self.inside -= 1


@contextlib.asynccontextmanager
async def holding(folder: Path, held: Held, **options: object) -> AsyncIterator[Served]:
    async with served(scripted(folder, **options)) as server:
        server.house.workshop._shelf._made["engines.scripted:ScriptedSpeechToText"] = held
        yield server
        assert held.inside == 0


def at_rest(server: Served) -> bool:
    house = server.house
    pool = house.recordings._pool
    return not (house.uploads.taken or house.transcriptions.taken) and (
        pool.slots_free == house.config.transcriptions_max
    )


async def test_a_client_who_leaves_ends_the_work(tmp_path: Path, twice: bytes) -> None:
    held = Held()
    async with holding(tmp_path, held) as server, client_of(server.port) as client:
        stream = await client.audio.transcriptions.create(
            file=("talk.wav", twice), model="whisper-1", stream=True
        )
        assert (await anext(stream)).delta == "word1"  # type: ignore[union-attr]
        await eventually(lambda: held.heard == 2, PATIENCE_S)
        assert server.house.transcriptions.taken == 1
        await stream.close()
        await eventually(lambda: held.inside == 0, PATIENCE_S)
        await eventually(lambda: at_rest(server), PATIENCE_S)
        # One who waits for the whole answer, and loses patience.
        whole = asyncio.create_task(
            client.audio.transcriptions.create(file=("talk.wav", twice), model="whisper-1")
        )
        await eventually(lambda: held.inside == 1, PATIENCE_S)
        whole.cancel()
        await asyncio.gather(whole, return_exceptions=True)
        await eventually(lambda: held.inside == 0, PATIENCE_S)
        await eventually(lambda: at_rest(server), PATIENCE_S)


async def test_only_so_many_are_heard_at_once(tmp_path: Path, twice: bytes) -> None:
    held = Held()
    one = holding(tmp_path, held, transcriptions_max=1)
    async with one as server, client_of(server.port) as client:

        async def asked() -> str:
            found = await client.audio.transcriptions.create(
                file=("talk.wav", twice), model="whisper-1"
            )
            return found.text

        first = asyncio.create_task(asked())
        await eventually(lambda: held.inside == 1, PATIENCE_S)
        with pytest.raises(openai.InternalServerError) as busy:
            await asked()
        assert (busy.value.status_code, busy.value.code) == (503, "busy")
        assert int(busy.value.response.headers["retry-after"]) > 0
        held.allowed.set()
        assert (await first).startswith("word1 word2")
        assert (await asked()).startswith("word")


async def test_a_recogniser_that_breaks_is_said_in_the_stream(
    tmp_path: Path, twice: bytes
) -> None:
    held = Held(breaks_at=2)
    held.allowed.set()
    async with holding(tmp_path, held) as server, client_of(server.port) as client:
        stream = await client.audio.transcriptions.create(
            file=("talk.wav", twice), model="whisper-1", stream=True
        )
        with pytest.raises(openai.APIError, match="the recogniser broke"):
            async for event in stream:
                assert event.type == "transcript.text.delta"
        await eventually(lambda: at_rest(server), PATIENCE_S)
        with pytest.raises(openai.APIStatusError) as broken:
            await client.audio.transcriptions.create(file=("talk.wav", twice), model="whisper-1")
        assert broken.value.status_code == 422


async def test_a_server_that_ends_lets_go_of_files(tmp_path: Path, twice: bytes) -> None:
    held = Held()
    async with holding(tmp_path, held) as server, client_of(server.port) as client:
        waiting = asyncio.create_task(
            client.audio.transcriptions.create(file=("talk.wav", twice), model="whisper-1")
        )
        await eventually(lambda: held.heard == 2, PATIENCE_S)
        server.house.ending.set()
        with pytest.raises(openai.InternalServerError) as refused:
            await waiting
        assert refused.value.code == "draining"


async def test_whisper_finds_the_language_and_translates(
    tmp_path: Path, weights: Path, twice: bytes
) -> None:
    """Its weights are random; that it is asked, and how, is not."""
    config = scripted(
        tmp_path, speech_to_text="whisper", whisper_model="tiny", models_dir=weights
    )
    async with served(config) as server, client_of(server.port) as client:
        found = await client.audio.transcriptions.create(
            file=("talk.wav", twice), model="whisper-1", response_format="verbose_json"
        )
        assert found.language
        with pytest.warns(DeprecationWarning):
            translated = await client.audio.translations.create(
                file=("talk.wav", twice), model="whisper-1", response_format="verbose_json"
            )
        assert translated.language == "english"
        made = server.house.workshop._shelf._made.keys()
        assert made == {"engines.whisper.recognition:WhisperSpeechToText"}


# What a form asks for.


def form(**fields: str | list[str]) -> Form:
    listed = {name: [value] if isinstance(value, str) else value for name, value in fields.items()}
    return Form(listed, UploadFile(None))  # type: ignore[arg-type]


def test_a_form_has_defaults() -> None:
    asked = asked_of(form())
    assert (asked.model, asked.language, asked.response_format) == ("", "", "json")
    assert (asked.granularities, asked.streams, asked.rules) == (("segment",), False, CutRules())


def test_prompts_and_keywords_are_phrases_that_are_likely() -> None:
    given: dict[str, Any] = {"prompt": "Zyntrix, Digique.", "keywords[]": ["verb", "noun"]}
    asked = asked_of(form(**given))
    assert asked.expected == ("verb", "noun", "Zyntrix", "Digique")


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy": json.dumps({"type": "server_vad", "silence_duration_ms": 300})},
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[silence_duration_ms]": "300"},
    ],
)
def test_a_strategy_comes_in_two_spellings(fields: dict[str, str]) -> None:
    rules = asked_of(form(**fields)).rules
    assert rules.pause_ms == 300
    assert rules.padding_ms <= 150  # Or the next stretch would hear the end of this one.


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": "perhaps"}, {"model": ["a", "b"]}, {"chunking_strategy": "{"},
        {"chunking_strategy": '{"type": "server_vad", "threshold": {}}'},
        {"chunking_strategy[type]": "lunar"}, {"temperature": "1e999"}, {"temperature": "hot"},
        {"timestamp_granularities": "word"}, {"languages[]": ["klingon"]},
    ],
)  # fmt: skip
def test_a_form_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        asked_of(form(**fields))
    assert refused.value.status == 400
    assert refused.value.param
