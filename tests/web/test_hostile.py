"""Strangers on the WebSocket: frames that are none, events that are none, sound that is none,
clients that fall silent, never read, or are gone.

Whatever they do, the server answers clearly or lets go, and others go on calling. After each
test nothing of the calls is left, each has exactly one bill, and the log complains of nothing
(`outside` holds it to that).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from engines.audio import OpusEncoder
from tests.calls.exchange import PATIENCE_S, connect, eventually, silence, tone

from .outside import Line, Outside, call_to, line_to, outside
from .served import scripted, served
from .test_realtime import id_of, told_of

Event = dict[str, Any]
STREAMS, AT_ONCE = 1_000, 25
TEXT, BINARY, CLOSE, PING, PONG, CONTINUED = 1, 2, 8, 9, 10, 0
BATCH = 8
MANY = 20_000
# What one client that reads nothing may take: 20 MB measured, 210 without a bound on letters.
UNREAD_KB_MAX = 80_000

WHOLE = json.dumps({"type": "input_audio_buffer.clear"}).encode()


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[Outside]:
    async with outside(tmp_path, free_port) as server:
        yield server


@contextlib.asynccontextmanager
async def dialled(server: Outside, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(server.websocket_url, compression=None, max_size=None, **options) as socket:
        assert socket.response is not None
        server.answered.add(id_of(socket.response.headers["location"]))
        await told_of(socket, "session.created")
        yield socket


async def say(socket: ClientConnection, **event: object) -> None:
    await socket.send(json.dumps(event))


async def still_answers(socket: ClientConnection) -> None:
    """The call goes on: a reply is asked for and comes."""
    await say(socket, type="response.create")
    await told_of(socket, "response.done")


def opus(pcm: bytes) -> list[bytes]:
    return [frame.packet for frame in OpusEncoder(24_000).encode(pcm)]


async def wishes(socket: ClientConnection, **session: object) -> None:
    await say(socket, type="session.update", session={"type": "realtime", **session})
    await told_of(socket, "session.updated")


def formats(name: str, **more: object) -> Event:
    return {"audio": {"input": {"format": {"type": name, **more}}}}


# Frames.

WRONG_FRAMES: dict[str, tuple[Callable[[Line], bytes], set[int]]] = {
    "not masked": (lambda line: line.frame(TEXT, WHOLE, masked=False), {1002}),
    "an unknown kind": (lambda line: line.frame(3, b"x"), {1002}),
    "an unknown control": (lambda line: line.frame(11, b"x"), {1002}),
    "a reserved bit": (lambda line: line.frame(TEXT, WHOLE, reserved=4), {1002}),
    "a ping in pieces": (lambda line: line.frame(PING, b"x", final=False), {1002}),
    "a long ping": (lambda line: line.frame(PING, b"x" * 126), {1002}),
    "the middle of nothing": (lambda line: line.frame(CONTINUED, b"x"), {1002}),
    "two beginnings": (
        lambda line: line.frame(TEXT, b"{", final=False) + line.frame(TEXT, b"}"), {1002},
    ),
    "no text": (lambda line: line.frame(TEXT, b"\xff\xfe\xfd"), {1007}),
    "half a letter": (lambda line: line.frame(TEXT, "й".encode()[:1]), {1007}),
    "twenty megabytes": (lambda line: line.frame(TEXT, b"x" * 20 * 2**20), {1009, 1006}),
    "twenty megabytes of sound": (lambda line: line.frame(BINARY, bytes(20 * 2**20)), {1009, 1006}),
    "a length beyond all": (lambda line: line.frame(BINARY, b"x", claims=2**63), {1002, 1009}),
    "a length that lies": (lambda line: line.frame(BINARY, b"x", claims=2**40), {1009}),
    "a short goodbye": (lambda line: line.frame(CLOSE, b"\x03"), {1002}),
    "a goodbye of no code": (lambda line: line.frame(CLOSE, (999).to_bytes(2, "big")), {1002}),
    "a goodbye that is no text": (
        lambda line: line.frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), {1002, 1007},
    ),
}  # fmt: skip


async def test_frames_that_are_none_end_their_call_only(server: Outside) -> None:
    async with dialled(server) as other:
        for name, (wrong, codes) in WRONG_FRAMES.items():
            async with call_to(server) as line:
                line.send(wrong(line))
                assert await line.ends() in codes, name
        async with call_to(server) as line:
            # Twenty megabytes in pieces, each of which would do.
            line.send(line.frame(TEXT, b"x" * 2**20, final=False))
            for _ in range(19):
                line.send(line.frame(CONTINUED, b"x" * 2**20, final=False))
            assert await line.ends() in {1009, 1006}
        await still_answers(other)


async def test_frames_in_unusual_shapes_are_taken(server: Outside) -> None:
    async with call_to(server) as line:
        event = json.dumps({"type": "response.create"}).encode()
        # One letter a frame, with pings in between, one byte a write.
        pieces = [line.frame(TEXT, event[:1], final=False)]
        for position in range(1, len(event)):
            last = position == len(event) - 1
            pieces.append(line.frame(PING, str(position).encode()))
            pieces.append(line.frame(CONTINUED, event[position : position + 1], final=last))
        for byte in b"".join(pieces):
            line.send(bytes([byte]))
        pongs, told = 0, ""
        async with asyncio.timeout(PATIENCE_S):
            while told != "response.done":
                code, payload = await line.receive()
                pongs += code == PONG
                told = json.loads(payload)["type"] if code == TEXT else told
        assert pongs == len(event) - 1
        line.send(line.frame(CLOSE, (1000).to_bytes(2, "big")))
        assert await line.ends() == 1000


async def test_a_flood_of_pings_starves_nobody(server: Outside) -> None:
    async with dialled(server) as other, call_to(server) as line:
        reading = asyncio.create_task(line.ends())
        for _ in range(200):
            line.send(*[line.frame(PING, b"x" * 125) for _ in range(100)])
            await line.writer.drain()
        await still_answers(other)
        line.vanish()
        await asyncio.wait({reading})


async def flood(line: Line, frames: bytes, most: int) -> None:
    """Send until the server has had enough; fails when it takes more than `most` bytes."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            while not line.writer.is_closing():
                assert (sent := sent + len(frames)) < most, "it takes whatever comes"
                line.send(frames)
                await line.writer.drain()


