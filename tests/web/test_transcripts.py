"""What was said, in every form: valid by the published types, and nothing lost on the way."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
)

from engines.speech import Word
from engines.stretches import Passage, spread
from voice_server.web.transcripts import (
    CUE_CHARS_MAX,
    CUE_MS_MAX,
    Written,
    cues,
    delta,
    done,
    short,
    srt,
    verbose,
    vtt,
)

HELLO = Passage(
    "Hello there.", 1_000, 2_500, (Word("Hello", 1_000, 1_400), Word("there.", 1_500, 2_500)),
    estimated=False, speech=0.9,
)  # fmt: skip
FRIEND = Passage("My friend.", 4_000, 5_000, spread("My friend.", 4_000, 5_000), True, 0.75)
WRITTEN = Written("en", 6_250, (HELLO, FRIEND))

texts = st.text(st.characters(codec="utf-8"), max_size=300).filter(lambda text: text.split())


@st.composite
def writtens(draw: st.DrawFn) -> Written:
    """A recording of several passages, in order, as recognisers give them."""
    at, passages = 0, []
    for text in draw(st.lists(texts, max_size=6)):
        start_ms = at + draw(st.integers(0, 4_000_000))
        at = start_ms + draw(st.integers(0, 30_000))
        plain = " ".join(text.split())
        passages.append(Passage(plain, start_ms, at, spread(plain, start_ms, at), True, 0.5))
    return Written("ru", at, tuple(passages))


def test_json_is_the_published_type() -> None:
    found = Transcription.model_validate(short(WRITTEN), strict=True)
    assert found.text == "Hello there. My friend."
    assert found.usage is not None and found.usage.type == "duration"
    assert found.usage.seconds == 6.25


def test_verbose_json_is_the_published_type() -> None:
    body = verbose(WRITTEN, ("word", "segment"))
    found = TranscriptionVerbose.model_validate(body, strict=True)
    assert (found.duration, found.language, found.text) == (
        6.25, "english", "Hello there. My friend.",
    )  # fmt: skip
    assert found.segments is not None and found.words is not None
    assert [(s.id, s.start, s.end, s.text) for s in found.segments] == [
        (0, 1.0, 2.5, "Hello there."), (1, 4.0, 5.0, "My friend."),
    ]  # fmt: skip
    assert [w.word for w in found.words] == ["Hello", "there.", "My", "friend."]
    assert (found.words[0].start, found.words[0].end) == (1.0, 1.4)
    assert found.segments[1].no_speech_prob == 0.25


def test_estimated_times_are_said_to_be() -> None:
    assert verbose(WRITTEN, ("word",))["word_times"] == "estimated"
    recognised = Written("en", 6_250, (HELLO,))
    assert verbose(recognised, ("word",))["word_times"] == "recognised"


def test_only_what_was_asked_for_is_there() -> None:
    assert "words" not in verbose(WRITTEN, ("segment",))
    assert "segments" not in verbose(WRITTEN, ("word",))


@given(writtens())
def test_the_deltas_joined_are_the_text(written: Written) -> None:
    events = [
        TranscriptionTextDeltaEvent.model_validate(delta(each, first=number == 0), strict=True)
        for number, each in enumerate(written.passages)
    ]
    last = TranscriptionTextDoneEvent.model_validate(done(written), strict=True)
    assert "".join(event.delta for event in events) == last.text == written.text
    usage = last.usage
    assert usage is not None and usage.total_tokens == usage.input_tokens + usage.output_tokens


@given(writtens())
def test_cues_hold_every_word_and_follow_each_other(written: Written) -> None:
    found = cues(written.passages)
    assert " ".join(cue.text for cue in found) == written.text
    edges = [edge for cue in found for edge in (cue.start_ms, cue.end_ms)]
    assert edges == sorted(edges)
    for cue in found:
        one_word = " " not in cue.text
        assert one_word or len(cue.text) <= CUE_CHARS_MAX
        assert one_word or cue.end_ms - cue.start_ms <= CUE_MS_MAX


TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})"


def read_back(text: str, separator: str) -> list[tuple[int, int, str]]:
    """Cues as a player reads them: blocks between empty lines."""
    found = []
    for block in filter(str.strip, re.split(r"\n\n+", text)):
        lines = block.strip("\n").split("\n")
        at = next(n for n, line in enumerate(lines) if " --> " in line)
        match = re.fullmatch(f"{TIME} --> {TIME}", lines[at].replace(separator, "."))
        assert match is not None, lines[at]
        h, m, s, ms, h2, m2, s2, ms2 = map(int, match.groups())
        start, end = ((h * 60 + m) * 60 + s) * 1_000 + ms, ((h2 * 60 + m2) * 60 + s2) * 1_000 + ms2
        found.append((start, end, "\n".join(lines[at + 1 :])))
    return found


@given(writtens())
def test_subrip_is_read_back_whole(written: Written) -> None:
    expected = cues(written.passages)
    text = srt(written)
    found = read_back(text, ",")
    assert [(start, end) for start, end, _ in found] == [(c.start_ms, c.end_ms) for c in expected]
    numbers = [int(block.split("\n")[0]) for block in filter(str.strip, text.split("\n\n"))]
    assert numbers == list(range(1, len(expected) + 1))
    for (*_, line), cue in zip(found, expected, strict=True):
        assert "\n" not in line and "-->" not in line
        assert re.sub("→|-+>", "", line) == re.sub("→|-+>", "", cue.text)


@given(writtens())
def test_webvtt_is_read_back_whole(written: Written) -> None:
    text = vtt(written)
    head, _, rest = text.partition("\n")
    assert head == "WEBVTT"
    expected = cues(written.passages)
    found = read_back(rest, ".")
    assert [(start, end) for start, end, _ in found] == [(c.start_ms, c.end_ms) for c in expected]
    for (*_, line), cue in zip(found, expected, strict=True):
        assert "<" not in line and ">" not in line and "\n" not in line
        plain = line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        assert re.sub("→|-+>", "", plain) == re.sub("→|-+>", "", cue.text)


def test_a_known_file_of_each_kind() -> None:
    assert srt(WRITTEN) == (
        "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n"
        "2\n00:00:04,000 --> 00:00:05,000\nMy friend.\n"
    )
    text, start_ms, end_ms = "a<b> --> c & d", 3_600_000, 3_601_000
    evil = Passage(text, start_ms, end_ms, spread(text, start_ms, end_ms), True, 1.0)
    written = Written("en", 9_999_999, (evil,))
    assert vtt(written) == (
        "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\na&lt;b&gt; → c &amp; d\n"
    )


def test_nothing_said_is_an_empty_file() -> None:
    silent = Written("en", 1_000, ())
    assert (srt(silent), vtt(silent), silent.text) == ("", "WEBVTT\n", "")
    assert verbose(silent, ("segment", "word"))["segments"] == []
