"""What can go wrong before and in a call, and what the page then says."""

from __future__ import annotations

from collections.abc import Callable

from playwright.async_api import Page, expect

from .callers import hang_up, heard_speaking, open_call_page, start
from .chromium import browser, page
from .conftest import Server

Serve = Callable[..., Server]

# Where it does not matter what is heard and said, a server that starts sooner.
STAND_INS = {
    "speech_to_text": "scripted", "dialogue": "scripted", "text_to_speech": "scripted",
}  # fmt: skip


async def alert(on: Page, code: str, words: str) -> None:
    card = on.locator(f".alert[data-code={code}]")
    await expect(card).to_be_visible()
    await expect(card).to_contain_text(words)
    await expect(on.locator("#start")).to_be_visible()


async def test_a_denied_microphone(server: Server) -> None:
    async with browser(allows=False) as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.page.click("#start")
        await alert(watch.page, "denied", "Allow the microphone")


async def test_no_microphone(server: Server) -> None:
    async with browser(microphone_there=False) as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.page.click("#start")
        await alert(watch.page, "missing", "Plug one in")


async def test_a_microphone_in_use(server: Server) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.break_microphone("NotReadableError")
        await watch.page.click("#start")
        await alert(watch.page, "in_use", "Another program")


async def test_an_address_that_is_not_secure(serve: Serve) -> None:
    """http on any name but localhost: browsers hide the microphone, and the page says why."""
    async with browser(resolves="tutor") as chromium, page(chromium) as watch:
        server = serve(**STAND_INS)
        port = server.url.rsplit(":", 1)[1]
        await watch.page.goto(f"http://tutor:{port}/call")
        await watch.page.click("#start")
        await alert(watch.page, "insecure", "https")


async def test_an_address_that_tls_has_made_secure(serve: Serve) -> None:
    """The same name over https: the microphone may be used, and a call is a call."""
    async with browser(resolves="tutor") as chromium, page(chromium, trusts_anybody=True) as watch:
        server = serve(tls=True, **STAND_INS)
        port = server.url.rsplit(":", 1)[1]
        await watch.page.goto(f"https://tutor:{port}/call")
        await start(watch)
        await heard_speaking(watch)
        await hang_up(watch)
        assert not watch.complaints


async def test_no_money(serve: Serve) -> None:
    server = serve(demo_minutes=0, local_credit=0, **STAND_INS)
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await expect(watch.page.locator("#wallet")).to_contain_text("Your balance is empty")
        await watch.page.click("#start")
        await alert(watch.page, "insufficient_funds", "Add money or minutes")


async def test_all_lines_busy_then_free(serve: Serve) -> None:
    server = serve(calls_max=1, **STAND_INS)
    async with browser() as chromium, page(chromium) as first, page(chromium) as second:
        await open_call_page(first, server)
        await start(first)
        await open_call_page(second, server)
        await second.page.click("#start")
        await alert(second.page, "busy", "You can try again in")
        again = second.page.locator(".alert .actions button")
        await expect(again).to_be_disabled()
        await hang_up(first)
        await expect(again).to_be_enabled()
        await again.click()
        await expect(second.page.locator("#live")).to_be_visible()


async def test_one_call_too_many(serve: Serve) -> None:
    server = serve(calls_per_user_max=1, **STAND_INS)
    async with browser() as chromium, page(chromium) as first, page(chromium) as second:
        await open_call_page(first, server)
        await start(first)
        await open_call_page(second, server)
        await second.page.click("#start")
        await alert(second.page, "too_many_calls", "Hang up the other call")


async def test_a_server_that_asks_for_a_key(serve: Serve) -> None:
    server = serve(api_key="open-sesame", **STAND_INS)
    async with browser() as chromium, page(chromium) as watch:
        await watch.page.goto(f"{server.url}/call")
        card = watch.page.locator(".alert[data-code=unauthorized]")
        await card.locator("input").fill("wrong")
        await card.locator("button").click()
        await expect(card.locator("input")).to_have_value("")
        await card.locator("input").fill("open-sesame")
        await card.locator("button").click()
        await expect(card).to_be_hidden()
        await start(watch)
        await hang_up(watch)


async def test_a_server_that_does_not_answer(server: Server) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.page.route("**/v1/realtime/calls", lambda route: route.abort())
        await watch.page.click("#start")
        await alert(watch.page, "unreachable", "Check your internet connection")


async def test_leaving_the_page_ends_the_call(serve: Serve) -> None:
    server = serve(calls_max=1, **STAND_INS)
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await start(watch)
        await watch.page.goto(f"{server.url}/")
        await watch.page.goto(f"{server.url}/call")
        await start(watch)  # The only line is free again.


async def test_a_server_that_dies_in_the_call(serve: Serve) -> None:
    """The page notices, and the bill is there once the server is back."""
    server = serve(lease_seconds=2, **STAND_INS)
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await start(watch)
        await watch.page.wait_for_timeout(3000)
        server.kill()
        # The browser itself takes its time, of about 20 s, to give a silent peer up.
        await expect(watch.page.locator("#ended")).to_be_visible(timeout=180_000)
        await expect(watch.page.locator("#reason")).to_have_text("The connection was lost.")
        server.start()
        bill = watch.page.locator("#bill .billed-minutes dd")
        retry = watch.page.locator("#bill-retry")
        await expect(bill.or_(retry).first).to_be_visible()
        if await retry.is_visible():
            await retry.click()
        await expect(bill).to_have_text("1")
