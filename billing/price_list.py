"""A list of prices of one's own, as a JSON file.

    {"prices": [
      {"role": "text_to_speech", "engine": "yandex", "version": "*", "currency": "RUB",
       "since": "2026-01-01", "rates": {"characters": "1320"}},
      {"role": "dialogue", "engine": "openai", "version": "llama3.2", "currency": "USD",
       "since": "2026-01-01", "rates": {"tokens_in": "0.05", "tokens_out": "0.08"}}
    ]}

Rates are for a minute of sound (`audio_ms`), and for a million of everything else. They are
best written as strings: they are exact, like the money they stand for. What the list does not
name is priced by the public lists; a rate of 0 says that something costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .engine_prices import ANY, PUBLIC, EnginePrices, Price

FILE_BYTES_MAX = 1_000_000
PRICES_MAX = 1_000

Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=12)]
Role = Literal["speech_to_text", "dialogue", "text_to_speech", "speech_to_speech"]
Kind = Literal[
    "audio_ms", "characters", "tokens_in", "tokens_cached", "tokens_out", "audio_tokens_in",
    "audio_tokens_cached", "audio_tokens_out",
]  # fmt: skip


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    engine: str = Field(min_length=1, max_length=100)
    version: str = Field(ANY, min_length=1, max_length=100)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    since: date
    rates: dict[Kind, Rate] = Field(min_length=1)


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: list[_Line] = Field(max_length=PRICES_MAX)


def read_prices(path: Path) -> tuple[Price, ...]:
    """The prices in a file. Raises ValueError that says what is wrong with it, and where."""
    try:
        with path.open("rb") as file:
            found = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"the price list {path} cannot be read: {error.strerror}") from error
    if len(found) > FILE_BYTES_MAX:
        raise ValueError(f"the price list {path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        lines = _List.model_validate_json(found).prices
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"the price list {path} is wrong at {where}: {first['msg']}") from error
    return tuple(
        Price(
            line.role, line.engine, line.version, line.currency, line.since,
            {str(kind): rate for kind, rate in line.rates.items()},
        )
        for line in lines
    )  # fmt: skip


def engine_prices(path: Path | None, elsewhere: Collection[tuple[str, str]] = ()) -> EnginePrices:
    """The list in this file, if there is one, and then the public ones. `elsewhere`: roles and
    engines that are sent to another server than the vendor's own, which charges as it likes.
    Raises ValueError as `read_prices` does."""
    own = () if path is None else read_prices(path)
    public = [price for price in PUBLIC if (price.role, price.engine) not in elsewhere]
    return EnginePrices(own, public)
