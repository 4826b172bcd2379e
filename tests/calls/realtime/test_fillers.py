"""What a client is told while its user is asked to wait: the protocol, and nothing new."""

from __future__ import annotations

import pytest

from engines.speech import (
    Fill,
    OpusFrame,
    ReplyAudio,
    ReplyDone,
    ReplyText,
    Say,
    Transcribed,
    Transcript,
    Turn,
)
from voice_server.calls import events as ev
from voice_server.calls.rules import Rules

from ..playbook import says, silent
from .talk import Talk

WAIT = Rules().notices.fillers[0]


def waiting(*, webrtc: bool = False) -> Talk:
    """A filler of 200 ms was said, and the reply is still awaited."""
    talk = Talk(webrtc=webrtc).happen(ev.Connected()).say("Hello").create().after(2_200)
    assert talk.commands[-1] == Fill(1, WAIT)
    sound = [ReplyAudio(1, OpusFrame(b"x"))] * 10
    return talk.happen(ReplyText(1, WAIT, filler=True), *sound).after(200)


def transcript(talk: Talk) -> str:
    [message] = talk.output
    return str(message["content"][0]["transcript"])


@pytest.mark.parametrize("webrtc", [True, False])
def test_the_transcript_is_what_is_heard(webrtc: bool) -> None:
    talk = waiting(webrtc=webrtc).happen(ev.Played(1, 200)).reply("Good day.").heard()
    assert transcript(talk) == f"{WAIT} Good day."
    assert talk.kinds.count("response.created") == 1
    talk.create()
    assert talk.asked.history == (Turn("Hello", "Good day."), Turn("", ""))


def test_truncated_where_the_answer_had_begun() -> None:
    talk = waiting().happen(ev.Played(1, 200)).reply("one two", frames=20, done=False)
    talk.send({
        "type": "conversation.item.truncate", "item_id": talk.listener.last(
            "response.output_item.added")["item"]["id"],  # type: ignore[index]
        "content_index": 0, "audio_end_ms": 400,
    })  # fmt: skip
    talk.create()
    assert talk.asked.history[0] == Turn("Hello", "one", interrupted=True)
    assert transcript(talk) == f"{WAIT} one"


def test_a_reply_that_never_came_failed_after_all_that_was_said() -> None:
    talk = waiting().happen(ev.Played(1, 200)).after(4_400)
    assert talk.response["status"] == "failed"
    assert isinstance(talk.commands[-1], Say)


def test_who_is_not_understood_yet_gets_a_response_of_its_own() -> None:
    talk = Talk().happen(ev.Connected())
    for frame in [*says(320), *silent(600)]:
        talk.now_ms += 32
        talk.happen(frame)
    talk.after(1_592)
    assert talk.commands[-1] == Say(2, WAIT, waited=True)
    talk.happen(ReplyText(2, WAIT), ReplyAudio(2, OpusFrame(b"x")), ReplyDone(2))
    assert transcript(talk) == WAIT and talk.response["status"] == "completed"
    talk.happen(Transcribed(1, Transcript("Hello", final=True)), ev.Played(2, 20))
    talk.reply("Good day.").heard()
    assert transcript(talk) == "Good day."
    talk.create()
    assert talk.asked.history == (Turn("Hello", "Good day."), Turn("", ""))
