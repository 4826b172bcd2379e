"""The tests' own servers are real, private and durable."""

from __future__ import annotations

import signal
import wave
from pathlib import Path

import asyncpg
import pytest
import redis.asyncio

from tests.human_speech import HumanSpeech
from tests.services import PostgresServer, RedisServer


async def test_a_fresh_postgres_database_is_empty_and_durable(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        assert await connection.fetchval("SHOW fsync") == "on"
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        assert await connection.fetchval(tables) == 0
    finally:
        await connection.close()


def test_postgres_databases_do_not_stay(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        name = url.rsplit("/", 1)[1]
        assert name in postgres.sql("SELECT datname FROM pg_database")
    assert name not in postgres.sql("SELECT datname FROM pg_database")


@pytest.mark.parametrize("round_", [1, 2])
async def test_redis_is_empty_at_the_start_of_each_test(redis_url: str, round_: int) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left", round_)


def test_a_stopped_redis_comes_back_on_the_same_port() -> None:
    server = RedisServer()
    try:
        url = server.url
        server.stop(signal.SIGKILL)
        server.start()
        assert server.url == url
    finally:
        server.remove()
    assert not server.folder.exists()


def test_a_clip_is_a_16_khz_mono_wav_with_words(speech: HumanSpeech) -> None:
    clip = speech.clip("en_jfk.wav")
    with wave.open(str(clip.path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.getnframes() > 5 * 16_000
    assert "country" in clip.text


@pytest.mark.parametrize("name", ["en_jfk.wav", "ru_pisets_nn.wav"])
def test_without_recordings_the_tests_speak_for_themselves(tmp_path: Path, name: str) -> None:
    speech = HumanSpeech(None, tmp_path)
    with wave.open(str(speech(name))) as file:
        sound = file.readframes(file.getnframes())
    loudest = max(
        abs(int.from_bytes(sound[i : i + 2], "little", signed=True))
        for i in range(0, len(sound), 2)
    )
    assert len(sound) > 2 * 16_000
    assert loudest > 1_000
    assert not speech.human
