"""`semantic_vad` over the wire: with Smart Turn, and on a server that has no weights for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from engines.speech import PCM_RATE_HZ
from engines.turns import SmartTurn
from tests.calls.exchange import PATIENCE_S, connect, eventually, nothing_left
from tests.human_speech import HumanSpeech
from voice_server.client.clips import framed, read_clip
from voice_server.client.websocket import Wire

from .served import Served, scripted, served
from .test_realtime import told_of

CLIP = "en_sb_spk1_snt2.wav"  # "Drop the two when you add the figures", in one breath.
BYTES_PER_MS = 2 * PCM_RATE_HZ // 1_000
# Less than any pause that would end a turn by its length; more, and less than patience.
SHORT_MS, LONG_MS, FOREVER_MS = 320, 1_300, 10_000
Answers = list[tuple[bytes, float]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What Smart Turn was asked, and what it answered."""
    found: Answers = []
    judge = SmartTurn.probability

    async def probability(self: SmartTurn, samples: bytes) -> float:
        chance = await judge(self, samples)
        found.append((samples, chance))
        return chance

    monkeypatch.setattr(SmartTurn, "probability", probability)
    return found


def sentence(speech: HumanSpeech) -> bytes:
    """From the first loud sample to the last, 16 kHz."""
    pcm = read_clip(speech(CLIP))
    pieces = [pcm[i : i + 640] for i in range(0, len(pcm), 640)]
    loud = [i for i, piece in enumerate(pieces) if max(memoryview(piece).cast("h")) > 500]
    return b"".join(pieces[loud[0] : loud[-1] + 1])


async def say(socket: ClientConnection, pcm: bytes, *, pause_ms: int) -> None:
    for frame in framed(pcm + bytes(pause_ms * BYTES_PER_MS), Wire.JSON).frames:
        await socket.send(frame)


async def begin(socket: ClientConnection, server: Served) -> dict[str, Any]:
    """Ask for `semantic_vad`; what the server says of its engines."""
    await told_of(socket, "session.created")
    session = {
        "type": "realtime", "voice_server": {"events": True},
        "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "medium"}}},
    }  # fmt: skip
    await socket.send(json.dumps({"type": "session.update", "session": session}))
    updated = await told_of(socket, "session.updated")
    assert updated["session"]["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    return await told_of(socket, "voice_server.engines")


async def kinds_until(socket: ClientConnection, kind: str) -> list[str]:
    kinds: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while not kinds or kinds[-1] != kind:
            kinds.append(json.loads(await socket.recv())["type"])
    return kinds


def waiting_for_sound(server: Served) -> None:
    """A client that stops sending does not thereby end its utterance."""
    server.house.rules = replace(server.house.rules, frame_gap_ms_max=10**8)


def judged_after(answers: Answers, count: int) -> Callable[[], bool]:
    """Whether that many pauses of our making have been judged: their silence is perfect."""
    return lambda: sum(not any(sound[-1_024:]) for sound, _ in answers) >= count


async def test_a_sentence_is_answered_without_waiting_and_a_pause_in_it_is_waited_for(
    tmp_path: Path, speech: HumanSpeech, smart_turn: Path, answers: Answers
) -> None:
    said = sentence(speech)
    middle = len(said) // 4 * 2
    config = scripted(tmp_path, models_dir=smart_turn.parent.parent)
    async with nothing_left(), served(config) as server:
        waiting_for_sound(server)
        async with connect(server.websocket_url) as socket:
            assert (await begin(socket, server))["end_of_turn"] == "smart-turn"
            await say(socket, said, pause_ms=SHORT_MS)
            await eventually(judged_after(answers, 1))
            whole = answers[-1][1]
            if whole < 0.5:  # eSpeak NG does not sound as if it had finished.
                assert not speech.human
                await say(socket, b"", pause_ms=FOREVER_MS)
            await kinds_until(socket, "input_audio_buffer.speech_stopped")
            await kinds_until(socket, "response.done")

            await say(socket, said[:middle], pause_ms=SHORT_MS)
            await eventually(judged_after(answers, 2))
            cut = answers[-1][1]
            await say(socket, b"", pause_ms=LONG_MS)
            await say(socket, said[middle:], pause_ms=FOREVER_MS)
            kinds = await kinds_until(socket, "response.done")
    if speech.human:
        assert whole > 0.5 > cut
    stops = kinds.count("input_audio_buffer.speech_stopped")
    assert stops == 1 if cut < 0.5 else stops >= 1
    assert len(answers[0][0]) <= 8 * 2 * PCM_RATE_HZ


async def test_without_weights_the_length_of_a_pause_decides(
    tmp_path: Path, speech: HumanSpeech, answers: Answers
) -> None:
    said = sentence(speech)
    middle = len(said) // 4 * 2
    config = scripted(tmp_path, models_dir=tmp_path / "none")
    async with nothing_left(), served(config) as server:
        waiting_for_sound(server)
        async with connect(server.websocket_url) as socket:
            assert (await begin(socket, server))["end_of_turn"] == "pauses"
            # The long pause ends the utterance, although the sentence goes on.
            await say(socket, said[:middle], pause_ms=LONG_MS)
            await kinds_until(socket, "input_audio_buffer.speech_stopped")
            await say(socket, said[middle:], pause_ms=LONG_MS)
            await kinds_until(socket, "input_audio_buffer.speech_stopped")
            await kinds_until(socket, "response.done")
    assert not answers
