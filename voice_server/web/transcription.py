"""Recordings in, words out: the doors for files, as OpenAI's clients know them.

Nothing is promised before the file has been decoded to its end: what is wrong with it is a
status and not a broken stream. The recognisers are of the calls' kinds and are not the calls'
own: nobody on the line waits for somebody's file.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from engines.dictation import Dictation, can_translate
from engines.languages import code_of
from engines.speech import EngineError, SpeechToText
from engines.stretches import CutRules, Passage

from . import transcripts
from .errors import Refusal, openai_error, refusal_of
from .house import House
from .streams import Streamed, while_connected
from .transcripts import Written
from .uploads import Form, uploaded

GRANULARITIES = ("word", "segment")
MODEL_CHARS_MAX, PROMPT_CHARS_MAX, PHRASES_MAX = 128, 8_192, 100
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form asks for. `language`: ISO 639-1, empty when it is to be found out."""

    model: str
    language: str
    response_format: str
    granularities: tuple[str, ...]
    expected: tuple[str, ...]
    rules: CutRules
    streams: bool
    translates: bool


async def transcriptions(request: Request) -> Response:
    """`POST /v1/audio/transcriptions`: the words of a file; with `stream` as they are found."""
    return await _write_down(request, translates=False)


async def translations(request: Request) -> Response:
    """`POST /v1/audio/translations`: the words of a file in English, where an engine can."""
    return await _write_down(request, translates=True)


async def _write_down(request: Request, *, translates: bool) -> Response:
    house: House = request.app.state.house
    house.gate.admit(request)
    if house.switchboard.draining:
        raise Refusal(503, "draining", "The server is shutting down.", retry_after_s=10)
    house.transcriptions.check()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(house.uploads.one())
        form = await stack.enter_async_context(uploaded(request))
        asked = asked_of(form, translates=translates)
        engine = _engine(house, asked)
        stack.enter_context(house.transcriptions.one())
        if not asked.streams:
            work = _whole(house, form, asked, engine)
            return await while_connected(request.receive, house.ending, work)
        events = _events(house, form, asked, engine, stack.pop_all())
    first = await while_connected(request.receive, house.ending, anext(events))
    return Streamed(first, events, media_type="text/event-stream", ending=house.ending)


def _engine(house: House, asked: Asked) -> SpeechToText:
    """The recogniser. Raises `EngineError`, and `Refusal` when it cannot translate."""
    name = house.workshop.order.named("speech_to_text", asked.model)
    engine = house.workshop.file_ears(name, asked.language or house.settings.language)
    if asked.translates and not can_translate(engine):
        raise Refusal(
            400, "translation_unavailable", "Translation needs Whisper, which this server does "
            "not listen with: its weights come with voice-server models pull.", param="model",
        )  # fmt: skip
    return engine


async def _whole(house: House, form: Form, asked: Asked, engine: SpeechToText) -> Response:
    async with _dictation(house, form, asked, engine) as dictation:
        passages = [each async for each in dictation.passages()]
        written = _written(dictation, passages, asked)
    match asked.response_format:
        case "json":
            return JSONResponse(transcripts.short(written))
        case "verbose_json":
            task = "translate" if asked.translates else "transcribe"
            return JSONResponse(transcripts.verbose(written, asked.granularities, task))
        case "srt":
            return PlainTextResponse(transcripts.srt(written))
        case "vtt":
            return PlainTextResponse(transcripts.vtt(written), media_type="text/vtt")
        case _:
            return PlainTextResponse(f"{written.text}\n")


async def _events(
    house: House, form: Form, asked: Asked, engine: SpeechToText,
    stack: contextlib.AsyncExitStack,
) -> AsyncGenerator[bytes, None]:  # fmt: skip
    """The events of a stream; what the request holds is let go of at its end."""
    passages: list[Passage] = []
    async with stack:
        opened = await stack.enter_async_context(_dictation(house, form, asked, engine))
        async with contextlib.aclosing(opened.passages()) as found:
            try:
                async for passage in found:
                    passages.append(passage)
                    yield sse(transcripts.delta(passage, first=len(passages) == 1))
            except EngineError as error:
                if not passages:
                    raise
                yield sse({"type": "error", "error": openai_error(refusal_of(error))})
                return
        yield sse(transcripts.done(_written(opened, passages, asked)))
        yield b"data: [DONE]\n\n"


@contextlib.asynccontextmanager
async def _dictation(
    house: House, form: Form, asked: Asked, engine: SpeechToText
) -> AsyncGenerator[Dictation, None]:
    """The file, decoded once and ready to be written down. Raises `EngineError`."""
    await house.workshop.ready(engine)
    seconds_max = house.config.file_minutes_max * 60.0
    async with house.recordings.open(form.pieces(), seconds_max=seconds_max) as recording:
        yield Dictation(
            engine, recording, language=asked.language, expected=asked.expected,
            default_language=house.settings.language, rules=asked.rules,
            translates=asked.translates,
        )  # fmt: skip


