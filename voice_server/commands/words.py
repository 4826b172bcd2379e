"""Figures as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

_PARTS = (
    "endpointing",
    "transcript",
    "first_token",
    "first_sentence",
    "first_audio",
    "first_packet",
)
_ROLES = ("speech_to_text", "dialogue", "text_to_speech", "speech_to_speech")
_FAILURES_MAX = 10


def latency_text(parts: Mapping[str, int]) -> str:
    """The audible gap and the parts it is the sum of."""
    named = [(name.replace("_", " "), parts.get(f"{name}_ms", 0)) for name in _PARTS]
    gap_ms = parts.get("gap_ms", sum(ms for _, ms in named))
    said = f"answered in {gap_ms} ms: " + ", ".join(f"{name} {ms}" for name, ms in named if ms)
    # What was heard first was only a filler.
    later_ms = parts.get("answer_ms", gap_ms)
    return said if later_ms <= gap_ms else f"{said}; the answer itself after {later_ms} ms"


def engines_text(turns: Iterable[Mapping[str, object]]) -> str:
    """Which engines answered in a call, and in how many turns each; empty: none did."""
    answered: dict[str, Counter[str]] = {role: Counter() for role in _ROLES}
    for turn in turns:
        for role, name in _engines_of(turn).items():
            if role in answered:
                answered[role][str(name)] += 1
    told = [f"{_plain(role)} {_times(names)}" for role, names in answered.items() if names]
    return "Engines: " + ", ".join(told) if told else ""


def failure_texts(turns: Iterable[Mapping[str, object]]) -> list[str]:
    """Which engines failed in a call, a line each, and who answered then."""
    failed = list[str]()
    for turn in turns:
        uses = turn.get("uses")
        for use in uses if isinstance(uses, list) else []:
            if isinstance(use, dict) and use.get("outcome") == "failed":
                role = str(use.get("role"))
                by = _engines_of(turn).get(role)
                then = f"answered by {by}" if by else "nobody answered"
                failed.append(
                    f"Turn {turn.get('turn')}: {_plain(role)} {use.get('engine')} failed "
                    f"({use.get('error')}); {then}"
                )
    if len(failed) > _FAILURES_MAX:
        failed[_FAILURES_MAX:] = [f"and {len(failed) - _FAILURES_MAX} failures more"]
    return failed


def _engines_of(turn: Mapping[str, object]) -> dict[str, object]:
    engines = turn.get("engines")
    return engines if isinstance(engines, dict) else {}


def _times(names: Mapping[str, int]) -> str:
    return " and ".join(f"{name} ×{count}" for name, count in names.items())


def _plain(name: str) -> str:
    return name.replace("_", " ")


def bill_text(bill: Mapping[str, object]) -> str:
    """The bill in one sentence or two."""
    minutes, currency = bill.get("billed_minutes"), bill.get("currency", "")
    said = (
        f"Bill: {bill.get('duration_sec')} s, {minutes} min, "
        f"{amount(bill.get('billed_amount'))} {currency}. "
        f"Paid: {bill.get('paid_minutes')} granted min and "
        f"{amount(bill.get('paid_amount'))} {currency}."
    )
    if bill.get("balance_minutes") is not None:
        left = amount(bill.get("balance_amount"))
        said += f" Left: {bill['balance_minutes']} min and {left} {currency}."
    return said


def amount(value: object) -> str:
    """Money as the server sends it: minor units as an integer, or a decimal already."""
    if isinstance(value, int):
        sign, minor = "-" if value < 0 else "", abs(value)
        return f"{sign}{minor // 100}.{minor % 100:02d}"
    return str(value)
