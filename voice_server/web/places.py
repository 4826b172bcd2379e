"""How many may be served at once, and the answer for those who would be too many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .errors import Refusal


class Places:
    """`count` places. Who finds none is told to come back, and does not wait in line: a line of
    strangers has no end."""

    def __init__(self, count: int, *, what: str, retry_after_s: int = 5) -> None:
        self._count, self._what, self._retry_after_s = count, what, retry_after_s
        self.taken = 0

    def check(self) -> None:
        """Raises `Refusal` 503 when no place is left."""
        if self.taken >= self._count:
            raise Refusal(
                503, "busy", f"The server is busy with other {self._what}; try again soon.",
                retry_after_s=self._retry_after_s,
            )  # fmt: skip

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """A place for as long as the block lasts. Raises `Refusal` 503."""
        self.check()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
