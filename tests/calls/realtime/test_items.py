"""The items of a conversation: made, placed, found, cut and forgotten."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from engines.speech import CallPiece, FunctionCall, FunctionResult, Note, OpusFrame
from voice_server.calls import events as ev
from voice_server.calls.realtime.items import words_of

from .listener import Listener

FRAME = OpusFrame(b"x")


def create(listener: Listener, item: dict[str, Any], **fields: object) -> tuple[ev.Input, ...]:
    event = {"type": "conversation.item.create", "event_id": "e", "item": item, **fields}
    return listener.send(event).inputs


def text(role: str, words: str, **fields: object) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": words}]
    return {"type": "message", "role": role, "content": content, **fields}


class TestCreating:
    def test_a_client_id_is_kept_and_others_are_given(self) -> None:
        listener = Listener()
        create(listener, text("user", "Hi", id="mine"))
        assert listener.told[-1]["item"]["id"] == "mine"  # type: ignore[index]
        create(listener, text("user", "Ho"))
        assert listener.told[-1]["previous_item_id"] == "mine"
        assert str(listener.told[-1]["item"]["id"]).startswith("item_")  # type: ignore[index]

    @pytest.mark.parametrize("role", ["user", "system", "assistant"])
    def test_what_is_said_reaches_the_memory_of_the_call(self, role: str) -> None:
        added = ev.Added("mine", Note(role, "Hi"))
        assert create(Listener(), text(role, " Hi ", id="mine")) == (added,)

    def test_tools_reach_the_memory_of_the_call(self) -> None:
        listener = Listener()
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "id": "a"}
        result = {"type": "function_call_output", "call_id": "c", "output": "7", "id": "b"}
        assert create(listener, call) == (ev.Added("a", FunctionCall("c", "f", "{}")),)
        assert create(listener, result) == (ev.Added("b", FunctionResult("c", "7")),)

    def test_a_place_among_what_was_said(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900), ev.FinalText(1, "Hi", "Hi"))
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "Yes?"), ev.ReplyMade(1))
        heard, said = listener.dialect._items._order
        note = Note("user", "x")
        for item_id, previous, after in (
            ("a", heard, ev.Spoken(1, "Hi")), ("b", said, None), ("c", said, ev.Replied(1)),
            ("d", "root", ev.FIRST), ("e", "a", "a"),
        ):  # fmt: skip
            place = {"previous_item_id": previous}
            added = create(listener, text("user", "x", id=item_id), **place)
            assert added == (ev.Added(item_id, note, after),)

    def test_what_is_deleted_is_forgotten(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900), ev.FinalText(1, "Hi", "Hi"))
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "Yes?"))
        listener.act(ev.Called(1, CallPiece("c", "f", "{}")), ev.ReplyMade(1))
        create(listener, text("user", "x", id="mine"))
        forgotten: list[ev.Source] = [
            ev.Spoken(1, "Hi"), ev.Replied(1), ev.CalledIn(1, "c"), "mine"
        ]  # fmt: skip
        for item_id, source in zip(list(listener.dialect._items._order), forgotten, strict=True):
            delete = {"type": "conversation.item.delete", "item_id": item_id}
            assert listener.send(delete).inputs == (ev.Forgotten(source),)

    def test_parts_are_read_together(self) -> None:
        listener = Listener()
        item = text("user", "One")
        item["content"].append({"type": "input_audio", "transcript": "two"})
        (added,) = create(listener, item)
        assert isinstance(added, ev.Added) and added.entry == Note("user", "One\ntwo")

    def test_function_items_are_kept(self) -> None:
        listener = Listener()
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        create(listener, call)
        create(listener, {"type": "function_call_output", "call_id": "c", "output": ""})
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        assert item["call_id"] == "c"

    def test_places(self) -> None:
        listener = Listener()
        for item_id, previous in (("a", None), ("b", None), ("c", "root"), ("d", "a")):
            place = {"previous_item_id": previous} if previous else {}
            create(listener, text("user", "x", id=item_id), **place)
        assert listener.dialect._items._order == ["c", "a", "d", "b"]
        assert [e["previous_item_id"] for e in listener.told[1::2]] == [None, "a", None, "a"]

    @pytest.mark.parametrize(
        ("item", "code"),
        [
            (text("user", "x", id="taken"), "item_create_duplicate_item_id"),
            (text("user", "x", id="root"), "item_create_duplicate_item_id"),
            (text("user", "x", id=""), "invalid_value"),
            (text("user", "x", id="x" * 129), "string_above_max_length"),
            (text("robot", "x"), "invalid_value"),
            ({"type": "message", "content": []}, "missing_required_parameter"),
            ({"type": "message", "role": "user"}, "missing_required_parameter"),
            ({"type": "message", "role": "user", "content": "x"}, "invalid_type"),
            ({"type": "message", "role": "user", "content": [5]}, "invalid_type"),
            ({"type": "mcp_call"}, "invalid_value"),
            ({"type": "function_call_output", "output": ""}, "missing_required_parameter"),
            (
                {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
                "invalid_value",
            ),
            (
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_audio", "audio": "AAAA"}],
                },
                "invalid_value",
            ),
            (
                {"type": "message", "role": "user", "content": [{"type": "input_text"}]},
                "missing_required_parameter",
            ),
            (text("user", "x" * 65_537), "string_above_max_length"),
        ],
    )
    def test_what_cannot_be(self, item: dict[str, Any], code: str) -> None:
        listener = Listener()
        create(listener, text("user", "x", id="taken"))
        listener.forget()
        assert create(listener, item) == ()
        assert listener.kinds == ["error"]
        assert listener.error()["code"] == code
        assert listener.error()["event_id"] == "e"

    def test_after_an_item_that_is_not_there(self) -> None:
        listener = Listener()
        create(listener, text("user", "x"), previous_item_id="nowhere")
        assert listener.error()["param"] == "previous_item_id"
        assert len(listener.dialect._items) == 0


class TestFinding:
    def test_delete(self) -> None:
        listener = Listener()
        create(listener, text("user", "x", id="a"))
        listener.send({"type": "conversation.item.delete", "item_id": "a"})
        assert listener.kinds[-1] == "conversation.item.deleted"
        create(listener, text("user", "x", id="a"))
        assert listener.kinds[-1] == "conversation.item.done"

    @pytest.mark.parametrize("doing", ["delete", "retrieve", "truncate"])
    def test_what_is_not_there(self, doing: str) -> None:
        listener = Listener()
        where = {"content_index": 0, "audio_end_ms": 0} if doing == "truncate" else {}
        listener.send(
            {
                "type": f"conversation.item.{doing}",
                "item_id": "nowhere",
                "event_id": "rci_nowhere",
                **where,
            }
        )
        assert listener.error()["code"] == f"item_{doing}_invalid_item_id"
        assert listener.error()["event_id"] == "rci_nowhere"

    def test_a_reply_whose_item_was_deleted_goes_on(self) -> None:
        listener = Listener()
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "Hello."))
        item_id = listener.last("response.output_item.added")["item"]["id"]  # type: ignore[index]
        listener.send({"type": "conversation.item.delete", "item_id": item_id})
        listener.act(ev.ReplySaid(1, "World."), ev.ReplyMade(1))
        assert "conversation.item.done" not in listener.kinds
        assert listener.kinds[-1] == "response.done"


class TestTruncating:
    def spoken(self) -> tuple[Listener, str]:
        listener = Listener()
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "one two three four"))
        listener.act(*[ev.Play(1, FRAME)] * 20, ev.ReplyMade(1))
        item = listener.last("response.output_item.added")["item"]
        assert isinstance(item, dict)
        return listener, str(item["id"])

    def truncate(self, listener: Listener, item_id: str, **fields: object) -> tuple[ev.Input, ...]:
        event = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0}
        return listener.send({**event, "audio_end_ms": 200, **fields}).inputs

    def words(self, listener: Listener, item_id: str) -> str:
        listener.send({"type": "conversation.item.retrieve", "item_id": item_id})
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        return str(item["content"][0]["transcript"])

    def test_the_call_is_told_and_unheard_words_are_gone(self) -> None:
        listener, item_id = self.spoken()
        assert self.truncate(listener, item_id) == (ev.Truncated(1, 200),)
        told = listener.told[-1]
        assert told["type"] == "conversation.item.truncated"
        assert told["audio_end_ms"] == 200
        assert self.words(listener, item_id) == "one two"

    def test_at_nothing_no_word_is_left(self) -> None:
        listener, item_id = self.spoken()
        self.truncate(listener, item_id, audio_end_ms=0)
        assert self.words(listener, item_id) == ""

    def test_what_the_server_heard_later_is_the_truth(self) -> None:
        listener, item_id = self.spoken()
        self.truncate(listener, item_id)
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "one", 180))
        assert self.words(listener, item_id) == "one"

    def test_a_cancellation_beside_it_is_no_mistake(self) -> None:
        """The published agents clients send both when their user interrupts."""
        for told_first in (True, False):
            listener = Listener()
            listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "one two"), ev.Play(1, FRAME))
            (item_id,) = listener.laws.items
            self.truncate(listener, item_id, audio_end_ms=20)
            ended = ev.ReplyFinished(1, "cancelled", "client_cancelled", "one", 20)
            listener.act(*[ended] * told_first)
            assert listener.send({"type": "response.cancel"}).inputs == ()
            listener.act(*[ended] * (not told_first))
            assert "error" not in listener.kinds
            listener.send({"type": "response.cancel"})
            assert listener.error()["code"] == "response_cancel_not_active"

    def test_while_the_response_is_in_progress(self) -> None:
        listener = Listener()
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "one two"), ev.Play(1, FRAME))
        item = listener.last("response.output_item.added")["item"]
        assert isinstance(item, dict)
        inputs = self.truncate(listener, str(item["id"]), audio_end_ms=10)
        assert inputs == (ev.Truncated(1, 10),)
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "one", 10))
        assert self.words(listener, str(item["id"])) == "one"

    @pytest.mark.parametrize(
        "fields",
        [
            {"audio_end_ms": 2_000}, {"audio_end_ms": -1}, {"audio_end_ms": "1"},
            {"audio_end_ms": None}, {"content_index": 1}, {"content_index": None},
        ],
    )  # fmt: skip
    def test_where_it_cannot_be_cut(self, fields: dict[str, object]) -> None:
        listener, item_id = self.spoken()
        assert self.truncate(listener, item_id, **fields) == ()
        assert listener.kinds[-1] == "error"
        assert self.words(listener, item_id) == "one two three four"

    def test_only_what_was_said_aloud(self) -> None:
        listener = Listener()
        create(listener, text("assistant", "x", id="a"))
        assert self.truncate(listener, "a") == ()
        assert listener.error()["param"] == "item_id"

    def test_on_a_track_it_is_told_only_once(self) -> None:
        listener = Listener(webrtc=True)
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "one"), ev.Play(1, FRAME))
        listener.act(ev.ReplyMade(1))
        item = listener.last("response.output_item.added")["item"]
        assert isinstance(item, dict)
        self.truncate(listener, str(item["id"]), audio_end_ms=10)
        listener.forget()
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "", 10))
        assert listener.kinds == ["output_audio_buffer.cleared"]


def recording(ms: int, **item: object) -> dict[str, object]:
    audio = base64.b64encode(bytes(ms * 48)).decode()
    content = [{"type": "input_audio", "audio": audio}]
    body = {"type": "message", "role": "user", "content": content, **item}
    return {"type": "conversation.item.create", "item": body}


class TestRecorded:
    def test_the_words_of_a_recording_come_later(self) -> None:
        listener = Listener()
        listener.forget()
        received = listener.send(recording(2_000, id="mine"))
        assert received.recorded == (ev.Recorded("mine", ()), bytes(96_000))
        assert received.inputs == ()
        assert listener.kinds == ["conversation.item.added", "conversation.item.done"]
        listener.act(ev.RecordingHeard("mine", "Hello there", ""))
        completed = listener.told[-1]
        assert completed["transcript"] == "Hello there"
        assert completed["usage"] == {"type": "duration", "seconds": 2.0}
        listener.send({"type": "conversation.item.retrieve", "item_id": "mine"})
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        assert item["content"] == [{"type": "input_audio", "transcript": "Hello there"}]

    def test_text_beside_it_stays(self) -> None:
        listener, event = Listener(), recording(100, id="mine")
        item = event["item"]
        assert isinstance(item, dict)
        item["content"].insert(0, {"type": "input_text", "text": "Listen:"})
        assert listener.send(event).recorded == (ev.Recorded("mine", (), "Listen:"), bytes(4_800))
        listener.act(ev.RecordingHeard("mine", "hm", ""))
        body = listener.dialect._items.find("mine", "retrieve").body
        assert words_of(body) == "Listen:\nhm"

    def test_that_could_not_be_heard(self) -> None:
        listener = Listener()
        listener.send(recording(500, id="mine"))
        listener.act(ev.RecordingHeard("mine", "", "no ears"))
        assert listener.told[-1]["type"].endswith("transcription.failed")  # type: ignore[attr-defined]

    def test_nothing_is_told_of_its_words_when_transcripts_are_off(self) -> None:
        listener = Listener()
        listener.update(audio={"input": {"transcription": None}})
        listener.send(recording(500, id="mine"))
        listener.forget()
        listener.act(ev.RecordingHeard("mine", "Hello", ""))
        assert listener.told == []

    @pytest.mark.parametrize("ms", [0, 60_100])
    def test_too_much_or_nothing(self, ms: int) -> None:
        listener = Listener()
        received = listener.send(recording(ms))
        assert (received.recorded, received.inputs) == (None, ())
        assert listener.kinds[-1] == "error"

    @pytest.mark.parametrize("audio", [5, "no base64!", "AA==", []])
    def test_what_is_no_sound(self, audio: object) -> None:
        listener = Listener()
        content = [{"type": "input_audio", "audio": audio}]
        item = {"type": "message", "role": "user", "content": content}
        received = listener.send({"type": "conversation.item.create", "item": item})
        assert (received.recorded, received.inputs) == (None, ())
        assert listener.kinds[-1] == "error"

    def test_one_at_a_time(self) -> None:
        listener, event = Listener(), recording(100)
        item = event["item"]
        assert isinstance(item, dict)
        item["content"] *= 2
        assert listener.send(event).recorded is None
        assert listener.kinds[-1] == "error"
