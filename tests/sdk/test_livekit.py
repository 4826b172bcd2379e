"""`livekit-plugins-openai`: RealtimeModel sessions. A reply without its metadata never comes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from .conftest import COUNTED, HEARD, KEY, QUESTION, REPLY, WORD_MS, Sound
from .conversing import heard_in
from .programs import Programs, Seen, observed, python
from .tap import Tap

Act = Callable[..., Awaitable[Seen]]
DURATION_MS = len(REPLY.split()) * WORD_MS


@pytest.fixture
def act(tap: Tap, programs: Programs) -> Act:
    """Plays a scenario of tests/sdk/clients/livekit_agents.py; the session must tell no error."""

    async def play(scenario: str, *, key: str = KEY, **options: object) -> Seen:
        url = f"http://127.0.0.1:{tap.port}/v1"
        program = programs.get(python("livekit", "livekit_agents"))
        seen = await observed(program, scenario=scenario, url=url, key=key, **options)
        assert seen.pop("errors", []) == []
        return seen

    return play


async def test_a_text_turn(act: Act, tap: Tap) -> None:
    seen = await act("writes")
    assert (seen["reply"], seen["asked_for"]) == (REPLY, True)
    assert seen["sound_ms"] == pytest.approx(DURATION_MS, abs=WORD_MS)
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]
    (asked,), (done,) = tap.line.sent_of("response.create"), tap.line.told_of("response.done")
    assert done["response"]["metadata"] == asked["response"]["metadata"]


async def test_a_spoken_turn(act: Act, sound: Sound) -> None:
    seen = await act("speaks", sound=str(sound(QUESTION)))
    assert (seen["reply"], seen["asked_for"]) == (REPLY, False)
    assert seen["sound_ms"] == pytest.approx(DURATION_MS, abs=WORD_MS)
    assert seen["heard"][-1] == HEARD
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_tool_call(act: Act) -> None:
    seen = await act("calls_a_tool")
    name, arguments = seen["asked"]
    assert name == "look_up_weather"
    assert isinstance(json.loads(arguments)["days"], int)
    assert "sunny" in seen["reply"].lower()


async def test_speech_over_a_reply_ends_it(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("interrupts", sound=str(sound(QUESTION, late=True)))
    assert (seen["reply"], seen["heard"][-1]) == (REPLY, HEARD)
    cut, whole = [event["response"] for event in tap.line.told_of("response.done")]
    assert heard_in(cut, "turn_detected")
    assert whole["status"] == "completed"
    (truncated,) = tap.line.told_of("conversation.item.truncated")
    assert truncated["item_id"] == cut["output"][0]["id"]
    assert truncated["audio_end_ms"] == 500


async def test_a_cancelled_reply(act: Act, tap: Tap) -> None:
    seen = await act("stops")
    cut, whole = [event["response"] for event in tap.line.told_of("response.done")]
    heard_in(cut, "client_cancelled")
    assert whole["status"] == "completed" and seen["reply"]


async def test_push_to_talk(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("pushes_to_talk", sound=str(sound(QUESTION)))
    assert (seen["reply"], seen["heard"][-1]) == (REPLY, HEARD)
    assert not tap.line.told_of("input_audio_buffer.speech_started")


async def test_the_conversation_is_what_the_client_makes_it(act: Act) -> None:
    seen = await act("changes_the_conversation")
    assert seen["before"] == [["user", "Before all."], ["user", "First."], ["user", "Second."]]
    assert seen["history"] == [["user", "Before all."], ["user", "Second."]]


async def test_calls_beside_each_other(act: Act, tap: Tap) -> None:
    seen = await act("talks_beside_others")
    assert seen["reply"] == REPLY
    counted = seen["counted"].split()
    assert counted == COUNTED[: len(counted)]
    assert len(tap.lines) == 2


async def test_a_client_secret(act: Act, secret: str) -> None:
    assert (await act("writes", key=secret))["reply"] == REPLY


async def test_a_wrong_key(act: Act, tap: Tap) -> None:
    assert (await act("is_refused", key="sk-wrong"))["refused"] == 401
    assert not tap.lines
    await act("writes")
