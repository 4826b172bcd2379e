"""Strangers with files: empty, lying, endless, too large, too many parts, too slow, broken off.

Each is answered in words or cut off, the server keeps serving, holds nothing afterwards, and has
nothing to complain of in its log (`outside` looks).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import av.audio
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from tests.engines.sounds import noise, sine, wave_file
from voice_server.web.uploads import FILE_BYTES_MAX

from .files import PATIENCE_S, server_with_client
from .outside import Outside, line_to
from .test_hostile_requests import FORM, part, raw, request, status_of

PATH = "/v1/audio/transcriptions"
FILE_PART = 'Content-Disposition: form-data; name="file"; filename="talk.wav"'
GOOD = wave_file(sine(440, 16_000, 0.5), 16_000)


@pytest.fixture
async def server(tmp_path: Path, free_port: int) -> AsyncIterator[tuple[Outside, AsyncOpenAI]]:
    async with server_with_client(tmp_path, free_port, file_minutes_max=10) as both:
        yield both


def flac_of_silence(minutes: int) -> bytes:
    """Hours of nothing in some kilobytes."""
    file = io.BytesIO()
    with av.open(file, mode="w", format="flac") as output:
        stream = output.add_stream("flac", rate=8_000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 8_000 * 60), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8_000
        for _ in range(minutes):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def mp3_cut_off() -> bytes:
    file = io.BytesIO()
    with av.open(file, mode="w", format="mp3") as output:
        stream = output.add_stream("libmp3lame", rate=24_000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(noise(48_000)[None], format="s16", layout="mono")
        frame.sample_rate = 24_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()[:3_333]


def lying(claimed: int) -> bytes:
    """Half a second whose head says something else."""
    return GOOD[:40] + struct.pack("<I", claimed) + GOOD[44:]


async def asked(client: AsyncOpenAI, data: bytes, name: str = "talk.wav", **wishes: Any) -> int:
    """The status that this file gets."""
    try:
        await client.audio.transcriptions.create(
            file=(name, data), model="whisper-1", timeout=PATIENCE_S, **wishes
        )
    except openai.APIStatusError as refused:
        assert isinstance(refused.body, dict) and refused.body["message"], refused.body
        return refused.status_code
    return 200


async def test_files_that_are_not_what_they_say(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, client = server
    assert await asked(client, GOOD) == 200
    before = outside_server.holdings()
    bad = {
        "empty": b"", "text": b"Dear Sir, " * 1_000, "a head": GOOD[:44], "half a head": GOOD[:20],
        "noise": np.random.default_rng(5).bytes(500_000), "zeros": bytes(500_000),
        "a playlist": b"#EXTM3U\nfile:///etc/passwd\n", "html": b"<html><audio src=x></html>" * 9,
        "two hours": flac_of_silence(120),
    }  # fmt: skip
    for name, data in bad.items():
        assert await asked(client, data) == 400, name
        assert await asked(client, data, "talk.mp3", stream=True) == 400, name
    good = {
        "cut off": mp3_cut_off(), "a lie of hours": lying(0xFFFFFFF0),
        "a lie of nothing": lying(0), "nine minutes": flac_of_silence(9),
    }  # fmt: skip
    for name, data in good.items():
        assert await asked(client, data, "../../etc/passwd\x00.exe") == 200, name
    await outside_server.no_more_than(before, spare=4)
    # All that time two small processes decoded; the server itself has hardly grown.
    assert outside_server.holdings().memory_kb - before.memory_kb < 60_000


async def test_25_megabytes_are_taken_and_a_byte_more_is_not(
    server: tuple[Outside, AsyncOpenAI],
) -> None:
    outside_server, client = server
    # Ten minutes at most: so it is sound at a high rate, of which most is thrown away.
    sound = wave_file(noise((FILE_BYTES_MAX - 44) // 2), 48_000)
    assert len(sound) == FILE_BYTES_MAX
    assert await asked(client, GOOD) == 200
    before = outside_server.holdings()
    assert await asked(client, sound) == 200
    assert await asked(client, sound + b"\0") == 413
    # One that does not even say how much is coming.
    async with line_to(outside_server.port) as line:
        line.send(
            request("POST", PATH, FORM, "Transfer-Encoding: chunked"),
            *[b"10000\r\n" + b"--b\r\n".ljust(0x10000, b"x") + b"\r\n"],
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(600):
                line.send(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await asyncio.wait_for(line.writer.drain(), PATIENCE_S)
                if line.reader.at_eof():
                    break
    await outside_server.no_more_than(before, spare=4)


def form_of(*parts: str) -> bytes:
    body = "".join([*parts, "--b--\r\n"])
    return request("POST", PATH, FORM, f"Content-Length: {len(body)}", body=body)


async def test_forms_that_are_bombs_are_refused(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, _ = server
    file = f"--b\r\n{FILE_PART}\r\n\r\nabc\r\n"
    bombs = {
        "no parts": "", "no file": part("model", "whisper-1"),
        "a file that is a field": part("file", "abc"), "two files": file * 2,
        "many fields": "".join(part(f"f{n}", "x") for n in range(1_000)),
        "a large field": part("prompt", "x" * 100_000),
        "two models": file + part("model", "a") * 2,
        "no name": "--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n",
        "only boundaries": "--b\r\n" * 20_000,
        "a head without end": "--b\r\nX: " + "y" * 200_000,
    }  # fmt: skip
    before = outside_server.holdings()
    for name, bomb in bombs.items():
        answer = await raw(outside_server, form_of(bomb))
        if not answer:  # It was told so while it still talked, and would not listen.
            assert len(bomb) > 65_536, name
            continue
        assert status_of(answer) == 400, (name, answer[:300])
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
    for kind in ("application/json", "text/plain", "audio/wav", "multipart/mixed; boundary=b"):
        answer = await raw(
            outside_server,
            request("POST", PATH, f"Content-Type: {kind}", "Content-Length: 2", body="{}"),
        )
        assert status_of(answer) == 415, kind
    for path in (PATH, "/v1/audio/translations", "/v1/audio/speech"):
        assert status_of(await raw(outside_server, request("GET", path))) == 405
    declared = request("POST", PATH, FORM, "Content-Length: 99999999999")
    async with line_to(outside_server.port) as line:
        line.send(declared)
        async with asyncio.timeout(PATIENCE_S):
            assert status_of(await line.reader.readuntil(b"\r\n\r\n")) == 413
    await outside_server.no_more_than(before, spare=8)


async def test_other_sites_may_not_send_files(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, _ = server
    for path in (PATH, "/v1/audio/translations", "/v1/audio/speech"):
        answer = await raw(outside_server, request("POST", path, "Origin: https://evil.example"))
        assert status_of(answer) == 403
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "origin_not_allowed"


async def test_uploads_that_stand_still_are_cut_off(server: tuple[Outside, AsyncOpenAI]) -> None:
    """More of them than there are places: those who come after are told so at once, and when
    the first have been cut off, files are taken again."""
    outside_server, client = server
    before = outside_server.holdings()
    half = request("POST", PATH, FORM, "Content-Length: 100000", body=f"--b\r\n{FILE_PART}\r\n\r\n")

    async def one() -> int:
        async with line_to(outside_server.port) as line:
            line.send(half)
            async with asyncio.timeout(PATIENCE_S):
                return status_of(await line.reader.readuntil(b"\r\n\r\n"))

    found = await asyncio.gather(*(one() for _ in range(12)))
    assert set(found) == {408, 503}
    assert found.count(408) == 8
    assert await asked(client, GOOD) == 200
    await outside_server.no_more_than(before, spare=8)


async def test_clients_who_vanish_leave_nothing(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, client = server
    assert await asked(client, GOOD) == 200
    assert (await client.audio.speech.create(input="Hi.", model="x", voice="x")).content
    before = outside_server.holdings()
    body = form_of(f"--b\r\n{FILE_PART}\r\n\r\n{'x' * 50_000}\r\n")
    text = json.dumps({"input": "One two three. " * 200, "response_format": "wav"})
    speech = request(
        "POST", "/v1/audio/speech", "Content-Type: application/json",
        f"Content-Length: {len(text)}", body=text,
    )  # fmt: skip
    for whole in (body, speech):
        for share in (0.3, 0.9, 1.0):
            for _ in range(3):
                async with line_to(outside_server.port) as line:
                    line.send(whole[: round(len(whole) * share)])
                    await line.writer.drain()
    async with line_to(outside_server.port) as line:  # One who takes the beginning.
        line.send(speech)
        async with asyncio.timeout(PATIENCE_S):
            await line.reader.readexactly(2_000)
    assert await asked(client, GOOD) == 200
    await outside_server.no_more_than(before, spare=4)


async def test_a_head_of_a_file_can_inject_nothing(server: tuple[Outside, AsyncOpenAI]) -> None:
    outside_server, _ = server
    evil = 'form-data; name="a\r\nSet-Cookie: a=b"'
    answer = await raw(
        outside_server, form_of(f"--b\r\nContent-Disposition: {evil}\r\n\r\nx\r\n")
    )
    assert status_of(answer) == 400
    assert b"Set-Cookie" not in answer.partition(b"\r\n\r\n")[0]
