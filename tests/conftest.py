"""Fixtures that every room's tests share: real servers, real databases, real speech."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engines import turn_weights
from engines.speech import EngineError
from tests.human_speech import HumanSpeech
from tests.services import PostgresServer, RedisServer, ServiceMissing
from tests.services import free_port as find_free_port

# The machine is shared: how long an example takes, or its making, says nothing about the code.
# And a test that passed must pass again: the same examples each time.
settings.register_profile(
    "shared", deadline=None, print_blob=True, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("shared")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test run's own."""
    try:
        server = PostgresServer()
    except ServiceMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    yield server
    server.remove()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh, empty PostgreSQL database: postgresql+asyncpg://..."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A SQLite file that does not exist yet: sqlite+aiosqlite:///..."""
    return f"sqlite+aiosqlite:///{tmp_path / 'voice.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database of each kind we support."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis of this test run's own. A test that stops it starts one for itself."""
    try:
        server = RedisServer()
    except ServiceMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    yield server
    server.remove()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis: redis://..."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> HumanSpeech:
    """Human speech by file name from SPEECH_DATA, else eSpeak NG's; see tests.human_speech."""
    named = os.environ.get("SPEECH_DATA", "")
    if named and not (Path(named) / "transcripts.tsv").is_file():
        pytest.fail(f"SPEECH_DATA={named} holds no transcripts.tsv", pytrace=False)
    return HumanSpeech(Path(named) if named else None, tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="session")
def smart_turn() -> Path:
    """Smart Turn's weights, in a models directory of the tests' own; fetched as
    `voice-server models pull smart-turn` does, unless `make test` has done so."""
    try:
        return turn_weights.pull(Path(__file__).resolve().parent.parent / "build" / "models")
    except EngineError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on."""
    return find_free_port()
