"""What a client is told of replies whose items are deleted, cut or asked for by silence; and that
it believes of the conversation what the engine is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from engines.speech import (
    CallPiece,
    Note,
    OpusFrame,
    ReplyAudio,
    ReplyCall,
    ReplyDone,
    ReplyText,
    ReplyWord,
    Respond,
    Turn,
    WordTime,
)
from voice_server.calls import events as ev
from voice_server.calls.realtime.replies import REPLIES_MAX

from ..playbook import final, says, silent
from .listener import Listener
from .talk import Talk

COMMITTED = [
    "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
]  # fmt: skip
ITEM_BEGUN = [
    "response.output_item.added", "conversation.item.added", "response.content_part.added",
    "response.output_audio_transcript.delta",
]  # fmt: skip
SOUND_DONE = [
    "response.output_audio.done", "response.output_audio_transcript.done",
    "response.content_part.done", "response.output_item.done",
]  # fmt: skip
DELTA = "response.output_audio.delta"


def talking(*, webrtc: bool = False, **detection: object) -> Talk:
    talk = Talk(webrtc=webrtc).happen(ev.Connected())
    if detection:
        session = {"audio": {"input": {"turn_detection": detection}}}
        talk.send({"type": "session.update", "session": {"type": "realtime", **session}})
    return talk.forget()


def hears(talk: Talk, *events: ev.Input) -> Talk:
    for event in events:
        talk.now_ms += 32
        talk.happen(event)
    return talk


def committed(talk: Talk) -> str:
    return str(talk.listener.last("input_audio_buffer.committed")["item_id"])


class TestIdle:
    def test_in_its_order(self) -> None:
        talk = talking(type="server_vad", idle_timeout_ms=5_000)
        talk.say("Hello").create().reply("Hi.").heard().forget()
        hears(talk, *silent(4_900))
        talk.after(1_000).reply("Are you there?")
        assert talk.kinds == [
            "input_audio_buffer.timeout_triggered", *COMMITTED, "response.created", *ITEM_BEGUN,
            DELTA, *SOUND_DONE, "conversation.item.done", "response.done",
        ]  # fmt: skip
        timed_out = talk.listener.told[0]
        assert (timed_out["audio_start_ms"], timed_out["audio_end_ms"]) == (0, 4_928)
        assert timed_out["item_id"] == committed(talk)
        assert talk.asked.history == (Turn("Hello", "Hi."), Turn("", ""))

    def test_the_silence_is_an_item_that_can_be_deleted(self) -> None:
        talk = talking(type="server_vad", idle_timeout_ms=5_000).create().reply("Hi.").heard()
        talk.after(5_000).reply("Well?").delete(committed(talk)).heard().create()
        assert "conversation.item.deleted" in talk.kinds
        assert talk.asked.history == (Turn("", "Hi."), Turn("", "Well?"), Turn("", ""))

    @pytest.mark.parametrize(
        "off", [{"idle_timeout_ms": None}, {"type": "semantic_vad"}, {"create_response": False}]
    )
    def test_turned_off_nobody_is_prompted(self, off: dict[str, Any]) -> None:
        talk = talking(type="server_vad", idle_timeout_ms=5_000).create().reply("Hi.").heard()
        session = {"type": "realtime", "audio": {"input": {"turn_detection": off}}}
        talk.send({"type": "session.update", "session": session}).forget().after(20_000)
        assert talk.kinds == []

    def test_nor_by_a_client_that_marks_utterances_itself(self) -> None:
        talk = talking(type="server_vad", idle_timeout_ms=5_000).create().reply("Hi.").heard()
        session = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        talk.send({"type": "session.update", "session": session}).forget().after(20_000)
        assert talk.kinds == []


class TestDeleting:
    @pytest.mark.parametrize("webrtc", [True, False])
    def test_what_is_being_said(self, webrtc: bool) -> None:
        talk = talking(webrtc=webrtc).say("Hello").create().reply("One", done=False)
        item_id = str(talk.listener.last("response.output_item.added")["item"]["id"])  # type: ignore[index]
        talk.forget().delete(item_id).reply("two").heard()
        stopped = ["output_audio_buffer.stopped"] if webrtc else []
        delta = [] if webrtc else [DELTA]
        assert talk.kinds == [
            "conversation.item.deleted", "response.output_audio_transcript.delta", *delta,
            *SOUND_DONE, "response.done", *stopped,
        ]  # fmt: skip
        talk.create()
        assert talk.asked.history == (Turn("Hello", ""),)

    def test_what_still_sounds(self) -> None:
        talk = talking(webrtc=True).say("Hello").create().reply("One", frames=50)
        talk.delete(talk.output[0]["id"]).heard().create()
        assert talk.asked.history == (Turn("Hello", ""),)

    def test_a_call_that_is_being_written(self) -> None:
        talk = talking().say("Hello").create().happen(ReplyCall(1, CallPiece("c", "f", "{")))
        item = talk.listener.last("response.output_item.added")["item"]
        assert isinstance(item, dict)
        talk.forget().delete(item["id"])
        talk.happen(ReplyCall(1, CallPiece("c", "f", "}")), ReplyDone(1))
        assert talk.kinds == [
            "conversation.item.deleted", "response.function_call_arguments.delta",
            "response.function_call_arguments.done", "response.output_item.done", "response.done",
        ]  # fmt: skip
        talk.create()
        assert talk.asked.history == (Turn("Hello", ""),)

    def test_its_id_may_be_taken_by_something_else(self) -> None:
        talk = talking().create().reply("One", done=False)
        item = talk.listener.last("response.output_item.added")["item"]
        assert isinstance(item, dict)
        talk.delete(item["id"]).say("mine", id=item["id"]).forget().reply("two").heard()
        assert "conversation.item.done" not in talk.kinds
        talk.send({"type": "conversation.item.retrieve", "item_id": item["id"]})
        told = talk.listener.last("conversation.item.retrieved")["item"]
        assert isinstance(told, dict)
        assert told["role"] == "user"

    @pytest.mark.parametrize("told", [True, False])
    def test_what_was_said(self, told: bool) -> None:
        talk = talking()
        if not told:
            session = {"type": "realtime", "audio": {"input": {"transcription": None}}}
            talk.send({"type": "session.update", "session": session})
        hears(talk, *says(320), *silent(600), final(1, "secret"))
        talk.reply("One").heard().delete(committed(talk)).create()
        assert talk.asked.history == (Turn("", "One"), Turn("", ""))

    def test_what_was_said_before_its_words_are_known(self) -> None:
        talk = hears(talking(), *says(320), *silent(600))
        talk.delete(committed(talk)).happen(final(1, "secret")).create()
        assert talk.asked == Respond(2, (Turn("", ""),))

    def test_what_was_said_and_went_on_in_the_next_turn(self) -> None:
        talk = hears(talking(), *says(320), *silent(600), final(1, "my name is"))
        first = committed(talk)
        hears(talk, *says(320), *silent(1_200), final(2, "John"))
        assert talk.asked == Respond(2, (Turn("my name is John", ""),))
        talk.reply("Hi.").heard().delete(first).create()
        assert talk.asked.history == (Turn("John", "Hi."), Turn("", ""))

    def test_what_could_not_be_heard_takes_no_words_with_it(self) -> None:
        talk = talking()
        talk.listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 500), ev.Failed(1, "503"))
        event = {"type": "conversation.item.delete", "item_id": committed(talk)}
        assert talk.listener.send(event).inputs == (ev.Forgotten(ev.Spoken(1, "")),)

    def test_a_cough_takes_no_words_with_it(self) -> None:
        talk = hears(talking(), *says(320), *silent(600), final(1, ""))
        cough = committed(talk)
        hears(talk, *says(320), *silent(600)).delete(cough).happen(final(2, "Hello"))
        assert talk.asked.history == (Turn("Hello", ""),)


class TestTruncating:
    def truncate(self, talk: Talk, item_id: object, ms: int) -> Talk:
        return talk.send({
            "type": "conversation.item.truncate", "item_id": item_id, "content_index": 0,
            "audio_end_ms": ms,
        })  # fmt: skip

    def test_a_past_reply_is_cut_in_the_next_history(self) -> None:
        talk = talking().create().reply("one two three four", frames=20).heard()
        self.truncate(talk, talk.output[0]["id"], 200).create()
        assert talk.kinds[-2:] == ["conversation.item.truncated", "response.created"]
        assert talk.asked.history == (Turn("", "one two", interrupted=True), Turn("", ""))

    def test_the_client_believes_what_the_engine_is_told(self) -> None:
        """To the word, although the dialect knows nothing of where the words lie."""
        talk = talking().create().reply("one", frames=20, done=False)
        words = [ReplyWord(1, WordTime(0, 3, 0)), ReplyWord(1, WordTime(4, 9, 20))]
        sound = [ReplyAudio(1, OpusFrame(b"x"))] * 10
        talk.happen(ReplyText(1, "two three four"), *words, *sound, ReplyDone(1)).heard()
        item_id = talk.output[0]["id"]
        self.truncate(talk, item_id, 415).create()
        talk.send({"type": "conversation.item.retrieve", "item_id": item_id})
        item: Any = talk.listener.last("conversation.item.retrieved")["item"]
        said = talk.asked.history[0]
        assert isinstance(said, Turn)
        assert item["content"][0]["transcript"] == said.agent == "one"

    def test_one_that_is_not_of_the_conversation(self) -> None:
        talk = talking().create(conversation="none").reply("one two", frames=20)
        self.truncate(talk.heard(), talk.output[0]["id"], 200)
        assert talk.error == "item_truncate_invalid_item_id"

    def test_one_that_was_deleted(self) -> None:
        talk = talking().create().reply("one two", frames=20).heard()
        item_id = talk.output[0]["id"]
        self.truncate(talk.delete(item_id), item_id, 200)
        assert talk.error == "item_truncate_invalid_item_id"

    def test_what_was_written_cannot_be_cut(self) -> None:
        talk = talking().create(output_modalities=["text"]).reply("one two", frames=0)
        self.truncate(talk, talk.output[0]["id"], 0)
        assert talk.error == "invalid_value"


class TestPlaces:
    def test_behind_what_was_said_and_before_the_answer(self) -> None:
        talk = hears(talking(create_response=False), *says(320), *silent(600), final(1, "one"))
        talk.say("two").create().reply("Yes.").heard().create()
        assert talk.asked.history == (Turn("one two", "Yes."), Turn("", ""))

    def test_in_the_order_of_the_items(self) -> None:
        """The engine is told what is added in the midst of a turn where the client sees it."""
        talk = hears(talking(create_response=False), *says(320), *silent(600))
        talk.say("two", id="b").happen(final(1, "one")).create().say("four", id="d")
        talk.reply("Yes.").send({
            "type": "conversation.item.create", "previous_item_id": "d",
            "item": {"type": "message", "role": "system",
                     "content": [{"type": "input_text", "text": "s"}]},
        }).say("five").heard().create()  # fmt: skip
        assert talk.asked.history == (
            Turn("one two", "Yes."), Note("system", "s"), Turn("four five", ""),
        )  # fmt: skip
        roles = [item.body.get("role") for item in talk.listener.dialect._items._items.values()]
        assert len(roles) == 6

    def test_between_two_that_came_later(self) -> None:
        talk = talking().create().reply("One", done=False).say("two", id="a").say("four")
        talk.send({
            "type": "conversation.item.create", "previous_item_id": "a",
            "item": {"type": "message", "role": "user",
                     "content": [{"type": "input_text", "text": "three"}]},
        }).happen(ReplyDone(1)).heard().create()  # fmt: skip
        assert talk.asked.history[-1] == Turn("two three four", "")


def test_old_replies_are_forgotten_and_never_one_that_is_not_done() -> None:
    listener = Listener()
    listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "One"))
    for turn in range(2, REPLIES_MAX * 2):
        listener.act(ev.ReplyStarted(turn), ev.ReplySaid(turn, "x"), ev.ReplyMade(turn))
        assert len(listener.dialect._replies._replies) <= REPLIES_MAX
    assert listener.dialect._replies.of(1) is None
