"""The phases of a call, and which may follow which. Pure."""

from __future__ import annotations

import enum

# A time that does not come.
NEVER_MS = 1 << 62


class Phase(enum.Enum):
    CONNECTING = "connecting"
    LISTENING = "listening"
    HEARING = "hearing"
    TRANSCRIBING = "transcribing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    CHALLENGED = "challenged"
    CLOSED = "closed"


_P = Phase
NEXT: dict[Phase, frozenset[Phase]] = {
    _P.CONNECTING: frozenset({_P.LISTENING, _P.THINKING}),
    _P.LISTENING: frozenset({_P.HEARING, _P.THINKING}),
    _P.HEARING: frozenset({_P.TRANSCRIBING, _P.THINKING, _P.LISTENING}),
    _P.TRANSCRIBING: frozenset({_P.THINKING, _P.LISTENING, _P.HEARING}),
    _P.THINKING: frozenset({_P.SPEAKING, _P.LISTENING, _P.HEARING, _P.THINKING, _P.CHALLENGED}),
    _P.SPEAKING: frozenset({_P.LISTENING, _P.HEARING, _P.THINKING, _P.CHALLENGED}),
    _P.CHALLENGED: frozenset({_P.SPEAKING, _P.HEARING, _P.TRANSCRIBING, _P.THINKING, _P.LISTENING}),
    _P.CLOSED: frozenset(),
}
