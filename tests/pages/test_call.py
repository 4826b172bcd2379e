"""A whole call in a browser: heard, answered, interrupted, billed. Nothing here is pretended."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.human_speech import HumanSpeech

from .callers import billed, hang_up, heard_speaking, open_call_page, said, start, write
from .chromium import (
    AUDIBLE_ABOVE,
    SILENT_BELOW,
    Watch,
    browser,
    eventually,
    microphone,
    page,
    seconds_of,
)
from .conftest import Server

QUESTION = "en_LJ001-0009.wav"
# The greeting is longer than this, and the call is connected sooner, but on a busy machine.
GREETED_S = 7.0
TRIES_MAX = 3
# What is on its way, the fading of the receiver's concealment, and a busy machine.
FADED_MS = 1_500
COMPLETED = "conversation.item.input_audio_transcription.completed"


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


async def the_cut(watch: Watch) -> list[dict[str, object]]:
    """A reply that had sound still to come, and was silenced."""
    return await watch.wire("output_audio_buffer.cleared")


async def test_a_call_is_heard_answered_interrupted_and_billed(
    server: Server, speech: HumanSpeech, tmp_path: Path
) -> None:
    quiet_s = GREETED_S
    for number in range(TRIES_MAX):
        plays = microphone(tmp_path / f"plays{number}.wav", quiet_s, speech(QUESTION), 30.0)
        async with browser(plays=plays) as chromium, page(chromium) as watch:
            await open_call_page(watch, server)
            await start(watch)
            await watch.measure()
            await heard_speaking(watch)
            greeted_s = await watch.microphone_s()
            if greeted_s < quiet_s - 1:
                await the_call_goes_well(watch, server, quiet_s, speech.text(QUESTION))
                return
            # The microphone had begun to speak, or soon would: it shall be silent for longer.
            await hang_up(watch)
            quiet_s = greeted_s + GREETED_S / 2
    pytest.fail("nobody is greeted before they speak")


async def the_call_goes_well(watch: Watch, server: Server, quiet_s: float, question: str) -> None:
    """From a greeting that sounds, into which a question is asked, to the bill."""
    await eventually(lambda: watch.wire("input_audio_buffer.speech_started"), what="an onset")
    assert await watch.microphone_s() >= quiet_s, "heard before anybody spoke"
    onset_ms = await watch.now_ms()
    assert (await watch.loudness(until_ms=onset_ms)).max() > AUDIBLE_ABOVE

    await the_greeting_is_cut(watch)
    await the_words_are_shown(watch, question)
    await an_answer_is_heard(watch)

    await hang_up(watch)
    await the_bill_is_right(watch, server)
    assert watch.complaints == []


async def the_greeting_is_cut(watch: Watch) -> None:
    """The tutor falls silent while its reply had not ended, and the page shows where."""
    await eventually(lambda: the_cut(watch), what="an interruption")
    silenced = await watch.wire("voice_server.paused", "output_audio_buffer.cleared")
    began_ms = float(str(silenced[0]["at"])) + FADED_MS

    async def spoken_again() -> list[dict[str, object]]:
        started = await watch.wire("output_audio_buffer.started", "voice_server.resumed")
        return [event for event in started if float(str(event["at"])) > began_ms]

    again = await eventually(spoken_again, what="an answer")
    assert isinstance(again, list)
    silence = await watch.loudness(began_ms, float(again[0]["at"]))
    assert len(silence) > 10
    assert silence.max() < SILENT_BELOW, "the tutor talked over the caller"
    cut = watch.page.locator(".line.tutor[data-state=cut]").first
    await expect(cut.locator(".heard")).not_to_be_empty()
    await expect(cut.locator("s.unheard")).not_to_be_empty()


async def the_words_are_shown(watch: Watch, reference: str) -> None:
    await eventually(lambda: watch.wire(COMPLETED), what="a final transcript")
    await expect(watch.page.locator(".line.you[data-state=final] .said").first).to_be_visible()
    shown = words_of(" ".join(await said(watch, "you")))
    told = await watch.wire(COMPLETED)
    assert shown == words_of(" ".join(str(event["transcript"]) for event in told))
    right = set(shown) & set(words_of(reference))
    assert len(right) >= 4, f"heard {shown}"


async def an_answer_is_heard(watch: Watch) -> None:
    """Sound comes again, its words are marked one after another, its wait is drawn."""
    since_ms = await watch.now_ms()

    await eventually(lambda: watch.audible(since_ms), what="sound")
    marked = watch.page.locator(".line.tutor[data-state=speaking] mark.now").last
    first = await marked.inner_text()
    await expect(marked).not_to_have_text(first)
    line = watch.page.locator(".line.tutor").last
    await expect(line.locator(".latency .bar .part").first).to_be_attached()
    told = (await watch.wire("voice_server.latency"))[-1]
    whole = {"gap_ms", "answer_ms"}
    parts = [told[name] for name in told if name.endswith("_ms") and name not in whole]
    assert sum(int(str(part)) for part in parts) == told["gap_ms"]
    await expect(watch.page.locator("#latency-card .parts > div")).to_have_count(6)


async def the_bill_is_right(watch: Watch, server: Server) -> None:
    told = (await watch.wire("voice_server.bill"))[-1]
    call = server.get(f"/v1/calls/{told['call_id']}")
    assert call["state"] == "closed"
    bill = call["bill"]
    assert isinstance(bill, dict)
    assert {name: told[name] for name in bill if name in told} == {
        name: value for name, value in bill.items() if name in told
    }
    minutes = max(1, -(-int(str(bill["duration_sec"])) // 60))
    assert bill["billed_minutes"] == minutes
    await expect(watch.page.locator("#bill .billed-minutes dd")).to_have_text(str(minutes))
    await expect(watch.page.locator("#call-id")).to_have_text(str(told["call_id"]))
    assert (await watch.page.locator("#bill").inner_text()).count("₽") >= 2


async def test_push_to_talk_by_keyboard(
    server: Server, speech: HumanSpeech, tmp_path: Path
) -> None:
    """What is said while the key is up is not sent; what is said while it is held is answered."""
    unheard, aside, question = 15.0, speech("en_austen_0880.wav"), speech(QUESTION)
    plays = microphone(tmp_path / "plays.wav", unheard, aside, 3.0, question)
    held_at = unheard + seconds_of(aside) + 1.5
    asked_at = held_at + 1.5
    async with browser(plays=plays) as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await start(watch)
        await watch.page.focus("#push")
        await watch.page.keyboard.press("Enter")
        await expect(watch.page.locator("#hold")).to_be_focused()
        assert await watch.microphone_s() < unheard, "too slow to show anything"

        async def spoken_until(seconds: float) -> bool:
            return await watch.microphone_s() >= seconds

        await eventually(lambda: spoken_until(held_at), what="the first sentence")
        assert await watch.wire("input_audio_buffer.committed") == []
        await watch.page.keyboard.down("Space")
        await expect(watch.page.locator("#hold")).to_have_attribute("aria-pressed", "true")
        assert await watch.microphone_s() < asked_at, "too slow to show anything"
        await eventually(
            lambda: spoken_until(asked_at + seconds_of(question) + 0.3), what="the question"
        )
        await watch.page.keyboard.up("Space")

        await eventually(lambda: watch.wire(COMPLETED), what="a transcript")
        sent = [str(event["type"]) for event in await watch.wire(sender="page")]
        assert sent[-3:] == [
            "input_audio_buffer.clear", "input_audio_buffer.commit", "response.create"
        ]  # fmt: skip
        lines = await said(watch, "you")
        assert len(lines) == 1, "more was sent than the key allowed"
        assert len(set(words_of(lines[0])) & set(words_of(speech.text(QUESTION)))) >= 4
        await eventually(lambda: watch.wire("voice_server.latency"), what="an answer")
        await hang_up(watch)


async def test_a_tap_on_the_key_is_no_utterance(server: Server) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await start(watch)
        await watch.page.click("#push")
        await watch.page.keyboard.press("Space")
        await expect(watch.page.locator("#hint")).to_contain_text("Hold the button")
        assert await watch.wire("input_audio_buffer.commit", sender="page") == []


async def test_typed_words_are_answered_aloud_and_stay_text(server: Server) -> None:
    """Without a microphone, too; and markup is only letters, whoever wrote it."""
    async with browser(allows=False) as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.page.click("#start")
        await expect(watch.page.locator(".alert[data-code=denied]")).to_be_visible()
        await watch.page.click(".alert .actions button >> nth=1")
        await expect(watch.page.locator("#live")).to_be_visible()
        await watch.measure()
        await heard_speaking(watch)
        hostile = '<script>window.pwned = 1</script><img src=x onerror="window.pwned = 2"> tea'
        await write(watch, hostile)
        await expect(watch.page.locator(".line.you .said")).to_have_text(hostile)
        await eventually(lambda: the_cut(watch), what="the greeting to stop")
        await eventually(lambda: answers(watch), what="an answer")

        since_ms = await watch.now_ms()
        await eventually(lambda: watch.audible(since_ms), what="its sound")
        assert await watch.page.locator(".lines script, .lines img").count() == 0
        assert await watch.page.evaluate("window.pwned") is None
        await hang_up(watch)


async def answers(watch: Watch) -> bool:
    return len(await watch.wire("output_audio_buffer.started")) >= 2


async def test_stop_silences_the_tutor_and_the_call_goes_on(server: Server) -> None:
    async with browser() as chromium, page(chromium) as watch:
        await open_call_page(watch, server)
        await watch.break_microphone("NotFoundError")
        await watch.page.click("#start")
        await watch.page.click(".alert .actions button >> nth=1")
        await watch.measure()
        await heard_speaking(watch)
        await eventually(watch.audible, what="its sound")
        await watch.page.click("#stop")
        await eventually(lambda: the_cut(watch), what="the end of the reply")
        await watch.page.wait_for_timeout(FADED_MS)
        since_ms = await watch.now_ms()

        async def measured() -> bool:
            return len(await watch.loudness(since_ms)) > 10

        await eventually(measured, what="measuring")
        assert (await watch.loudness(since_ms)).max() < SILENT_BELOW
        await expect(watch.page.locator("#state")).to_have_text("Write to the tutor")
        await expect(watch.page.locator("#stop")).to_be_disabled()
        await write(watch, "goodbye")
        await billed(watch)
        await expect(watch.page.locator("#reason")).to_have_text("The tutor said goodbye.")


async def test_a_russian_lesson_says_what_it_cannot_hear(
    server: Server, speech: HumanSpeech, tmp_path: Path
) -> None:
    """Without a Russian recogniser nothing is sent to be misheard; writing works."""
    plays = microphone(tmp_path / "plays.wav", 4.0, speech("ru_ruslan_01.wav"), 30.0)
    async with browser(plays=plays) as chromium, page(chromium, locale="ru-RU") as watch:
        await open_call_page(watch, server)
        await expect(watch.page.locator("html")).to_have_attribute("lang", "ru")
        await expect(watch.page.locator("#start")).to_have_text("Начать звонок")
        await expect(watch.page.locator("#language")).to_have_value("ru")
        await expect(watch.page.locator("#language-notice")).to_be_visible()
        await start(watch)
        await watch.measure()
        await heard_speaking(watch)
        await expect(watch.page.locator("#engines-notice")).to_be_visible()
        for notice in ("#engines-notice", "#hint"):
            await expect(watch.page.locator(notice)).to_contain_text("пока не слышит")
        greeting = watch.page.locator(".line.tutor .said").first
        await expect(greeting).to_contain_text("Здравствуйте")

        await eventually(watch.audible, what="sound")

        async def spoken() -> bool:
            return await watch.microphone_s() > 9.0

        await eventually(spoken, what="the end of the sentence")
        assert await watch.wire("input_audio_buffer.speech_started") == []
        await write(watch, "до свидания")
        await billed(watch)
        await expect(watch.page.locator("#ended-title")).to_have_text("Звонок завершён")


async def test_the_voices_are_those_of_whoever_is_asked_first(
    serve: Callable[..., Server]
) -> None:
    """Of several engines for a role, of which the first lacks its key."""
    server = serve(text_to_speech="elevenlabs,espeak", demo_minutes=1)
    async with browser() as chromium, page(chromium, locale="en-US") as watch:
        await open_call_page(watch, server)
        await expect(watch.page.locator("#voice option")).not_to_have_count(1)
        assert "en-us" in await watch.page.locator("#voice option").evaluate_all(
            "options => options.map(({ value }) => value)"
        )
