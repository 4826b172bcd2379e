"""Marks are not read out, and nothing moves."""

from __future__ import annotations

import pytest

from engines.plain_text import plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a **bold** word", "a   bold   word"),
        ("_so_ `it` is", " so   it  is"),
        ("## Title\x00\x07", "   Title  "),
        ("2 * 3 and a_b", "2 * 3 and a_b"),
        ("line\nline", "line\nline"),
    ],
)
def test_marks_become_blank(text: str, said: str) -> None:
    assert plain(text) == said
    assert len(plain(text)) == len(text)
