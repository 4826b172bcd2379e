"""One response: what may be asked of it, and what it says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from engines.speech import EngineFailed, Note, ReplyDone, ReplyText, Respond, Turn
from voice_server.calls import events as ev
from voice_server.calls.asides import ASIDES_MAX
from voice_server.calls.realtime.dialect import ASKS_MAX, CONTEXT_ITEMS_MAX

from ..playbook import final
from .listener import Listener
from .talk import FRAMES, Talk

ASIDE: dict[str, Any] = {"conversation": "none", "output_modalities": ["text"]}
WRITTEN = [
    "response.output_item.added", "response.content_part.added", "response.output_text.delta",
    "response.output_text.done", "response.content_part.done", "response.output_item.done",
    "response.done",
]  # fmt: skip
IN_CONVERSATION = [
    "response.output_item.added", "conversation.item.added", "response.content_part.added",
    "response.output_text.delta", "response.output_text.done", "response.content_part.done",
    "response.output_item.done", "conversation.item.done", "response.done",
]  # fmt: skip
SOUND_DONE = [
    "response.output_audio.done", "response.output_audio_transcript.done",
    "response.content_part.done", "response.output_item.done",
]  # fmt: skip


def talking(*, webrtc: bool = False, **session: object) -> Talk:
    talk = Talk(webrtc=webrtc).happen(ev.Connected())
    if session:
        talk.send({"type": "session.update", "session": {"type": "realtime", **session}})
    return talk.forget()


def message(text: str, role: str = "user", **fields: object) -> dict[str, object]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text}]
    return {"type": "message", "role": role, "content": content, **fields}


class TestWritten:
    def test_a_session_of_text(self) -> None:
        talk = talking(output_modalities=["text"]).say("Hello").create().forget()
        talk.happen(ReplyText(1, "Hi."), ReplyDone(1))
        assert talk.kinds == IN_CONVERSATION
        assert talk.response["output_modalities"] == ["text"]
        assert "audio" not in talk.response
        assert talk.listener.last("response.output_text.done")["text"] == "Hi."

    def test_one_response_of_text_among_others(self) -> None:
        talk = talking(webrtc=True).create(output_modalities=["text"]).forget()
        talk.happen(ReplyText(1, "Hi."), ReplyDone(1))
        assert talk.kinds == IN_CONVERSATION
        talk.create().forget().reply("Ho.").heard()
        assert "output_audio_buffer.stopped" in talk.kinds

    def test_interrupted_what_was_written_stays(self) -> None:
        talk = talking(output_modalities=["text"]).create().happen(ReplyText(1, "One,")).forget()
        talk.send({"type": "response.cancel"})
        assert talk.kinds == IN_CONVERSATION[4:]
        assert talk.listener.last("response.output_text.done")["text"] == "One,"
        assert talk.response["status"] == "cancelled"
        talk.create()
        assert talk.asked.history[0] == Turn("", "One,", interrupted=True)

    def test_notices_are_written(self) -> None:
        listener = Listener()
        listener.update(output_modalities=["text"])
        listener.forget()
        listener.act(ev.ReplyStarted(1, notice=True, speaks=False), ev.ReplySaid(1, "One minute."))
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "One minute.", 0))
        assert listener.kinds == ["response.created", *IN_CONVERSATION]

    @pytest.mark.parametrize("given", [["text", "audio"], ["image"], "text", [1]])
    def test_no_other_modalities(self, given: object) -> None:
        talk = talking().create(output_modalities=given)
        assert talk.kinds == ["error"]


class TestTooLong:
    def test_it_is_incomplete(self) -> None:
        talk = talking().create(max_output_tokens=3).forget()
        talk.reply("Well,", done=False).happen(ReplyDone(1, cut=True))
        response = talk.response
        assert response["status"] == "incomplete"
        assert response["status_details"] == {
            "type": "incomplete", "reason": "max_output_tokens",
        }  # fmt: skip
        assert response["max_output_tokens"] == 3
        (output,) = talk.output
        assert output["status"] == "incomplete"
        assert output["content"][0]["transcript"] == "Well,"
        settings = talk.asked.settings
        assert settings is not None and settings.output_tokens_max == 3

    def test_outside_of_the_conversation(self) -> None:
        talk = talking().create(**ASIDE, max_output_tokens=1)
        talk.happen(ReplyText(1, "Well"), ReplyDone(1, cut=True))
        assert talk.response["status"] == "incomplete"

    @pytest.mark.parametrize("given", [0, -1, 4_097, "many", 1.5, True])
    def test_a_limit_that_is_none(self, given: object) -> None:
        assert talking().create(max_output_tokens=given).kinds == ["error"]

    def test_inf_lifts_the_limit_of_the_session(self) -> None:
        talk = talking(max_output_tokens=9).create(max_output_tokens="inf")
        settings = talk.asked.settings
        assert settings is not None and settings.output_tokens_max == 0


class TestOutside:
    def test_in_its_order(self) -> None:
        talk = talking().say("Hello").forget().create(**ASIDE, metadata={"topic": "x"})
        assert talk.kinds == ["response.created"]
        talk.forget().happen(ReplyText(1, "Fine."), ReplyDone(1))
        assert talk.kinds == WRITTEN
        assert "conversation_id" not in talk.response
        assert talk.response["metadata"] == {"topic": "x"}
        assert talk.asked.history == (Turn("Hello", ""),)
        assert talk.call.history == [Turn("Hello", "")]

    def test_beside_a_response_that_is_being_made(self) -> None:
        talk = talking(webrtc=True).create().reply("One two", frames=9, done=False).forget()
        talk.create(**ASIDE)
        talk.happen(ReplyText(2, "Fine."), ReplyDone(2))
        assert talk.kinds == ["response.created", *WRITTEN]
        talk.forget().happen(ReplyDone(1)).heard()
        assert talk.kinds == [
            *SOUND_DONE, "conversation.item.done", "response.done", "output_audio_buffer.stopped",
        ]  # fmt: skip

    def test_it_does_not_end_what_a_client_plays_from_its_own_buffer(self) -> None:
        talk = talking().create().reply("One two", frames=9).forget().create(**ASIDE)
        assert not talk.call.history, "the reply still sounds"

    def test_several_at_once_each_with_its_own_metadata(self) -> None:
        talk = talking()
        for number in range(3):
            talk.create(**ASIDE, metadata={"n": str(number)})
        for turn in (3, 1, 2):
            talk.happen(ReplyText(turn, str(turn)), ReplyDone(turn))
            assert talk.response["metadata"] == {"n": str(turn - 1)}

    def test_no_more_than_eight(self) -> None:
        talk = talking()
        for _ in range(ASIDES_MAX):
            talk.create(**ASIDE)
        talk.send({"type": "response.create", "event_id": "ninth", "response": ASIDE})
        assert talk.error == "too_many_responses"
        assert talk.listener.error()["event_id"] == "ninth"
        talk.create().forget().reply("Still here.")
        assert talk.kinds[-1] == "response.done"

    def test_a_burst_of_them_is_not_mistaken_for_something_else(self) -> None:
        """Until the call has answered, requests wait; those that are too many are refused."""
        listener = Listener()
        ask = {"type": "response.create", "response": {**ASIDE, "metadata": {"a": "b"}}}
        received = [listener.send(ask) for _ in range(ASKS_MAX + 4)]
        asked = [each for one in received for each in one.inputs]
        assert len(asked) == ASKS_MAX
        assert listener.kinds.count("error") == 4
        assert listener.error()["code"] == "too_many_responses"
        listener.act(ev.ReplyStarted(1, tag=1, speaks=False))
        created = listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert "conversation_id" not in created
        assert created["metadata"] == {"a": "b"}

    def test_cancelled_by_its_id(self) -> None:
        talk = talking().create().create(**ASIDE)
        wanted = talk.listener.last("response.created")["response"]
        assert isinstance(wanted, dict)
        talk.forget().send({"type": "response.cancel", "response_id": wanted["id"]})
        assert talk.kinds == ["response.done"]
        assert talk.response["id"] == wanted["id"]
        assert talk.response["status_details"] == {
            "type": "cancelled", "reason": "client_cancelled",
        }  # fmt: skip
        talk.send({"type": "response.cancel", "response_id": wanted["id"]})
        assert talk.error == "response_cancel_not_active"
        talk.reply("Still here.")
        assert talk.response["status"] == "completed"

    def test_a_cancellation_without_an_id_is_for_the_conversation(self) -> None:
        talk = talking().create(**ASIDE).send({"type": "response.cancel"})
        assert talk.error == "response_cancel_not_active"
        talk.create().forget().send({"type": "response.cancel"})
        assert talk.response["conversation_id"]
        talk.forget().happen(ReplyText(1, "Fine."), ReplyDone(1))
        assert talk.kinds == WRITTEN

    def test_a_failure(self) -> None:
        talk = talking().create(**ASIDE).forget().happen(EngineFailed(1, "503"))
        assert talk.kinds == ["response.done"]
        assert talk.response["status"] == "failed"

    def test_too_late(self) -> None:
        talk = talking().create(**ASIDE).forget().after(10_000)
        assert talk.kinds == ["response.done"]
        assert talk.response["status"] == "failed"

    def test_each_is_done_at_the_end_of_the_call(self) -> None:
        talk = talking().create(**ASIDE).create(**ASIDE).forget().happen(ev.HungUp())
        assert talk.kinds == ["response.done", "response.done"]
        assert talk.listener.close() == []

    def test_it_is_done_even_if_many_others_were_since(self) -> None:
        talk = talking(output_modalities=["text"]).create(**ASIDE)
        for turn in range(2, 100):
            talk.create().happen(ReplyText(turn, "x"), ReplyDone(turn))
        talk.forget().happen(ReplyText(1, "Fine."), ReplyDone(1))
        assert talk.kinds == WRITTEN

    def test_one_that_is_heard(self) -> None:
        talk = talking(webrtc=True).create(conversation="none").forget().reply("Psst.").heard()
        assert talk.kinds == [
            "response.output_item.added", "response.content_part.added",
            "response.output_audio_transcript.delta", "output_audio_buffer.started", *SOUND_DONE,
            "response.done", "output_audio_buffer.stopped",
        ]  # fmt: skip
        talk.create()
        assert talk.asked.history == (Turn("", ""),)

    def test_one_that_is_heard_can_be_silenced(self) -> None:
        talk = talking(webrtc=True).create(conversation="none").reply("Psst.", frames=50).forget()
        talk.send({"type": "output_audio_buffer.clear"})
        assert talk.kinds == ["output_audio_buffer.cleared"]

    def test_one_after_the_other_may_be_heard_from_a_clients_own_buffer(self) -> None:
        talk = talking()
        for _ in range(2):
            talk.forget().create(conversation="none").reply("Psst.", frames=50)
            assert talk.kinds[0] == "response.created"
            assert talk.response["status"] == "completed"

    def test_one_that_is_heard_needs_the_floor(self) -> None:
        talk = talking().create().reply("One", done=False).create(conversation="none")
        assert talk.error == "conversation_already_has_active_response"

    def test_its_usage_is_its_own(self) -> None:
        talk = talking().say("x" * 400).create(**ASIDE, input=[message("abcdefgh")])
        talk.happen(ReplyText(1, "abcd"), ReplyDone(1))
        usage = talk.response["usage"]
        assert (usage["input_tokens"], usage["output_tokens"]) == (2, 1)
        talk.create().reply("x")
        usage = talk.response["usage"]
        assert usage["input_tokens"] == 100


class TestInput:
    def test_instead_of_the_conversation(self) -> None:
        talk = talking().say("Hello").create(
            input=[message("Be kind.", "system"), message("Hi"), message("Ho", "assistant"),
                   message("Well?")]
        )  # fmt: skip
        told = (Note("system", "Be kind."), Turn("Hi", "Ho"), Turn("Well?", ""))
        assert talk.asked == Respond(1, told, apart=True)
        talk.reply("Yes.").heard().create()
        assert talk.asked.history == (Turn("Hello", "Yes."), Turn("", ""))

    @pytest.mark.parametrize("given", [{}, {"input": None}])
    def test_absent_or_null_is_the_conversation(self, given: dict[str, object]) -> None:
        talk = talking().say("Hello").create(**given, metadata={})
        assert talk.asked.history == (Turn("Hello", ""),)

    def test_nothing_is_nothing(self) -> None:
        talk = talking().say("Hello").create(input=[])
        assert talk.asked.history == (Turn("", ""),)

    def test_a_reference_to_an_item_of_the_conversation(self) -> None:
        talk = talking().say("Hello", id="mine").create(
            **ASIDE, input=[{"type": "item_reference", "id": "mine"}, message("Sort it.")]
        )  # fmt: skip
        assert talk.asked.history == (Turn("Hello Sort it.", ""),)

    @pytest.mark.parametrize("told", [True, False])
    def test_a_reference_to_what_was_said(self, told: bool) -> None:
        """Its words are known even where the client is not told them."""
        transcription = {"model": "x"} if told else None
        talk = talking(audio={"input": {"transcription": transcription}})
        listener = talk.listener
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 500))
        listener.act(ev.FinalText(1, "Hi there", "Hi there"))
        committed = listener.last("input_audio_buffer.committed")["item_id"]
        reference = {"type": "item_reference", "id": committed}
        (asked,) = listener.send(
            {"type": "response.create", "response": {**ASIDE, "input": [reference]}}
        ).inputs
        assert isinstance(asked, ev.Asked)
        assert asked.context == (Note("user", "Hi there"),)

    @pytest.mark.parametrize(
        "given",
        [
            "Hi", [1], [{"type": "item_reference"}], [{"type": "item_reference", "id": "nobody"}],
            [{"type": "mcp_call"}], [message("x", "tool")],
            [message("x")] * (CONTEXT_ITEMS_MAX + 1),
        ],
    )  # fmt: skip
    def test_what_cannot_be(self, given: object) -> None:
        talk = talking().create(input=given)
        assert talk.kinds == ["error"]
        assert talk.call.turn == 0

    def test_a_reference_to_what_was_forgotten(self) -> None:
        talk = talking().say("Hello", id="mine").delete("mine").forget()
        talk.create(input=[{"type": "item_reference", "id": "mine"}])
        assert talk.error == "item_retrieve_invalid_item_id"


class TestSettings:
    def test_they_survive_until_the_words_are_known(self) -> None:
        talk = talking(audio={"input": {"turn_detection": None}})
        talk.happen(*[ev.Heard(frame, 0.9) for frame in FRAMES]).forget()
        talk.send({"type": "input_audio_buffer.commit"})
        talk.create(instructions="Be brief.", output_modalities=["text"], metadata={"a": "b"})
        assert "response.created" not in talk.kinds
        talk.happen(final(1, "Hello"))
        settings = talk.asked.settings
        assert settings is not None
        assert (settings.instructions, settings.speaks) == ("Be brief.", False)
        created = talk.listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert (created["metadata"], created["output_modalities"]) == ({"a": "b"}, ["text"])

    def test_a_voice_of_its_own_and_the_usual_one(self) -> None:
        talk = talking(audio={"output": {"voice": "marin"}})
        talk.create(audio={"output": {"voice": "cedar"}})
        assert talk.asked.settings is not None and talk.asked.settings.voice == "cedar"
        talk.send({"type": "response.cancel"}).create(audio={"output": {"voice": "default"}})
        assert talk.asked.settings is not None and talk.asked.settings.voice == ""
        talk.send({"type": "response.cancel"}).create(audio={"output": {"voice": "marin"}})
        assert talk.asked.settings is None

    @pytest.mark.parametrize("tokens", [0, 1])
    def test_a_truncation_to_nothing_is_not_one_to_everything(self, tokens: int) -> None:
        truncation = {
            "type": "retention_ratio", "retention_ratio": 1,
            "token_limits": {"post_instructions": tokens},
        }  # fmt: skip
        talk = talking(truncation=truncation).say("x" * 99).create().reply("Yes.").heard()
        talk.say("Well?").create()
        assert talk.asked.history == (Turn("Well?", ""),)
