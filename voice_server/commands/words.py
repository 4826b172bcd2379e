"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Mapping

_PARTS = (
    "endpointing",
    "transcript",
    "first_token",
    "first_sentence",
    "first_audio",
    "first_packet",
)


def latency_text(parts: Mapping[str, int]) -> str:
    """The audible gap and the parts it is the sum of."""
    named = [(name.replace("_", " "), parts.get(f"{name}_ms", 0)) for name in _PARTS]
    gap_ms = parts.get("gap_ms", sum(ms for _, ms in named))
    return f"answered in {gap_ms} ms: " + ", ".join(f"{name} {ms}" for name, ms in named if ms)


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
