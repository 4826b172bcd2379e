"""The dialect as a client meets it: whole turns in their golden order."""

from __future__ import annotations

import base64

import pytest

from engines.speech import EngineSettings, Note, OpusFrame
from voice_server.calls import events as ev
from voice_server.calls.realtime.dialect import CLIENT_EVENTS
from voice_server.calls.rules import Interruption, Rules

from .listener import Listener

FRAME = OpusFrame(b"\xfc\xff\xfe")
PCM = bytes(960)  # 20 ms at 24 kHz
SECOND = base64.b64encode(bytes(48_000)).decode()
ITEM_BEGUN = [
    "response.output_item.added", "conversation.item.added", "response.content_part.added",
]  # fmt: skip
SOUND_DONE = [
    "response.output_audio.done", "response.output_audio_transcript.done",
    "response.content_part.done", "response.output_item.done", "conversation.item.done",
    "response.done",
]  # fmt: skip
COMMITTED = [
    "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
]  # fmt: skip
HEARD = "conversation.item.input_audio_transcription"


def asks(listener: Listener, turn: int = 1, question: str = "What is a verb?") -> None:
    listener.act(
        ev.SpeechStarted(turn, 100), ev.SpeechStopped(turn, 1_300),
        ev.FinalText(turn, question, question), ev.ReplyStarted(turn),
    )  # fmt: skip


def answers(listener: Listener, turn: int = 1, *texts: str) -> None:
    for text in texts or ("A doing word.",):
        listener.act(ev.ReplySaid(turn, text), ev.Play(turn, FRAME), ev.Play(turn, FRAME))


class TestSpokenTurn:
    def test_over_a_websocket(self) -> None:
        listener = Listener()
        listener.forget()
        listener.act(ev.SpeechStarted(1, 100), ev.PartialText(1, "What"))
        listener.act(ev.SpeechStopped(1, 1_300), ev.FinalText(1, "What now?", "What now?"))
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "A doing word."))
        listener.act(ev.Play(1, FRAME))
        listener.sound(1, PCM)
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "A doing word.", 20))
        assert listener.kinds == [
            "input_audio_buffer.speech_started", f"{HEARD}.delta",
            "input_audio_buffer.speech_stopped", *COMMITTED,
            f"{HEARD}.delta", f"{HEARD}.completed",
            "response.created", *ITEM_BEGUN,
            "response.output_audio_transcript.delta", "response.output_audio.delta",
            *SOUND_DONE,
        ]  # fmt: skip
        done = listener.last("response.done")["response"]
        assert isinstance(done, dict)
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [
            {"type": "output_audio", "transcript": "A doing word."}
        ]
        assert base64.b64decode(str(listener.last("response.output_audio.delta")["delta"])) == PCM

    def test_over_webrtc_the_buffer_is_told_of(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        listener.forget()
        answers(listener)
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "A doing word.", 40))
        assert listener.kinds == [
            *ITEM_BEGUN, "response.output_audio_transcript.delta",
            "output_audio_buffer.started", *SOUND_DONE, "output_audio_buffer.stopped",
        ]  # fmt: skip

    def test_one_item_id_from_onset_to_words(self) -> None:
        listener = Listener()
        asks(listener)
        ids = {
            event.get("item_id") for event in listener.told
            if str(event["type"]).startswith(("input_audio_buffer.", HEARD))
        }  # fmt: skip
        assert len(ids) == 1

    def test_the_pieces_of_a_reply_join_to_its_transcript(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener, 1, "One.", "Two.", "Three.")
        listener.act(ev.ReplyMade(1))
        deltas = [e["delta"] for e in listener.told if "transcript.delta" in str(e["type"])]
        assert deltas == ["One.", " Two.", " Three."]
        done = listener.last("response.output_audio_transcript.done")
        assert done["transcript"] == "One. Two. Three."

    def test_sound_before_any_text_opens_the_item(self) -> None:
        listener = Listener()
        asks(listener)
        listener.forget()
        listener.sound(1, PCM)
        assert listener.kinds == [*ITEM_BEGUN, "response.output_audio.delta"]

    def test_a_reply_of_nothing_is_still_done(self) -> None:
        listener = Listener()
        asks(listener)
        listener.forget()
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "", 0))
        assert listener.kinds == ["response.done"]

    def test_usage_counts_the_sound_of_both(self) -> None:
        listener = Listener()
        asks(listener, question="abcdefgh")
        answers(listener, 1, "abcd")
        listener.act(*[ev.Play(1, FRAME)] * 8, ev.ReplyMade(1))
        done = listener.last("response.done")["response"]
        assert isinstance(done, dict)
        usage = done["usage"]
        assert usage["input_token_details"]["audio_tokens"] == 12  # 1,200 ms
        assert usage["input_token_details"]["text_tokens"] == 2
        assert usage["output_token_details"] == {"text_tokens": 1, "audio_tokens": 4}
        assert usage["total_tokens"] == 19


