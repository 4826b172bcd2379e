"""Languages by code, by name, and by the letters a text is written in. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# ISO 639-1 (three letters where there is no shorter code) and the English name, for those that
# recognisers of files know.
NAMES: dict[str, str] = dict(
    pair.split(":")
    for pair in (
        "af:afrikaans am:amharic ar:arabic as:assamese az:azerbaijani ba:bashkir be:belarusian "
        "bg:bulgarian bn:bengali bo:tibetan br:breton bs:bosnian ca:catalan cs:czech cy:welsh "
        "da:danish de:german el:greek en:english es:spanish et:estonian eu:basque fa:persian "
        "fi:finnish fo:faroese fr:french gl:galician gu:gujarati ha:hausa haw:hawaiian he:hebrew "
        "hi:hindi hr:croatian hu:hungarian hy:armenian id:indonesian is:icelandic it:italian "
        "ja:japanese jw:javanese ka:georgian kk:kazakh km:khmer kn:kannada ko:korean la:latin "
        "lb:luxembourgish ln:lingala lo:lao lt:lithuanian lv:latvian mg:malagasy mi:maori "
        "mk:macedonian ml:malayalam mn:mongolian mr:marathi ms:malay mt:maltese my:myanmar "
        "ne:nepali nl:dutch nn:nynorsk no:norwegian oc:occitan pa:punjabi pl:polish ps:pashto "
        "pt:portuguese ro:romanian ru:russian sa:sanskrit sd:sindhi si:sinhala sk:slovak "
        "sl:slovenian sn:shona so:somali sq:albanian sr:serbian su:sundanese sv:swedish "
        "sw:swahili ta:tamil te:telugu tg:tajik th:thai tk:turkmen tl:tagalog tr:turkish "
        "tt:tatar uk:ukrainian ur:urdu uz:uzbek vi:vietnamese yi:yiddish yo:yoruba yue:cantonese "
        "zh:chinese"
    ).split()
)
_CODES = {name: code for code, name in NAMES.items()}
_CODE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", re.IGNORECASE | re.ASCII)

# The language that a script most likely means. Latin letters mean none in particular.
_SCRIPTS = {
    "CYRILLIC": "ru", "GREEK": "el", "ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi",
    "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "GEORGIAN": "ka",
    "ARMENIAN": "hy", "BENGALI": "bn", "TAMIL": "ta", "TELUGU": "te", "GUJARATI": "gu",
    "KANNADA": "kn", "MALAYALAM": "ml",
}  # fmt: skip
_UKRAINIAN = frozenset("іїєґІЇЄҐ")
# A longer text shows what it is written in long before its end.
_LETTERS_LOOKED_AT = 400


def code_of(named: str) -> str | None:
    """The code of a language given as a code ("ru", "pt-BR") or a name ("Russian"); None when
    it is neither."""
    named = named.strip()
    if named.casefold() in _CODES:
        return _CODES[named.casefold()]
    if not _CODE.fullmatch(named):
        return None
    return named.replace("_", "-").partition("-")[0].lower()


def name_of(code: str) -> str:
    """The English name of a language in small letters; the code itself where it has none."""
    return NAMES.get(code, code)


def of_text(text: str) -> str:
    """The language that a text's letters speak for; empty for Latin letters and for none."""
    letters = [char for char in text if char.isalpha()][:_LETTERS_LOOKED_AT]
    scripts = Counter(unicodedata.name(char, "?").partition(" ")[0] for char in letters)
    if not scripts:
        return ""
    # Japanese mixes its syllables with Chinese characters, and these alone are Chinese.
    if scripts["HIRAGANA"] + scripts["KATAKANA"] > 0:
        scripts["HIRAGANA"] += scripts.pop("CJK", 0)
    language = _SCRIPTS.get(scripts.most_common(1)[0][0], "")
    return "uk" if language == "ru" and _UKRAINIAN & set(letters) else language
