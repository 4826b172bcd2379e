"""`pipecat-ai`: a pipeline around its OpenAIRealtimeLLMService. Almost any error ends that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from .conftest import COUNTED, HEARD, KEY, QUESTION, REPLY, WORD_MS, Sound
from .conversing import heard_in
from .programs import Programs, Seen, observed, python
from .tap import Tap

Act = Callable[..., Awaitable[Seen]]


@pytest.fixture
def act(tap: Tap, programs: Programs) -> Act:
    """Plays a scenario of tests/sdk/clients/pipecat_ai.py; the pipeline must see no error."""

    async def play(scenario: str, *, key: str = KEY, **options: object) -> Seen:
        url = f"ws://127.0.0.1:{tap.port}/v1/realtime"
        program = programs.get(python("pipecat", "pipecat_ai"))
        seen = await observed(program, scenario=scenario, url=url, key=key, **options)
        assert seen.pop("errors", []) == []
        return seen

    return play


async def test_a_text_turn(act: Act) -> None:
    seen = await act("writes")
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]
    assert seen["sound_bytes"] / 48 == pytest.approx(len(REPLY.split()) * WORD_MS, abs=WORD_MS)


async def test_a_spoken_turn(act: Act, sound: Sound) -> None:
    seen = await act("speaks", sound=str(sound(QUESTION)))
    assert seen["heard"] == [HEARD]
    assert seen["history"][2:] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_tool_call(act: Act, tap: Tap) -> None:
    seen = await act("calls_a_tool")
    ((city, days),) = seen["asked"]
    assert isinstance(city, str) and isinstance(days, int)
    (created,) = tap.line.sent_of("conversation.item.create")[1:]
    assert created["item"]["type"] == "function_call_output"
    asked, answered = [event["response"] for event in tap.line.told_of("response.done")]
    assert [item["type"] for item in asked["output"]] == ["function_call"]
    assert asked["output"][0]["call_id"] == created["item"]["call_id"]
    assert [item["type"] for item in answered["output"]] == ["message"]
    assert seen["history"][-1][0] == "assistant" and seen["history"][-1][1]


async def test_speech_over_a_reply_ends_it(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("interrupts", sound=str(sound(QUESTION, late=True)))
    assert seen["heard"] == [HEARD]
    assert seen["history"][2:] == [["user", HEARD], ["assistant", REPLY]]
    cut, whole = [event["response"] for event in tap.line.told_of("response.done")]
    assert heard_in(cut, "turn_detected")
    assert whole["status"] == "completed"
    # The service says how much it played, and the server has it so.
    (truncate,) = tap.line.sent_of("conversation.item.truncate")
    (truncated,) = tap.line.told_of("conversation.item.truncated")
    assert truncated["audio_end_ms"] == truncate["audio_end_ms"] > 0


async def test_a_cancelled_reply(act: Act, tap: Tap) -> None:
    await act("stops")
    assert tap.line.sent_of("response.cancel")
    (done,) = tap.line.told_of("response.done")
    heard_in(done["response"], "client_cancelled")


async def test_push_to_talk(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("pushes_to_talk", sound=str(sound(QUESTION)))
    assert seen["heard"] == [HEARD]
    assert seen["history"][2:] == [["user", HEARD], ["assistant", REPLY]]
    assert not tap.line.told_of("input_audio_buffer.speech_started")
    assert len(tap.line.told_of("input_audio_buffer.committed")) == 1


async def test_calls_beside_each_other(act: Act, tap: Tap) -> None:
    seen = await act("talks_beside_others")
    assert seen["history"][1:] == [["assistant", REPLY]]
    ((_, counted),) = seen["others"]
    assert counted.split() == COUNTED[: len(counted.split())]
    assert seen["others_errors"] == []
    assert len(tap.lines) == 2


async def test_a_client_secret(act: Act, secret: str) -> None:
    seen = await act("writes", key=secret)
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_wrong_key(act: Act, tap: Tap) -> None:
    assert (await act("is_refused", key="sk-wrong"))["refused"]
    assert not tap.lines
    assert not (await act("is_refused"))["refused"]
