"""A price list of one's own is believed only where it can be understood."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from billing.engine_prices import Cost, Price
from billing.price_list import FILE_BYTES_MAX, engine_prices, read_prices

from .test_engine_prices import TODAY, Use

LINE: dict[str, object] = {
    "role": "text_to_speech", "engine": "yandex", "currency": "RUB", "since": "2026-01-01",
    "rates": {"characters": "1320.5"},
}  # fmt: skip
CHAT = Use("dialogue", "openai", "gpt-4.1", (("tokens_in", 100), ("tokens_out", 10)))


def written(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "prices.json"
    path.write_text(json.dumps({"prices": lines}))
    return path


def test_a_line_is_a_price(tmp_path: Path) -> None:
    rates = {"characters": Decimal("1320.5")}
    expected = Price("text_to_speech", "yandex", "*", "RUB", date(2026, 1, 1), rates)
    assert read_prices(written(tmp_path, LINE)) == (expected,)


def test_numbers_are_exact_too(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        '{"prices": [{"role": "dialogue", "engine": "e", "currency": "USD", '
        '"since": "2026-01-01", "rates": {"tokens_in": 0.1}}]}'
    )
    assert read_prices(path)[0].rates == {"tokens_in": Decimal("0.1")}


def test_what_the_list_does_not_name_is_priced_by_the_public_ones(tmp_path: Path) -> None:
    prices = engine_prices(written(tmp_path, LINE))
    spoken = Use("text_to_speech", "yandex", "general", (("characters", 100),))
    assert prices.cost(spoken, TODAY) == Cost("RUB", 132_050)
    assert prices.cost(CHAT, TODAY) == Cost("USD", 280)
    assert engine_prices(None).cost(CHAT, TODAY) == Cost("USD", 280)
    assert engine_prices(None).cost(spoken, TODAY) is None


def test_a_vendors_prices_are_not_those_of_another_server(tmp_path: Path) -> None:
    elsewhere = {("dialogue", "openai")}
    assert engine_prices(None, elsewhere).cost(CHAT, TODAY) is None
    heard = Use("speech_to_text", "openai", "whisper-1", (("audio_ms", 60_000),))
    assert engine_prices(None, elsewhere).cost(heard, TODAY) == Cost("USD", 6_000)
    own = written(tmp_path, LINE | {"role": "dialogue", "engine": "openai", "currency": "USD",
                                    "rates": {"tokens_out": "1"}})  # fmt: skip
    assert engine_prices(own, elsewhere).cost(CHAT, TODAY) is None, "tokens in have no rate"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"role": "humour"}, "prices.0.role"),
        ({"engine": ""}, "prices.0.engine"),
        ({"currency": "rub"}, "prices.0.currency"),
        ({"since": "yesterday"}, "prices.0.since"),
        ({"rates": {}}, "prices.0.rates"),
        ({"rates": {"smiles": "1"}}, "prices.0.rates"),
        ({"rates": {"characters": "-1"}}, "prices.0.rates.characters"),
        ({"rates": {"characters": "NaN"}}, "prices.0.rates.characters"),
        ({"rates": {"characters": "Infinity"}}, "prices.0.rates.characters"),
        ({"rates": {"characters": "1" * 30}}, "prices.0.rates.characters"),
        ({"rates": {"characters": "0." + "1" * 13}}, "prices.0.rates.characters"),
        ({"note": "cheap"}, "prices.0.note"),
    ],
)
def test_what_is_wrong_is_said_and_where(
    tmp_path: Path, change: dict[str, object], where: str
) -> None:
    path = written(tmp_path, LINE | change)
    with pytest.raises(ValueError, match=r"price list .*prices.json is wrong at ") as caught:
        read_prices(path)
    assert where in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"prices": {}}', "\x00", "{}"])
def test_what_is_no_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(ValueError, match="is wrong at"):
        read_prices(tmp_path / "prices.json")


def test_a_file_that_is_not_there_or_too_large_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_prices(tmp_path / "none.json")
    (tmp_path / "big.json").write_bytes(b" " * (FILE_BYTES_MAX + 1))
    with pytest.raises(ValueError, match="larger than"):
        read_prices(tmp_path / "big.json")
