"""What a caller does on the call page, and what there is to be seen."""

from __future__ import annotations

from playwright.async_api import expect

from .chromium import Watch, eventually
from .conftest import Server


async def open_call_page(watch: Watch, server: Server) -> None:
    """The call page, with its lists loaded."""
    await watch.page.goto(f"{server.url}/call")
    await expect(watch.page.locator("#language")).not_to_have_value("")


async def start(watch: Watch) -> None:
    """Press the button; return when the call is live."""
    await watch.page.click("#start")
    await live(watch)


async def live(watch: Watch) -> None:
    await expect(watch.page.locator("#live")).to_be_visible()


async def heard_speaking(watch: Watch) -> None:
    """Wait until the server says that the tutor's voice is out."""
    await eventually(lambda: watch.wire("output_audio_buffer.started"), what="the tutor's voice")


async def write(watch: Watch, text: str) -> None:
    await watch.page.fill("#words", text)
    await watch.page.press("#words", "Enter")


async def hang_up(watch: Watch) -> None:
    """Press the button; return when the bill is there."""
    await watch.page.click("#hangup")
    await billed(watch)


async def billed(watch: Watch) -> None:
    await expect(watch.page.locator("#ended")).to_be_visible()
    await expect(watch.page.locator("#bill .billed-minutes dd")).to_be_visible()


async def said(watch: Watch, side: str) -> list[str]:
    """The lines of the transcript: those of the "tutor", or "you"."""
    return await watch.page.locator(f".line.{side} .said").all_inner_texts()
