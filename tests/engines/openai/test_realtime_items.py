"""A vendor's conversation is held in step with a call's, with as few events as it takes."""

from __future__ import annotations

from engines.openai.realtime_items import ASSISTANT, CALL, USER, Item, Json, Mirror, wanted_of
from engines.speech import Entry, FunctionCall, FunctionResult, Note, Turn

LOOK = FunctionCall("c1", "look.up", '{"a": 1}')


def talked() -> Mirror:
    """Two turns were spoken; the third is being answered, and its words are not known."""
    mirror = Mirror()
    mirror.put(Item("u1", USER, "Hello.", turn=1), "")
    mirror.put(Item("a1", ASSISTANT, "Hi there, you.", turn=1, sound_ms=3_000), "u1")
    mirror.put(Item("u2", USER, "And?", turn=2), "a1")
    mirror.put(Item("a2", ASSISTANT, "Well.", turn=2, sound_ms=900), "u2")
    mirror.put(Item("u3", USER, turn=3), "a2")
    return mirror


FIRST, SECOND = Turn("Hello.", "Hi there, you."), Turn("And?", "Well.")


def told(mirror: Mirror, *history: Entry, said: str = "", turn: int = 3) -> list[Json]:
    return mirror.agree((*history, Turn("", "")), turn, said)


def kinds(events: list[Json]) -> list[str]:
    return [str(event["type"]).removeprefix("conversation.item.") for event in events]


def test_what_is_the_same_already_needs_no_event() -> None:
    assert told(talked(), FIRST, SECOND) == []


def test_a_note_is_put_in_its_place() -> None:
    mirror = talked()
    (event,) = told(mirror, FIRST, Note("system", "Be brief."), SECOND)
    assert event["previous_item_id"] == "a1"
    assert event["item"]["role"] == "system"  # type: ignore[index]
    assert told(mirror, FIRST, Note("system", "Be brief."), SECOND) == []


def test_a_note_before_everything_is_put_before_everything() -> None:
    (event,) = told(talked(), Note("system", "Be brief."), FIRST, SECOND)
    assert event["previous_item_id"] == "root"


def test_a_note_in_front_of_the_question_stands_before_its_sound() -> None:
    mirror = talked()
    (event,) = told(mirror, FIRST, SECOND, Note("system", "Be brief."))
    assert event["previous_item_id"] == "a2"
    assert [item.id for item in mirror.items][-1] == "u3"


def test_what_is_gone_is_taken_out_and_nothing_else() -> None:
    mirror = talked()
    (event,) = told(mirror, Turn("Hello.", ""), SECOND)
    assert (event["type"], event["item_id"]) == ("conversation.item.delete", "a1")


def test_the_oldest_are_forgotten_as_the_call_forgets_them() -> None:
    events = told(talked(), SECOND)
    assert [event["item_id"] for event in events] == ["u1", "a1"]


def test_words_that_were_changed_are_written_anew() -> None:
    assert kinds(told(talked(), Turn("Hullo.", "Hi there, you."), SECOND)) == ["delete", "create"]


def test_several_items_may_be_what_the_call_counts_as_one() -> None:
    mirror = Mirror()
    mirror.put(Item("u1", USER, "Hello.", turn=1), "")
    mirror.put(Item("u2", USER, "Again.", turn=2), "u1")
    mirror.put(Item("a2", ASSISTANT, "Hi.", turn=2, sound_ms=400), "u2")
    assert told(mirror, Turn("Hello. Again.", "Hi.")) == []
    assert told(mirror, Turn("Hello.", ""), Turn("Again.", "Hi.")) == []
    (event,) = told(mirror, Note("system", "Be brief."), Turn("Hello. Again.", "Hi."))
    assert event["previous_item_id"] == "root"


def test_a_reply_that_is_remembered_shorter_is_cut_where_that_ends() -> None:
    mirror = talked()
    mirror.items[1].marks = [(9, 1_500), (14, 3_000)]
    (event,) = told(mirror, Turn("Hello.", "Hi there,", True), SECOND)
    assert (event["item_id"], event["audio_end_ms"]) == ("a1", 1_500)
    assert told(mirror, Turn("Hello.", "Hi there,", True), SECOND) == []


