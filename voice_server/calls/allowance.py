"""How long a call may last, and what is due on the way. Pure; integer milliseconds.

Minutes elapse, a warning falls due, then a farewell, then the end. The allowance may be
extended while the call lives; an extension takes back a warning that came too early.
"""

from __future__ import annotations

import enum

from .rules import MINUTE_MS, Rules


class Due(enum.Enum):
    MINUTE = "minute"
    WARNING = "warning"
    FAREWELL = "farewell"
    END = "end"


class Allowance:
    def __init__(self, rules: Rules) -> None:
        self._call_ms_max = rules.call_ms_max
        self._warn_ms, self._farewell_ms = rules.warn_before_end_ms, rules.farewell_before_end_ms
        self._began_ms: int | None = None
        self.minutes = 0
        self.end_reason = "allowance_spent"
        self._warned = self._bade_farewell = False

    @property
    def began(self) -> bool:
        return self._began_ms is not None

    def begin(self, now_ms: int) -> None:
        self._began_ms = now_ms

    def extend(self, call_ms_max: int) -> None:
        """Paid for until `call_ms_max` into the call; never shortens what was promised."""
        if call_ms_max > self._call_ms_max and self.end_reason == "allowance_spent":
            self._call_ms_max = call_ms_max
            self._warned = self._bade_farewell = False

    def shorten(self, left_ms: int, now_ms: int, reason: str) -> None:
        """The call ends after `left_ms` at the latest, and cannot be extended any more."""
        self.end_reason = reason
        if left_ms < self.left_ms(now_ms):
            self._call_ms_max = self.elapsed_ms(now_ms) + left_ms
            self._warned = self._bade_farewell = False

    def elapsed_ms(self, now_ms: int) -> int:
        """How long the call has lasted, never more than was allowed."""
        if self._began_ms is None:
            return 0
        return min(now_ms - self._began_ms, self._call_ms_max)

    def left_ms(self, now_ms: int) -> int:
        return self._call_ms_max - self.elapsed_ms(now_ms)

    def due(self, now_ms: int) -> list[Due]:
        """Everything that has fallen due, each once, in order."""
        if self._began_ms is None:
            return []
        due, elapsed_ms = list[Due](), self.elapsed_ms(now_ms)
        while (self.minutes + 1) * MINUTE_MS <= elapsed_ms:
            self.minutes += 1
            due.append(Due.MINUTE)
        left_ms = self._call_ms_max - elapsed_ms
        if left_ms <= 0:
            return [*due, Due.END]
        if not self._warned and left_ms <= self._warn_ms:
            self._warned = True
            due.append(Due.WARNING)
        if not self._bade_farewell and left_ms <= self._farewell_ms:
            self._bade_farewell = True
            due.append(Due.FAREWELL)
        return due

    def deadline_ms(self) -> int | None:
        """When `due` must be asked next."""
        if self._began_ms is None:
            return None
        ends_ms = self._began_ms + self._call_ms_max
        due_ms = [ends_ms, self._began_ms + (self.minutes + 1) * MINUTE_MS]
        if not self._warned:
            due_ms.append(ends_ms - self._warn_ms)
        if not self._bade_farewell:
            due_ms.append(ends_ms - self._farewell_ms)
        return min(due_ms)
