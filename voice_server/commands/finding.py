"""What a check found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voice_server.config import Config

OK, WARNING, PROBLEM = "ok", "warning", "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, warning (a call works, with less) or problem (it does not); `remedy` is
    what to do."""

    level: str
    what: str
    said: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


Check = Callable[["Config"], Awaitable[list[Finding]]]
