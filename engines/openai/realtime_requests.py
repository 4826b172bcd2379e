"""What a vendor of speech-to-speech is asked, in the words of OpenAI's Realtime API. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..speech import EngineSettings, Entry
from .chat_messages import instructions_of, tool_fields
from .hearing import hints
from .realtime_items import Json, wanted_of
from .realtime_reply import RATE_HZ

# Those that its types name, and `voice_…` for voices of one's own.
VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse",
)  # fmt: skip
OWN_VOICE = "voice_"
SPEED_MIN, SPEED_MAX = 0.25, 1.5
OUTPUT_TOKENS_MAX = 4_096
_PCM = {"type": "audio/pcm", "rate": RATE_HZ}
# Those that think before they speak.
_REASONING = re.compile(r"gpt-realtime-(?:[2-9]|\d\d)")


@dataclass(frozen=True, slots=True)
class Terms:
    """Which models are asked, in which voice, and how much patience we have with them. A session
    is renewed when it is `session_ms_max` old. `effort`: how much the model thinks, if it does."""

    model: str
    transcription_model: str
    voice: str
    session_ms_max: int
    connect_ms: int
    patience_ms: int
    effort: str = ""


def reasoning(model: str, effort: str) -> Json:
    """What a request says of thinking: nothing where the model does not."""
    thinks = _REASONING.match(model.rpartition("/")[2])
    return {"reasoning": {"effort": effort}} if effort and thinks else {}


def voice_of(settings: EngineSettings, terms: Terms) -> str:
    """Voices of other engines mean the configured one."""
    ours = settings.voice in VOICES or settings.voice.startswith(OWN_VOICE)
    return settings.voice if ours else terms.voice


def speed_of(settings: EngineSettings) -> float:
    return min(max(settings.speed, SPEED_MIN), SPEED_MAX)


def session_update(settings: EngineSettings, terms: Terms, voice: str) -> Json:
    model = terms.transcription_model
    heard: Json = {"model": model, **hints(model, settings.language, ())}
    session: Json = {
        "type": "realtime",
        "audio": {
            # Who has the floor is decided here, and nowhere else.
            "input": {"format": _PCM, "transcription": heard, "turn_detection": None},
            "output": {
                "format": _PCM, "voice": _voice(voice), "speed": speed_of(settings),
            },
        },
        **_usual(settings), **reasoning(terms.model, terms.effort),
    }  # fmt: skip
    return {"type": "session.update", "event_id": "configure", "session": session}


def response_create(
    ask: str,
    history: Sequence[Entry],
    settings: EngineSettings,
    *,
    own: bool,
    apart: bool,
) -> Json:
    """`own`: these settings are for this reply only. `apart`: it answers this history, and is no
    part of the vendor's conversation."""
    response: Json = {"metadata": {"ask": ask}, **(_usual(settings) if own else {})}
    if apart:
        items = [each.as_json("") for each in wanted_of(history)]
        given = [{name: value for name, value in item.items() if name != "id"} for item in items]
        response |= {"conversation": "none", "input": given}
    return {"type": "response.create", "event_id": f"respond:{ask}", "response": response}


def _usual(settings: EngineSettings) -> Json:
    """What a session and a response have in common."""
    tools, choice = _tools(settings)
    tokens = min(settings.output_tokens_max, OUTPUT_TOKENS_MAX) or "inf"
    return {
        "output_modalities": ["audio" if settings.speaks else "text"],
        "instructions": instructions_of(settings), "tools": tools, "tool_choice": choice,
        "max_output_tokens": tokens,
    }  # fmt: skip


def _voice(voice: str) -> object:
    return {"id": voice} if voice.startswith(OWN_VOICE) else voice


def _tools(settings: EngineSettings) -> tuple[list[Json], object]:
    """The tools of Chat Completions, without the wrapping that they have there."""
    fields = tool_fields(settings)
    tools, choice = fields.get("tools", []), fields.get("tool_choice", "auto")
    assert isinstance(tools, list)
    named = choice.get("function") if isinstance(choice, Mapping) else None
    if isinstance(named, Mapping):
        choice = {"type": "function", "name": named["name"]}
    return [{"type": "function", **tool["function"]} for tool in tools], choice


# What it says it has spent.


def amounts_of(usage: object) -> tuple[tuple[str, int], ...]:
    """The amounts of an `EngineUse`: text and sound are counted apart."""
    told = usage if isinstance(usage, Mapping) else {}
    into, out = _mapping(told, "input_token_details"), _mapping(told, "output_token_details")
    cached = _mapping(into, "cached_tokens_details")
    found = {
        "tokens_in": _count(into, "text_tokens"),
        "tokens_cached": _count(cached, "text_tokens"),
        "tokens_out": _count(out, "text_tokens"),
        "audio_tokens_in": _count(into, "audio_tokens"),
        "audio_tokens_cached": _count(cached, "audio_tokens"),
        "audio_tokens_out": _count(out, "audio_tokens"),
    }
    if told.get("type") == "tokens":  # Of a transcription, whose output is text.
        found["tokens_out"] = _count(told, "output_tokens")
    return tuple((unit, count) for unit, count in found.items() if count is not None)


def _mapping(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(values: Mapping[str, object], name: str) -> int | None:
    found = values.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
