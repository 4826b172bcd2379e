"""`openai-agents` for Python and `@openai/agents-realtime` for Node.js, over our WebSocket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from .conftest import COUNTED, HEARD, KEY, QUESTION, REPLY, WORD_MS, Sound
from .conversing import heard_in
from .programs import Programs, Seen, node, observed, python
from .tap import Tap

Act = Callable[..., Awaitable[Seen]]
COMMANDS = {
    "python": lambda: python("agents", "openai_agents"),
    "node": lambda: node("agents.mjs"),
}


@pytest.fixture(params=COMMANDS)
def act(request: pytest.FixtureRequest, tap: Tap, programs: Programs) -> Act:
    """Plays a scenario of tests/sdk/clients/openai_agents.py or of tests/sdk/node/agents.mjs.
    The client must see no error."""
    command = COMMANDS[request.param]()

    async def play(scenario: str, *, key: str = KEY, **options: object) -> Seen:
        url = f"ws://127.0.0.1:{tap.port}/v1/realtime?model=gpt-realtime"
        program = programs.get(command)
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
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_spoken_turn_over_the_telephone(act: Act, sound: Sound) -> None:
    path = str(sound(QUESTION, "pcm_mulaw", 8_000))
    seen = await act("speaks", sound=path, bytes_per_ms=8, format="g711_ulaw")
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]
    assert seen["sound_bytes"] / 8 == pytest.approx(len(REPLY.split()) * WORD_MS, abs=WORD_MS)


async def test_a_tool_call(act: Act, tap: Tap) -> None:
    seen = await act("calls_a_tool")
    ((city, days),) = seen["asked"]
    assert isinstance(city, str) and isinstance(days, int)
    (output,) = tap.line.sent_of("conversation.item.create")[1:]
    assert output["item"]["output"] == f"Sunny in {city}."
    asked, answered = [event["response"] for event in tap.line.told_of("response.done")]
    assert [item["type"] for item in asked["output"]] == ["function_call"]
    assert asked["output"][0]["call_id"] == output["item"]["call_id"]
    assert [item["type"] for item in answered["output"]] == ["message"]
    assert [each[0] for each in seen["history"]] == ["user", "look_up_weather", "assistant"]


async def test_speech_over_a_reply_ends_it(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("interrupts", sound=str(sound(QUESTION, late=True)))
    assert seen["interrupted"], "the client was not told to fall silent"
    assert heard_in(seen["cut"], "turn_detected")
    assert seen["history"][2:] == [["user", HEARD], ["assistant", REPLY]]
    # The client says how much it played, and the server has it so.
    (truncate,) = tap.line.sent_of("conversation.item.truncate")
    (truncated,) = tap.line.told_of("conversation.item.truncated")
    assert truncated["audio_end_ms"] == truncate["audio_end_ms"] > 0
    assert not tap.line.sent_of("response.cancel"), "the server's own cancelling was not believed"


async def test_a_cancelled_reply(act: Act, tap: Tap) -> None:
    seen = await act("stops")
    assert tap.line.sent_of("response.cancel")
    heard_in(seen["cut"], "client_cancelled")


async def test_push_to_talk(act: Act, tap: Tap, sound: Sound) -> None:
    seen = await act("pushes_to_talk", sound=str(sound(QUESTION)))
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]
    assert not tap.line.told_of("input_audio_buffer.speech_started")


async def test_calls_beside_each_other(act: Act, tap: Tap) -> None:
    seen = await act("talks_beside_others")
    assert seen["other"] == [["assistant", REPLY]]
    ((_, counted),) = seen["counted"]
    assert counted.split() == COUNTED[: len(counted.split())]
    assert len(tap.lines) == 2


async def test_a_client_secret(act: Act, secret: str) -> None:
    seen = await act("writes", key=secret)
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_wrong_key(act: Act, tap: Tap) -> None:
    assert (await act("is_refused", key="sk-wrong"))["refused"] == 401
    assert (await act("is_refused"))["refused"] == 0
