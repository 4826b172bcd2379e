"""What stands in a text and is no word: Markdown, addresses, emoji, signs. Pure.

Each rule looks at one place and says what is spoken there, or that it has nothing to say. They
look a bounded way ahead, so that no text takes longer than its length.
"""

from __future__ import annotations

import re

from .spans import Piece
from .tongue import Tongue

_ADDRESS_CHARS = 60

_LINE_MARK = re.compile(
    r"[ \t]{0,8}(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?|"
    r"(?:`{3,}|~{3,})[ \t]*\w{0,20}[ \t]*(?=\n|$)|(?:[-*_][ \t]?){3,40}(?=\n|$)|"
    r"\|?(?::?-{2,40}:?\|){1,20}(?::?-{2,40}:?)?[ \t]*(?=\n|$))"
)
_LINK = re.compile(r"!?\[([^\[\]\n]{1,300})\]\(([^()\s]{0,600})(?:[ ]\"[^\"\n]{0,100}\")?\)")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9]{0,12}[ ]?/?>")
_EMPHASIS = re.compile(r"[*_~`]{1,80}")
_URL = re.compile(
    r"(?:https?://|www\.)([\w.-]{1,253})(:\d{1,5})?((?:[/?#][^\s<>\"'«»()\[\]{}]{0,2000})?)",
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?\.){1,4}"
    r"(?:com|org|net|io|ru|edu|gov|dev|app|ai|info|co\.uk|uk|de|fr|eu|tv|me))(?![\w@])"
    r"((?:/[^\s<>\"'«»()\[\]{}]{0,500})?)"
)
_EMAIL = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._%+-]{0,63})@([A-Za-z0-9](?:[A-Za-z0-9-]{0,40}\.){1,4}[A-Za-z]{2,12})"
    r"(?!\w)"
)
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U00002b00-\U00002bff\U0000231a-\U000023ff"
    "\U0000fe0f\U0000200d\U000020e3\U000e0020-\U000e007f©®™\ufffc]+"
)
_HANDLE = re.compile(r"([@#])([^\W\d_]\w{0,60})")
_TRAILING = ".,;:!?…'\"»”"


def line_mark(text: str, at: int) -> int | None:
    """Where the marks end that begin a line: of a heading, a list, a quotation, a table."""
    found = _LINE_MARK.match(text, at)
    return found.end() if found and found.end() > at else None


def link(text: str, at: int) -> tuple[int, int, int] | None:
    """Where a link's own text begins and ends, and where the link ends."""
    found = _LINK.match(text, at)
    return (found.start(1), found.end(1), found.end()) if found else None


def tag(text: str, at: int) -> int | None:
    found = _TAG.match(text, at)
    return found.end() if found else None


def emphasis(text: str, at: int) -> int | None:
    """Where marks of emphasis or code end that begin here; one between two words, or between
    two spaces, is none."""
    found = _EMPHASIS.match(text, at)
    if found is None:
        return None
    before, after = text[at - 1 : at], text[found.end() : found.end() + 1]
    if found[0] == "*" and (before.isdigit() or after.isdigit()) and before.isalnum():
        return None
    if found[0][0] in "`~" or len(found[0]) > 1:
        return found.end()
    return found.end() if _is_word(before) != _is_word(after) or not (before and after) or ((
        not before.isspace() or not after.isspace()) and not (
        _is_word(before) and _is_word(after))) else None  # fmt: skip


def _is_word(char: str) -> bool:
    return char.isalnum()


