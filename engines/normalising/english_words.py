"""English words that are not said as they are written: abbreviations, acronyms, Roman numerals.
Pure."""

from __future__ import annotations

import re

from . import roman
from .numerals import english, english_ordinal, english_year
from .spans import Piece
from .tongue import words_after

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
NAMES_OF_MONTHS = (
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|"
    r"Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
)
_MONTH_DAY = re.compile(
    rf"({NAMES_OF_MONTHS})(?!\w)(\.?)([ \u00a0]{{1,2}})"
    r"(?:(\d{1,2})(?:st|nd|rd|th)?(?![\w:%/°$€£]|[.,]\d)"
    r"(?:([–-])(\d{1,2})(?![\w:%/]))?(?:(,?[ \u00a0]{1,2})(\d{4})(?![\d:/]))?"
    r"|(\d{4})(?![\d:/]))"
)
# The words, and whether the stop may end a sentence too ("$").
_ABBREVIATIONS = {
    "mr": "Mister", "mrs": "Missus", "ms": "Miz", "prof": "Professor", "jr": "Junior$",
    "sr": "Senior$", "vs": "versus", "etc": "et cetera$", "approx": "approximately",
    "inc": "Incorporated$", "ltd": "Limited$", "corp": "Corporation$", "dept": "department",
    "ave": "Avenue$", "rd": "Road$", "blvd": "Boulevard$", "gen": "General", "capt": "Captain",
    "lt": "Lieutenant", "sgt": "Sergeant", "rev": "Reverend", "sen": "Senator", "gov": "Governor",
    "hon": "Honorable", "mt": "Mount", "ft": "Fort", "est": "established",
}  # fmt: skip
# Without a capital these are words, or the end of a sentence.
_NEED_A_NAME = frozenset("ms prof gen capt lt sgt rev sen gov hon mt ft".split())
_NEED_A_CAPITAL = frozenset("mr mrs ave rd inc ltd corp jr sr blvd".split())
_NUMBERED = {"no": "number", "p": "page", "pp": "pages", "vol": "volume", "ch": "chapter",
             "fig": "figure", "sec": "section", "nos": "numbers", "eq": "equation"}  # fmt: skip
_DOTTED = re.compile(r"(?:e\.\s?g\.|(i\.\s?e\.)|(a\.\s?m\.)|(p\.\s?m\.)|(Ph\.\s?D\.)|"
                     r"((?:[A-Z]\.){2,6}))(?!\w)", re.IGNORECASE)  # fmt: skip
_DOT_NAME = re.compile(r"\.(?=[ \u00a0][A-Z])")
_DOT_NUMBER = re.compile(r"\.?[ \u00a0]?(?=\d)")
_CAPITAL_BEFORE = re.compile(r"[A-Z][\w'’]*[ \u00a0]$")
_WORD_BEFORE = re.compile(r"([A-Za-z'’]{1,20})[ \u00a0]$")
_ROYAL = frozenset(
    """Henry Edward George William Charles James Richard Elizabeth Mary Louis Philip Napoleon
    Nicholas Peter Alexander Catherine Paul Pius Benedict John Francis Frederick Leo Gregory
    Innocent Clement Urban Charlemagne Ivan Ramesses Rameses Ptolemy Otto Wilhelm Robert Malcolm
    Alfonso Ferdinand Felipe Darius Xerxes Cyrus Leopold Albert Carl Gustav Harald""".split()
)
_HEADED = frozenset(
    """chapter part act book volume section scene war stage phase type class level article title
    appendix table figure episode season world king bowl division group unit vol""".split()
)
_CENTURY = re.compile(r"[ \u00a0](?:century|centuries|dynasty)(?!\w)")
SPELLED = frozenset(
    """USA UK EU UN UAE US AI IT TV PC CD DVD HTML CSS HTTP HTTPS URL API CPU GPU RAM SDK FBI CIA
    IBM BBC CNN NBC CEO CFO CTO HR PR ID IQ FAQ DIY ATM GPS USB SMS MRI DNA RNA VIP UFO NGO GDP
    AM PM FM DJ MBA PHD NYC LA DC TTS STT ASR LLM GPT SQL PDF JSON XML IP VPN OS UI UX QA R&D EFL
    ESL IELTS TOEFL""".split()
)
# Said as words, however they are written.
_SAID = {
    "NASA": "Nasa", "NATO": "Nato", "UNESCO": "Unesco", "UNICEF": "Unicef", "OPEC": "Opec",
    "FIFA": "Fifa", "UEFA": "Uefa", "COVID": "Covid", "AIDS": "Aids", "LASER": "laser",
    "JSON": "jason", "IELTS": "eye elts", "TOEFL": "toe full", "SQL": "S Q L", "ASAP": "A S A P",
    "RAM": "ram",
}  # fmt: skip
_ALSO_WORDS = frozenset({"US", "IT", "AM", "LA"})
_VOWELS = frozenset("AEIOUY")


def special_word(text: str, at: int, end: int) -> list[Piece] | None:
    word = text[at:end]
    for rule in (_dotted, _abbreviation, _doctor, _numbered, _ordered, _acronym):
        pieces = rule(text, at, end, word)
        if pieces:
            return pieces
    return None


