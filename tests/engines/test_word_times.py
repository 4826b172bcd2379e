"""Times that are reckoned keep every promise of times that are known, and are near the truth."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.espeak import EspeakTextToSpeech
from engines.speech import OPUS_FRAME_MS, OpusFrame, WordTime
from engines.timed_voice import Timed
from engines.word_times import CLAUSE, SENTENCE, Estimate, Paces, Weighed, weigh

from .voices_for_tests import Mute, collect

LOUD, QUIET = 3_000, 0
ENGLISH = (
    "A verb is a doing word, and every sentence needs one.",
    "Could you please tell me once more what you did yesterday evening?",
    "The weather was cold; nobody wanted to go outside, so we stayed at home and read.",
    "My sister moved to another city three years ago. She likes it there very much.",
    "In 1999 the ticket cost $45, which was a lot of money.",
    "When the train arrived, the platform was already empty.",
    "First, wash the vegetables. Then cut them into small pieces, and put them into the pan.",
    "I have never been to Scotland, but my grandmother was born there.",
)
RUSSIAN = (
    "Глагол обозначает действие, и без него нет предложения.",
    "Расскажите, пожалуйста, что вы делали вчера вечером?",
    "Погода была холодная; никто не хотел выходить, поэтому мы остались дома и читали.",
    "Моя сестра переехала в другой город три года назад. Ей там очень нравится.",
    "В 1999 году билет стоил 45 рублей, и это было дорого.",
    "Когда поезд прибыл, платформа уже опустела.",
    "Сначала вымойте овощи. Потом нарежьте их мелкими кусочками и положите на сковороду.",
    "Я никогда не был на море, но моя бабушка там родилась.",
)


def spoken(words: Sequence[Weighed], pace: float, pause_ms: int) -> tuple[list[int], list[int]]:
    """A voice that speaks just as its words weigh: how loud each frame is, and when each word
    begins."""
    levels, starts = [QUIET] * 5, list[int]()
    for word in words:
        starts.append(len(levels) * OPUS_FRAME_MS)
        levels += [LOUD] * round(word.weight_ms * pace / OPUS_FRAME_MS)
        levels += [QUIET] * (pause_ms // OPUS_FRAME_MS if word.stop else 0)
    return levels, starts


def estimated(estimate: Estimate, levels: Sequence[int]) -> Iterator[tuple[int, WordTime]]:
    """The words, each with the moment of the sound before which it was told."""
    for index, level in enumerate(levels):
        at_ms = index * OPUS_FRAME_MS
        ask = estimate.rest if index == len(levels) - 1 else estimate.before
        for word in ask(at_ms, level):
            yield at_ms, word


WORDS = st.lists(
    st.tuples(st.floats(0, 2_000), st.sampled_from([0, 0, 0, CLAUSE, SENTENCE])), max_size=40
).map(
    lambda rows: [
        Weighed(2 * at, 2 * at + 1, weight, stop) for at, (weight, stop) in enumerate(rows)
    ]
)
LEVELS = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from([0, 0, 5, 200, 8_000, 32_767])), min_size=1,
    max_size=40,
).map(lambda runs: [level for length, level in runs for _ in range(length)])  # fmt: skip


@given(WORDS, LEVELS, st.floats(0.05, 5))
def test_every_word_is_told_once_in_order_and_in_time(
    words: list[Weighed], levels: list[int], pace: float
) -> None:
    told = list(estimated(Estimate(words, pace), levels))
    assert [word.char_start for _, word in told] == [word.char_start for word in words]
    assert all(word.estimated for _, word in told)
    starts = [word.start_ms for _, word in told]
    assert starts == sorted(starts)
    for at_ms, word in told:
        assert at_ms <= word.start_ms < len(levels) * OPUS_FRAME_MS


@pytest.mark.parametrize("pace", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_pause_puts_right_what_the_pace_got_wrong(language: str, pace: float) -> None:
    text = " ".join(ENGLISH if language == "en" else RUSSIAN)
    words = weigh(text, language)
    levels, truth = spoken(words, pace, 300)
    told = [word for _, word in estimated(Estimate(words, 1.0), levels)]
    after_stops = [at + 1 for at, word in enumerate(words[:-1]) if word.stop]
    off = [abs(told[at].start_ms - truth[at]) for at in after_stops]
    assert statistics.median(off) <= OPUS_FRAME_MS
    assert sum(each > 200 for each in off) <= 3, "the first few, until the pace is known"


def test_a_voice_that_never_pauses_is_followed_too() -> None:
    words = weigh(" ".join(ENGLISH), "en")
    levels, truth = spoken(words, 1.0, 0)
    told = [word for _, word in estimated(Estimate(words, 1.0), levels)]
    off = [abs(word.start_ms - true) for word, true in zip(told, truth, strict=True)]
    assert statistics.median(off) < 200
    assert max(off) < 1_000


def test_a_breath_that_is_not_written_is_waited_out() -> None:
    words = [Weighed(2 * at, 2 * at + 1, 300.0) for at in range(20)]
    levels = [LOUD] * 150 + [QUIET] * 40 + [LOUD] * 150
    told = [word.start_ms for _, word in estimated(Estimate(words, 1.0), levels)]
    assert told[9] == pytest.approx(2_700, abs=40)
    assert told[15] == pytest.approx(15 * 300 + 800, abs=40)


def test_silence_before_the_voice_is_no_word() -> None:
    words = weigh("one two", "en")
    levels = [QUIET] * 40 + [LOUD] * 40
    assert next(estimated(Estimate(words, 1.0), levels))[1].start_ms == 800


def test_what_digits_weigh_is_what_is_said_for_them() -> None:
    year, article = weigh("1999 a", "en")
    assert year.weight_ms > 5 * article.weight_ms
    assert [(word.char_start, word.char_end) for word in weigh("In 1999, $5!", "en")] == [
        (0, 2), (3, 7), (9, 11)]  # fmt: skip
    assert [word.stop for word in weigh("One, two. Three - four (5) end", "en")] == [
        CLAUSE, SENTENCE, CLAUSE, CLAUSE, CLAUSE, 0]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ru", "de", "ja", ""])
def test_every_script_weighs_something(language: str) -> None:
    for text in ("Grüße aus Köln", "これは何ですか", "Привет, мир", "5 + 5", "مرحبا بالعالم"):
        words = weigh(text, language)
        assert words
        assert all(word.weight_ms > 0 for word in words)
        assert all(a.char_end <= b.char_start for a, b in itertools.pairwise(words))
    assert weigh(" … ", language) == []


# What is learned of a voice.


def test_a_pace_is_learned_and_not_from_nonsense() -> None:
    paces = Paces()
    guess, known_ms = paces.pace("anna", "en", 2.0)
    assert guess == pytest.approx(0.5)
    for took_ms, weight_ms in ((100.0, 100.0), (0.0, 5_000.0), (90_000.0, 5_000.0)):
        paces.learn("anna", "en", 1.0, took_ms, weight_ms)
    assert len(paces) == 0
    for _ in range(10):
        paces.learn("anna", "en", 1.0, 6_500.0, 5_000.0)
    learned, known_better_ms = paces.pace("anna", "en", 1.0)
    assert learned == pytest.approx(1.3, abs=0.02)
    assert known_better_ms > 10 * known_ms
    assert paces.pace("anna", "ru", 1.0) == (1.0, known_ms)
    for _ in range(60):
        paces.learn("anna", "en", 1.0, 4_500.0, 5_000.0)
    assert paces.pace("anna", "en", 1.0)[0] == pytest.approx(0.9, abs=0.05), "the old is forgotten"


def test_the_memory_of_voices_is_bounded() -> None:
    paces = Paces()
    for number in range(1_000):
        paces.learn(f"voice {number}", "en", 1.0, 2_600.0, 2_000.0)
    assert len(paces) == 256
    assert paces.pace("voice 999", "en", 1.0)[0] > 1.1
    assert paces.pace("voice 0", "en", 1.0)[0] == 1.0


# The truth, from a voice that knows it.


@pytest.mark.parametrize(("language", "texts"), [("en", ENGLISH), ("ru", RUSSIAN)])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.4])
async def test_it_is_near_the_true_times(
    language: str, texts: Sequence[str], speed: float
) -> None:
    espeak = EspeakTextToSpeech()
    await espeak.start()
    try:
        mute = Mute(espeak)
        timed, off = Timed(mute), list[int]()
        for text in texts:
            made = await collect(timed, text, language=language, speed=speed)
            words = [each for each in made if isinstance(each, WordTime)]
            assert sum(isinstance(each, OpusFrame) for each in made) > 0
            truth = {word.char_start: word.start_ms for word in mute.words}
            off += [abs(w.start_ms - truth[w.char_start]) for w in words if w.char_start in truth]
    finally:
        await espeak.close()
    assert len(off) > 60
    # On real sentences it is some 50 ms in the middle and 300 ms in the worst of twenty words.
    assert statistics.median(off) < 150
    assert statistics.quantiles(off, n=20)[-1] < 700