class TestTextTurn:
    def test_typed_and_asked(self) -> None:
        listener = Listener()
        listener.forget()
        note = Note("user", "Hello")
        assert listener.say("Hello", id="mine").inputs == (ev.Added("mine", note),)
        ask = {"type": "response.create", "response": {"metadata": {"client_event_id": "x"}}}
        assert listener.send(ask).inputs == (ev.Asked(1),)
        listener.act(ev.ReplyStarted(1, tag=1))
        answers(listener)
        listener.act(ev.ReplyMade(1))
        assert listener.kinds == [
            "conversation.item.added", "conversation.item.done", "response.created",
            *ITEM_BEGUN, "response.output_audio_transcript.delta", *SOUND_DONE,
        ]  # fmt: skip
        for kind in ("response.created", "response.done"):
            response = listener.last(kind)["response"]
            assert isinstance(response, dict)
            assert response["metadata"] == {"client_event_id": "x"}
        assert listener.told[0]["item"] == {
            "id": "mine", "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{"type": "input_text", "text": "Hello"}],
        }  # fmt: skip

    def test_text_only_output(self) -> None:
        listener = Listener(webrtc=True)
        listener.update(output_modalities=["text"])
        listener.act(ev.ReplyStarted(1, speaks=False))
        listener.forget()
        listener.act(ev.ReplySaid(1, "One."), ev.ReplySaid(1, "\n Two."))
        assert listener.sound(1, PCM) == []
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "One.\n Two.", 0))
        assert listener.kinds == [
            *ITEM_BEGUN, "response.output_text.delta", "response.output_text.delta",
            "response.output_text.done", "response.content_part.done",
            "response.output_item.done", "conversation.item.done", "response.done",
        ]  # fmt: skip
        assert listener.last("response.output_text.done")["text"] == "One.\n Two."

    def test_text_that_was_sent_is_not_unsaid_by_a_cancellation(self) -> None:
        listener = Listener()
        listener.update(output_modalities=["text"])
        listener.act(ev.ReplyStarted(1, speaks=False), ev.ReplySaid(1, "One."))
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "", 0))
        assert listener.last("response.output_text.done")["text"] == "One."