def month_day(text: str, at: int) -> list[Piece] | None:
    """Nov 21, November 21st, 2026, Nov. 2026."""
    found = _MONTH_DAY.match(text, at) if text[at] in "JFMASOND" else None
    if found is None or (found[4] and not 1 <= int(found[4]) <= 31):
        return None
    month = next(name for name in MONTHS if name.startswith(found[1][:3]))
    pieces = [(month, found.end(2)), (" ", found.end(3))]
    if found[9]:
        if not "1000" <= found[9] <= "2999":
            return None
        return [*pieces, (english_year(int(found[9])), found.end(9))]
    day_end = found.start(5) if found[5] else found.start(7) if found[7] else found.end()
    pieces.append((english_ordinal(int(found[4])), day_end))
    if found[6]:
        pieces += [(" to ", found.end(5)), (english_ordinal(int(found[6])), found.end(6))]
    if found[8]:
        pieces += [(", ", found.end(7)), (english_year(int(found[8])), found.end(8))]
    return pieces


def _dotted(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    if text[end : end + 1] != "." or len(word) > 2:
        return None
    found = _DOTTED.match(text, at)
    if found is None:
        return None
    if found[5]:
        said = " ".join(char for char in found[5] if char != ".")
        if not found[5].isupper():
            return None
    else:
        said = {1: "that is", 2: "a m", 3: "p m", 4: "P h D"}.get(found.lastindex or 0,
                                                                  "for example")  # fmt: skip
    if (found.lastindex or 0) >= 2 and ends_sentence(text, found.end()):
        said += "."
    return [(said, found.end())]


def _abbreviation(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    low = word.lower()
    said = _ABBREVIATIONS.get(low)
    if said is None or text[end : end + 1] != ".":
        return None
    if low in _NEED_A_NAME | _NEED_A_CAPITAL and not word[0].isupper():
        return None
    if low in _NEED_A_NAME and not _DOT_NAME.match(text, end):
        return None
    if said.endswith("$"):
        return [(said[:-1] + ("." if ends_sentence(text, end + 1) else ""), end + 1)]
    return [(said, end + 1)]


def _doctor(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """Dr. Who lives in Elm Dr., and St. Paul in Elm St."""
    if word not in ("Dr", "St") or text[end : end + 1] != ".":
        return None
    after_name = _CAPITAL_BEFORE.search(text, max(0, at - 24), at) is not None
    if after_name and (word == "St" or not _DOT_NAME.match(text, end)):
        said = "Drive" if word == "Dr" else "Street"
        return [(said + ("." if ends_sentence(text, end + 1) else ""), end + 1)]
    if _DOT_NAME.match(text, end):
        return [("Doctor" if word == "Dr" else "Saint", end + 1)]
    return None


def _numbered(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    if word.lower() not in _NUMBERED or text[end : end + 1] != ".":
        return None
    found = _DOT_NUMBER.match(text, end)
    if found is None:
        return None
    return [(_NUMBERED[word.lower()], end + 1), (" ", found.end())]


def _ordered(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """Henry VIII, World War II, the XIX century."""
    number = roman.value_of(word)
    if number is None or number > 100:
        return None
    if _CENTURY.match(text, end):
        return [(english_ordinal(number), end)]
    before = _WORD_BEFORE.search(text, max(0, at - 24), at)
    if before is None:
        return None
    if before[1] in _ROYAL:
        after = words_after(text, end)[0]
        if word == "I" and after and after not in ("of", "and", "was", "the"):
            return None
        return [(f"the {english_ordinal(number)}", end)]
    headed = before[1].lower() in _HEADED and before[1][0].isupper()
    if headed and (word != "I" or not words_after(text, end)[0]):
        return [(english(number), end)]
    if before[1][0].isupper() and len(word) > 1 and word not in ("MC", "CD", "DC", "MD", "DI"):
        return [(english(number), end)]
    return None


def _acronym(text: str, at: int, end: int, word: str) -> list[Piece] | None:
    """Spelled where it is known to be, or where it has no vowel to be said with."""
    plural = word.endswith("s") and len(word) > 2
    letters = word[:-1] if plural else word
    if not 2 <= len(letters) <= 6 or not (letters.isupper() and letters.isascii()):
        return None
    if letters in _SAID and not plural:
        return [(_SAID[letters], end)]
    if letters not in SPELLED and (_VOWELS & set(letters) or _is_shouted(text, at, end)):
        return None
    if letters in _ALSO_WORDS and text[max(0, at - 4) : at] != "the ":
        return None
    return [(" ".join(letters) + ("'s" if plural else ""), end)]


def _is_shouted(text: str, at: int, end: int) -> bool:
    """It stands among other words in capitals."""
    around_it = text[max(0, at - 24) : at] + text[end : end + 24]
    words = [
        word for word in re.findall(r"[^\W\d_]+", around_it)
        if len(word) > 3 and word not in SPELLED and word not in _SAID
    ]  # fmt: skip
    return bool(words) and all(word.isupper() for word in words)


_FOLLOWING = re.compile(r"[\s\"”)]{0,3}(.?)", re.DOTALL)


def ends_sentence(text: str, at: int) -> bool:
    """Whether the stop before `at` may end a sentence: nothing follows it, or a capital."""
    found = _FOLLOWING.match(text, at)
    return found is not None and (not found[1] or (found[1].isupper() and found.end() > at + 1))
