"""A Chromium of the tests' own, with a microphone that plays a file.

Everything here is the browser as it comes: real WebRTC, real permissions, real sound. What the
tests see more than a user does is `Watch`: every event on the data channel and the loudness
of the tutor's track, each with the time, noted beside the page and never in its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

RATE_HZ = 16_000
# How long a page may take for what it should do at once: only reached when it never does.
PATIENCE_S = 60
expect.set_options(timeout=PATIENCE_S * 1_000)
# Nothing at all, and what a listener calls a voice, as the root mean square of full scale.
SILENT_BELOW = 0.002
AUDIBLE_ABOVE = 0.01

_QUIET = (
    "--no-sandbox", "--headless=new", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-gpu",
    "--autoplay-policy=no-user-gesture-required",
    # A machine without a network still has its loopback.
    "--allow-loopback-in-peer-connection",
)  # fmt: skip
_ASKS = ("--use-fake-ui-for-media-stream",)
_DENIES = ("--deny-permission-prompts",)
_FAKE_DEVICE = "--use-fake-device-for-media-stream"

_WATCH = """
(() => {
  window.wire = [];
  const open = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (open) {
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await open(wanted);
      window.micAt = performance.now();
      return stream;
    };
  }
  const make = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...args) {
    const channel = make.apply(this, args);
    const note = (from, data) => window.wire.push(
      { from, at: performance.now(), ...JSON.parse(data) });
    channel.addEventListener("message", (event) => note("server", event.data));
    const send = channel.send.bind(channel);
    channel.send = (data) => (note("page", data), send(data));
    return channel;
  };
})();
"""
_MEASURE = """
() => {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 2048;
  context.createMediaStreamSource(document.getElementById("remote").srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  window.loudness = [];
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    let sum = 0;
    for (const sample of samples) sum += sample * sample;
    window.loudness.push([performance.now(), Math.sqrt(sum / samples.length)]);
  }, 40);
}
"""


def _executable() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail("Chromium is missing; on Debian: apt-get install chromium", pytrace=False)


def microphone(path: Path, *pieces: Path | float) -> Path:
    """Write what the fake microphone plays, once: clips, and seconds of silence."""
    sound = []
    for piece in pieces:
        if isinstance(piece, Path):
            with wave.open(str(piece)) as clip:
                assert (clip.getframerate(), clip.getnchannels()) == (RATE_HZ, 1)
                sound.append(clip.readframes(clip.getnframes()))
        else:
            sound.append(bytes(2 * int(piece * RATE_HZ)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(b"".join(sound))
    return path


def seconds_of(clip: Path) -> float:
    with wave.open(str(clip)) as file:
        return float(file.getnframes() / file.getframerate())


@contextlib.asynccontextmanager
async def browser(
    *,
    plays: Path | None = None,
    microphone_there: bool = True,
    allows: bool = True,
    resolves: str = "",
) -> AsyncIterator[Browser]:
    """A browser whose user has, or has not, a microphone and allows its use.

    `plays` is heard from the moment the microphone is opened, and silence after it; without
    it the microphone beeps. `resolves` is a host name that means this machine.
    """
    flags = [*_QUIET, *(_ASKS if allows else _DENIES)]
    if microphone_there:
        flags.append(_FAKE_DEVICE)
    if plays is not None:
        flags.append(f"--use-file-for-fake-audio-capture={plays}%noloop")
    if resolves:
        flags.append(f"--host-resolver-rules=MAP {resolves} 127.0.0.1")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=_executable(), args=flags, timeout=2_000 * PATIENCE_S
        )
        try:
            yield chromium
        finally:
            await chromium.close()


@dataclass(slots=True)
class Watch:
    """What happens on one page."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    async def wire(self, *kinds: str, sender: str = "server") -> list[dict[str, object]]:
        """The events of these kinds so far, or all, with `at` in page milliseconds."""
        found: list[dict[str, object]] = await self.page.evaluate("window.wire")
        return [
            event
            for event in found
            if event["from"] == sender and (not kinds or event["type"] in kinds)
        ]

    async def microphone_s(self) -> float:
        """How much of its file the microphone has played, in seconds."""
        return float(await self.page.evaluate("(performance.now() - window.micAt) / 1000"))

    async def break_microphone(self, error: str) -> None:
        """From now on the microphone cannot be opened, for this reason."""
        await self.page.evaluate(
            """(name) => void (navigator.mediaDevices.getUserMedia =
                 async () => { throw new DOMException("broken by the test", name); })""",
            error,
        )

    async def measure(self) -> None:
        """Begin to note the loudness of the tutor's track."""
        there = "document.getElementById('remote').srcObject !== null"
        await eventually(lambda: self.page.evaluate(there), what="the tutor's track")
        await self.page.evaluate(_MEASURE)

    async def loudness(self, since_ms: float = 0, until_ms: float = 1e12) -> np.ndarray:
        """The root mean squares noted between two page times."""
        noted: list[tuple[float, float]] = await self.page.evaluate("window.loudness")
        return np.array([rms for at, rms in noted if since_ms <= at < until_ms])

    async def audible(self, since_ms: float = 0) -> bool:
        """Whether a voice was heard since that page time."""
        return bool((await self.loudness(since_ms) > AUDIBLE_ABOVE).any())

    async def now_ms(self) -> float:
        return float(await self.page.evaluate("performance.now()"))


@contextlib.asynccontextmanager
async def page(
    chromium: Browser,
    *,
    locale: str = "en-US",
    width: int = 1280,
    height: int = 800,
    scheme: str = "light",
    trusts_anybody: bool = False,
) -> AsyncIterator[Watch]:
    """One page of a visitor who has never been here. `trusts_anybody`: who has clicked the
    warning about an unknown certificate away."""
    context = await chromium.new_context(
        locale=locale, viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light", ignore_https_errors=trusts_anybody,
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_S * 1_000)
    await context.add_init_script(_WATCH)
    opened = await context.new_page()
    watch = Watch(opened)
    opened.on("console", lambda message: watch.note(message))
    opened.on("pageerror", lambda error: watch.complaints.append(str(error)))
    try:
        yield watch
    finally:
        await context.close()


async def eventually(
    check: Callable[[], Awaitable[object]], *, seconds: float = PATIENCE_S, what: str = "it"
) -> object:
    """The first true answer of `check`; fails when there is none in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := await check():
            return found
        await asyncio.sleep(0.1)
    pytest.fail(f"{what} did not happen within {seconds} s")


def texts(events: Iterable[dict[str, object]], name: str) -> str:
    """One field of several events, joined."""
    return "".join(str(event.get(name, "")) for event in events)