def address(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """A URL by its host and the beginning of its path, or an e-mail address."""
    if at and (text[at - 1].isalnum() or text[at - 1] in "@._"):
        return None
    if found := _EMAIL.match(text, at):
        name, host = (_dotted(part, tongue) for part in found.groups())
        return [(f"{name} {tongue.at} {host}", found.end())]
    if found := _URL.match(text, at):
        host, path = found[1].removeprefix("www."), found[3] or ""
    elif found := _DOMAIN.match(text, at):
        host, path = found[1].removeprefix("www."), found[2] or ""
    else:
        return None
    end = found.end()
    while end > at + 1 and text[end - 1] in _TRAILING:
        end -= 1
        path = path[:-1]
    words = _dotted(host.rstrip("."), tongue)
    for part in re.split(r"[?#]", path)[0].strip("/").split("/")[:3]:
        spoken = _dotted(part, tongue)
        if spoken and len(words) + len(spoken) <= _ADDRESS_CHARS:
            words += f" {tongue.slash} {spoken}"
    return [(words, end)] if words else None


def _dotted(part: str, tongue: Tongue) -> str:
    words = re.sub(r"\.", f" {tongue.dot} ", part)
    words = re.sub(r"%[0-9A-Fa-f]{2}|[-_%+~=&]+", " ", words)
    words = re.sub(r"\d+", lambda digits: f" {_digits(digits[0], tongue)} ", words)
    return " ".join(re.sub(r"[^\w\s]", " ", words).split())


def _digits(digits: str, tongue: Tongue) -> str:
    return tongue.phone_group(digits) if len(digits) <= 3 else tongue.spell_digits(digits)


def emoji(text: str, at: int) -> int | None:
    found = _EMOJI.match(text, at)
    return found.end() if found else None


def handle(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """@name and #tag."""
    found = _HANDLE.match(text, at)
    if found is None or (at and text[at - 1].isalnum()):
        return None
    sign = tongue.at if found[1] == "@" else tongue.hashtag
    words = " ".join(re.findall(r"[^\W\d_]+|\d+", found[2]))
    words = re.sub(r"\d+", lambda digits: _digits(digits[0], tongue), words)
    return [(f"{sign} {words}", found.end())]


_ARROW = re.compile(r"[-=]{1,3}>|[→⇒]")
# Between spaces or beside a number these are signs; anywhere else they are marks.
_SIGNS_OF_SUMS = frozenset("+=<>*/^·")
_SILENT = frozenset("\\|{}^_*#~`")


def symbol(text: str, at: int, tongue: Tongue) -> list[Piece] | None:
    """What a sign is called here; an empty piece where it is not said."""
    char = text[at]
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if char == "/" and before.isalpha() and after.isalpha():
        alike = any(pair in text[max(0, at - 8) : at + 9].lower() for pair in tongue.alike)
        return [(" " if alike else f" {tongue.either} ", at + 1)]
    if arrow := _ARROW.match(text, at):
        return [("—", arrow.end())]
    if char == "+" and before.isalnum() and not _in_a_sum(text, at):
        return [(f" {tongue.plus}" * (1 + (after == "+")), at + 1 + (after == "+"))]  # C++, A+
    if char in _SIGNS_OF_SUMS and not _in_a_sum(text, at):
        return [(" ", at + 1)] if char in _SILENT or char in "*/+=<>" else None
    if char in tongue.symbols:
        word = tongue.symbols[char]
        lead = " " if before and not before.isspace() else ""
        tail = " " if after and not after.isspace() and after not in ".,;:!?)»" else ""
        return [(f"{lead}{word}{tail}" if word.strip() else " ", at + 1)]
    return [(" ", at + 1)] if char in _SILENT else None


_OPERAND_BEFORE = re.compile(r"(?:\d|[)\]²³%°]|(?<![^\W_])[^\W\d_])[ \u00a0]?$")
_OPERAND_AFTER = re.compile(r"[ \u00a0]?(?:[-−+]?\d|[(\[√$€£]|[^\W\d_](?![^\W_]))")
_SPACED = re.compile(r"[ \u00a0].[ \u00a0]", re.DOTALL)


def _in_a_sum(text: str, at: int) -> bool:
    """Numbers or single letters stand on both sides; between words, "=" and "+" in spaces."""
    left = _OPERAND_BEFORE.search(text, max(0, at - 3), at)
    if left and _OPERAND_AFTER.match(text, at + 1):
        return True
    spaced = bool(at and _SPACED.match(text, at - 1))
    if text[at] in "<>" and (left or _OPERAND_AFTER.match(text, at + 1)):
        return True
    return text[at] in "+=" and (spaced or bool(_OPERAND_AFTER.match(text, at + 1)))
