"""Languages by code, by name and by letters."""

from __future__ import annotations

import pytest

from engines.languages import NAMES, code_of, name_of, of_text


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("en", "en"), ("EN", "en"), ("en-US", "en"), ("pt_BR", "pt"), ("Russian", "ru"),
        (" german ", "de"), ("yue", "yue"), ("klingon", None), ("e", None), ("", None),
        ("ru; drop table", None), ("русский", None), ("en-" + "x" * 50, None),
    ],
)  # fmt: skip
def test_a_language_is_named_by_code_or_name(named: str, code: str | None) -> None:
    assert code_of(named) == code


def test_names_and_codes_go_both_ways() -> None:
    assert len(NAMES) > 90
    assert all(code_of(name_of(code)) == code for code in NAMES)
    assert name_of("xx") == "xx"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello there", ""), ("Привет, как дела?", "ru"), ("Їжак і ґава", "uk"), ("", ""),
        ("12345 !!!", ""), ("Он сказал: OK", "ru"), ("The word «мир» means peace", ""),
        ("日本語の文章", "ja"), ("中文句子", "zh"), ("한국어", "ko"), ("γειά σου", "el"),
        ("\ud800", ""),
    ],
)  # fmt: skip
def test_letters_tell_the_language(text: str, language: str) -> None:
    assert of_text(text) == language
