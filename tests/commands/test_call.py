"""`voice-server call` against a real server: heard, answered, spoken, billed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engines.audio import read_audio
from engines.silero import SileroDetector
from tests.commands.calling import Said, voice_server
from tests.human_speech import HumanSpeech
from tests.web.test_server import running
from voice_server.client.http import Server
from voice_server.client.own_server import OwnServer
from voice_server.commands import call

CLIP = "en_LJ001-0005.wav"


async def speech_share(path: Path) -> float:
    """How much of a recording Silero itself calls speech."""
    detector = SileroDetector()
    await detector.start()
    stream = detector.open()
    try:
        frames = read_audio(path, seconds_max=120)
        heard = [await stream.probability(frame) for frame in frames]
    finally:
        stream.close()
        await detector.close()
    return sum(probability > 0.5 for probability in heard) / len(heard)


async def bill_of(server: OwnServer, call_id: str) -> dict[str, object]:
    async with Server(server.url) as asked:
        found = await asked.bill(call_id)
    assert found is not None
    return found


@pytest.mark.parametrize("road", ["websocket", "webrtc"])
async def test_a_recording_is_heard_answered_and_billed(
    road: str, served: OwnServer, speech: HumanSpeech, tmp_path: Path
) -> None:
    reply = tmp_path / "reply.wav"
    more = ["--webrtc", "--talk-over"] if road == "webrtc" else []
    said = await voice_server(
        "call", speech(CLIP), "--url", served.url, "--save", reply, "--json", *more, cwd=tmp_path
    )
    assert said.code == 0, said.err
    told: dict[str, Any] = json.loads(said.out)
    speakers = [line["who"] for line in told["transcript"]]
    greeted = ["agent"] if road == "websocket" else []
    assert speakers == [*greeted, "you", "agent"], "greeted unless talked over, heard, answered"
    assert told["answered"] and told["reply_ms"] > 1_000
    # What the parts of the last answer's latency sum to is the gap one heard.
    latency = told["transcript"][-1]["latency"]
    parts = sum(ms for name, ms in latency.items() if name not in {"gap_ms", "answer_ms"})
    assert parts == latency["gap_ms"] > 0

    engines = [turn["engines"] for turn in told["turns"] if turn["outcome"] == "completed"]
    assert {"dialogue": "tutor", "text_to_speech": "espeak"}.items() <= engines[-1].items()
    assert "sphinx" in {turn.get("speech_to_text") for turn in engines}

    assert await speech_share(reply) > 0.5
    bill, theirs = told["bill"], await bill_of(served, told["call_id"])
    same = ("duration_sec", "billed_minutes", "billed_amount", "currency", "paid_minutes")
    assert {name: bill[name] for name in same} == {name: theirs[name] for name in same}
    assert bill["billed_minutes"] == max(1, -(-bill["duration_sec"] // 60))


async def test_the_transcript_and_the_bill_are_printed(
    served: OwnServer, speech: HumanSpeech, tmp_path: Path
) -> None:
    said = await voice_server(
        "call", speech(CLIP), "--url", served.url, "--talk-over", cwd=tmp_path
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert any(line.startswith("You") for line in lines)
    assert any(line.startswith("Agent") for line in lines)
    assert any("answered in" in line and "endpointing" in line for line in lines)
    engines = next(line for line in lines if line.startswith("Engines:"))
    assert "sphinx ×" in engines and "tutor ×" in engines and "espeak ×" in engines
    bill = next(line for line in lines if line.startswith("Bill:"))
    assert "1 min, 5.00 RUB" in bill and "Paid: 1 granted min and 0.00 RUB" in bill
    assert "Left: 9 min" in bill


async def test_without_a_server_one_is_started_for_the_call(
    speech: HumanSpeech, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "VOICE_SERVER_PORT=9\nVOICE_SERVER_SPEECH_TO_TEXT=scripted\n"
        "VOICE_SERVER_DIALOGUE=scripted\nVOICE_SERVER_TEXT_TO_SPEECH=scripted\n"
    )
    said = await voice_server("call", speech(CLIP), "--talk-over", cwd=tmp_path)
    assert said.code == 0, said.err
    assert "starting a server for this call" in said.err
    assert "What is a verb?" in said.out and "Bill:" in said.out
    assert (tmp_path / "data" / "voice.db").exists(), "the bill is kept"


async def test_what_cannot_be_done_is_said_with_its_own_exit_code(
    served: OwnServer, speech: HumanSpeech, tmp_path: Path
) -> None:
    async def called(*arguments: object) -> Said:
        return await voice_server("call", *arguments, cwd=tmp_path)

    nothing = await called(tmp_path / "none.wav", "--url", served.url)
    assert (nothing.code, "none.wav" in nothing.err) == (call.USAGE, True)
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    unreadable = await called(text, "--url", served.url)
    assert unreadable.code == call.USAGE and "Traceback" not in unreadable.err
    nobody = await called(speech(CLIP), "--url", "http://127.0.0.1:9")
    assert nobody.code == call.UNREACHABLE and "nobody answers" in nobody.err


async def test_a_server_that_refuses_says_why_and_what_to_do(
    speech: HumanSpeech, tmp_path: Path
) -> None:
    from voice_server.client.own_server import own_server

    settings = {
        "data_dir": tmp_path / "data", "api_key": "secret", "demo_minutes": 0, "local_credit": 0,
        "speech_to_text": "scripted", "dialogue": "scripted", "text_to_speech": "scripted",
    }  # fmt: skip
    async with own_server(settings, log=tmp_path / "server.log") as server:
        for road in ([], ["--webrtc"]):
            asked = ["call", speech(CLIP), "--url", server.url, *road]
            stranger = await voice_server(*asked, "--key", "wrong", cwd=tmp_path)
            assert stranger.code == call.REFUSED and "--key" in stranger.err
            poor = await voice_server(*asked, "--key", "secret", cwd=tmp_path)
            assert poor.code == call.REFUSED and "voice-server grant" in poor.err


async def test_a_call_over_tls_trusts_the_certificate_that_was_made_here(
    speech: HumanSpeech, tmp_path: Path, free_port: int
) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    url = f"wss://localhost:{free_port}"
    async with running(tmp_path, free_port, tls=True, drain_seconds=0) as server:
        dialled = ("call", speech(CLIP), "--url", url, "--json")
        for folder, more in ((tmp_path, []), (elsewhere, ["--cacert", server.cert, "--webrtc"])):
            said = await voice_server(*dialled, *more, cwd=folder)
            assert said.code == 0, said.err
            assert json.loads(said.out)["bill"]["billed_minutes"] == 1
        refused = await voice_server(*dialled, cwd=elsewhere)
        assert refused.code == call.UNREACHABLE and "--cacert" in refused.err
        wrong = await voice_server(*dialled, "--cacert", tmp_path / "none", cwd=elsewhere)
        assert wrong.code == call.USAGE and "certificate" in wrong.err
        settings = ("--set", "tls=true", "--set", f"port={free_port}")
        found = await voice_server("doctor", "--json", *settings, cwd=tmp_path)
        said_of = {each["what"]: each["said"] for each in json.loads(found.out)}
        assert said_of["port"].startswith("a voice server answers")
        assert str(server.cert) in said_of["TLS"]
        assert "https://" in said_of["microphone"]
