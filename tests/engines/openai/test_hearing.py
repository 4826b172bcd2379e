"""What is sent of a stream of sound, and what is made of the vendor's events."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from engines.openai.hearing import (
    KEYWORD_CHARS_MAX,
    KEYWORDS_MAX,
    LEAD_FRAMES,
    Append,
    Commit,
    Hearing,
    Request,
    RollOver,
    VendorError,
    hints,
    session_of,
)
from engines.speech import PCM_FRAME_BYTES, PCM_FRAME_MS, Transcript, Word

LOUD = (b"\x00\x20" + b"\x00\xe0") * (PCM_FRAME_BYTES // 4)
SILENT = bytes(PCM_FRAME_BYTES)
# Short enough to be read.
ROLLS = RollOver(
    stretch_ms=640, hurry_ms=960, stretch_ms_max=1_280, pause_ms=3 * PCM_FRAME_MS,
    breath_ms=PCM_FRAME_MS,
)  # fmt: skip


def told(kind: str, item: str, **fields: Any) -> dict[str, Any]:
    names = {"delta": "delta", "completed": "transcript"}
    if kind == "committed":
        return {"type": "input_audio_buffer.committed", "item_id": item}
    text = {names[kind]: fields.pop("text")} if kind in names else {}
    name = f"conversation.item.input_audio_transcription.{kind}"
    return {"type": name, "item_id": item, **text, **fields}


def heard(hearing: Hearing, *frames: bytes) -> list[Request]:
    return [request for frame in frames for request in hearing.hear(frame)]


def sound_of(requests: list[Request]) -> bytes:
    return b"".join(each.sound for each in requests if isinstance(each, Append))


def test_silence_is_not_sent_but_what_comes_just_before_a_voice_is() -> None:
    hearing = Hearing()
    assert heard(hearing, *[SILENT] * 100) == []
    assert not hearing.begun
    assert heard(hearing, LOUD) == [Append(SILENT * LEAD_FRAMES + LOUD)]
    assert heard(hearing, SILENT) == [Append(SILENT)]
    assert hearing.end() == [Commit()]
    (final,) = hearing.answer("hello")
    begins_ms = (100 - LEAD_FRAMES) * PCM_FRAME_MS
    assert final == Transcript("hello", True, begins_ms, 102 * PCM_FRAME_MS)


def test_a_stream_of_nothing_is_over_at_its_end() -> None:
    hearing = Hearing()
    heard(hearing, *[SILENT] * 10)
    assert not hearing.over
    assert hearing.end() == []
    assert hearing.over
    assert not hearing.answered
    assert hearing.nothing() == Transcript("", True, 0, 10 * PCM_FRAME_MS)


def test_a_click_is_made_as_long_as_the_vendor_wants() -> None:
    hearing = Hearing()
    requests = heard(hearing, LOUD) + hearing.end()
    assert requests[-1] == Commit()
    assert len(sound_of(requests)) >= 100 * 32
    # It is no longer than it was.
    assert hearing.answer("ha")[0].end_ms == PCM_FRAME_MS


def test_deltas_become_partials_and_the_completed_text_the_final() -> None:
    hearing = Hearing()
    heard(hearing, LOUD, LOUD)
    assert [t.text for t in hearing.receive(told("delta", "a", text="hel"))] == ["hel"]
    assert [t.text for t in hearing.receive(told("delta", "a", text="lo "))] == ["hello"]
    assert hearing.receive(told("delta", "a", text=" ")) == [], "nothing new was said"
    hearing.end()
    assert hearing.waits
    assert hearing.receive(told("committed", "a")) == []
    (final,) = hearing.receive(told("completed", "a", text=" Hello, you. "))
    assert final == Transcript("Hello, you.", True, 0, 2 * PCM_FRAME_MS)
    assert hearing.over
    assert hearing.is_clean
    assert hearing.receive(told("completed", "a", text="again")) == []


def test_nothing_of_another_utterance_is_heard() -> None:
    hearing = Hearing(ignored={"old"})
    heard(hearing, LOUD)
    for kind in ("delta", "completed"):
        assert hearing.receive(told(kind, "old", text="theirs")) == []
    hearing.receive(told("committed", "old"))
    hearing.end()
    hearing.receive(told("committed", "new"))
    assert hearing.receive(told("completed", "old", text="theirs")) == []
    assert hearing.receive(told("completed", "new", text="ours"))[0].text == "ours"
    assert hearing.items == {"new"}


def test_an_item_that_was_finished_says_nothing_more() -> None:
    hearing = Hearing(rolls=ROLLS)
    heard(hearing, *[LOUD] * 40)
    assert hearing.receive(told("committed", "a")) == []
    assert hearing.receive(told("completed", "a", text="one"))[0].final
    assert hearing.receive(told("delta", "a", text="late")) == []
    heard(hearing, LOUD)
    assert hearing.receive(told("delta", "a", text="later")) == []


@pytest.mark.parametrize(
    ("loud", "quiet", "rolls"),
    [(19, 3, True), (19, 2, False), (10, 3, False), (29, 1, True), (39, 0, False), (40, 0, True)],
)
def test_a_long_stretch_ends_in_a_pause(loud: int, quiet: int, rolls: bool) -> None:
    hearing = Hearing(rolls=ROLLS)
    requests = heard(hearing, *[LOUD] * loud, *[SILENT] * quiet)
    assert (Commit() in requests) is rolls
    assert requests.count(Commit()) <= 1


def test_finals_come_in_the_order_of_the_sound() -> None:
    hearing = Hearing(rolls=ROLLS)
    heard(hearing, *[LOUD] * 100)
    hearing.end()
    for item in "abc":
        hearing.receive(told("committed", item))
    assert hearing.receive(told("completed", "b", text="two")) == []
    assert hearing.receive(told("delta", "c", text="thr")) == []
    given = hearing.receive(told("completed", "a", text="one"))
    assert [(t.text, t.final) for t in given] == [("one", True), ("two", True), ("thr", False)]
    assert not hearing.over
    given += hearing.receive(told("completed", "c", text="three"))
    assert hearing.over
    finals = [t for t in given if t.final]
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(finals))
    assert finals[-1].end_ms == 100 * PCM_FRAME_MS


def test_what_was_not_answered_is_sent_again_and_nothing_else() -> None:
    hearing = Hearing(rolls=ROLLS)
    requests = heard(hearing, *[LOUD] * 100)
    stretches = sound_of(requests)
    hearing.receive(told("committed", "a"))
    hearing.receive(told("completed", "a", text="one"))
    hearing.receive(told("committed", "b"))
    hearing.receive(told("delta", "b", text="tw"))
    again = hearing.again()
    assert [type(each) for each in again] == [Append, Commit, Append]
    assert sound_of(again) == stretches[40 * PCM_FRAME_BYTES :]
    # The new connection has names of its own.
    hearing.receive(told("committed", "x"))
    assert hearing.receive(told("completed", "b", text="late")) == []
    assert hearing.receive(told("completed", "x", text="two"))[0].text == "two"
    hearing.end()
    hearing.receive(told("committed", "y"))
    assert hearing.receive(told("completed", "y", text="three"))[0].text == "three"
    assert hearing.over


def test_a_new_session_may_use_the_names_of_the_old() -> None:
    hearing = Hearing(rolls=ROLLS)
    heard(hearing, *[LOUD] * 100)
    hearing.end()
    for item in ("item_1", "item_2"):
        hearing.receive(told("committed", item))
    hearing.receive(told("delta", "item_1", text="one and "))
    assert hearing.receive(told("completed", "item_2", text="two")) == []
    hearing.again()
    # Its first item is the first stretch again, its second the third: the second is answered.
    assert [t.text for t in hearing.receive(told("delta", "item_1", text="one"))] == ["one"]
    hearing.receive(told("committed", "item_1"))
    hearing.receive(told("committed", "item_2"))
    given = hearing.receive(told("completed", "item_1", text="one"))
    given += hearing.receive(told("completed", "item_2", text="three"))
    assert [(t.text, t.final) for t in given] == [("one", True), ("two", True), ("three", True)]


def test_a_stretch_with_nothing_in_it_has_no_final_of_its_own() -> None:
    hearing = Hearing()
    heard(hearing, LOUD)
    hearing.end()
    assert hearing.answer("  ") == []
    assert hearing.over
    assert not hearing.answered


def test_words_of_a_file_lie_in_the_stream() -> None:
    hearing = Hearing()
    heard(hearing, *[SILENT] * 100, *[LOUD] * 10)
    hearing.end()
    words = (Word("a", 0, 100), Word("b", 90, 80), Word("c", 5_000, 9_000))
    (final,) = hearing.answer("a b c", words)
    begins_ms, ends_ms = final.start_ms, final.end_ms
    assert begins_ms == 90 * PCM_FRAME_MS
    assert final.words == (
        Word("a", begins_ms, begins_ms + 100), Word("b", begins_ms + 90, begins_ms + 90),
        Word("c", ends_ms, ends_ms),
    )  # fmt: skip


def test_words_that_are_not_those_of_the_text_are_left_out() -> None:
    hearing = Hearing()
    heard(hearing, LOUD)
    hearing.end()
    assert hearing.answer("one two", (Word("other", 0, 10),))[0].words == ()


def test_errors_of_the_vendor_are_raised() -> None:
    hearing = Hearing()
    heard(hearing, LOUD)
    error = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "slower"}
    with pytest.raises(VendorError, match="slower") as failed:
        hearing.receive(told("failed", "a", error=error))
    assert (failed.value.kind, failed.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    with pytest.raises(VendorError):
        hearing.receive({"type": "error", "error": "odd"})


@pytest.mark.parametrize(
    "event",
    [
        {}, {"type": 7}, {"type": "rate_limits.updated"}, {"type": "session.updated"},
        told("delta", "a", text=None), told("delta", "a", text=["x"]),
        told("completed", "", text="x"), told("completed", "a", text="early"),
        told("committed", "a") | {"item_id": {"a": 1}},
    ],
)  # fmt: skip
def test_odd_events_do_no_harm(event: dict[str, Any]) -> None:
    hearing = Hearing()
    heard(hearing, LOUD)
    assert all(not t.final for t in hearing.receive(event))
    hearing.end()
    hearing.receive(told("committed", "b"))
    assert hearing.receive(told("completed", "b", text="well"))[0].text == "well"


def test_ten_minutes_are_held_in_bounds() -> None:
    hearing, finals, items = Hearing(), list[Transcript](), itertools.count()
    for number in range(10 * 60_000 // PCM_FRAME_MS):
        # Somebody who breathes for half a second every five, and is silent for a minute.
        minute, second = divmod(number * PCM_FRAME_MS / 1_000, 60)
        speaks = minute != 4 and second % 5 < 4.5
        if Commit() in hearing.hear(LOUD if speaks else SILENT):
            item = f"item_{next(items)}"
            hearing.receive(told("committed", item))
            finals += hearing.receive(told("completed", item, text=f"words of {item}"))
        stretch = hearing.file()
        assert stretch is None
    hearing.end()
    item = f"item_{next(items)}"
    finals += hearing.receive(told("completed", item, text="the last"))
    assert hearing.over
    assert all(t.final and t.end_ms - t.start_ms <= 28_000 for t in finals)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(finals))
    # The silent minute is in none but the end of one.
    assert sum(t.end_ms - t.start_ms for t in finals) < 570_000


# What the models are told.


def test_each_model_is_told_what_is_expected_in_its_own_way() -> None:
    expected = ("a noun", "a verb")
    assert hints("gpt-live-transcribe", "en-GB", expected) == {
        "languages": ["en"], "keywords": ["a noun", "a verb"],
    }  # fmt: skip
    assert hints("whisper-1", "ru", expected) == {"language": "ru", "prompt": "a noun, a verb"}
    assert hints("gpt-realtime-whisper", "ru", expected) == {"language": "ru"}
    assert hints("somebody/whisper-large", "", ()) == {}


def test_what_is_expected_is_bounded_and_plain() -> None:
    odd = ["", " \n", "a\x00b", "two  words", "two words", "x" * (KEYWORD_CHARS_MAX + 1)]
    told_of = hints("gpt-live-transcribe", "en<script>", odd * 3)
    assert told_of == {"keywords": ["a b", "two words"]}
    many = hints("gpt-transcribe", "en", [f"k{n}" for n in range(1_000)])["keywords"]
    assert isinstance(many, list)
    assert len(many) == KEYWORDS_MAX
    assert len(str(hints("whisper-1", "en", ["word " * 19] * 9 + ["y" * 90] * 99)["prompt"])) < 700


def test_the_session_leaves_the_end_of_a_turn_to_us() -> None:
    session: Any = session_of("gpt-live-transcribe", "en", ())
    assert session["type"] == "transcription"
    heard_as = session["audio"]["input"]
    assert heard_as["turn_detection"] is None
    assert heard_as["format"] == {"type": "audio/pcm", "rate": 24_000}