async def test_who_pings_and_hears_nothing_is_cut_off(server: Outside) -> None:
    async with dialled(server) as other:
        async with call_to(server) as line:
            line.deaf()
            await flood(line, line.frame(PING, b"x" * 125) * 500, most=100 * 2**20)
        await still_answers(other)


async def test_a_message_of_endless_nothing_is_cut_off(server: Outside) -> None:
    async with dialled(server) as other:
        async with call_to(server) as line:
            line.send(line.frame(TEXT, b"{", final=False))
            await flood(line, line.frame(CONTINUED, final=False) * 1_000, most=20 * 2**20)
        await still_answers(other)


async def test_many_small_messages_are_all_answered(server: Outside) -> None:
    """They come in one breath; answering has its turn between them, or the answers pile up."""
    async with dialled(server) as other, call_to(server) as line:
        line.send(line.frame(TEXT, b"x") * MANY)
        answers = 0
        async with asyncio.timeout(2 * PATIENCE_S):
            while answers < MANY:
                code, payload = await line.receive()
                answers += code == TEXT and json.loads(payload)["type"] == "error"
        await still_answers(other)


# Events.

WRONG_EVENTS: dict[str, tuple[str | bytes, str]] = {
    "nothing": ("", "invalid_json"),
    "no json": ("{", "invalid_json"),
    "a number": ("1e999", "invalid_json"),
    "a list": ("[]", "invalid_type"),
    "no type": ("{}", "missing_required_parameter"),
    "a type that is none": ('{"type": "audio.please"}', "invalid_value"),
    "a type that is no text": ('{"type": ["x"]}', "invalid_value"),
    "no base64": ('{"type": "input_audio_buffer.append", "audio": "@@@"}', "invalid_value"),
    "half of base64": ('{"type": "input_audio_buffer.append", "audio": "AAA"}', "invalid_value"),
    "odd bytes": ('{"type": "input_audio_buffer.append", "audio": "AAAA"}', "invalid_value"),
    "sound as numbers": ('{"type": "input_audio_buffer.append", "audio": [0]}', "invalid_value"),
    "nothing to commit": (
        '{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty",
    ),
    "nothing to cancel": ('{"type": "response.cancel"}', "response_cancel_not_active"),
    "no such item": (
        '{"type": "conversation.item.delete", "item_id": "item_x"}', "item_delete_invalid_item_id",
    ),
}  # fmt: skip


async def test_events_that_are_none_are_answered_and_the_call_goes_on(server: Outside) -> None:
    async with dialled(server) as socket:
        for name, (event, code) in WRONG_EVENTS.items():
            await socket.send(event)
            error = (await told_of(socket, "error"))["error"]
            assert error["message"], name
            assert error["code"] == code, (name, error)
        deep = "[" * 100_000 + "]" * 100_000
        await socket.send(f'{{"type": "session.update", "session": {deep}}}')
        assert (await told_of(socket, "error"))["error"]["message"]
        await socket.send('{"type": "session.update", "session": "' + "x" * 2**20 + '"}')
        assert (await told_of(socket, "error"))["error"]["message"]
        await still_answers(socket)


# Sound.


