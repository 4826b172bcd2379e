"""Events beyond the protocol: only for those who asked, and only of what they know."""

from __future__ import annotations

import pytest

from engines.speech import OpusFrame
from voice_server.calls import events as ev
from voice_server.calls.rules import Interruption

from .listener import Listener

FRAME = OpusFrame(b"x")
ACTIONS = (
    ev.ReplyHeard(1, 3), ev.Pause(1), ev.Resume(1), ev.Latency(1, 1, 2, 3, 4, 5, 6),
    ev.EndingSoon(60_000), ev.MinuteElapsed(1), ev.Flush(1), ev.Closed("hung_up", 1, ()),
)  # fmt: skip


def speaking(*, events: bool) -> Listener:
    listener = Listener(webrtc=True)
    if events:
        listener.update(voice_server={"events": True})
    listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "Hello."), ev.Play(1, FRAME))
    return listener


def test_nobody_gets_them_unasked() -> None:
    assert speaking(events=False).act(*ACTIONS) == []


def test_what_they_say() -> None:
    listener = speaking(events=True)
    item_id = listener.last("response.content_part.added")["item_id"]
    told = [dict(event) for event in listener.act(*ACTIONS)]
    response_id = listener.last("response.created")["response"]["id"]  # type: ignore[index]
    for event in told:
        event.pop("event_id")
    assert told == [
        {"type": "voice_server.reply_heard", "response_id": response_id, "item_id": item_id,
         "chars": 3},
        {"type": "voice_server.paused", "response_id": response_id},
        {"type": "voice_server.resumed", "response_id": response_id},
        {"type": "voice_server.latency", "response_id": response_id, "endpointing_ms": 1,
         "transcript_ms": 2, "first_token_ms": 3, "first_sentence_ms": 4, "first_audio_ms": 5,
         "first_packet_ms": 6, "gap_ms": 21},
        {"type": "voice_server.ending_soon", "left_ms": 60_000},
    ]  # fmt: skip


def test_the_answers_own_sound_is_told_apart() -> None:
    listener = speaking(events=True)
    [told] = listener.act(ev.Latency(1, 1, 2, 3, 4, 5, 6, answer_ms=90))
    assert (told["gap_ms"], told["answer_ms"]) == (21, 90)


def test_hearing_goes_on_after_the_response_is_done() -> None:
    listener = speaking(events=True)
    listener.act(ev.ReplyMade(1))
    assert [e["type"] for e in listener.act(ev.ReplyHeard(1, 5))] == ["voice_server.reply_heard"]


def test_of_a_reply_that_was_never_begun_nothing_is_said() -> None:
    listener = speaking(events=True)
    assert listener.act(ev.ReplyHeard(7, 3), ev.Pause(7), ev.Latency(7, 1, 2, 3, 4, 5, 6)) == []


def test_the_engines_are_told_when_asked_for_and_when_they_change() -> None:
    listener = Listener()
    listener.update(voice_server={"events": True})
    assert listener.kinds[-1] == "voice_server.engines"
    assert listener.told[-1]["speech_to_text"] == "auto"
    listener.update(instructions="Hi")
    assert listener.kinds[-1] == "voice_server.engines"
    listener.update(tracing="auto")
    assert listener.kinds[-1] == "session.updated"


def test_the_session_tells_of_them_only_if_asked() -> None:
    listener = Listener()
    listener.update()
    assert "voice_server" not in listener.told[-1]["session"]  # type: ignore[operator]
    listener.update(voice_server={"interruption": "waits"})
    assert listener.last("session.updated")["session"]["voice_server"] == {  # type: ignore[index]
        "events": False, "binary": False, "interruption": "waits",
    }  # fmt: skip


@pytest.mark.parametrize("way", list(Interruption))
def test_the_way_of_interruption(way: Interruption) -> None:
    listener = Listener()
    listener.update(voice_server={"interruption": way.value})
    assert listener.dialect.rules.interruption is way


def test_the_bill() -> None:
    listener = Listener()
    listener.update(voice_server={"events": True})
    bill = {"duration_sec": 61, "billed_minutes": 2, "currency": "RUB", "usage_id": "secret"}
    (told,) = listener.close(bill)
    told.pop("event_id")
    assert told == {
        "type": "voice_server.bill", "call_id": "call_1", "reason": "hung_up",
        "duration_sec": 61, "billed_minutes": 2, "currency": "RUB",
    }  # fmt: skip