class TestInterruption:
    def test_before_the_reply_was_made(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener, 1, "One two three four.")
        listener.forget()
        listener.act(
            ev.SpeechStarted(2, 5_000),
            ev.ReplyFinished(1, "cancelled", "turn_detected", "One two", 500),
        )
        assert listener.kinds == [
            "input_audio_buffer.speech_started", *SOUND_DONE, "output_audio_buffer.cleared",
        ]  # fmt: skip
        done = listener.last("response.done")["response"]
        assert isinstance(done, dict)
        assert done["status"] == "cancelled"
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert done["output"][0]["status"] == "incomplete"
        assert done["output"][0]["content"][0]["transcript"] == "One two"

    def test_after_the_reply_was_made_there_is_no_second_done(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener, 1, "One two three four.")
        listener.act(ev.ReplyMade(1))
        listener.forget()
        listener.act(ev.ReplyFinished(1, "cancelled", "turn_detected", "One two", 500))
        assert listener.kinds == ["conversation.item.truncated", "output_audio_buffer.cleared"]
        truncated = listener.told[0]
        assert truncated["audio_end_ms"] == 500
        listener.send({"type": "conversation.item.retrieve", "item_id": truncated["item_id"]})
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        assert item["content"] == [{"type": "output_audio", "transcript": "One two"}]

    def test_what_has_fallen_silent_is_not_silenced_again(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        over = ev.ReplyFinished(1, "completed", "", "A doing word.", 40)
        assert [event["type"] for event in listener.act(over)] == ["output_audio_buffer.stopped"]
        assert listener.act(over) == []
        assert listener.send({"type": "output_audio_buffer.clear"}).inputs == ()

    def test_a_small_store_is_silenced_as_long_as_it_is_fed(self) -> None:
        """The reply is made, and most of it is still to be sent."""
        listener = Listener()
        listener.update(voice_server={"binary": True})
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        assert listener.send({"type": "output_audio_buffer.clear"}).inputs == (ev.Stopped(),)

    def test_a_client_that_keeps_its_own_buffer_truncates_itself(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        assert listener.act(ev.ReplyFinished(1, "cancelled", "turn_detected", "A", 20)) == []

    def test_a_client_with_a_small_store_is_told_to_empty_it(self) -> None:
        listener = Listener()
        listener.update(voice_server={"binary": True})
        assert listener.dialect.output_cleared(1) == []
        asks(listener)
        answers(listener)
        (cleared,) = listener.dialect.output_cleared(1)
        created = listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert cleared["response_id"] == created["id"]

    def test_sound_after_the_end_is_never_told(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyFinished(1, "cancelled", "turn_detected", "", 0))
        assert listener.sound(1, PCM) == []
        assert listener.act(ev.Play(1, FRAME), ev.ReplySaid(1, "Late."), ev.ReplyMade(1)) == []

    def test_a_reply_that_begins_ends_the_one_before_it(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener)
        listener.forget()
        listener.act(ev.ReplyStarted(2))
        assert listener.kinds == [*SOUND_DONE, "response.created"]


class TestCancel:
    def test_cancels_what_is_active(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener)
        assert listener.send({"type": "response.cancel"}).inputs == (ev.Stopped(),)
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "", 0))
        done = listener.last("response.done")["response"]
        assert isinstance(done, dict)
        assert done["status_details"]["reason"] == "client_cancelled"

    @pytest.mark.parametrize("response_id", [None, "resp_unknown"])
    def test_with_nothing_to_cancel(self, response_id: str | None) -> None:
        listener = Listener()
        event = {"type": "response.cancel", "event_id": "e1"}
        received = listener.send(event | ({"response_id": response_id} if response_id else {}))
        assert received.inputs == ()
        assert listener.error()["code"] == "response_cancel_not_active"
        assert listener.error()["event_id"] == "e1"

    def test_another_response_than_the_active_one(self) -> None:
        listener = Listener()
        asks(listener)
        listener.send({"type": "response.cancel", "response_id": "resp_other"})
        assert listener.error()["code"] == "response_cancel_not_active"

    def test_a_request_that_was_not_answered_yet_can_be_cancelled(self) -> None:
        listener = Listener()
        listener.send({"type": "response.create"})
        assert listener.send({"type": "response.cancel"}).inputs == (ev.Stopped(),)

    def test_output_clear_stops_once_and_never_complains(self) -> None:
        listener = Listener(webrtc=True)
        clear = {"type": "output_audio_buffer.clear"}
        assert listener.send(clear).inputs == ()
        asks(listener)
        answers(listener)
        assert listener.send({"type": "response.cancel"}).inputs == (ev.Stopped(),)
        assert listener.send(clear).inputs == ()  # The cancellation does it.
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "", 0))
        assert listener.kinds[-1] == "output_audio_buffer.cleared"
        assert "error" not in listener.kinds

    def test_output_clear_silences_a_reply_that_was_made(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        assert listener.send({"type": "output_audio_buffer.clear"}).inputs == (ev.Stopped(),)

    def test_the_call_refuses_in_the_words_of_the_protocol(self) -> None:
        listener = Listener()
        asks(listener)
        listener.send({"type": "response.cancel", "event_id": "late"})
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "", 0))
        listener.act(ev.Refused("response_not_active"))
        assert listener.error()["code"] == "response_cancel_not_active"
        assert listener.error()["event_id"] == "late"
        assert str(listener.error()["message"]).startswith("Cancellation failed")


