"""Tools: how they are configured, called and answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.speech import (
    CallPiece,
    FunctionCall,
    FunctionResult,
    ReplyCall,
    ReplyDone,
    ReplyText,
    Tool,
    Turn,
)
from voice_server.calls import events as ev
from voice_server.calls.realtime.checks import EVENT_BYTES_MAX
from voice_server.calls.realtime.tools import TOOLS_MAX

from .listener import Listener
from .talk import Talk

LOOK: dict[str, Any] = {"type": "function", "name": "look", "parameters": {"type": "object"}}
FIND: dict[str, Any] = {"type": "function", "name": "find", "description": "Finds it."}
CHOICE = {"type": "function", "name": "look"}
ADDED = ["response.output_item.added", "conversation.item.added"]
DELTA = "response.function_call_arguments.delta"
DONE = [
    "response.function_call_arguments.done", "response.output_item.done", "conversation.item.done",
]  # fmt: skip
RESULT = {
    "type": "conversation.item.create",
    "item": {"type": "function_call_output", "call_id": "c1", "output": "7"},
}


def talking(*, webrtc: bool = False, **session: object) -> Talk:
    talk = Talk(webrtc=webrtc).happen(ev.Connected())
    if session:
        talk.send({"type": "session.update", "session": {"type": "realtime", **session}})
    return talk.forget()


def calls(turn: int, call_id: str = "c1", name: str = "look") -> list[ev.Input]:
    return [ReplyCall(turn, CallPiece(call_id, name, piece)) for piece in ("", '{"a"', ":1}")]


class TestCalling:
    def test_in_its_order(self) -> None:
        talk = talking(tools=[LOOK]).say("Look.").create().forget()
        talk.happen(*calls(1), ReplyDone(1))
        assert talk.kinds == [*ADDED, DELTA, DELTA, *DONE, "response.done"]
        done = talk.listener.last(DONE[0])
        assert (done["call_id"], done["name"], done["arguments"]) == ("c1", "look", '{"a":1}')
        (output,) = talk.output
        assert output["type"] == "function_call"
        assert output["status"] == "completed"

    def test_words_first_and_two_calls_after_them(self) -> None:
        talk = talking(webrtc=True).create().forget().reply("Wait.", done=False)
        talk.happen(*calls(1), *calls(1, "c2", "find"), ReplyDone(1)).heard()
        assert talk.kinds == [
            *ADDED, "response.content_part.added", "response.output_audio_transcript.delta",
            "output_audio_buffer.started",
            *ADDED, DELTA, DELTA, *ADDED, DELTA, DELTA,
            "response.output_audio.done", "response.output_audio_transcript.done",
            "response.content_part.done", "response.output_item.done", "conversation.item.done",
            *DONE, *DONE, "response.done", "output_audio_buffer.stopped",
        ]  # fmt: skip
        added = [each for each in talk.listener.told if each["type"] == ADDED[0]]
        assert [each["output_index"] for each in added] == [0, 1, 2]
        output = talk.output
        assert [each["id"] for each in output] == [
            each["item"]["id"]  # type: ignore[index]
            for each in added
        ]

    def test_words_after_the_call_keep_its_place(self) -> None:
        talk = talking().create().happen(*calls(1)).reply("So.")
        output = talk.output
        assert [each["type"] for each in output] == ["function_call", "message"]
        message = talk.listener.last("response.content_part.added")
        assert message["output_index"] == 1

    def test_pieces_that_alternate_go_to_their_own_items(self) -> None:
        talk = talking().create().forget()
        pairs = zip(calls(1), calls(1, "c2", "find"), strict=True)
        talk.happen(*(each for pair in pairs for each in pair), ReplyDone(1))
        deltas: dict[object, str] = {}
        for each in talk.listener.told:
            if each["type"] == DELTA:
                deltas[each["call_id"]] = deltas.get(each["call_id"], "") + str(each["delta"])
        assert deltas == {"c1": '{"a":1}', "c2": '{"a":1}'}

    def test_a_call_that_was_cut_short_is_never_done(self) -> None:
        talk = talking().create().happen(*calls(1)[:2]).forget().send({"type": "response.cancel"})
        assert talk.kinds == [*DONE[1:], "response.done"]
        (output,) = talk.output
        assert output["status"] == "incomplete"
        assert output["arguments"] == '{"a"'
        assert talk.response["status"] == "cancelled"

    def test_nor_is_one_of_a_reply_that_became_too_long(self) -> None:
        talk = talking().create().forget().happen(*calls(1), ReplyDone(1, cut=True))
        assert "response.function_call_arguments.done" not in talk.kinds
        assert talk.response["status"] == "incomplete"
        talk.create()
        assert talk.asked.history == (Turn("", ""),)

    def test_interrupted_by_speech_it_is_no_call(self) -> None:
        listener = Listener()
        listener.act(ev.ReplyStarted(1), ev.Called(1, CallPiece("c1", "look", "{")))
        listener.act(ev.SpeechStarted(2, 0))
        listener.act(ev.ReplyFinished(1, "cancelled", "turn_detected", "", 0))
        assert "response.function_call_arguments.done" not in listener.kinds

    def test_outside_of_the_conversation(self) -> None:
        talk = talking().create(conversation="none", output_modalities=["text"]).forget()
        talk.happen(*calls(1), ReplyDone(1))
        added, done = ADDED[0], DONE[:2]
        assert talk.kinds == [added, DELTA, DELTA, *done, "response.done"]
        item = talk.listener.last("response.output_item.done")["item"]
        assert isinstance(item, dict)
        talk.send({"type": "conversation.item.retrieve", "item_id": item["id"]})
        assert talk.error == "item_retrieve_invalid_item_id"

    def test_arguments_count_as_output(self) -> None:
        talk = talking().create().happen(*calls(1), ReplyDone(1))
        usage = talk.response["usage"]
        assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 0}


class TestResults:
    def test_a_result_is_an_item_and_reaches_the_engine(self) -> None:
        talk = talking().say("Look.").create().happen(*calls(1), ReplyDone(1)).forget()
        talk.send(RESULT).create()
        assert talk.kinds == [
            "conversation.item.added", "conversation.item.done", "response.created",
        ]  # fmt: skip
        call = FunctionCall("c1", "look", '{"a":1}')
        assert talk.asked.history == (
            Turn("Look.", "", calls=(call,)), FunctionResult("c1", "7"), Turn("", ""),
        )  # fmt: skip

    def test_while_the_filler_sounds(self) -> None:
        talk = talking(webrtc=True).create().reply("One moment.", done=False)
        talk.happen(*calls(1), ReplyDone(1)).forget().send(RESULT).create()
        assert talk.kinds == ["conversation.item.added", "conversation.item.done"]
        talk.heard()
        assert talk.kinds[2:] == ["output_audio_buffer.stopped", "response.created"]
        assert talk.asked.history[-2:] == (FunctionResult("c1", "7"), Turn("", ""))

    def test_while_a_client_plays_it_from_its_own_buffer(self) -> None:
        talk = talking().create().reply("One moment.", done=False)
        talk.happen(*calls(1), ReplyDone(1)).forget().send(RESULT).create()
        assert talk.kinds[-1] == "response.created"

    def test_a_call_that_was_deleted_is_forgotten(self) -> None:
        talk = talking().say("Look.").create().reply("Wait.", done=False)
        talk.happen(*calls(1), ReplyDone(1))
        output = talk.output
        talk.delete(output[1]["id"]).heard().create()
        assert talk.asked.history == (Turn("Look.", "Wait."), Turn("", ""))

    def test_a_past_with_tools_is_restored(self) -> None:
        call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"}
        talk = talking().say("Look.")
        talk.send({"type": "conversation.item.create", "item": call}, RESULT).create()
        made = FunctionCall("c1", "look", "{}")
        assert talk.asked.history == (
            Turn("Look.", "", calls=(made,)), FunctionResult("c1", "7"), Turn("", ""),
        )  # fmt: skip


class TestConfiguring:
    def test_the_engine_is_told_of_them(self) -> None:
        listener = Listener()
        (changed,) = listener.update(
            tools=[LOOK, FIND], tool_choice=CHOICE, parallel_tool_calls=False
        ).inputs
        assert isinstance(changed, ev.SettingsChanged)
        settings = changed.settings
        assert settings.tools == (Tool("look", "", '{"type":"object"}'), Tool("find", "Finds it."))
        assert (settings.tool_choice, settings.tool_named) == ("required", "look")
        assert not settings.parallel_tools
        session = listener.last("session.updated")["session"]
        assert isinstance(session, dict)
        assert session["tools"] == [LOOK, FIND]
        assert session["tool_choice"] == CHOICE

    @pytest.mark.parametrize("choice", ["none", "auto", "required"])
    def test_choices_in_a_word(self, choice: str) -> None:
        listener = Listener()
        listener.update(tools=[LOOK], tool_choice=choice)
        assert listener.dialect.settings.tool_choice == choice
        assert listener.dialect.settings.tool_named == ""

    def test_a_tool_that_is_not_there_cannot_be_chosen(self) -> None:
        listener = Listener()
        listener.update(tools=[FIND], tool_choice=CHOICE)
        assert listener.error()["param"] == "session.tool_choice"
        assert listener.dialect.settings.tools == ()
        listener.update(tools=[LOOK, FIND], tool_choice=CHOICE)
        listener.update(tool_choice={"type": "function", "name": "fly"})
        assert listener.error()["code"] == "invalid_value"
        assert listener.dialect.settings.tool_named == "look"

    @pytest.mark.parametrize("left", [[FIND], [], None])
    def test_when_it_is_taken_away_nothing_must_be_called(self, left: object) -> None:
        listener = Listener()
        listener.update(tools=[LOOK], tool_choice=CHOICE)
        listener.update(tools=left)
        session = listener.last("session.updated")["session"]
        assert isinstance(session, dict)
        assert (session["tools"], session["tool_choice"]) == (left or [], "auto")
        assert (listener.dialect.settings.tool_choice, listener.dialect.settings.tool_named) == (
            "auto", "",
        )  # fmt: skip

    def test_null_is_the_usual(self) -> None:
        listener = Listener()
        listener.update(tools=[LOOK], tool_choice="required", parallel_tool_calls=False)
        listener.update(tools=None, tool_choice=None, parallel_tool_calls=None)
        assert listener.dialect.settings == listener.settings

    @pytest.mark.parametrize(
        "tools",
        [
            "look", [1], [{"name": ""}], [{"name": "  "}], [{}], [{"name": None}],
            [{"type": "mcp", "server_label": "x"}], [{"name": "x" * 300}], [{"name": "a\0"}],
            [{**LOOK, "parameters": []}], [{**LOOK, "description": 1}], [LOOK] * (TOOLS_MAX + 1),
            [{**LOOK, "parameters": {"x": "y" * EVENT_BYTES_MAX * 4}}],
        ],
    )  # fmt: skip
    def test_what_is_no_tool(self, tools: object) -> None:
        listener = Listener()
        assert listener.update(tools=tools).inputs == ()
        assert listener.told[-1]["type"] == "error"
        assert listener.dialect.settings.tools == ()

    def test_a_schema_may_be_deep_but_not_endless(self) -> None:
        def nested(levels: int) -> dict[str, Any]:
            schema: dict[str, Any] = {"type": "string"}
            for _ in range(levels):
                schema = {"type": "object", "properties": {"a": schema}}
            return schema

        listener = Listener()
        listener.update(tools=[{**LOOK, "parameters": nested(12)}])
        (tool,) = listener.dialect.settings.tools
        assert json.loads(tool.parameters) == nested(12)
        listener.update(tools=[{**LOOK, "parameters": nested(50)}])
        assert listener.error()["code"] == "event_too_deep"
        assert listener.dialect.settings.tools == (tool,)


class TestForOneResponse:
    def test_its_own_tools_and_choice(self) -> None:
        talk = talking(tools=[LOOK])
        talk.create(tools=[FIND], tool_choice={"type": "function", "name": "find"})
        settings = talk.asked.settings
        assert settings is not None
        assert settings.tools == (Tool("find", "Finds it."),)
        assert (settings.tool_choice, settings.tool_named) == ("required", "find")
        talk.send({"type": "response.cancel"}).create()
        assert talk.asked.settings is None

    def test_a_choice_among_those_of_the_session(self) -> None:
        talk = talking(tools=[LOOK, FIND]).create(tool_choice=CHOICE)
        settings = talk.asked.settings
        assert settings is not None
        assert settings.tool_named == "look"
        assert len(settings.tools) == 2

    def test_no_tools_at_all(self) -> None:
        talk = talking(tools=[LOOK], tool_choice=CHOICE).create(tools=[])
        settings = talk.asked.settings
        assert settings is not None
        assert (settings.tools, settings.tool_choice, settings.tool_named) == ((), "auto", "")
        talk.happen(ReplyText(1, "x"), ReplyDone(1)).create(tool_choice="none")
        settings = talk.asked.settings
        assert settings is not None
        assert (len(settings.tools), settings.tool_choice) == (1, "none")

    def test_a_choice_of_what_is_not_there(self) -> None:
        talk = talking(tools=[FIND]).create(tool_choice=CHOICE)
        assert talk.error == "invalid_value"
        assert talk.listener.error()["param"] == "response.tool_choice"
        assert talk.call.turn == 0
