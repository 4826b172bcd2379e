"""How the pages look and behave everywhere: narrow, dark, by keyboard, without a complaint."""

from __future__ import annotations

import httpx2
import pytest
from playwright.async_api import expect

from .callers import hang_up, heard_speaking, open_call_page, start
from .chromium import Watch, browser, page
from .conftest import Server

TOUCH_PX = 40


async def fits(watch: Watch) -> None:
    wide, there = await watch.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= there, "scrolls sideways"


@pytest.mark.parametrize("locale", ["en-US", "ru-RU"])
async def test_a_phone_shows_every_state_without_scrolling_sideways(
    server: Server, locale: str
) -> None:
    async with (
        browser() as chromium,
        page(chromium, locale=locale, width=360, height=740, scheme="dark") as watch,
    ):
        await watch.page.goto(server.url)
        await expect(watch.page.locator("#wallet strong").first).to_be_visible()
        await fits(watch)
        await watch.page.click("#go")
        await expect(watch.page.locator("#language")).not_to_have_value("")
        await fits(watch)
        await start(watch)
        await heard_speaking(watch)
        if await watch.page.locator("#push").is_enabled():
            await watch.page.click("#push")
        await fits(watch)
        for button in await watch.page.locator(":is(.controls, .composer) button:visible").all():
            box = await button.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= TOUCH_PX, "too small for a finger"
            assert box["y"] + box["height"] <= 740, "below the fold"
        await hang_up(watch)
        await fits(watch)
        assert watch.complaints == []


async def test_every_page_says_what_it_may_load(server: Server) -> None:
    for path in ("/", "/call"):
        policy = httpx2.get(server.url + path, timeout=60).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy


async def test_a_call_needs_no_mouse(server: Server) -> None:
    """Tab finds the way, what has the focus shows it, and Enter and Space do the rest."""
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await press_until(watch, "start")
        outline = await watch.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(outline.removesuffix("px")) >= 2
        await watch.page.keyboard.press("Enter")
        await expect(watch.page.locator("#live")).to_be_visible()
        await press_until(watch, "hangup")
        await watch.page.keyboard.press("Space")
        await expect(watch.page.locator("#ended-title")).to_be_focused()


async def press_until(watch: Watch, wanted: str) -> None:
    for _ in range(25):
        await watch.page.keyboard.press("Tab")
        if await watch.page.evaluate("document.activeElement.id") == wanted:
            return
    pytest.fail(f"Tab never reaches {wanted}")


async def test_nothing_moves_for_those_who_asked(server: Server) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await watch.page.emulate_media(reduced_motion="reduce")
        await open_call_page(watch, server)
        await start(watch)
        await heard_speaking(watch)
        moving = await watch.page.evaluate(
            "document.getAnimations().filter((one) => one.playState === 'running').length"
        )
        assert moving == 0
        assert await watch.page.evaluate(
            "getComputedStyle(document.getElementById('orb-theirs')).transform"
        ) == "none"  # fmt: skip
