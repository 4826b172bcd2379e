"""`@openai/agents-realtime` over WebRTC, in Chromium, on a page of another site."""

from __future__ import annotations

import base64
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.human_speech import HumanSpeech
from tests.pages.chromium import browser, microphone, page
from tests.pages.conftest import Server

from .conftest import COUNTED, HEARD, KEY, QUESTION, REPLY, judge
from .conversing import heard_in
from .programs import NODE_FOLDER, Seen
from .strictness import Schemas
from .tap import Event

# The microphone speaks when a call is long connected.
CONNECTED_S = 8.0


class Quiet(SimpleHTTPRequestHandler):
    """Serves the folders of the test, and logs nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def site(folder: Path) -> Iterator[str]:
    """A site that is not ours; gives its address."""
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


Act = Callable[..., Awaitable[Seen]]


@pytest.fixture
async def act(scripted_server: Server, schemas: Schemas, tmp_path: Path) -> AsyncIterator[Act]:
    """Plays a scenario of tests/sdk/node/scenarios.mjs. `hears` is what the browser's microphone
    plays; with a `voice` the page speaks by itself, when the scenario has come to that. The
    client must see no error, and the judges find no fault with the data channel."""
    told: list[Event] = []
    calls = f"{scripted_server.url}/v1/realtime/calls"

    async def play(
        scenario: str, *, key: str = KEY, voice: Path | None = None, hears: Path | None = None
    ) -> Seen:
        options = {"scenario": scenario, "url": calls, "key": key}
        if voice is not None:
            sound = base64.b64encode(voice.read_bytes()).decode()
            options["voice"] = f"data:audio/wav;base64,{sound}"
        plays = hears or microphone(tmp_path / "silence.wav", 90.0)
        with site(NODE_FOLDER) as address:
            async with browser(plays=plays) as chromium, page(chromium) as watch:
                await watch.page.goto(f"{address}/agents.html")
                await watch.page.wait_for_function("window.play !== undefined")
                seen: Seen = await watch.page.evaluate("(options) => play(options)", options)
                told.extend(plain(event) for event in await watch.wire())
        assert seen.pop("errors", []) == []
        return seen

    yield play
    await judge(told, schemas)


def plain(event: dict[str, object]) -> Event:
    """An event as it came, without what the watch wrote on it."""
    return {name: value for name, value in event.items() if name not in ("from", "at")}


async def test_a_text_turn(act: Act) -> None:
    assert (await act("writes"))["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_spoken_turn(act: Act, speech: HumanSpeech, tmp_path: Path) -> None:
    hears = microphone(tmp_path / "hears.wav", CONNECTED_S, speech(QUESTION), 60.0)
    seen = await act("speaks", hears=hears)
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_tool_call(act: Act) -> None:
    seen = await act("calls_a_tool")
    ((city, days),) = seen["asked"]
    assert isinstance(city, str) and isinstance(days, int)
    assert [each[0] for each in seen["history"]] == ["user", "look_up_weather", "assistant"]
    assert seen["history"][1][2] == f"Sunny in {city}."
    assert seen["history"][2][1]


async def test_speech_over_a_reply_ends_it(act: Act, speech: HumanSpeech) -> None:
    seen = await act("interrupts", voice=speech(QUESTION))
    heard_in(seen["cut"], "turn_detected")
    assert seen["history"][2:] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_cancelled_reply(act: Act) -> None:
    seen = await act("stops")
    heard_in(seen["cut"], "client_cancelled")


async def test_push_to_talk(act: Act, speech: HumanSpeech) -> None:
    seen = await act("pushes_to_talk", voice=speech(QUESTION))
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_calls_beside_each_other(act: Act) -> None:
    seen = await act("talks_beside_others")
    assert seen["other"] == [["assistant", REPLY]]
    ((_, counted),) = seen["counted"]
    assert counted.split() == COUNTED[: len(counted.split())]


async def test_a_client_secret(act: Act, secret: str) -> None:
    seen = await act("writes", key=secret)
    assert seen["history"] == [["user", HEARD], ["assistant", REPLY]]


async def test_a_wrong_key(act: Act) -> None:
    assert (await act("is_refused", key="sk-wrong"))["refused"] == 401
    assert (await act("is_refused"))["refused"] == 0