def test_a_reply_that_was_cut_is_what_the_call_says_it_is() -> None:
    mirror = talked()
    mirror.cut(mirror.items[1], 1_600)
    assert told(mirror, Turn("Hello.", "Hi there,", True), SECOND) == []
    assert kinds(told(mirror, Turn("Hello.", "Oh.", True), SECOND)) == ["delete", "create"]


def test_a_reply_that_nobody_heard_is_taken_out() -> None:
    mirror = talked()
    assert mirror.cut(mirror.items[1], 0)["type"] == "conversation.item.delete"


def test_a_cut_lies_within_the_sound() -> None:
    mirror = talked()
    assert mirror.cut(mirror.items[1], 9_000)["audio_end_ms"] == 3_000


def test_sound_without_words_says_nothing_and_stays() -> None:
    mirror = talked()
    mirror.items[0].text = ""
    assert told(mirror, Turn("", "Hi there, you."), SECOND) == []


def test_the_question_is_there_as_sound_whatever_is_known_of_its_words() -> None:
    for known in ("", "And what", "And what is that?"):
        mirror = talked()
        mirror.items[-1].text = "And what is that?"
        history = (FIRST, SECOND, Turn(known, ""))
        assert mirror.agree(history, 3, "And what is that?") == []


def test_the_same_words_before_it_are_not_taken_for_the_question() -> None:
    mirror = Mirror()
    mirror.put(Item("u1", USER, "Hello.", turn=1), "")
    mirror.put(Item("u2", USER, "Hello.", turn=2), "u1")
    assert mirror.agree((Turn("Hello.", ""), Turn("", "")), 2, "Hello.") == []


def test_what_was_written_before_the_question_is_written() -> None:
    mirror = talked()
    (event,) = mirror.agree((FIRST, SECOND, Turn("Note this. And what", "")), 3, "And what is")
    assert event["item"]["content"] == [{"type": "input_text", "text": "Note this."}]  # type: ignore[index]


def test_a_reply_that_stands_behind_the_question_is_put_before_it() -> None:
    mirror = talked()
    mirror.items.append(mirror.items.pop(3))
    assert kinds(told(mirror, FIRST, SECOND)) == ["delete", "create"]
    assert [item.kind for item in mirror.items] == [USER, ASSISTANT, USER, ASSISTANT, USER]


def test_what_was_said_aside_stays() -> None:
    mirror = talked()
    mirror.say_aside("One minute left.", 9)
    assert told(mirror, FIRST, SECOND) == []


def test_calls_and_results_are_items_of_their_own() -> None:
    mirror = Mirror()
    events = told(mirror, Turn("Go.", "", calls=(LOOK,)), FunctionResult("c1", "42"), turn=2)
    items = [event["item"] for event in events]
    assert [item["type"] for item in items] == [  # type: ignore[index]
        "message", "function_call", "function_call_output",
    ]  # fmt: skip
    assert items[1]["name"] == "look_up"  # type: ignore[index]
    history = Turn("Go.", "", calls=(LOOK,)), FunctionResult("c1", "42")
    assert told(mirror, *history, turn=2) == []


def test_a_result_is_answered_once() -> None:
    asked = Turn("Go.", "", calls=(LOOK,))
    history = asked, FunctionResult("c1", "1"), FunctionResult("c1", "2")
    assert [each.kind for each in wanted_of(history)] == [USER, CALL, "result", USER]


def test_ids_and_arguments_are_such_as_the_vendor_takes() -> None:
    call = FunctionCall("x" * 90, "look", "not json")
    wanted = wanted_of([Turn("", "", calls=(call,)), FunctionResult("x" * 90, "1")])
    assert [each.call_id for each in wanted] == ["x" * 32] * 2
    assert wanted[0].text == "{}"


def test_an_empty_conversation_becomes_this_one() -> None:
    mirror = talked()
    mirror.say_aside("One minute left.", 9)
    events = mirror.renew()
    assert [event["item"]["role"] for event in events] == [  # type: ignore[index]
        "user", "assistant", "user", "assistant", "assistant",
    ]  # fmt: skip
    assert told(mirror, FIRST, SECOND, turn=9) == []


def test_what_another_engine_was_told_is_what_the_vendor_will_be_told() -> None:
    mirror = talked()
    mirror.assume((FIRST, Note("system", "Be brief."), Turn("What?", "")))
    assert [item.text for item in mirror.items] == [
        "Hello.", "Hi there, you.", "Be brief.", "What?",
    ]  # fmt: skip
