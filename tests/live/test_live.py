"""The live mode asks whoever its keys lead to, and fails where there are none."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.vendors.openai_http import OpenAIServer

KEYS = ("OPENAI_", "ELEVENLABS_", "VOICE_SERVER_")
PROJECT = Path(__file__).parents[2]


async def live(*arguments: str, **environment: str) -> tuple[int, str]:
    """How the live mode ends with this environment and no other keys, and what it says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(KEYS)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-rA", "tests/live/live.py", *arguments,
        cwd=PROJECT, env=clean | environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_without_a_key_it_fails_and_names_what_is_missing() -> None:
    code, said = await live()
    assert code == 1
    assert "OPENAI_API_KEY" in said and "ELEVENLABS_API_KEY" in said


async def test_with_a_key_the_vendor_itself_is_asked() -> None:
    async with OpenAIServer() as server:
        code, said = await live(
            "-k", "openai-text_to_speech-speech_is_packets",
            OPENAI_API_KEY=server.key, OPENAI_BASE_URL=server.base_url,
        )  # fmt: skip
        assert code == 0, said
        assert "1 passed" in said
        assert any("/audio/speech" in str(request) for request in server.requests)
        code, said = await live(
            "-k", "openai-text_to_speech-speech_is_packets",
            OPENAI_API_KEY="sk-wrong", OPENAI_BASE_URL=server.base_url,
        )  # fmt: skip
        assert code == 1, said
        assert "sk-wrong" not in said
