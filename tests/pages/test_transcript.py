"""What becomes of the server's events on the page: the rules that one call hardly shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from .chromium import browser, page
from .conftest import Server

HEARD = "conversation.item.input_audio_transcription."

_FLOOR = """
async () => {
  const { Floor } = await import("/pages/floor.js");
  const { Transcript } = await import("/pages/transcript.js");
  const { translate } = await import("/pages/words.js");
  translate("en");
  const part = (tag) => document.body.appendChild(document.createElement(tag));
  const list = part("ol");
  list.id = "lines";
  window.floor = new Floor(new Transcript(list, part("div"), part("button")));
}
"""


# One browser serves all these tests, so they share its loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def floor(server: Server, chromium: Browser) -> AsyncIterator[Page]:
    """A page to which a transcript was added; `tell` gives it events."""
    async with page(chromium) as watch:
        await watch.page.goto(server.url)
        await watch.page.evaluate(_FLOOR)
        yield watch.page
        assert watch.complaints == []


async def tell(on: Page, *events: Mapping[str, object]) -> str:
    """Hand over events; returns the state they lead to."""
    code = "(events) => { for (const one of events) window.floor.receive(one);"
    state = await on.evaluate(code + " return window.floor.state; }", list(events))
    return str(state)


def reply(text: str, number: str = "r1") -> list[dict[str, object]]:
    return [
        {"type": "response.created", "response": {"id": number}},
        {
            "type": "response.output_audio_transcript.delta",
            "response_id": number,
            "delta": text,
        },
        {"type": "output_audio_buffer.started", "response_id": number},
    ]


def heard(chars: int, number: str = "r1") -> dict[str, object]:
    return {"type": "voice_server.reply_heard", "response_id": number, "chars": chars}


def done(status: str, number: str = "r1") -> dict[str, object]:
    return {"type": "response.done", "response": {"id": number, "status": status}}


async def test_the_word_being_spoken_is_marked(floor: Page) -> None:
    await tell(floor, *reply("One two three."), heard(7))
    await expect(floor.locator("mark.now")).to_have_text("two")
    assert await floor.locator(".heard").text_content() == "One "
    assert await floor.locator(".ahead").text_content() == " three."


async def test_characters_are_counted_as_the_server_counts_them(floor: Page) -> None:
    """A rocket is one character to the server and two to JavaScript."""
    await tell(floor, *reply("🚀🚀 go now"), heard(5))
    await expect(floor.locator("mark.now")).to_have_text("go")
    assert await floor.locator(".ahead").text_content() == " now"


async def test_what_closes_a_word_is_heard_with_it(floor: Page) -> None:
    await tell(floor, *reply("Say slower, please."), heard(10))
    await expect(floor.locator("mark.now")).to_have_text("slower,")
    await tell(floor, done("cancelled"))
    await expect(floor.locator("s.unheard")).to_have_text("please.")


async def test_the_mark_never_goes_back(floor: Page) -> None:
    await tell(floor, *reply("One two three."), heard(7), heard(3))
    await expect(floor.locator("mark.now")).to_have_text("two")


async def test_a_reply_that_is_made_is_still_being_heard(floor: Page) -> None:
    assert await tell(floor, *reply("One two."), heard(3), done("completed")) == "speaking"
    await expect(floor.locator("mark.now")).to_have_text("One")
    stopped = {"type": "output_audio_buffer.stopped", "response_id": "r1"}
    assert await tell(floor, stopped) == "listening"
    await expect(floor.locator(".line.tutor")).to_have_attribute("data-state", "heard")


@pytest.mark.parametrize("made", [True, False])
async def test_an_interruption_cuts_at_what_was_heard(floor: Page, made: bool) -> None:
    ends = [done("completed" if made else "cancelled")]
    cleared = {"type": "output_audio_buffer.cleared", "response_id": "r1"}
    state = await tell(floor, *reply("One two three."), heard(7), *ends, cleared)
    assert state == "listening"
    await expect(floor.locator("s.unheard")).to_have_text("three.")
    await expect(floor.locator(".note.interrupted")).to_be_visible()


async def test_a_reply_nobody_heard_leaves_no_line(floor: Page) -> None:
    await tell(floor, *reply("One two three.")[:2], done("cancelled"))
    await expect(floor.locator(".line")).to_have_count(0)


async def test_nothing_is_added_to_a_reply_that_is_over(floor: Page) -> None:
    late = reply("late")[1]
    await tell(floor, *reply("One two."), heard(3), done("cancelled"), late, heard(8))
    await expect(floor.locator("s.unheard")).to_have_text("two.")


async def test_a_cough_pauses_and_leaves_no_line(floor: Page) -> None:
    onset = {"type": "input_audio_buffer.speech_started", "item_id": "i1"}
    paused = {"type": "voice_server.paused", "response_id": "r1"}
    assert await tell(floor, *reply("One two."), heard(3), onset, paused) == "hearing"
    await expect(floor.locator(".line.you")).to_have_count(1)
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "i1"}
    assert await tell(floor, stopped) == "thinking"
    resumed = {"type": "voice_server.resumed", "response_id": "r1"}
    assert await tell(floor, resumed) == "speaking"
    await expect(floor.locator(".line.you")).to_have_count(0)


async def test_noise_that_was_no_speech_gives_the_floor_back(floor: Page) -> None:
    onset = {"type": "input_audio_buffer.speech_started", "item_id": "i1"}
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "i1"}
    committed = {"type": "input_audio_buffer.committed", "item_id": "i1"}
    assert await tell(floor, onset) == "hearing"
    assert await tell(floor, stopped) == "listening"
    assert await tell(floor, onset, stopped, committed) == "thinking"


async def test_partial_words_are_tentative_until_they_are_final(floor: Page) -> None:
    onset = {"type": "input_audio_buffer.speech_started", "item_id": "i1"}
    deltas = [{"type": f"{HEARD}delta", "item_id": "i1", "delta": d} for d in ("I am", " her")]
    assert await tell(floor, onset, *deltas) == "hearing"
    line = floor.locator(".line.you")
    await expect(line).to_have_attribute("data-state", "tentative")
    await expect(line.locator(".said")).to_have_text("I am her")
    final = {"type": f"{HEARD}completed", "item_id": "i1", "transcript": "I am here."}
    await tell(floor, final)
    await expect(line).to_have_attribute("data-state", "final")
    await expect(line.locator(".said")).to_have_text("I am here.")


async def test_sound_without_words_leaves_no_line(floor: Page) -> None:
    onset = {"type": "input_audio_buffer.speech_started", "item_id": "i1"}
    stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": "i1"}
    final = {"type": f"{HEARD}completed", "item_id": "i1", "transcript": ""}
    assert await tell(floor, onset, stopped, final) == "listening"
    await expect(floor.locator(".line")).to_have_count(0)


async def test_markup_is_only_letters_wherever_it_comes_from(floor: Page) -> None:
    hostile = "<img src=x onerror='window.pwned=1'><script>window.pwned=2</script>"
    final = {"type": f"{HEARD}completed", "item_id": "i1", "transcript": hostile}
    failed = {
        "type": "response.done",
        "response": {
            "id": "r2", "status": "failed", "status_details": {"error": {"message": hostile}},
        },
    }  # fmt: skip
    await tell(floor, final, *reply(hostile), heard(9), *reply("x", "r2"), failed)
    assert await floor.locator("#lines img, #lines script").count() == 0
    assert (await floor.locator("#lines").inner_text()).count("<img") == 3
    assert await floor.evaluate("window.pwned") is None


async def test_events_the_page_does_not_know_change_nothing(floor: Page) -> None:
    unknown = [{"type": "rate_limits.updated"}, {"type": "voice_server.new"}, {"type": "error"}]
    assert await tell(floor, *unknown) == "listening"


async def test_every_wait_is_drawn_in_its_parts(floor: Page) -> None:
    names = [
        "endpointing_ms", "transcript_ms", "first_token_ms", "first_sentence_ms",
        "first_audio_ms", "first_packet_ms",
    ]  # fmt: skip
    parts = dict(zip(names, (600, 200, 0, 100, 50, 50), strict=True))
    latency = {"type": "voice_server.latency", "response_id": "r1", "gap_ms": 1000, **parts}
    await tell(floor, *reply("One."), latency)
    line = floor.locator("details.latency")
    await expect(line.locator("summary")).to_contain_text("1.00 s")
    grown = await line.locator(".bar .part").evaluate_all(
        "(parts) => parts.map((part) => Number(part.style.flexGrow))"
    )
    assert grown == [600, 200, 100, 50, 50]
    await line.locator("summary").click()
    await expect(line.locator(".parts dt")).to_have_count(6)
    await expect(line.locator(".parts dd").first).to_have_text("600 ms")