class TestAsking:
    def test_while_one_is_active(self) -> None:
        listener = Listener()
        asks(listener)
        assert listener.send({"type": "response.create", "event_id": "e2"}).inputs == ()
        assert listener.error()["code"] == "conversation_already_has_active_response"
        assert listener.error()["event_id"] == "e2"

    def test_while_the_server_speaks_for_itself(self) -> None:
        listener = Listener()
        listener.act(ev.ReplyStarted(1, notice=True), ev.ReplySaid(1, "One minute left."))
        create = {"type": "response.create", "response": {"metadata": {"for": "me"}}}
        assert listener.send(create).inputs == (ev.Asked(1),)
        listener.act(ev.ReplyMade(1), ev.ReplyFinished(1, "completed", "", "One minute left.", 900))
        listener.act(ev.ReplyStarted(2, tag=1))
        assert listener.told[-1]["response"]["metadata"] == {"for": "me"}  # type: ignore[index]

    def test_refused_by_the_call(self) -> None:
        listener = Listener()
        for name in ("first", "second"):
            listener.send({"type": "response.create", "event_id": name})
        listener.act(ev.Refused("response_active", 2), ev.ReplyStarted(1, tag=1))
        assert listener.told[-2]["error"]["event_id"] == "second"  # type: ignore[index]
        assert listener.kinds[-1] == "response.created"

    def test_instructions_and_voice_hold_for_this_response_only(self) -> None:
        listener = Listener()
        listener.update(instructions="Be kind.")
        own = {"instructions": "Be brief.", "audio": {"output": {"voice": "nova"}}}
        (asked,) = listener.send({"type": "response.create", "response": own}).inputs
        assert isinstance(asked, ev.Asked) and asked.settings is not None
        assert (asked.settings.instructions, asked.settings.voice) == ("Be brief.", "nova")
        assert listener.dialect.settings.instructions == "Be kind."
        listener.act(ev.ReplyStarted(1, tag=asked.tag))
        created = listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert created["audio"]["output"]["voice"] == "nova"

    def test_a_reply_nobody_asked_for_has_no_metadata(self) -> None:
        listener = Listener()
        listener.send({"type": "response.create", "response": {"metadata": {"a": "b"}}})
        listener.act(ev.ReplyStarted(1, tag=1), ev.ReplyMade(1), ev.ReplyStarted(2))
        created = listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert "metadata" not in created

    def test_a_request_the_call_dropped_does_not_dress_a_later_reply(self) -> None:
        listener = Listener()
        listener.send({"type": "response.create", "response": {"metadata": {"old": "1"}}})
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 500), ev.FinalText(1, "", ""))
        listener.send({"type": "response.create", "response": {"metadata": {"new": "1"}}})
        listener.act(ev.ReplyStarted(2, tag=2))
        created = listener.last("response.created")["response"]
        assert isinstance(created, dict)
        assert created["metadata"] == {"new": "1"}

    def test_a_client_with_its_own_buffer_may_ask_before_it_has_played_all(self) -> None:
        listener = Listener()
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        played, asked = listener.send({"type": "response.create"}).inputs
        assert isinstance(played, ev.Played)
        assert (played.turn, asked) == (1, ev.Asked(1))

    def test_a_client_whose_sound_we_pace_waits(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener)
        listener.act(ev.ReplyMade(1))
        assert listener.send({"type": "response.create"}).inputs == (ev.Asked(1),)

    @pytest.mark.parametrize(
        "response",
        [
            {"metadata": {str(n): "x" for n in range(17)}},
            {"metadata": {"k" * 65: "x"}},
            {"metadata": {"k": "x" * 513}},
            {"metadata": {"k": 5}},
            {"metadata": []},
            {"conversation": "mine"},
            {"input": [{"type": "message"}]},
            {"input": [{"type": "item_reference", "id": "nobody"}]},
            {"input": {}},
            {"output_modalities": ["audio", "text"]},
            {"max_output_tokens": 0},
            {"instructions": "x" * 65_537},
            {"tools": [{"type": "mcp", "server_label": "x"}]},
            [],
        ],
    )  # fmt: skip
    def test_requests_that_cannot_be_answered(self, response: object) -> None:
        listener = Listener()
        received = listener.send({"type": "response.create", "response": response})
        assert received.inputs == ()
        assert listener.error()["type"] == "invalid_request_error"
        assert "param" in listener.error()


