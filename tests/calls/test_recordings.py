"""What a client recorded before is heard beside the call, and answered once its words are known."""

from __future__ import annotations

from engines.speech import Cancel, EndUtterance, EngineFailed, Note, Respond, Transcribe, Turn
from voice_server.calls import events as ev
from voice_server.calls.events import Play, Played
from voice_server.calls.recordings import PATIENCE_MS, RECORDINGS_MAX

from .playbook import FRAME, Connected, Playbook, Rules, answered, final, partial, says, silent

FRAMES = (FRAME,) * 50  # 1.6 s.
SHOW = (Transcribe, ev.RecordingHeard, ev.Refused)


def recorded(item_id: str = "mine", written: str = "") -> ev.Recorded:
    return ev.Recorded(item_id, FRAMES, written)


def listening() -> Playbook:
    return Playbook(Rules(), show=SHOW) >> Connected()


def asked_of(book: Playbook) -> list[str]:
    turns = [respond.history[-1] for respond in book.did(Respond)]
    return [turn.user for turn in turns if isinstance(turn, Turn)]


def test_who_asks_is_answered_once_the_words_are_known() -> None:
    book = listening() >> recorded() << Transcribe(1, FRAMES)
    book >> ev.Asked(3)
    book.idle()
    book >> partial(1, "What is")
    book.idle()
    book >> final(1, "What is a verb?") << ev.RecordingHeard("mine", "What is a verb?", "")
    book << Respond
    assert asked_of(book) == ["What is a verb?"]
    assert book.did(ev.ReplyStarted)[0].tag == 3


def test_what_was_written_beside_it_goes_before_its_words() -> None:
    book = listening() >> recorded(written="Listen:") << Transcribe
    book >> final(1, "hello") << ev.RecordingHeard >> ev.Asked() << Respond
    assert asked_of(book) == ["Listen: hello"]


def test_it_keeps_its_place_among_what_is_written() -> None:
    book = listening()
    book >> [ev.Added("a", Note("user", "one")), recorded(), ev.Added("b", Note("user", "three"))]
    book << Transcribe >> final(1, "two") << ev.RecordingHeard >> ev.Asked() << Respond
    assert asked_of(book) == ["one two three"]


def test_who_asks_about_something_else_does_not_wait_for_it() -> None:
    book = listening() >> recorded() << Transcribe
    book >> ev.Asked(context=(Note("user", "Hi"),)) << Respond
    assert asked_of(book) == ["Hi"]


def test_several_are_waited_for() -> None:
    book = listening() >> [recorded("a"), recorded("b")] << Transcribe << Transcribe
    book >> ev.Asked() >> final(2, "two") << ev.RecordingHeard
    book.idle()
    book >> final(1, "one") << ev.RecordingHeard << Respond
    assert asked_of(book) == ["one two"]


def test_a_second_wish_is_refused_meanwhile() -> None:
    book = listening() >> recorded() << Transcribe >> ev.Asked(1) >> ev.Asked(2)
    book << ev.Refused("response_active", 2)


def test_no_more_than_so_many_at_once() -> None:
    book = listening()
    for number in range(RECORDINGS_MAX):
        book >> recorded(str(number)) << Transcribe
    book >> recorded("more") << ev.RecordingHeard("more", "", "too many recordings at once")


def test_a_recogniser_that_fails_keeps_nobody_waiting() -> None:
    book = listening() >> recorded(written="Listen:") << Transcribe >> ev.Asked()
    book >> EngineFailed(1, "503") << ev.RecordingHeard("mine", "", "503") << Respond
    assert asked_of(book) == ["Listen:"]


def test_nor_does_one_that_never_answers() -> None:
    book = listening() >> recorded() << Transcribe >> ev.Asked()
    book.after(1_600 + PATIENCE_MS) << Cancel(1, 0) << ev.RecordingHeard << Respond


def test_its_words_are_nobodys_when_it_was_deleted() -> None:
    book = listening() >> recorded() << Transcribe >> ev.Asked() >> ev.Forgotten("mine")
    book << Cancel(1, 0) << ev.RecordingHeard("mine", "", "the item was deleted") << Respond
    book >> final(1, "secret")
    assert asked_of(book) == [""]


def test_its_id_may_be_taken_again_after_that() -> None:
    book = listening() >> recorded() << Transcribe(1, FRAMES) >> ev.Forgotten("mine")
    book << Cancel << ev.RecordingHeard >> recorded() << Transcribe(2, FRAMES)
    book >> final(1, "old") >> final(2, "new") << ev.RecordingHeard("mine", "new", "")
    book >> ev.Asked() << Respond
    assert asked_of(book) == ["new"]


def test_it_stands_behind_the_turn_in_which_it_was_added() -> None:
    book = listening() >> says(320) >> silent(600) << EndUtterance(1) >> recorded() << Transcribe
    book >> final(2, "two") << ev.RecordingHeard >> final(1, "one") << Respond
    assert asked_of(book) == ["one two"]


def test_it_is_kept_where_its_place_is_still_being_said() -> None:
    book = listening() >> says(320) >> silent(600) << EndUtterance(1) >> final(1, "one") << Respond
    book >> ev.Recorded("mine", FRAMES, "", ev.Spoken(1, "one")) << Transcribe
    book >> final(2, "two") << ev.RecordingHeard >> answered(1, "Yes.", 20) << Play
    book >> Played(1, 20) >> ev.Asked() << Respond
    assert asked_of(book) == ["one", "two"]


def test_the_user_may_speak_meanwhile() -> None:
    book = listening() >> recorded() << Transcribe
    book >> says(320) >> silent(600) << EndUtterance(2)
    book >> final(2, "Hello") << Respond
    book >> final(1, "late") << ev.RecordingHeard >> answered(2, "Hi.", 100)
    assert asked_of(book) == ["Hello"]


def test_it_ends_with_the_call() -> None:
    book = listening() >> recorded() << Transcribe >> ev.Asked() >> ev.HungUp() << Cancel(1, 0)
    book << ev.Closed
