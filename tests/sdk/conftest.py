"""Servers for the clients, the tap between them, and the sound they send."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import av
import httpx2
import pytest

from tests.human_speech import HumanSpeech
from tests.pages.conftest import Server, running

from .programs import Program, Programs, node, python
from .script import Player
from .strictness import Schemas, faults_of_nulls, faults_of_types
from .tap import Event, Tap, tapped

KEY = "sk-the-key-of-these-tests"
# What the scripted engines hear, say, and say when asked to count; and how long a word sounds.
HEARD = "What is a verb?"
REPLY = "A verb is a doing word. It tells us what somebody does."
COUNTED = [word for number in range(1, 61) for word in ("Number", f"{number}.")]
WORD_MS = 240
# Somebody asks a question, in two seconds.
QUESTION = "en_brooklyn.wav"
SCRIPTED = dict.fromkeys(("speech_to_text", "dialogue", "text_to_speech"), "scripted")
PLENTY = {"local_credit": 10**9, "calls_per_user_max": 1_000, "drain_seconds": 0}
# Silence after the words, so that the server hears where they end.
SILENCE_S = 2.0
# How long somebody listens to a reply before speaking over it.
LISTENS_S = 1.5


@pytest.fixture(scope="session")
def scripted_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose engines answer at once and always alike; it wants the key."""
    folder = tmp_path_factory.mktemp("scripted")
    with running(folder, api_key=KEY, **SCRIPTED, **PLENTY) as server:
        yield server
    calm(server)


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The scripted server behind TLS, with the certificate that it makes itself."""
    folder = tmp_path_factory.mktemp("tls")
    with running(folder, api_key=KEY, tls=True, **SCRIPTED, **PLENTY) as server:
        yield server
    calm(server)


@pytest.fixture(scope="session")
def tutor_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the engines it comes with: a real recogniser, a real voice, the tutor."""
    folder = tmp_path_factory.mktemp("tutor")
    with running(folder, api_key=KEY, speech_to_text="sphinx", **PLENTY) as server:
        yield server
    calm(server)


def calm(server: Server) -> None:
    """Whatever the clients did, nothing broke in the server."""
    said = server.log.read_text(errors="replace")
    assert "Traceback" not in said, said[-4_000:]
    assert " ERROR " not in said, said[-4_000:]


def port_of(server: Server) -> int:
    return int(server.url.rpartition(":")[2])


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    programs = Programs(tmp_path_factory.mktemp("programs"))
    yield programs
    programs.close()


@pytest.fixture
def schemas(programs: Programs) -> Schemas:
    return Schemas(programs.get(node("schemas.mjs")))


async def judge(told: list[Event], schemas: Schemas) -> None:
    """Fail unless there were events and every judge of strictness is content with them."""
    assert told, "nothing was told"
    assert faults_of_types(told) == []
    assert faults_of_nulls(told) == []
    assert await schemas.faults(told) == []


@contextlib.asynccontextmanager
async def judged(server: Server, schemas: Schemas) -> AsyncIterator[Tap]:
    async with tapped(port_of(server)) as tap:
        yield tap
        await judge(tap.told, schemas)


@pytest.fixture
async def tap(scripted_server: Server, schemas: Schemas) -> AsyncIterator[Tap]:
    """The wire to the scripted server. At the end every event on it must please the judges."""
    async with judged(scripted_server, schemas) as tap:
        yield tap


@pytest.fixture
async def tutor_tap(tutor_server: Server, schemas: Schemas) -> AsyncIterator[Tap]:
    """The wire to the server with real engines, judged in the same way."""
    async with judged(tutor_server, schemas) as tap:
        yield tap


@pytest.fixture
def secret(scripted_server: Server) -> str:
    """A client secret: a key that may be shown to a browser."""
    answer = httpx2.post(
        f"{scripted_server.url}/v1/realtime/client_secrets", json={}, timeout=30,
        headers={"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return str(answer.json()["value"])


@contextlib.asynccontextmanager
async def playing(program: Program, url: str) -> AsyncIterator[Player]:
    """A client whose conversation the test writes, until the block ends."""
    player = Player(program, f"{url}/v1", KEY)
    yield player
    await player.hang_up()


@pytest.fixture
async def python_player(programs: Programs, tap: Tap) -> AsyncIterator[Player]:
    """The Python client, in front of the scripted server."""
    program = programs.get(python("", "openai_python"))
    async with playing(program, f"http://127.0.0.1:{tap.port}") as player:
        yield player


@pytest.fixture
async def tutor_player(programs: Programs, tutor_tap: Tap) -> AsyncIterator[Player]:
    """The Python client, in front of the server with real engines."""
    program = programs.get(python("", "openai_python"))
    async with playing(program, f"http://127.0.0.1:{tutor_tap.port}") as player:
        yield player


@pytest.fixture
async def node_player(
    programs: Programs, tls_server: Server, schemas: Schemas
) -> AsyncIterator[Player]:
    """The client for Node.js, which dials wss: no tap is on its wire, but it shows all it hears."""
    certificate = Path(tls_server.log).parent / "tls" / "cert.pem"
    program = programs.get(node("openai.mjs"), NODE_EXTRA_CA_CERTS=str(certificate))
    async with playing(program, tls_server.url) as player:
        yield player
    await judge(player.told, schemas)


@pytest.fixture(params=["python", "node"])
def player(request: pytest.FixtureRequest) -> Player:
    """Each of the two plain clients, in front of a scripted server."""
    found = request.getfixturevalue(f"{request.param}_player")
    assert isinstance(found, Player)
    return found


Sound = Callable[..., Path]


@pytest.fixture
def sound(speech: HumanSpeech, tmp_path: Path) -> Sound:
    """Raw sound of a recording, with silence after it: `sound("en_jfk.wav", "pcm_mulaw", 8_000)`.

    The format is the name of one of FFmpeg's codecs, which are not ours. With `late` there is
    silence before it too, in which a listener hears something of the reply.
    """

    def make(
        name: str, codec: str = "pcm_s16le", rate_hz: int = 24_000, *, late: bool = False
    ) -> Path:
        path = tmp_path / f"{Path(name).stem}.{codec}"
        path.write_bytes(_encoded(speech(name), codec, rate_hz, LISTENS_S if late else 0))
        return path

    return make


def _encoded(clip: Path, codec: str, rate_hz: int, silence_s: float = 0) -> bytes:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", rate_hz
    with av.open(str(clip)) as container:
        frames = [
            piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)
        ]
    frames += [*resampler.resample(None), _silence(rate_hz, SILENCE_S)]
    if silence_s:
        frames.insert(0, _silence(rate_hz, silence_s))
    packets = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    return b"".join(map(bytes, packets))


def _silence(rate_hz: int, seconds: float) -> av.AudioFrame:
    count = int(seconds * rate_hz)
    frame = av.AudioFrame(format="s16", layout="mono", samples=count)
    frame.sample_rate = rate_hz
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return frame