async def test_sound_that_is_none_is_answered_and_the_call_goes_on(server: Outside) -> None:
    rng = random.Random(7)
    async with dialled(server) as socket:
        # Before any session.update: PCM is what was announced, and this is some of it.
        for size in (1, 1, 1, 3, 5, 47, 4_801):
            await socket.send(rng.randbytes(size))
        await socket.send(rng.randbytes(300_000))
        assert (await told_of(socket, "error"))["error"]["code"] == "audio_too_large"
        await wishes(socket, **formats("audio/opus"))
        await socket.send(rng.randbytes(2_000))
        assert (await told_of(socket, "error"))["error"]["code"] == "invalid_audio"
        for size in (0, 1, 2, 3, 50, 400, 1_276):
            await socket.send(b"\xff" * size)
            await socket.send(bytes(size))
            await socket.send(rng.randbytes(size))
        await socket.send(tone(200))  # PCM where Opus was announced.
        await still_answers(socket)


async def test_a_format_may_change_in_the_middle_of_a_word(server: Outside) -> None:
    async with dialled(server) as socket:
        for name, more, spoken in (
            ("audio/pcm", {"rate": 24_000}, [tone(300)]),
            ("audio/opus", {}, opus(tone(300))),
            ("audio/pcmu", {}, [bytes(2_400)]),
            ("audio/pcma", {}, [bytes(2_400)]),
            ("audio/pcm", {"rate": 16_000}, [tone(300, 16_000)]),
            ("audio/opus", {}, opus(tone(300))),
            ("audio/pcm", {"rate": 24_000}, [tone(300)]),
        ):
            # The end of the last format's sound is still on its way: here, half a sample.
            await say(socket, type="session.update",
                      session={"type": "realtime", **formats(name, **more)})  # fmt: skip
            for piece in spoken:
                await socket.send(piece)
            await socket.send(spoken[0][:3])
        await still_answers(socket)


# Clients of bad manners.


async def test_who_never_reads_loses_the_call_and_only_that(server: Outside) -> None:
    async with dialled(server) as other:
        async with call_to(server) as line:
            line.deaf()
            # Asked for what is cheap to ask and long to tell.
            text = {"type": "input_text", "text": "x" * 30_000}
            item = {"type": "message", "role": "user", "content": [text]}
            ask = json.dumps({"type": "conversation.item.create", "item": item}).encode()
            async with asyncio.timeout(2 * PATIENCE_S):
                while await server.calls() > 1:
                    line.send(line.frame(TEXT, ask))
                    await asyncio.sleep(0.01)
        await still_answers(other)


async def test_who_never_reads_small_answers_fills_no_memory(server: Outside) -> None:
    """Each answer is a few hundred bytes, and takes kilobytes while it waits."""
    async with dialled(server) as other:
        await still_answers(other)
        before = server.holdings()
        async with call_to(server) as line:
            line.deaf()
            async with asyncio.timeout(2 * PATIENCE_S):
                while await server.calls() > 1:
                    line.send(line.frame(TEXT, b"x") * 500)
                    await asyncio.sleep(0.01)
        assert server.holdings().memory_kb - before.memory_kb < UNREAD_KB_MAX
        await still_answers(other)


async def test_who_says_nothing_waits_on_the_line_and_others_call(
    tmp_path: Path, free_port: int
) -> None:
    async with outside(tmp_path, free_port, idle_seconds_max=8) as server:  # noqa: SIM117
        async with call_to(server) as line:
            async with dialled(server) as other:
                await still_answers(other)
            assert await line.ends() == 1000  # It was told why; nobody waits for ever.


PHASES = ("connecting", "greeted", "speaking", "pausing", "thinking", "listening", "half a frame")


