"""The small commands: help, migrate, grant, ledger, models, doctor, and settings."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from engines.turn_weights import path_in
from tests.commands.calling import voice_server
from voice_server.__main__ import COMMANDS, main
from voice_server.client.own_server import OwnServer
from voice_server.commands import grant
from voice_server.commands.check_engines import check_turns
from voice_server.commands.check_reach import check_microphone
from voice_server.commands.check_tls import check_tls
from voice_server.commands.settings import BadSettings, parsed, read_config
from voice_server.commands.words import (
    amount,
    bill_text,
    engines_text,
    failure_texts,
    latency_text,
)
from voice_server.config import Config
from voice_server.web.certificates import ALWAYS, names_of_this_machine, now, own_certificate


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    heavy = ("pydantic", "sqlalchemy", "av", "aiortc", "numpy", "rich", "websockets", "starlette")
    code = (
        "import sys, voice_server.__main__ as m\n"
        "try: m.main(['--help'])\nexcept SystemExit: pass\n"
        f"print([n for n in {heavy} if n in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"
    assert all(f"\n    {name} " in out.stdout for name in COMMANDS)


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["dance"]):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_a_setting_that_cannot_be_used_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--set", "port=many"]) == 2
    assert "VOICE_SERVER_PORT" in capsys.readouterr().err
    with pytest.raises(BadSettings, match="no setting prot"):
        read_config({"prot": "1"})
    with pytest.raises(BadSettings, match="NAME=VALUE"):
        parsed(["port"])
    with pytest.raises(BadSettings, match="VOICE_SERVER_ICE_SERVERS is not JSON"):
        parsed(["ice_servers=[{"])


def test_settings_are_taken_as_from_the_environment() -> None:
    given = parsed(["VOICE_SERVER_PORT=81", 'ice_servers=[{"urls":["stun:a"]}]', "redis_url="])
    config = read_config(given)
    assert (config.port, config.redis_url) == (81, "")
    assert config.ice_servers[0].urls == ("stun:a",)


async def test_migrate_grant_verify(tmp_path: Path) -> None:
    first = await voice_server("migrate", cwd=tmp_path)
    assert first.code == 0 and "→" in first.out
    again = await voice_server("migrate", cwd=tmp_path)
    assert again.code == 0 and "already" in again.out
    once = ("grant", "--minutes", "5", "--money", "99.5", "--reason", "gift", "--key", "k")
    for _ in range(2):
        granted = await voice_server(*once, cwd=tmp_path)
        assert granted.code == 0, granted.err
        assert granted.out.strip() == "Local user has 15 min and 1099.50 RUB."
    book = await voice_server("ledger", "verify", cwd=tmp_path)
    assert book.code == 0 and "the book agrees" in book.out


async def test_a_book_that_does_not_agree_is_told(tmp_path: Path) -> None:
    import sqlite3

    assert (await voice_server("ledger", "verify", cwd=tmp_path)).code == 1
    await voice_server("grant", "--minutes", "5", cwd=tmp_path)
    with sqlite3.connect(tmp_path / "data" / "voice.db") as database:
        database.execute("UPDATE balances SET amount = amount + 1")
    book = await voice_server("ledger", "verify", cwd=tmp_path)
    assert book.code == 1 and "expected" in book.out


@pytest.mark.parametrize("amount_", ["0", "-1", "1.234", "1e3", "nan", "", "١", "9" * 20])
def test_odd_amounts_are_refused(amount_: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        grant._money(amount_)


def test_amounts_are_exact() -> None:
    assert [grant._money(text) for text in ("1", "0.01", "99.5", "99.50")] == [100, 1, 9950, 9950]
    assert [amount(n) for n in (0, 5, 9950, -101)] == ["0.00", "0.05", "99.50", "-1.01"]


async def test_grant_needs_something_to_give(tmp_path: Path) -> None:
    said = await voice_server("grant", cwd=tmp_path)
    assert said.code == 2 and "--minutes" in said.err
    assert not (tmp_path / "data").exists()


async def test_models(tmp_path: Path) -> None:
    listed = await voice_server("models", cwd=tmp_path)
    assert listed.code == 0 and "sphinx" in listed.out and "base" in listed.out
    assert "models pull kokoro" in listed.out and "models pull piper" in listed.out
    unknown = await voice_server("models", "pull", "nonsense", cwd=tmp_path)
    assert unknown.code == 1 and "nonsense" in unknown.err and "tiny" in unknown.err
    assert (await voice_server("models", "pull", cwd=tmp_path)).code == 2


async def test_the_ears_for_ends_of_turns(smart_turn: Path, tmp_path: Path) -> None:
    """They are pulled, listed and tried by the doctor; a broken file is told and harmless."""
    models_dir = f"--set=models_dir={smart_turn.parent.parent}"
    pulled = await voice_server("models", "pull", "smart-turn", models_dir, cwd=tmp_path)
    assert pulled.code == 0 and "smart-turn is in" in pulled.out and "WHISPER" not in pulled.out
    listed = await voice_server("models", models_dir, cwd=tmp_path)
    assert "smart-turn: ends of turns (semantic_vad), in" in listed.out
    assert "not here" in (await voice_server("models", cwd=tmp_path)).out.splitlines()[-1]

    config = read_config({"models_dir": str(smart_turn.parent.parent)})
    (found,) = await check_turns(config)
    assert found.level == "ok" and "Smart Turn judged" in found.said
    config = read_config({"models_dir": str(tmp_path)})
    (found,) = await check_turns(config)
    assert found.level == "ok" and "pauses" in found.said and "pull smart-turn" in found.remedy
    path_in(tmp_path).parent.mkdir()
    path_in(tmp_path).write_bytes(b"nothing")
    (found,) = await check_turns(config)
    assert found.level == "warning" and str(path_in(tmp_path)) in found.said


async def test_doctor_tries_the_engines(served: OwnServer, tmp_path: Path) -> None:
    port = served.url.rpartition(":")[2]
    said = await voice_server("doctor", "--json", "--set", f"port={port}", cwd=tmp_path)
    found = {finding["what"]: finding for finding in json.loads(said.out)}
    assert said.code == 0, said.out
    engines = ("voice", "voice activity", "recogniser", "end of turn")
    for what in (*engines, "database", "disk", "packages"):
        assert what in found
    assert "answers" in found["port"]["said"]
    assert "Silero hears speech" in found["voice activity"]["said"]


async def test_doctor_names_problems_and_remedies(tmp_path: Path) -> None:
    broken = [
        "database_url=postgresql+asyncpg://u:hidden@127.0.0.1:1/x", "redis_url=redis://127.0.0.1:1",
        'ice_servers=[{"urls":["nonsense:x"]}]', "host=0.0.0.0", "speech_to_text=whisper",
        "text_to_speech=scripted", f"models_dir={tmp_path}",
    ]  # fmt: skip
    given = [f"--set={setting}" for setting in broken]
    said = await voice_server("doctor", "--json", *given, cwd=tmp_path)
    levels: dict[str, set[str]] = {}
    for finding in json.loads(said.out):
        levels.setdefault(finding["what"], set()).add(finding["level"])
        if finding["level"] == "problem" and finding["what"] != "recogniser":
            assert finding["remedy"]
    assert said.code == 1 and "hidden" not in said.out + said.err
    for what in ("database", "Redis", "ICE", "recogniser", "Whisper"):
        assert "problem" in levels[what], what
    assert levels["key"] == {"warning"} and levels["microphone"] == {"warning"}


def test_latency_and_bill_read_well() -> None:
    parts = {"gap_ms": 620, "endpointing_ms": 608, "first_packet_ms": 12, "transcript_ms": 0}
    assert latency_text(parts) == "answered in 620 ms: endpointing 608, first packet 12"
    assert latency_text({**parts, "answer_ms": 620}) == latency_text(parts)
    assert latency_text({**parts, "answer_ms": 4_000}).endswith("the answer itself after 4000 ms")
    bill = {
        "duration_sec": 61, "billed_minutes": 2, "billed_amount": 1000, "currency": "RUB",
        "paid_minutes": 1, "paid_amount": 500, "balance_minutes": 0, "balance_amount": 5,
    }  # fmt: skip
    assert bill_text(bill) == (
        "Bill: 61 s, 2 min, 10.00 RUB. Paid: 1 granted min and 5.00 RUB. Left: 0 min and 0.05 RUB."
    )


def test_who_answered_and_who_failed_reads_well() -> None:
    failed = {"role": "text_to_speech", "engine": "openai", "outcome": "failed", "error": "503"}
    first = {
        "turn": 1, "engines": {"speech_to_text": "sphinx", "text_to_speech": "espeak"},
        "uses": [failed, failed | {"engine": "espeak", "outcome": "done", "error": ""}],
    }  # fmt: skip
    second = {"turn": 2, "engines": {"text_to_speech": "openai:tts-1"}, "uses": []}
    third = {"turn": 3, "engines": {}, "uses": [failed | {"error": "gone"}]}
    turns = [first, first | {"uses": []}, second, third]
    assert engines_text(turns) == (
        "Engines: speech to text sphinx ×2, text to speech espeak ×2 and openai:tts-1 ×1"
    )
    assert failure_texts(turns) == [
        "Turn 1: text to speech openai failed (503); answered by espeak",
        "Turn 3: text to speech openai failed (gone); nobody answered",
    ]
    assert failure_texts([third] * 14)[10:] == ["and 4 failures more"]
    assert (engines_text([]), failure_texts([])) == ("", [])
    nonsense: list[dict[str, object]] = [{}, {"engines": 1, "uses": 2}, {"uses": [3]}]
    assert (engines_text(nonsense), failure_texts(nonsense)) == ("", [])


async def test_doctor_looks_at_the_certificate(tmp_path: Path) -> None:
    async def said(**settings: object) -> tuple[str, str]:
        config = Config.model_validate({"data_dir": tmp_path, **settings})
        (finding,) = await check_tls(config)
        return finding.level, finding.said

    assert (await said())[1].startswith("http and ws")
    assert await said(tls=True) == ("ok", f"a certificate will be made in {tmp_path / 'tls'}")
    kept = own_certificate(tmp_path / "tls", names_of_this_machine("127.0.0.1"), now())
    level, told = await said(tls=True)
    assert level == "ok" and f"{kept.expires:%Y-%m-%d}" in told
    # One of the operator's own, at every age.
    for days, wanted in ((0, "ok"), (340, "warning"), (366, "problem")):
        past = own_certificate(tmp_path / f"{days}", ALWAYS, now() - timedelta(days=days))
        assert (await said(tls_cert=past.path, tls_key=past.key_path))[0] == wanted, days
    level, told = await said(tls_cert=tmp_path / "none")
    assert level == "problem" and "none" in told


async def test_with_tls_the_microphone_works_everywhere_and_the_key_still_matters() -> None:
    found = await check_microphone(Config.model_validate({"host": "192.168.1.7", "tls": True}))
    assert [(each.what, each.level) for each in found] == [("microphone", "ok"), ("key", "warning")]
    found = await check_microphone(Config.model_validate({"host": "192.168.1.7"}))
    assert [each.level for each in found] == ["warning", "warning"]