def _written(dictation: Dictation, passages: Sequence[Passage], asked: Asked) -> Written:
    language = ENGLISH if asked.translates else dictation.language
    return Written(language, dictation.measured.duration_ms, tuple(passages))


def sse(event: dict[str, object]) -> bytes:
    """A server-sent event, as OpenAI sends them: data alone."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


# What is asked for.


def asked_of(form: Form, *, translates: bool = False) -> Asked:
    """The form, checked. Raises `Refusal` 400 that names what is wrong."""
    response_format = form.text("response_format") or "json"
    if response_format not in transcripts.FORMATS:
        raise _bad("response_format", f"must be one of {', '.join(transcripts.FORMATS)}")
    model = form.text("model")
    if len(model) > MODEL_CHARS_MAX:
        raise _bad("model", "is no model's name")
    _number(form, "temperature", 0.0, 1.0)
    streams = _flag(form, "stream") and not translates
    if streams and response_format not in {"json", "text"}:
        raise _bad("response_format", "must be json or text when stream is true")
    return Asked(
        model=model,
        language="" if translates else _language(form),
        response_format=response_format,
        granularities=_granularities(form, response_format),
        expected=_expected(form),
        rules=_rules(form),
        streams=streams,
        translates=translates,
    )


def _language(form: Form) -> str:
    named = form.text("language") or "".join(form.all("languages")[:1])
    code = code_of(named) if named else ""
    if code is None:
        raise _bad("language", "must be an ISO 639-1 code, such as en")
    return code


def _granularities(form: Form, response_format: str) -> tuple[str, ...]:
    found = tuple(form.all("timestamp_granularities"))
    if any(each not in GRANULARITIES for each in found):
        raise _bad("timestamp_granularities", "must be word, segment or both")
    if found and response_format != "verbose_json":
        raise _bad("timestamp_granularities", "needs response_format verbose_json")
    return found or ("segment",)


def _expected(form: Form) -> tuple[str, ...]:
    """Words and phrases that are likely: the keywords, and what the prompt lists."""
    prompt, keywords = form.text("prompt"), form.all("keywords")
    if len(prompt) > PROMPT_CHARS_MAX or sum(map(len, keywords)) > PROMPT_CHARS_MAX:
        raise _bad("prompt", f"has {PROMPT_CHARS_MAX} characters at most")
    phrases = [*keywords, *prompt.replace(";", ",").replace(".", ",").split(",")]
    return tuple(phrase.strip() for phrase in phrases if phrase.strip())[:PHRASES_MAX]


def _rules(form: Form) -> CutRules:
    """How to cut the recording, by OpenAI's `chunking_strategy`."""
    named = form.text("chunking_strategy")
    fields = {
        name.removeprefix("chunking_strategy[").removesuffix("]"): form.text(name)
        for name in form.fields
        if name.startswith("chunking_strategy[")
    }
    if named.startswith("{"):
        try:
            given = orjson.loads(named)
        except orjson.JSONDecodeError:
            raise _bad("chunking_strategy", "is not JSON") from None
        fields = {name: str(value) for name, value in given.items()}
    elif named not in {"", "auto"}:
        raise _bad("chunking_strategy", "must be auto or a server_vad object")
    if not fields:
        return CutRules()
    if fields.pop("type", "") != "server_vad":
        raise _bad("chunking_strategy", "must be auto or a server_vad object")
    chosen = Form({name: [value] for name, value in fields.items()}, form.file)
    usual = CutRules()
    pause_ms = _number(chosen, "silence_duration_ms", 64, 10_000)
    padding_ms = _number(chosen, "prefix_padding_ms", 0, 2_000)
    threshold = _number(chosen, "threshold", 0.0, 1.0)
    pause = usual.pause_ms if pause_ms is None else round(pause_ms)
    padding = usual.padding_ms if padding_ms is None else round(padding_ms)
    return CutRules(
        threshold=usual.threshold if threshold is None else threshold,
        # The pause is shared: what is padded after one stretch must not reach into the next.
        padding_ms=min(padding, pause // 2), pause_ms=pause,
        breath_ms=min(usual.breath_ms, pause),
    )  # fmt: skip


def _flag(form: Form, name: str) -> bool:
    match form.text(name).lower():
        case "" | "false" | "0":
            return False
        case "true" | "1":
            return True
    raise _bad(name, "must be true or false")


def _number(form: Form, name: str, low: float, high: float) -> float | None:
    given = form.text(name)
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        raise _bad(name, "must be a number") from None
    if not math.isfinite(value) or not low <= value <= high:
        raise _bad(name, f"must be from {low:g} to {high:g}")
    return value


def _bad(name: str, what: str) -> Refusal:
    return Refusal(400, "bad_parameter", f"{name} {what}.", param=name)
