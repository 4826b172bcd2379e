"""When to believe what a recogniser says it heard.

Whisper makes words up where nobody speaks: the farewells and credits of the videos that it
learned from, or one phrase again and again. It mostly says itself that it is in doubt, and a
voice activity detector that listened to the same sound knows better still. So every segment
comes with its evidence, and is kept or dropped whole:

1. Where no voice was heard, nothing was said.
2. What may be no speech, says the model, it must be sure of.
3. Nobody's words are that unlikely, that repetitive, or come that fast.
4. A phrase that is known to be made up in silence is believed only where nothing is doubtful:
   people do say "Thank you", and then their voice is there for as long as it takes to say it.

A phrase that goes round and round is said once. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..speech import Word

# So many copies of a phrase of so many words in a row are a loop, and not somebody's insistence.
LOOP_COPIES = {1: 7, 2: 5, 3: 4}
LOOP_COPIES_ELSE = 3
LOOP_WORDS_MAX = 12
# What is made up in silence, as `_plain` leaves it.
COURTESIES = frozenset({
    "bye", "bye bye", "goodbye", "you", "the end", "thank you", "thank you very much",
    "thank you so much", "thanks", "thanks for watching", "thank you for watching",
    "thanks for listening", "thank you for listening", "please subscribe",
    "please subscribe to my channel", "subscribe", "like and subscribe",
    "dont forget to like and subscribe", "see you in the next video", "see you next time",
    "see you next week", "ill see you next time", "ill see you in the next video",
    "well be right back", "music", "applause", "laughter", "silence", "blank audio",
    "спасибо", "спасибо за просмотр", "спасибо за внимание", "спасибо за субтитры", "пока",
    "пока пока", "до свидания", "до новых встреч", "до встречи", "всем пока", "продолжение следует",
    "подписывайтесь на канал", "подписывайтесь на мой канал", "подпишись на канал",
    "ставьте лайки", "ставьте лайки и подписывайтесь на канал", "с вами был игорь негода",
    "музыка", "аплодисменты", "смех", "тишина", "конец",
    "vielen dank", "vielen dank fürs zuschauen", "merci davoir regardé cette vidéo",
    "gracias por ver el video", "obrigado por assistir", "grazie per la visione",
    "terima kasih telah menonton", "izlediğiniz için teşekkürler", "bedankt voor het kijken",
    "dziękuję za oglądanie", "ご視聴ありがとうございました", "谢谢观看",
    "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
})  # fmt: skip
# Nobody says these in a lesson; they are how subtitles end.
_CREDITS = re.compile(
    r"(?:субтитры (?:\w+ )?(?:сделал|делал|создавал|создал|подогнал|добавил|подготовил)"
    r"|редактор субтитров|корректор субтитров|субтитры и перевод"
    r"|(?:subtitles|subtitled|captions?|captioned|transcript|transcription|transcribed|translated) "
    r"(?:and \w+ )?by|subtitles (?:were )?(?:made|created)|amara org"
    r"|untertitel(?:ung)? (?:von|der|des|im auftrag|aufgrund)|sous titr(?:es|age)"
    r"|subt[ií]tulos (?:realizados|por|creados)|sottotitoli (?:creati|e revisione|a cura)"
    r"|legendas pela|altyazı|tekstet av|ترجمة نانسي|ondertitel(?:s|ing|d)|napisy stworzone"
    r"|字幕by|字幕志愿者)",
)
# "[music]", "(wind)", "*coughs*": not words of anybody.
_ASIDE = re.compile(r"\[.*\]|\(.*\)|\*.*\*|♪.*")
_SIGNS = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One segment and what speaks for it: the model's chance (0 to 1) that there was no speech,
    the mean log probability of its words, how well its text compresses, and for how much of the
    time in which it lies a voice was heard."""

    text: str
    no_speech: float
    logprob: float
    compression: float
    length_ms: int
    voiced_ms: int

    @property
    def letters(self) -> int:
        return sum(map(str.isalnum, self.text))


@dataclass(frozen=True, slots=True)
class Trust:
    """The bounds of belief; see `Evidence` for what they bound."""

    no_speech_max: float = 0.6
    # How sure of its words it must be where it doubts that it is speech.
    doubtful_min: float = -0.5
    logprob_min: float = -1.5
    compression_max: float = 2.4
    # Two windows of the detector: a click is one.
    voiced_ms_min: int = 64
    # Fast speakers reach 25.
    letters_per_s_max: float = 60.0
    # A phrase often made up is doubtful beyond any of these.
    phantom_no_speech_max: float = 0.15
    phantom_logprob_min: float = -1.0
    phantom_letters_per_s_max: float = 25.0
    # As a share of the time in which it lies.
    phantom_voiced_min: float = 0.35

    def believes(self, evidence: Evidence) -> bool:
        """Whether the segment was said."""
        if evidence.voiced_ms < self.voiced_ms_min or not evidence.letters:
            return False
        if evidence.no_speech > self.no_speech_max and evidence.logprob < self.doubtful_min:
            return False
        if evidence.logprob < self.logprob_min or evidence.compression > self.compression_max:
            return False
        if evidence.letters * 1_000 > self.letters_per_s_max * evidence.voiced_ms:
            return False
        return not (is_phantom(evidence.text) and self._doubts(evidence))

    def _doubts(self, evidence: Evidence) -> bool:
        return (
            evidence.no_speech > self.phantom_no_speech_max
            or evidence.logprob < self.phantom_logprob_min
            or evidence.letters * 1_000 > self.phantom_letters_per_s_max * evidence.voiced_ms
            or evidence.voiced_ms < self.phantom_voiced_min * evidence.length_ms
        )


def is_phantom(text: str) -> bool:
    """Whether the text is one that Whisper is known to make up in silence."""
    if _ASIDE.fullmatch(text.strip()):
        return True
    plain = _plain(text)
    return plain in COURTESIES or _CREDITS.match(plain) is not None


def _plain(text: str) -> str:
    bare = text.casefold().replace("'", "").replace("’", "")
    return " ".join(_SIGNS.sub(" ", bare).split())


def unlooped(words: Sequence[Word]) -> list[Word]:
    """The words with every loop said once."""
    keys = [_plain(word.text) for word in words]
    kept: list[Word] = []
    at = 0
    while at < len(words):
        size, copies = _loop_at(keys, at)
        kept += words[at : at + size]
        at += size * copies
    return kept


def _loop_at(keys: Sequence[str], at: int) -> tuple[int, int]:
    """How many words from here on repeat, and how many copies of them there are: (1, 1) where
    there is no loop. The shortest phrase counts, or its copies would be a phrase themselves."""
    for size in range(1, min(LOOP_WORDS_MAX, len(keys) - at) + 1):
        phrase, copies = keys[at : at + size], 1
        while keys[at + size * copies : at + size * (copies + 1)] == phrase:
            copies += 1
        if copies >= LOOP_COPIES.get(size, LOOP_COPIES_ELSE):
            return size, copies
    return 1, 1
