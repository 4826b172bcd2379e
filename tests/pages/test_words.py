"""The words of the pages: all there in each language, and numbers as they are written in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import voice_server.web

from .chromium import browser, page
from .conftest import Server

PAGES = Path(voice_server.web.__file__).parent / "pages"
WORDS = (PAGES / "words.js").read_text()


def keys_of(language: str) -> set[str]:
    table = WORDS.split(f"const {language} = {{")[1].split("\n};")[0]
    return set(re.findall(r'^  "([^"]+)":', table, re.MULTILINE))


def placeholders(language: str, key: str) -> set[str]:
    table = WORDS.split(f"const {language} = {{")[1].split("\n};")[0]
    entry = re.search(rf'"{re.escape(key)}":\s*"([^"]*)"', table)
    assert entry is not None, key
    return set(re.findall(r"\{(\w+)\}", entry[1]))


def test_both_languages_say_everything() -> None:
    plurals = {"unit.minutes.few", "unit.minutes.many"}  # English has no such forms.
    assert keys_of("RUSSIAN") - plurals == keys_of("ENGLISH")


def test_translations_leave_room_for_the_same_things() -> None:
    for key in keys_of("ENGLISH"):
        assert placeholders("ENGLISH", key) == placeholders("RUSSIAN", key), key


def test_every_word_that_a_page_asks_for_is_there() -> None:
    asked = set()
    for file in PAGES.glob("*.html"):
        asked |= set(re.findall(r'data-(?:text|label|placeholder)="([^"]+)"', file.read_text()))
    code = "".join(file.read_text() for file in PAGES.glob("*.js") if file.name != "words.js")
    asked |= set(re.findall(r'\bsay\(\s*"([^"]+)"', code))
    assert asked <= keys_of("ENGLISH")
    # The other way round: words that are asked for by name, or by the beginning of a name.
    built = set(re.findall(r"`([a-z.]+\.)\$\{", code)) | {"unit."}
    unused = {
        key
        for key in keys_of("ENGLISH") - asked
        if f'"{key}"' not in code and not any(key.startswith(name) for name in built)
    }
    assert unused == set(), "words nobody says"


def test_nothing_becomes_markup() -> None:
    """Strings enter the page as text only, and pages load nothing from elsewhere."""
    for file in [*PAGES.glob("*.js"), *PAGES.glob("*.html"), *PAGES.glob("*.css")]:
        text = file.read_text()
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in text, f"{file.name} uses {way}"
        assert not re.search(r"(?:src|href|url\()=?[\"']?(?:https?:)?//", text), file.name
        if file.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), (
                file.name
            )


@pytest.mark.parametrize(
    ("language", "price", "minutes", "wait"),
    [
        ("en", "₽5.00", "2 minutes", "1.50 s"),
        ("ru", "5,00 ₽", "2 минуты", "1,50 с"),
    ],
)
async def test_numbers_are_written_as_the_language_does(
    server: Server, language: str, price: str, minutes: str, wait: str
) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await watch.page.goto(server.url)
        written = await watch.page.evaluate(
            """async (language) => {
              const words = await import("/pages/words.js");
              words.translate(language);
              const forms = [1, 2, 5, 21].map(words.minutes);
              return [words.money(500, "RUB"), forms, words.wait(1500), words.money(500, "JPY"),
                words.clock(3661), words.clock(64)];
            }""",
            language,
        )
        plain = [str(one).replace("\u00a0", " ") for one in written]
        forms = [form.replace("\u00a0", " ") for form in written[1]]
        assert plain[0] == price
        assert forms[1] == minutes
        assert plain[2] == wait
        assert "500" in plain[3], "the yen has no hundredths"
        assert written[4:] == ["1:01:01", "1:04"]
        if language == "ru":
            assert forms == ["1 минута", "2 минуты", "5 минут", "21 минута"]
