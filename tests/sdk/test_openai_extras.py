"""`openai`, the plain client: what fewer conversations need, and some could not do without."""

from __future__ import annotations

import base64
import json

import pytest

from .conftest import HEARD, QUESTION, REPLY, Sound
from .conversing import TRANSCRIBED, answered, counting, refused, words_in
from .script import Call, Player
from .tap import Event

IDLE_MS = 5_000


def weather_tool(name: str) -> dict[str, object]:
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {
        "type": "function", "name": name, "description": f"Tells the {name} of a city.",
        "parameters": city,
    }  # fmt: skip


def is_call(event: Event) -> bool:
    return bool(event["item"]["type"] == "function_call")


async def test_a_tool_call_there_and_back(player: Player) -> None:
    call = await player.call()
    call.update(tools=[weather_tool("weather")], tool_choice="required")
    told = (await call.until("session.updated"))["session"]
    assert [tool["name"] for tool in told["tools"]] == ["weather"]
    call.say("What is the weather in Paris?")
    call.send("response.create")
    item = (await call.until("conversation.item.added", is_call))["item"]
    assert (item["name"], item["status"]) == ("weather", "in_progress")
    spelt = await call.until("response.function_call_arguments.done")
    assert (spelt["name"], spelt["call_id"]) == ("weather", item["call_id"])
    assert json.loads(spelt["arguments"]) == {"city": "Paris"}
    deltas = call.of("response.function_call_arguments.delta")
    assert "".join(event["delta"] for event in deltas) == spelt["arguments"]
    (output,) = (await answered(call))["output"]
    assert (output["type"], output["call_id"]) == ("function_call", item["call_id"])
    assert output["arguments"] == spelt["arguments"]

    answer(call, item["call_id"], "Sunny.")
    call.send("response.create", response={"tool_choice": "none"})
    assert "Sunny." in words_in(await answered(call))


def answer(call: Call, call_id: str, output: str) -> None:
    result = {"type": "function_call_output", "call_id": call_id, "output": output}
    call.send("conversation.item.create", item=result)


async def test_several_tools_in_one_response(player: Player) -> None:
    call = await player.call()
    call.update(tools=[weather_tool("weather"), weather_tool("population")])
    await call.until("session.updated")
    call.say("What is the weather in Paris and the population of Rome?")
    call.send("response.create")
    asked = (await answered(call))["output"]
    assert [item["type"] for item in asked] == ["function_call"] * 2
    assert {item["name"] for item in asked} == {"weather", "population"}
    indexes = {event["output_index"] for event in call.of("response.output_item.done")}
    assert indexes == {0, 1}
    for item, output in zip(asked, ("Sunny.", "Three million."), strict=True):
        answer(call, item["call_id"], output)
    call.send("response.create")
    words = " ".join(words_in(await answered(call)))
    assert "Sunny" in words and "Three million" in words


async def test_a_response_outside_the_conversation(player: Player) -> None:
    call = await player.call()
    response_id = await counting(call)
    question = {"type": "input_text", "text": HEARD}
    aside = {
        "conversation": "none", "metadata": {"topic": "aside"}, "output_modalities": ["text"],
        "input": [{"type": "message", "role": "user", "content": [question]}],
    }  # fmt: skip
    call.send("response.create", response=aside)
    done = (await call.until("response.done"))["response"]
    assert (done["status"], done["metadata"]) == ("completed", {"topic": "aside"})
    assert words_in(done) == REPLY.split()
    call.send("response.cancel", response_id=response_id)
    cut = (await call.until("response.done"))["response"]
    assert (cut["id"], cut["status"]) == (response_id, "cancelled")
    added = {event["item"]["id"] for event in call.of("conversation.item.added")}
    assert not added & {item["id"] for item in done["output"]}


async def test_a_response_that_may_say_little(player: Player) -> None:
    call = await player.call()
    call.say("Please count.")
    short = {"max_output_tokens": 5, "output_modalities": ["text"]}
    call.send("response.create", response=short)
    done = (await call.until("response.done"))["response"]
    assert (done["status"], done["max_output_tokens"]) == ("incomplete", 5)
    assert done["status_details"]["reason"] == "max_output_tokens"
    assert 0 < len(words_in(done)) < 10


async def test_turns_that_a_model_judges(player: Player, sound: Sound) -> None:
    call = await player.call()
    judged = {"type": "semantic_vad", "eagerness": "high"}
    call.update(audio={"input": {"turn_detection": judged}})
    told = (await call.until("session.updated"))["session"]["audio"]["input"]["turn_detection"]
    assert (told["type"], told["eagerness"]) == ("semantic_vad", "high")
    call.speak(sound(QUESTION))
    assert words_in(await answered(call)) == REPLY.split()


async def test_turns_that_only_the_client_answers(player: Player, sound: Sound) -> None:
    call = await player.call()
    shy = {"type": "server_vad", "create_response": False}
    call.update(audio={"input": {"turn_detection": shy}})
    call.speak(sound(QUESTION))
    assert (await call.until(TRANSCRIBED))["transcript"] == HEARD
    assert not call.of("response.created")
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()


async def test_a_caller_who_says_nothing_is_spoken_to(player: Player) -> None:
    call = await player.call()
    waits = {"type": "server_vad", "idle_timeout_ms": IDLE_MS}
    call.update(audio={"input": {"turn_detection": waits}})
    call.say(HEARD)
    call.send("response.create")
    await answered(call)
    timeout = await call.until("input_audio_buffer.timeout_triggered")
    assert timeout["audio_end_ms"] >= timeout["audio_start_ms"]
    await answered(call)


async def test_sound_that_was_recorded_before(player: Player, sound: Sound) -> None:
    call = await player.call()
    recorded = base64.b64encode(sound(QUESTION).read_bytes()).decode()
    content = [{"type": "input_audio", "audio": recorded}]
    item = {"type": "message", "role": "user", "id": "item_recorded", "content": content}
    call.send("conversation.item.create", item=item)
    assert (await call.until("conversation.item.added"))["item"]["id"] == "item_recorded"
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()


async def test_what_cannot_be_asked_now(player: Player) -> None:
    call = await player.call()
    await counting(call)
    call.send("response.create", event_id="event_too_soon")
    assert await refused(call, "event_too_soon") == "conversation_already_has_active_response"
    call.send("conversation.item.truncate", item_id="item_unknown", content_index=0,
              audio_end_ms=0, event_id="event_unknown")  # fmt: skip
    assert await refused(call, "event_unknown") == "item_truncate_invalid_item_id"
    call.send("response.cancel")
    assert (await call.until("response.done"))["response"]["status"] == "cancelled"


@pytest.mark.parametrize("field", ["voice", "speed"])
async def test_a_voice_of_ones_own(player: Player, field: str) -> None:
    call = await player.call()
    wanted = {"voice": "cedar", "speed": 1.25}[field]
    call.update(audio={"output": {field: wanted}})
    told = (await call.until("session.updated"))["session"]["audio"]["output"]
    assert told[field] == wanted
    call.say(HEARD)
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()