class TestPushToTalk:
    def test_in_its_order(self) -> None:
        listener = Listener()
        update = listener.update(audio={"input": {"turn_detection": None}})
        assert isinstance(update.inputs[0], ev.RulesChanged)
        listener.forget()
        listener.send({"type": "input_audio_buffer.clear"})
        listener.send({"type": "input_audio_buffer.append", "audio": SECOND})
        assert listener.send({"type": "input_audio_buffer.commit"}).inputs == (ev.Committed(),)
        assert listener.send({"type": "response.create"}).inputs == (ev.Asked(1),)
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 1_000))
        listener.act(ev.FinalText(1, "Hello", "Hello"), ev.ReplyStarted(1))
        assert listener.kinds == [
            "input_audio_buffer.cleared", *COMMITTED, f"{HEARD}.delta", f"{HEARD}.completed",
            "response.created",
        ]  # fmt: skip

    @pytest.mark.parametrize("sound_ms", [20, 99])
    def test_too_little_to_commit(self, sound_ms: int) -> None:
        listener = Listener()
        sound = base64.b64encode(bytes(48 * sound_ms)).decode()
        listener.send({"type": "input_audio_buffer.append", "audio": sound})
        received = listener.send({"type": "input_audio_buffer.commit", "event_id": "c"})
        assert received.inputs == ()
        assert listener.error()["code"] == "input_audio_buffer_commit_empty"
        assert listener.error()["event_id"] == "c"

    @pytest.mark.parametrize("kind", ["input_audio_buffer.commit", "input_audio_buffer.clear"])
    def test_what_was_committed_or_cleared_does_not_count_again(self, kind: str) -> None:
        listener = Listener()
        listener.send({"type": "input_audio_buffer.append", "audio": SECOND})
        assert listener.send({"type": kind}).inputs
        assert listener.send({"type": "input_audio_buffer.commit"}).inputs == ()
        assert listener.error()["code"] == "input_audio_buffer_commit_empty"

    def test_sound_that_came_on_a_track_is_judged_by_the_call(self) -> None:
        listener = Listener(webrtc=True)
        commit = {"type": "input_audio_buffer.commit", "event_id": "c"}
        assert listener.send(commit).inputs == (ev.Committed(),)
        listener.act(ev.Refused("commit_empty"))
        assert listener.error()["code"] == "input_audio_buffer_commit_empty"
        assert listener.error()["event_id"] == "c"

    def test_a_commit_that_was_obeyed_is_not_named_by_a_later_refusal(self) -> None:
        listener = Listener(webrtc=True)
        listener.send({"type": "input_audio_buffer.commit", "event_id": "old"})
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 500))
        listener.send({"type": "input_audio_buffer.commit", "event_id": "new"})
        listener.act(ev.Refused("commit_empty"))
        assert listener.error()["event_id"] == "new"


