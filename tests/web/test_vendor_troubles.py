"""Whole calls over real audio, with each vendor in each trouble: nobody is left in silence.

Each call says a human sentence while a vendor is in trouble, hears what comes of it, says it
again when the vendor is well, and hangs up. Judged is what its caller hears and is told, what it
is billed, and what the server has written down of it.

All calls are made before the first test judges its own: those of a lane one after another, and
the lanes side by side. Only the calls of the tests that were asked for are made.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.calls.exchange import nothing_left
from tests.human_speech import HumanSpeech
from tests.vendors.trouble import Trouble

from .troubled import ANSWER, APOLOGIES, LONG_ANSWER, Case, Lane, Told, Turn, run_lane

# Nobody hears nothing for longer than this, and how much longer it may seem on a busy machine.
SILENCE_MS_MAX, SLACK_MS = 3_000, 1_500
# How long a character sounds, at the least and at the most, and what else may be heard.
CHAR_MS_MIN, CHAR_MS_MAX, SPARE_MS = 35, 110, 2_000
# Longer than what was said, and than anybody waits for its words.
LATE_MS = 4_000
# Between the caller's own clock and the server's, with the connection and the farewell.
CLOCKS_MS = 5_000
LATER_S, MUCH_LATER_S = 2.5, 6.0
REFUSALS = (Trouble.LIMITED, Trouble.BROKEN, Trouble.LOCKED)
EARS, MIND, VOICE, TALK = "speech_to_text", "dialogue", "text_to_speech", "speech_to_speech"
OWN = {"sphinx", "tutor", "espeak", "scripted"}

# Who is in trouble, and how many pieces of its answer are the midst of it.
LANES = {
    Lane(EARS, "openai", "openai,sphinx", "openai,tutor", "elevenlabs,espeak"): 1,
    Lane(EARS, "openai", "openai", "openai", "elevenlabs"): 1,
    Lane(EARS, "yandex", "yandex,sphinx", "openai,tutor", "openai,espeak"): 2,
    Lane(EARS, "yandex", "yandex", "openai", "openai"): 2,
    Lane(MIND, "openai", "openai", "openai,tutor", "openai,espeak"): 6,
    Lane(MIND, "openai", "yandex", "openai", "yandex"): 6,
    # The embedded voice stands by, named or not.
    Lane(VOICE, "openai", "yandex", "openai,tutor", "openai,espeak"): 6,
    Lane(VOICE, "yandex", "openai", "openai,tutor", "yandex"): 3,
    Lane(VOICE, "elevenlabs", "openai", "openai", "elevenlabs"): 1,
    Lane(TALK, "openai", "sphinx", "scripted", "espeak", "openai-realtime"): 6,
}


def cases(lane: Lane, midst: int) -> list[Case]:
    return [
        Case(Trouble.SLOW, slow_s=LATER_S),
        Case(Trouble.STALLED),
        Case(Trouble.DROPPED),
        *(Case(trouble) for trouble in REFUSALS),
        Case(Trouble.LATE, midst, MUCH_LATER_S),
        Case(Trouble.STALLED, midst, webrtc=lane.role == MIND and lane.has_others),
        Case(Trouble.DROPPED, midst, webrtc=(lane.role, lane.engine) == (VOICE, "openai")),
    ]


CALLS = [(lane, case) for lane, midst in LANES.items() for case in cases(lane, midst)]
each_call = pytest.mark.parametrize(
    ("lane", "case"), CALLS, ids=[f"{lane}, {case}" for lane, case in CALLS]
)


@pytest.fixture(scope="module")
def calls(
    request: pytest.FixtureRequest, speech: HumanSpeech, tmp_path_factory: pytest.TempPathFactory
) -> dict[Lane, dict[str, Told]]:
    """What is known of each call, by lane and by the name of its case."""
    wanted = defaultdict[Lane, list[Case]](list)
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        if item.path == request.path and callspec is not None:
            lane, case = callspec.params["lane"], callspec.params["case"]
            if case not in wanted[lane]:
                wanted[lane].append(case)
    folder = tmp_path_factory.mktemp("troubles")
    return asyncio.run(_make_all(wanted, speech("en_brooklyn.wav"), folder))


async def _make_all(
    wanted: dict[Lane, list[Case]], recording: Path, folder: Path
) -> dict[Lane, dict[str, Told]]:
    told: dict[Lane, dict[str, Told]] = {lane: {} for lane in wanted}
    opening = asyncio.Lock()
    async with nothing_left(), asyncio.TaskGroup() as group:
        for number, (lane, those) in enumerate(wanted.items()):
            group.create_task(
                run_lane(lane, those, recording, folder / str(number), opening, told[lane])
            )
    return told


def call_of(calls: dict[Lane, dict[str, Told]], lane: Lane, case: Case) -> Told:
    told = calls[lane][str(case)]
    assert not told.failure, told
    return told


# What is heard.


def outcomes(lane: Lane, case: Case) -> set[str]:
    """What may come of the sentence that was said while the vendor was in trouble."""
    begins, trouble = case.after == 0, case.trouble
    match lane.role:
        case "text_to_speech":
            return {"answer"}
        case "speech_to_text" if lane.has_others:
            return {"answer"}
        case "speech_to_text":
            # Words that came before the trouble are answered.
            words = trouble is Trouble.SLOW or (not begins and trouble is not Trouble.DROPPED)
            return {"answer"} if words else {"apology"}
        case "dialogue" if lane.has_others and trouble is Trouble.DROPPED and not begins:
            # What was on its way when the connection was cut may have come, or not.
            return {"answer", "apology"}
        case "dialogue" if lane.has_others:
            return {"answer"} if begins or trouble is Trouble.LATE else {"apology"}
        case "dialogue":
            return {"answer"} if trouble in (Trouble.SLOW, Trouble.LATE) else {"apology"}
    return {"answer"} if begins else {"apology"}


def was_late(told: Told) -> bool:
    """The embedded recogniser works on this machine: while that is busy, its words may come too
    late for an answer."""
    heard = [use for use in uses(told, EARS) if use["engine"] == "sphinx"]
    return any(use["took_ms"] > LATE_MS for use in heard)


def outcome(turn: Turn) -> str:
    """What the sentence came to. An answer that was given is not apologised for."""
    assert len(turn.said) == 1, turn
    return "apology" if turn.said[0] in APOLOGIES else "answer"


@each_call
def test_the_caller_hears_an_answer_or_an_apology_and_never_silence(
    calls: dict[Lane, dict[str, Told]], lane: Lane, case: Case
) -> None:
    told = call_of(calls, lane, case)
    assert len(told.turns) == 2 and not told.errors
    troubled, well = told.turns
    late = {"apology"} if was_late(told) else set()
    assert outcome(troubled) in outcomes(lane, case) | late, troubled
    assert outcome(well) in {"answer"} | late, well
    if lane.role != MIND:
        answers = {ANSWER, LONG_ANSWER, *APOLOGIES}
        assert all(turn.said[0] in answers or "verb" in turn.said[0] for turn in told.turns)
    for turn in told.turns:
        assert turn.silence_ms <= SILENCE_MS_MAX + SLACK_MS + turn.held_up_ms, turn
        whole = sum(len(text) for status, text in turn.replies if status == "completed")
        begun = sum(len(text) for _, text in turn.replies)
        assert whole * CHAR_MS_MIN <= turn.sound_ms <= begun * CHAR_MS_MAX + SPARE_MS, turn


# What is paid.


@each_call
def test_the_bill_is_right(
    calls: dict[Lane, dict[str, Told]], lane: Lane, case: Case
) -> None:
    told = call_of(calls, lane, case)
    bill = told.call["bill"]
    assert 0 <= told.lasted_s * 1_000 - bill["duration_ms"] <= CLOCKS_MS
    minutes = math.ceil(bill["duration_ms"] / 60_000)
    assert bill["billed_minutes"] == minutes == told.bill["billed_minutes"]
    assert (told.call["reason"], bill["paid_minutes"], bill["paid_amount"]) == (
        "hung_up", minutes, 0,
    )  # fmt: skip
    before, after = told.wallet
    assert before["minutes"] - after["minutes"] == minutes
    assert after["held_minutes"] == 0 and not told.audit


# What is written down.


def fails(lane: Lane, case: Case) -> bool:
    """Whether the vendor is given up, and does not only take its time."""
    if (lane.role, lane.engine, case.trouble) == (EARS, "yandex", Trouble.SLOW):
        return False  # It is slow while there is still speech.
    if case.trouble is Trouble.SLOW:
        return lane.has_others and lane.role != TALK
    return not (lane.role == MIND and case.trouble is Trouble.LATE)


def uses(told: Told, role: str) -> list[dict[str, Any]]:
    return [use for turn in told.records for use in turn["uses"] if use["role"] == role]


@each_call
def test_the_record_says_who_failed_and_who_stood_in(
    calls: dict[Lane, dict[str, Told]], lane: Lane, case: Case
) -> None:
    told = call_of(calls, lane, case)
    asked = uses(told, lane.role)
    failed = [use for use in asked if use["engine"] == lane.engine and use["outcome"] != "done"]
    assert failed or not fails(lane, case), asked
    # On a busy machine, where others stand by, patience may be lost with whoever is well.
    assert not failed or fails(lane, case) or lane.has_others, asked
    if not failed:
        return
    # Whoever is left in the middle of a reply that is given up has not said that it failed.
    gave_up = [turn for turn in told.records if turn["outcome"] == "failed"]
    assert all(use["error"] for use in failed if use["outcome"] == "failed")
    assert gave_up or any(use["outcome"] == "failed" for use in failed), told.records
    assert all(turn["reason"] for turn in gave_up)
    if lane.has_others and lane.role != TALK and (case.after == 0 or lane.role != MIND):
        others = {use["engine"] for use in asked} - {lane.engine}
        assert others and others <= OWN, asked
    shown = json.dumps(told.records)
    assert not [secret for secret in (*told.secrets, "127.0.0.1") if secret in shown]


@each_call
def test_what_is_not_known_to_cost_anything_is_not_called_free(
    calls: dict[Lane, dict[str, Told]], lane: Lane, case: Case
) -> None:
    told = call_of(calls, lane, case)
    for turn in told.records:
        costs = {use["engine"]: use["cost"] for use in turn["uses"]}
        for engine, cost in costs.items():
            assert (cost is not None) == (engine in OWN), turn
        assert all(cost is None or cost["micros"] == 0 for cost in costs.values())
        unknown = sum(use["cost"] is None for use in turn["uses"])
        assert turn["cost"] == {"micros": {}, "unknown": unknown}
    # Everybody who worked for the call is there.
    assert {use["role"] for turn in told.records for use in turn["uses"]} >= {EARS, VOICE} - (
        {VOICE} if lane.role == TALK else set()
    )
