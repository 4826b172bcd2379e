"""What the vendor's answers mean, told by the clock of the test."""

from __future__ import annotations

from engines.speech import PCM_FRAME_MS, Transcript, Word
from engines.yandex.results import Answers, Cutter, SessionRules, fitted

RAW = Transcript("мне двадцать пять лет", True, 0, 1_600, (
    Word("мне", 0, 300), Word("двадцать", 400, 800), Word("пять", 800, 1_200),
    Word("лет", 1_300, 1_600),
))  # fmt: skip
REFINED = Transcript("Мне 25 лет.", True, 0, 1_600)


def asked(refinement_ms: int = 200, patience_ms: int = 5_000) -> Answers:
    answers = Answers(refinement_ms, patience_ms)
    answers.opened(0)
    answers.asked(0, 1_000)
    answers.source_over = True
    return answers


# Finals and refinements.


def test_a_refinement_in_time_is_what_was_said() -> None:
    answers = asked()
    assert answers.final(0, 3, RAW, 1_050) == []
    (better,) = answers.refined(0, 3, REFINED)
    assert better.text == "Мне 25 лет."
    assert better.words == (Word("Мне", 0, 300), Word("25", 400, 1_200), Word("лет.", 1_300, 1_600))
    assert not answers.finished  # There may be another final.
    answers.answered(0)
    assert answers.finished


def test_a_final_does_not_wait_for_long() -> None:
    answers = asked(refinement_ms=200)
    assert answers.final(0, 0, RAW, 1_050) == []
    assert answers.deadline_ms() == 1_250
    assert answers.tick(1_249) == []
    assert answers.tick(1_250) == [RAW]
    assert answers.finished
    assert answers.refined(0, 0, REFINED) == []


def test_who_does_not_want_refinements_does_not_wait() -> None:
    assert asked(refinement_ms=0).final(0, 0, RAW, 1_050) == [RAW]


def test_another_finals_refinement_is_not_ours() -> None:
    answers = asked()
    answers.final(0, 1, RAW, 1_050)
    assert answers.refined(0, 0, REFINED) == []
    assert answers.tick(1_250) == [RAW]


def test_an_empty_refinement_changes_nothing() -> None:
    answers = asked()
    answers.final(0, 0, RAW, 1_050)
    assert answers.refined(0, 0, Transcript("", True)) == [RAW]


def test_the_next_words_come_after_the_final() -> None:
    answers = asked()
    answers.final(0, 0, RAW, 1_050)
    next_words = Transcript("и", False, 2_000, 2_100)
    assert answers.partial(next_words) == []
    assert [each.final for each in answers.refined(0, 0, REFINED)] == [True, False]
    assert answers.partial(next_words) == [next_words]


def test_a_second_final_lets_the_first_go() -> None:
    answers = asked()
    answers.final(0, 0, RAW, 1_050)
    assert answers.final(0, 1, REFINED, 1_060) == [RAW]
    assert answers.tick(1_260) == [REFINED]


def test_nothing_said_is_no_transcript() -> None:
    answers = asked()
    assert answers.partial(Transcript("", False)) == []
    answers.final(0, 0, Transcript("", True), 1_050)
    assert answers.tick(1_250) == []
    assert answers.finished


# Ends.


def test_silence_is_over_when_the_vendor_says_so() -> None:
    answers = asked()
    assert not answers.finished
    answers.answered(0)
    assert answers.finished


def test_the_words_are_known_though_the_vendor_never_says_that_they_end() -> None:
    answers = asked()
    answers.final(0, 0, RAW, 1_050)
    answers.refined(0, 0, REFINED)
    assert answers.deadline_ms() == 1_250
    answers.tick(1_250)
    assert answers.finished


def test_a_session_that_has_ended_owes_nothing() -> None:
    answers = asked()
    answers.final(0, 0, RAW, 1_050)
    assert answers.ended(0) == [RAW]
    assert answers.finished
    assert answers.owes_nothing(0)


def test_a_vendor_that_keeps_silent_has_stalled() -> None:
    answers = asked(patience_ms=5_000)
    assert answers.deadline_ms() == 6_000
    assert not answers.stalled(5_999)
    assert answers.stalled(6_000)
    answers.answered(0)
    assert not answers.stalled(6_000)


def test_who_still_speaks_is_not_waited_for() -> None:
    answers = Answers(200, 5_000)
    answers.opened(0)
    assert answers.deadline_ms() is None
    assert not answers.stalled(1_000_000)
    assert not answers.finished


# Words.


def test_words_keep_their_times_through_normalising() -> None:
    shorter = fitted(Transcript("25 лет", True, 0, 1_600, RAW.words))
    assert [(w.text, w.start_ms, w.end_ms) for w in shorter.words] == [
        ("25", 0, 1_200), ("лет", 1_300, 1_600)]  # fmt: skip
    longer = fitted(Transcript("Ну что ж, мне 25 лет", True, 0, 1_600, RAW.words))
    assert longer.text.split() == [word.text for word in longer.words]
    assert [w.start_ms for w in longer.words] == sorted(w.start_ms for w in longer.words)
    assert all(0 <= w.start_ms <= w.end_ms <= 1_600 for w in longer.words)
    ё = fitted(Transcript("Ёж", True, 0, 9, (Word("еж", 1, 9),)))
    assert ё.words == (Word("Ёж", 1, 9),)


# Cutting.


def cuts(rules: SessionRules, loudness: list[float]) -> list[int]:
    """After how many frames the stretches end."""
    cutter, found = Cutter(rules), []
    for number, loud in enumerate(loudness, start=1):
        if cutter.ends_after(loud):
            found.append(number)
            cutter.cut()
    return found


def frames(ms: int) -> int:
    return ms // PCM_FRAME_MS


def test_long_speech_is_cut_in_its_pauses() -> None:
    rules = SessionRules()
    before, pause = frames(20_000), frames(320)
    loudness = [1_000.0] * before + [5.0] * pause + [1_000.0] * before
    (first,) = cuts(rules, loudness)
    assert before < first <= before + pause


def test_speech_without_a_pause_is_cut_in_time() -> None:
    rules = SessionRules()
    found = cuts(rules, [1_000.0] * frames(120_000))
    assert found
    for start, end in zip([0, *found], found, strict=False):
        assert rules.stretch_ms < (end - start) * PCM_FRAME_MS <= rules.stretch_ms_max


def test_a_short_utterance_is_not_cut_at_all() -> None:
    assert cuts(SessionRules(), [1_000.0, 0.0] * frames(4_000) + [0.0] * frames(9_000)) == []


def test_silence_is_a_pause_too() -> None:
    rules = SessionRules()
    assert cuts(rules, [0.0] * frames(40_000))[0] == frames(rules.stretch_ms) + 1


def test_no_session_comes_near_the_vendors_limits() -> None:
    """Five minutes, ten megabytes; even when nobody ever pauses."""
    rules, cutter, length_ms, lengths = SessionRules(), Cutter(SessionRules()), 0, list[int]()
    for _ in range(frames(1_800_000)):
        length_ms += PCM_FRAME_MS
        if cutter.ends_after(1_000.0) and cutter.cut():
            lengths.append(length_ms)
            length_ms = 0
            cutter.renew()
    assert lengths
    assert max(lengths) <= rules.session_ms + rules.stretch_ms_max <= 290_000
    assert max(lengths) * 32 < 10_000_000