class TestFailure:
    def test_inside_a_response(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener)
        listener.forget()
        listener.act(
            ev.Failed(1, "the voice is gone"),
            ev.ReplyFinished(1, "failed", "the voice is gone", "A", 20),
        )
        assert listener.kinds == [*SOUND_DONE, "output_audio_buffer.cleared"]
        done = listener.last("response.done")["response"]
        assert isinstance(done, dict)
        assert done["status"] == "failed"
        assert done["status_details"] == {
            "type": "failed",
            "error": {
                "type": "server_error", "code": "engine_failed", "message": "the voice is gone",
            },
        }  # fmt: skip

    def test_of_the_recogniser(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.forget()
        listener.act(ev.Failed(1, "no ears"), ev.SpeechDiscarded(1))
        assert listener.kinds == [f"{HEARD}.failed"]
        assert listener.told[0]["error"]["message"] == "no ears"  # type: ignore[index]


class TestTranscriptionSession:
    def test_hears_and_never_answers(self) -> None:
        listener = Listener(transcription_only=True)
        assert not listener.dialect.rules.answers
        session = listener.told[0]["session"]
        assert isinstance(session, dict)
        assert session["type"] == "transcription"
        assert set(session) == {"type", "object", "id", "audio"}
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "Hello", "Hello"))
        assert listener.kinds[-1] == f"{HEARD}.completed"
        assert listener.send({"type": "response.create"}).inputs == ()
        assert listener.kinds[-1] == "error"

    def test_a_session_may_become_one(self) -> None:
        listener = Listener()
        listener.send({"type": "session.update", "session": {"type": "transcription"}})
        assert not listener.dialect.rules.answers


class TestClosing:
    def test_a_response_in_progress_is_done_at_the_end(self) -> None:
        listener = Listener(webrtc=True)
        asks(listener)
        answers(listener)
        listener.forget()
        listener.close()
        assert listener.kinds == [*SOUND_DONE, "output_audio_buffer.cleared"]

    def test_without_the_extension_there_is_no_bill(self) -> None:
        assert Listener().close({"billed_minutes": 1}) == []


class TestBeginning:
    def test_the_whole_configuration_is_told(self) -> None:
        settings = EngineSettings(voice="anna", language="ru", speed=1.2, instructions="Hi")
        listener = Listener(settings=settings)
        assert listener.kinds == ["session.created"]
        session = listener.told[0]["session"]
        assert isinstance(session, dict)
        assert session["object"] == "realtime.session"
        assert session["audio"]["output"]["voice"] == "anna"
        assert session["audio"]["output"]["speed"] == 1.2
        assert session["audio"]["input"]["transcription"]["language"] == "ru"
        assert session["audio"]["input"]["turn_detection"]["interrupt_response"] is True
        assert session["instructions"] == "Hi"

    def test_a_preset_is_taken_before_it(self) -> None:
        listener = Listener(rules=Rules(interruption=Interruption.CANCELS))
        preset = {"type": "realtime", "audio": {"output": {"voice": "zoe"}}}
        received = listener.dialect.preset(preset)
        assert received.events == ()
        assert isinstance(received.inputs[0], ev.SettingsChanged)
        assert listener.dialect.settings.voice == "zoe"

    @pytest.mark.parametrize("preset", [{"audio": {"output": {"speed": 9}}}, [], "x", None])
    def test_a_bad_preset_changes_nothing_and_says_why(self, preset: object) -> None:
        listener = Listener()
        received = listener.dialect.preset(preset)
        assert received.inputs == ()
        assert [event["type"] for event in received.events] == ["error"]
        assert listener.dialect.settings == listener.settings

    def test_all_client_events_are_known(self) -> None:
        assert len(CLIENT_EVENTS) == 11
