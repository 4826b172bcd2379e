"""Who has the floor, told from the server's events alone."""

from __future__ import annotations

from voice_server.client.caller import ServerEvent, Sound, Told
from voice_server.client.dialog import QUIET_US, Dialog

HEARD = "conversation.item.input_audio_transcription"


def told(dialog: Dialog, *events: ServerEvent) -> Dialog:
    for event in events:
        dialog.happened(Told(event, 0))
    return dialog


def event(kind: str, **fields: object) -> ServerEvent:
    return {"type": kind, **fields}


def response(kind: str, name: str, status: str = "completed") -> ServerEvent:
    return event(f"response.{kind}", response={"id": name, "status": status})


STARTED = event("input_audio_buffer.speech_started")
STOPPED = event("input_audio_buffer.speech_stopped")


def test_a_turn_from_speech_to_answer() -> None:
    dialog = told(Dialog(), STARTED)
    assert not dialog.is_quiet(0)
    told(dialog, STOPPED, event(f"{HEARD}.delta", item_id="i", delta="What is"))
    assert dialog.answer_owed and not dialog.is_quiet(0)
    assert [(line.text, line.final) for line in dialog.lines] == [("What is", False)]
    told(dialog, event(f"{HEARD}.completed", item_id="i", transcript="What is a verb?"))
    told(dialog, response("created", "r"))
    told(dialog, event("response.output_audio_transcript.delta", response_id="r", delta="A "))
    told(dialog, event("response.output_audio_transcript.delta", response_id="r", delta="word."))
    assert not dialog.is_quiet(0) and dialog.answers_begun == 1
    told(dialog, response("done", "r"))
    assert [(line.who, line.text, line.final) for line in dialog.lines] == [
        ("you", "What is a verb?", True),
        ("agent", "A word.", True),
    ]
    assert dialog.is_quiet(QUIET_US)


def test_a_greeting_is_no_answer() -> None:
    dialog = told(Dialog(), response("created", "r"), response("done", "r"))
    assert dialog.replies_begun == 1 and dialog.answers_begun == 0


def test_noise_is_not_answered() -> None:
    dialog = told(
        Dialog(), STARTED, STOPPED, event(f"{HEARD}.completed", item_id="i", transcript="")
    )
    assert dialog.is_quiet(QUIET_US) and dialog.lines == []
    dialog = told(Dialog(), STARTED, STOPPED, event("conversation.item.deleted", item_id="i"))
    assert dialog.is_quiet(QUIET_US)


def test_words_of_a_turn_may_stand_with_its_first_stretch() -> None:
    dialog = told(Dialog(), STARTED, STOPPED, STARTED, STOPPED)
    told(dialog, event(f"{HEARD}.completed", item_id="a", transcript="One two."))
    told(dialog, event(f"{HEARD}.completed", item_id="b", transcript=""))
    assert dialog.answer_owed and not dialog.is_quiet(QUIET_US)
    told(dialog, response("created", "r"), response("done", "r"))
    assert dialog.answers_begun == 1 and [line.who for line in dialog.lines] == ["you", "agent"]


def test_a_reply_lasts_as_long_as_it_is_heard() -> None:
    dialog = Dialog()
    for at_us in (0, 1_000, 2_000):  # Sent at once; played one after the other.
        dialog.happened(Sound(b"", at_us, 20, opus=True))
    assert dialog.heard_until_us == 60_000
    assert not dialog.is_quiet(60_000 + QUIET_US - 1)
    assert dialog.is_quiet(60_000 + QUIET_US)


def test_failures_and_notices_are_kept_for_the_person() -> None:
    dialog = told(
        Dialog(),
        STARTED,
        STOPPED,
        event("error", error={"code": "x", "message": "The recogniser failed."}),
        event("voice_server.engines", notice="Weak recogniser.", voice="en"),
    )
    assert dialog.notices == ["The recogniser failed.", "Weak recogniser."]
    assert dialog.engines["voice"] == "en" and dialog.is_quiet(QUIET_US)


def test_latency_and_highlighting_belong_to_their_reply() -> None:
    dialog = told(
        Dialog(),
        response("created", "a"),
        response("done", "a", "cancelled"),
        response("created", "b"),
        event("voice_server.reply_heard", response_id="a", chars=3),
        event("voice_server.latency", response_id="b", gap_ms=700, endpointing_ms=608, x="y"),
    )
    first, second = dialog.lines
    assert first.heard_chars == 3 and first.status == "cancelled"
    assert second.parts == {"gap_ms": 700, "endpointing_ms": 608}


def test_odd_events_do_no_harm() -> None:
    dialog = told(
        Dialog(),
        {},
        event("response.created", response=None),
        event("error", error=None),
        event("voice_server.reply_heard", chars="many"),
    )
    assert dialog.replies_begun == 1
