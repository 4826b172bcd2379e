"""PocketSphinx in a worker process: many utterances in turn, each with a decoder of its own.

The decoder holds the GIL, so it lives here and not in the server. The beams are the middle
way measured on human speech (one decoder getting used to one clip after another): of a core
they take 0.11 and err in 0.56 of the words, where wider ones take 0.16 and err in 0.58 and the
narrowest take 0.06 and err in 0.70.

**Expected answers.** A grammar of a few phrases hears a spoken word of its own right in 79 %
of cases where free recognition manages 56 %; but a grammar can say nothing outside itself, so
it hears an answer in everything. So the free decoder always runs, and the grammar's phrase is
taken only when a bare loop of phones does not explain the same sound much better, and when it
resembles what either of them heard. On 63 expected and 171 unexpected short answers this
hears 67 % of the expected ones right and takes 2 % of the unexpected ones for an answer.

Messages to a job: sound as the payload, then {"end": true}. From it: {"partial": words}, only
the confirmed ones, and {"final": words, "start_ms", "end_ms"}, one for each stretch; words
are [text, start_ms, end_ms]. A stretch is closed in a pause when it grows long, so that a stream
of any length takes bounded memory.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

from .agreement import LocalAgreement
from .serving import Assignment, JobCancelled, Options, Steps, Work, serve
from .speech import Word

BEAMS = {"fwdflat": False, "bestpath": True, "maxhmmpf": 6_000, "maxwpf": 20, "ds": 1, "topn": 4}
PHONE_BEAMS = {"lw": 2.0, "beam": 1e-10, "pbeam": 1e-10, "topn": 2}
FRAME_MS = 10
BYTES_PER_MS = 32
PARTIAL_MS = 240
# How much voice to hear before decoding, and how long to wait for it. Without it the decoder
# takes seconds to get used to a microphone: word error rate 0.66, and 0.50 with it (80 clips).
TUNE_MS, TUNE_MS_MAX, QUIET = 1_200, 4_000, 100
# A stretch ends at the first pause after this long, and in any case after that long.
STRETCH_MS, STRETCH_MS_MAX = 15_000, 30_000
PAUSE_MS = 250
# Only a short answer is compared with what is expected, and only its sound with this margin.
ANSWER_MS_MAX, MARGIN_MS = 3_000, 250
SOUND_KEPT_MS = 10_000
PHRASES_MAX, PHRASE_WORDS_MAX = 40, 8
# How much better, per frame of speech, a loop of phones may explain the sound; and how many
# phones, per phone of the phrase, may differ. Chosen on the clips named above.
LOG_RATIO_MAX, PHONE_ERRORS_MAX = 18e-4, 0.7

_PLAIN = re.compile(r"[a-z]+(?:['-][a-z]+)*\.?")
_VARIANT = re.compile(r"\(\d+\)$")


class Recognizer:
    """The decoders of one process, lent to one utterance at a time."""

    def __init__(self) -> None:
        import pocketsphinx

        self._vendor = pocketsphinx
        first = pocketsphinx.Decoder(loglevel="FATAL", **BEAMS)
        self._language_model = first.get_lm("_default")
        self._usual_mean: str = first.get_cmn(False)
        # Not `first`: a decoder that loads the language model itself hears a little otherwise
        # than one that shares it, and all callers should be heard alike. More are made when
        # more of them speak at once: each takes 70 MB and 0.4 s.
        self._idle: list[Any] = [self._free_decoder()]
        self._grammar = pocketsphinx.Decoder(loglevel="FATAL", lm=None, fwdflat=False)
        phones = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
        self._phones = pocketsphinx.Decoder(
            loglevel="FATAL", lm=None, allphone=phones, **PHONE_BEAMS
        )

    def _free_decoder(self) -> Any:
        decoder = self._vendor.Decoder(loglevel="FATAL", lm=None, **BEAMS)
        decoder.add_lm("shared", self._language_model)
        decoder.activate_search("shared")
        return decoder

    def take(self) -> Any:
        """A decoder for one stream; `tune` comes first."""
        return self._idle.pop() if self._idle else self._free_decoder()

    def give_back(self, decoder: Any) -> None:
        """The stream is over, in whatever place. Not for a decoder that has raised: it is in
        a state nobody knows."""
        with contextlib.suppress(RuntimeError):
            decoder.end_utt()
        self._idle.append(decoder)

    def tune(self, decoder: Any, sound: bytes) -> None:
        """Set the decoder to the voice and microphone of this sound, and to nothing of the
        stream before."""
        decoder.reinit_feat()
        decoder.set_cmn(self._usual_mean)
        if sound:
            decoder.start_utt()
            decoder.process_raw(sound, True, True)  # Features alone, no search: it is cheap.
            decoder.end_utt()
            decoder.set_cmn(decoder.get_cmn(False))

    def phrases(self, expected: Sequence[str]) -> list[str]:
        """Those of the phrases that the dictionary can spell, in small letters."""
        kept = []
        for phrase in expected[:PHRASES_MAX]:
            words = re.sub(r"[^\w'\s-]", " ", phrase.casefold().replace("’", "'")).split()
            if 0 < len(words) <= PHRASE_WORDS_MAX and all(map(self._known, words)):
                kept.append(" ".join(words))
        return kept

    def _known(self, word: str) -> bool:
        # The pattern also keeps JSGF's own signs out of the grammar.
        return bool(_PLAIN.fullmatch(word)) and self._grammar.lookup_word(word) is not None

    def closest(self, phrases: Sequence[str], sound: bytes, heard: Sequence[Word]) -> list[Word]:
        """The expected phrase that the sound says, word by word; what was heard freely when
        it says none of them."""
        free = " ".join(word.text for word in heard)
        if not heard or not phrases or free in phrases:
            return list(heard)
        begins = max(0, heard[0].start_ms - MARGIN_MS)
        ends = heard[-1].end_ms + MARGIN_MS
        if ends - begins > ANSWER_MS_MAX or ends > SOUND_KEPT_MS + MARGIN_MS:
            return list(heard)
        clip = sound[begins * BYTES_PER_MS : ends * BYTES_PER_MS]
        self._grammar.add_jsgf_string("expected", jsgf(phrases))
        self._grammar.activate_search("expected")
        score, guess = self._whole(self._grammar, clip)
        phone_score, phones = self._whole(self._phones, clip)
        answer = " ".join(word.text for word in guess)
        if not answer:
            return list(heard)
        frames = sum(word.end_ms - word.start_ms for word in guess) / FRAME_MS
        meant = self._spell(answer)
        heard_phones = [word.text for word in phones if word.text.isalpha()]
        errors = min(distance(meant, heard_phones), distance(meant, self._spell(free)))
        far = (phone_score - score) / max(1.0, frames) > LOG_RATIO_MAX
        if far or errors > PHONE_ERRORS_MAX * len(meant):
            return list(heard)
        return [Word(w.text, w.start_ms + begins, w.end_ms + begins) for w in guess]

    def _whole(self, decoder: Any, clip: bytes) -> tuple[float, list[Word]]:
        decoder.reinit_feat()
        decoder.start_utt()
        decoder.process_raw(clip, False, True)  # Whole, so it needs no tuning.
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return (hypothesis.best_score if hypothesis else 0.0), words_in(decoder)

    def _spell(self, text: str) -> list[str]:
        spelled = (self._grammar.lookup_word(word) or "" for word in text.split())
        return [phone for word in spelled for phone in word.split()]


def jsgf(phrases: Sequence[str]) -> str:
    """A grammar of exactly these phrases, which must hold dictionary words only."""
    return f"#JSGF V1.0;\ngrammar expected;\npublic <answer> = {' | '.join(phrases)};\n"


def words_in(decoder: Any) -> list[Word]:
    """The words of the decoder's current guess; silence and noises left out."""
    if decoder.hyp() is None:
        return []
    found = []
    for segment in decoder.seg():
        text = _VARIANT.sub("", segment.word)
        if text[0] not in "<[(+" and text != "SIL":
            start, end = segment.start_frame * FRAME_MS, (segment.end_frame + 1) * FRAME_MS
            found.append(Word(text, start, end))
    return found


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """How many phones must change to make the one into the other."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        corner, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (a != b))
    return row[-1]


class _Stretch:
    """The part of a stream since the last final: its sound, its guesses, its place."""

    def __init__(self, recognizer: Recognizer, decoder: Any, start_ms: int = 0) -> None:
        self._recognizer, self._decoder, self.start_ms = recognizer, decoder, start_ms
        self.sound = bytearray()  # Its beginning, for the second look at a short answer.
        self._bytes = 0
        self._agreement = LocalAgreement()
        self._looked_ms = 0
        # Sound kept until the decoder is tuned, and how much of it comes before any voice.
        self._waiting: bytearray | None = bytearray()
        self._quiet_bytes: int | None = None

    @property
    def end_ms(self) -> int:
        return self.start_ms + self._bytes // BYTES_PER_MS

    def hear(self, sound: bytes) -> None:
        self._bytes += len(sound)
        self.sound += sound[: max(0, SOUND_KEPT_MS * BYTES_PER_MS - len(self.sound))]
        if self._waiting is None:
            self._decoder.process_raw(sound, False, False)
            return
        if self._quiet_bytes is None and max(memoryview(sound).cast("h")) > QUIET:
            self._quiet_bytes = len(self._waiting)
        self._waiting += sound
        voiced = 0 if self._quiet_bytes is None else len(self._waiting) - self._quiet_bytes
        if voiced >= TUNE_MS * BYTES_PER_MS or len(self._waiting) >= TUNE_MS_MAX * BYTES_PER_MS:
            self._tune(self._waiting)

    def _tune(self, waiting: bytearray) -> None:
        """Begin to decode, with what has been heard so far as the measure of the voice."""
        self._waiting = None
        quiet = len(waiting) if self._quiet_bytes is None else self._quiet_bytes
        # A little of the room's own sound belongs to the measure.
        measure = waiting[max(0, quiet - MARGIN_MS * BYTES_PER_MS) :]
        self._recognizer.tune(self._decoder, bytes(measure))
        self._decoder.start_utt()
        if waiting:
            self._decoder.process_raw(bytes(waiting), False, False)

    def finish(self) -> list[Word]:
        """No more sound comes; the words of the whole stretch."""
        if self._waiting is not None:
            self._tune(self._waiting)
        self._decoder.end_utt()
        return words_in(self._decoder)

    def look(self) -> dict[str, object] | None:
        """A partial to tell, when more words are confirmed than before."""
        if self._waiting is not None or self.end_ms - self.start_ms - self._looked_ms < PARTIAL_MS:
            return None
        self._looked_ms = self.end_ms - self.start_ms
        if not self._agreement.feed(words_in(self._decoder)):
            return None
        return {"partial": self._placed(self._agreement.confirmed)}

    def may_end(self) -> bool:
        length_ms = self.end_ms - self.start_ms
        if length_ms < STRETCH_MS:
            return False
        words = words_in(self._decoder)
        pause_ms = length_ms - (words[-1].end_ms if words else 0)
        return pause_ms >= PAUSE_MS or length_ms >= STRETCH_MS_MAX

    def final(self, words: Sequence[Word]) -> dict[str, object]:
        placed = self._placed(words)
        return {"final": placed, "start_ms": self.start_ms, "end_ms": self.end_ms}

    def _placed(self, words: Sequence[Word]) -> list[list[str | int]]:
        return [[w.text, self.start_ms + w.start_ms, self.start_ms + w.end_ms] for w in words]


def utterance(recognizer: Recognizer, assignment: Assignment) -> Steps:
    """One job: sound in, partials and finals out."""
    decoder = recognizer.take()
    try:
        yield from _listen(recognizer, decoder, assignment)
    except (GeneratorExit, JobCancelled):
        recognizer.give_back(decoder)
        raise
    recognizer.give_back(decoder)


def _listen(recognizer: Recognizer, decoder: Any, assignment: Assignment) -> Steps:
    phrases = recognizer.phrases(assignment.request.get("expected", ()))
    stretch = _Stretch(recognizer, decoder)
    ended = False
    while not ended:
        message, sound = yield
        ended = bool(message.get("end"))
        if sound:
            stretch.hear(sound)
            if (partial := stretch.look()) is not None:
                assignment.send(partial)
        if not ended and stretch.may_end():
            assignment.send(stretch.final(stretch.finish()))
            stretch = _Stretch(recognizer, decoder, stretch.end_ms)
    words = stretch.finish()
    if stretch.start_ms == 0:
        words = recognizer.closest(phrases, bytes(stretch.sound), words)
    if words or stretch.start_ms == 0:  # An empty stream has one empty final, no other.
        assignment.send(stretch.final(words))


def prepare(options: Options) -> Work:
    recognizer = Recognizer()
    return lambda assignment: utterance(recognizer, assignment)


if __name__ == "__main__":
    serve(prepare)