async def reach(phase: str, line: Line, rng: random.Random) -> None:
    """Bring the call to a phase of its life, and leave it there."""

    async def told(kind: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                code, payload = await line.receive()
                if code == TEXT and json.loads(payload)["type"] == kind:
                    return

    def tell(**event: object) -> None:
        line.send(line.frame(TEXT, json.dumps(event).encode()))

    def speak(pcm: bytes) -> None:
        line.send(line.frame(BINARY, pcm))

    match phase:
        case "greeted":
            await told("session.created")
        case "speaking":
            speak(tone(300))
        case "pausing":
            speak(tone(600) + silence(300))
            await asyncio.sleep(rng.random() / 10)
        case "thinking":
            tell(type="response.create")
        case "listening":
            tell(type="response.create")
            await told("response.output_audio.delta")
        case "half a frame":
            line.send(line.frame(TEXT, WHOLE)[: rng.randrange(1, 20)])


async def test_who_is_gone_without_a_word_is_billed_and_forgotten(server: Outside) -> None:
    rng = random.Random(11)

    async def call(phase: str) -> None:
        async with call_to(server) as line:
            await reach(phase, line, rng)
            await line.writer.drain()

    async def hardly_call() -> None:
        """Gone before the server has answered: it may be billed or not, but once."""
        async with line_to(server.port) as line:
            asking = asyncio.create_task(line.shake_hands())
            await asyncio.sleep(rng.random() / 20)
            asking.cancel()
            await asyncio.wait({asking})

    before = server.holdings()
    for phase in PHASES:
        await asyncio.gather(*(call(phase) for _ in range(BATCH)))
    await asyncio.gather(*(hardly_call() for _ in range(BATCH)))
    await server.at_rest()
    await server.no_more_than(before, spare=12)  # Pools of threads and connections fill up.
    server.unconnected |= set((await server.books()).bills)


# A thousand streams.

SOUND = base64.b64encode(tone(40)).decode()
SENSE: list[Event] = [
    {"type": "session.update", "session": {"type": "realtime", **formats("audio/opus")}},
    {"type": "session.update", "session": {"type": "realtime", **formats("audio/pcmu")}},
    {"type": "session.update", "session": {"type": "realtime", "voice_server": {
        "events": True, "binary": True, "interruption": "resumes"}}},
    {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {
        "turn_detection": None}}}},
    {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 200}}}}},
    {"type": "input_audio_buffer.append", "audio": SOUND},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Count!"}]}},
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0,
        "audio_end_ms": 10},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "response.create"},
    {"type": "response.create", "response": {"instructions": "x", "conversation": "none"}},
    {"type": "response.cancel"},
]  # fmt: skip


def twisted(rng: random.Random, value: Any) -> Any:
    """The same, with something in it that does not belong there."""
    if rng.random() < 0.15:
        return rng.choice([None, True, -1, 1e308, "", "x" * 300, [], {}, "\x00", "\ud800"])
    if isinstance(value, dict):
        return {name: twisted(rng, each) for name, each in value.items()}
    return [twisted(rng, each) for each in value] if isinstance(value, list) else value


def message(rng: random.Random) -> str | bytes:
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            return json.dumps(rng.choice(SENSE))
        case 4 | 5:
            return json.dumps(twisted(rng, rng.choice(SENSE)))
        case 6:
            text = json.dumps(rng.choice(SENSE))
            return text[: rng.randrange(len(text))]
        case 7:
            return rng.choice([tone(100), silence(900), tone(400) + silence(400)])
        case _:
            return rng.randbytes(rng.choice([0, 1, 2, 3, 20, 160, 1_000, 5_000]))


async def check_answers(socket: ClientConnection) -> None:
    """Until the line is closed: whatever was wrong was the client's fault, and is said."""
    with contextlib.suppress(ConnectionClosed):
        async for event in socket:
            if isinstance(event, str) and (told := json.loads(event))["type"] == "error":
                assert told["error"]["message"], told
                assert told["error"]["type"] == "invalid_request_error", told


async def stream(url: str, rng: random.Random, answered: set[str]) -> None:
    """One client of no sense: says what comes to its mind, and leaves in some way."""
    async with connect(url, compression=None, max_size=None) as socket:
        assert socket.response is not None
        answered.add(id_of(socket.response.headers["location"]))
        async with asyncio.TaskGroup() as group:
            group.create_task(check_answers(socket))
            with contextlib.suppress(ConnectionClosed):
                for _ in range(rng.randrange(1, 25)):
                    await socket.send(message(rng))
                    if rng.random() < 0.3:
                        await asyncio.sleep(rng.random() / 50)
            if rng.random() < 0.3:
                socket.transport.abort()
            else:
                await socket.close()


async def streams(url: str, seeds: range, answered: set[str]) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with places, asyncio.timeout(2 * PATIENCE_S):
            await stream(url, random.Random(seed), answered)

    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            group.create_task(one(seed))


@pytest.mark.timeout(900)
async def test_a_thousand_streams_of_nonsense(server: Outside) -> None:
    await streams(server.websocket_url, range(100), server.answered)
    await server.at_rest()
    before = server.holdings()
    await streams(server.websocket_url, range(100, STREAMS), server.answered)
    await server.at_rest()
    await server.no_more_than(before, spare=8)
    async with dialled(server) as socket:
        await still_answers(socket)
    assert len(server.answered) == STREAMS + 1


async def test_no_task_outlives_nonsense(tmp_path: Path) -> None:
    async with served(scripted(tmp_path, local_credit=10**8)) as inside:
        before = asyncio.all_tasks()
        await streams(inside.websocket_url, range(440, 500), set())
        await eventually(lambda: not inside.house.switchboard.calls)
        await eventually(lambda: not {t for t in asyncio.all_tasks() - before if not t.done()})
        wallet = (await inside.client.get("/v1/wallet")).json()
        assert wallet["held_minutes"] == wallet["held_amount"] == 0
