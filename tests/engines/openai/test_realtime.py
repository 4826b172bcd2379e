"""Calls on the vendor's realtime sessions, with all that can go wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from engines.opus import OpusDecoder
from engines.speech import (
    PCM_FRAME_BYTES,
    PCM_RATE_HZ,
    Cancel,
    Configure,
    EngineSettings,
    FunctionCall,
    FunctionResult,
    Hear,
    Note,
    PcmFrame,
    ReplyAudio,
    ReplyBegun,
    ReplyDone,
    ReplyText,
    Respond,
    Say,
    Tool,
    Transcribe,
    Transcribed,
    Turn,
)
from engines.vendors import OpenAIOptions
from tests.vendors.openai_conversation import Conversation, ConversationServer
from tests.vendors.trouble import Trouble

from ..talking import CASCADE_SAYS, Talk, talking

LONG = "A verb is a doing word. It tells us what somebody does. Now say one, please."


def hum(ms: int, hz: int = 200) -> list[PcmFrame]:
    """Sound that a recogniser of the tests hears as words."""
    count = PCM_RATE_HZ * ms // 1_000
    wave = np.sin(np.arange(count) * hz * 2 * np.pi / PCM_RATE_HZ) * 6_000
    pcm = wave.astype("<i2").tobytes()
    pcm += bytes(-len(pcm) % PCM_FRAME_BYTES)
    return [PcmFrame(pcm[at : at + PCM_FRAME_BYTES]) for at in range(0, len(pcm), PCM_FRAME_BYTES)]


@pytest.fixture
async def vendor() -> AsyncIterator[ConversationServer]:
    async with ConversationServer(hears="hello there") as server:
        yield server


def options_of(server: ConversationServer, **more: float) -> OpenAIOptions:
    usual = {"patience_s": 20.0, "connect_s": 20.0}
    return replace(OpenAIOptions(api_key=server.key, base_url=server.base_url), **(usual | more))  # type: ignore[arg-type]


async def ready(server: ConversationServer) -> None:
    """Until there is a session that has been told how we want to talk."""
    await server.until(lambda: server.sessions and session(server).session.get("audio"))


def session(server: ConversationServer) -> Conversation:
    return server.sessions[-1]


async def renewed(server: ConversationServer, count: int) -> None:
    """Until there are more sessions than these, and the latest has been told something."""
    await server.until(lambda: len(server.sessions) > count and session(server).told)


def answered(talk: Talk, turn: int, text: str) -> None:
    """The reply came whole, its text before its sound."""
    assert talk.text(turn) == text
    assert talk.done(turn) == ReplyDone(turn)
    replied = [e for e in talk.of(turn) if not isinstance(e, Transcribed)]
    assert isinstance(replied[0], ReplyBegun)
    assert isinstance(replied[1], ReplyText)


# A call without trouble.


async def test_sound_is_answered_with_sound_and_the_words_of_both_are_told(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        answered(talk, 1, "You said: hello there.")
        await talk.until(lambda: talk.finals(1))
        assert talk.finals(1) == ["hello there"]
        decoder = OpusDecoder(16_000)
        sound = b"".join(
            decoder.decode(e.frame.packet) for e in talk.of(1) if isinstance(e, ReplyAudio)
        )
        assert np.abs(np.frombuffer(sound, np.int16)).max() > 2_000
        spoken_ms = len("You said: hello there.") * 60
        assert spoken_ms <= talk.sound_ms(1) < spoken_ms + 40
        assert session(vendor).told == [
            ("user", "hello there"), ("assistant", "You said: hello there."),
        ]  # fmt: skip


async def test_the_vendor_decides_nothing_about_turns(vendor: ConversationServer) -> None:
    settings = EngineSettings(voice="cedar", speed=9.0, instructions="Be kind.", language="ru")
    async with talking(options_of(vendor), settings) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        told = session(vendor).session
        assert told["audio"]["input"]["turn_detection"] is None
        heard = {"model": "gpt-transcribe", "languages": ["ru"]}
        assert told["audio"]["input"]["transcription"] == heard
        assert told["reasoning"] == {"effort": "low"}
        assert told["audio"]["output"]["voice"] == "cedar"
        assert told["audio"]["output"]["speed"] == 1.5
        assert told["instructions"] == "Be kind."


async def test_sound_arrives_whole_at_the_vendors_rate(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(1_600))
        await talk.over(1)
        sound = session(vendor).items[0].sound
        assert len(sound) == 1_600 * 24 * 2
        spectrum = np.abs(np.fft.rfft(np.frombuffer(sound, np.int16)))
        assert round(int(spectrum.argmax()) / 1.6) == 200


async def test_the_shortest_utterance_is_not_too_short(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(96))
        await talk.over(1)
        assert talk.done(1) and not vendor.faults


async def test_a_reply_is_told_in_sentences_each_with_its_sound(
    vendor: ConversationServer,
) -> None:
    vendor.answers = lambda said: [LONG]
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        sounds, begun = dict[str, int](), ""
        for event in talk.of(1):
            if isinstance(event, ReplyText):
                begun = event.text
                sounds[begun] = 0
            elif isinstance(event, ReplyAudio):
                sounds[begun] += 20
        assert " ".join(sounds) == LONG
        assert len(sounds) >= 3
        # By the sound of the vendor of the tests, 60 ms a character, within a sentence's third.
        at_ms = said_ms = 0
        for text, sound_ms in sounds.items():
            at_ms += sound_ms
            said_ms += (len(text) + 1) * 60
            assert abs(at_ms - said_ms) < 700, sounds


async def test_what_it_cost_is_told(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.until(lambda: len(talk.uses) == 2)
        uses = {use.role: use for use in talk.uses}
        spoke, heard = uses["speech_to_speech"], uses["speech_to_text"]
        assert (spoke.engine, spoke.outcome) == ("openai", "done")
        assert spoke.version == OpenAIOptions().realtime_model
        assert dict(spoke.amounts)["tokens_out"] == 4
        assert dict(spoke.amounts)["audio_tokens_out"] == 28
        assert spoke.first_ms is not None and spoke.first_ms <= spoke.took_ms
        assert (heard.version, heard.outcome) == (OpenAIOptions().file_model, "done")
        assert dict(heard.amounts)["audio_ms"] == 800


async def test_a_greeting_needs_nobody_to_have_spoken(vendor: ConversationServer) -> None:
    vendor.answers = lambda said: ["Welcome!"]
    async with talking(options_of(vendor)) as talk:
        talk.do(Respond(1, (Turn("", ""),)))
        await talk.over(1)
        answered(talk, 1, "Welcome!")


async def test_a_reply_may_be_written(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        writes = EngineSettings(speaks=False, instructions="Write.")
        talk.do(Respond(1, (Turn("Hi  there.", ""),), writes))
        await talk.over(1)
        pieces = [e.text for e in talk.of(1) if isinstance(e, ReplyText)]
        assert "".join(pieces) == "You said: Hi there.."
        assert talk.sound_ms(1) == 0
        assert session(vendor).responses[0]["instructions"] == "Write."


# Tools.


async def test_a_tool_is_asked_for_and_its_answer_is_answered(
    vendor: ConversationServer,
) -> None:
    vendor.answers = lambda said: (
        [f"It is {said[-1][1]}."] if said[-1][0] == "result" else [("look_up", '{"word": "go"}')]
    )
    tool = Tool("look.up", "Looks up.", '{"type": "object", "properties": {}}')
    settings = EngineSettings(tools=(tool, Tool("other")), tool_named="look.up")
    async with talking(options_of(vendor), settings) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        await talk.until(lambda: talk.finals(1))
        ((call_id, name, arguments),) = talk.calls(1)
        assert (name, arguments) == ("look.up", '{"word": "go"}')
        told = session(vendor).session
        assert told["tools"][0]["name"] == "look_up"
        assert told["tool_choice"] == {"type": "function", "name": "look_up"}
        asked = Turn("hello there", "", calls=(FunctionCall(call_id, name, arguments),))
        talk.do(Respond(2, (asked, FunctionResult(call_id, "a verb"), Turn("", ""))))
        await talk.over(2)
        answered(talk, 2, "It is a verb.")
        assert [role for role, _ in session(vendor).told] == ["user", "call", "result", "assistant"]


async def test_a_result_that_nobody_asked_for_is_told_in_words(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.do(Respond(1, (FunctionResult("c1", "42"), Turn("And?", ""))))
        await talk.over(1)
        assert session(vendor).told[:2] == [("user", "(A tool has answered: 42)"), ("user", "And?")]


# The vendor's conversation is ours.


async def test_notes_are_put_where_they_stand_and_taken_out_again(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        first = Turn("hello there", "You said: hello there.")
        await talk.until(lambda: talk.finals(1))
        talk.says(2, hum(800), first, Note("system", "Be brief."))
        await talk.over(2)
        assert [role for role, _ in session(vendor).told] == [
            "user", "assistant", "system", "user", "assistant",
        ]  # fmt: skip
        await talk.until(lambda: talk.finals(2))
        second = Turn("hello there", "You said: hello there.")
        talk.says(3, hum(800), first, second)
        await talk.over(3)
        assert [role for role, _ in session(vendor).told] == ["user", "assistant"] * 3
        # What had not changed is still the sound that it was.
        assert all(held.sound for held in session(vendor).items)


async def test_what_the_call_forgot_the_vendor_forgets(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        await talk.until(lambda: talk.finals(1))
        talk.says(2, hum(800), Turn("hello there", ""))
        await talk.over(2)
        assert [role for role, _ in session(vendor).told] == ["user", "user", "assistant"]


async def test_words_that_were_told_too_late_for_the_question_are_not_doubled(
    vendor: ConversationServer,
) -> None:
    vendor.words_after_s = 0.3
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        await talk.until(lambda: talk.finals(1))
        talk.do(*[Hear(2, frame) for frame in hum(800)])
        talk.says(2, [], Turn("hello there", "You said: hello there."))
        await talk.over(2)
        assert [role for role, _ in session(vendor).told] == ["user", "assistant"] * 2


async def test_a_reply_apart_is_no_part_of_the_conversation(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        writes = EngineSettings(speaks=False)
        talk.do(Respond(7, (Note("system", "Sum up."), Turn("One two.", "")), writes, apart=True))
        await talk.over(7)
        assert talk.text(7).replace("  ", " ") == "You said: One two.."
        assert session(vendor).told == []


# Interruptions.


async def test_a_reply_is_cut_where_it_was_heard(vendor: ConversationServer) -> None:
    vendor.answers = lambda said: [LONG]
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        talk.do(Cancel(1, 1_500))
        heard = LONG[: 1_500 // 60].rpartition(" ")[0]
        await vendor.until(lambda: session(vendor).told[-1:] == [("assistant", heard)])
        await talk.until(lambda: talk.finals(1))
        talk.says(2, hum(800), Turn("hello there", "A verb is", interrupted=True))
        await talk.over(2)
        assert session(vendor).told[1] == ("assistant", heard)


async def test_a_reply_in_the_making_is_cancelled_and_cut(vendor: ConversationServer) -> None:
    vendor.answers = lambda said: [LONG * 40] if len(said) == 1 else ["Yes."]
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.until(lambda: talk.sound_ms(1) >= 1_000)
        talk.do(Cancel(1, 600))
        talk.says(2, hum(800), Turn("hello there", "A verb", interrupted=True))
        await talk.over(2)
        answered(talk, 2, "Yes.")
        assert session(vendor).told[1] == ("assistant", "A verb is")
        assert not talk.done(1)
        before = talk.sound_ms(1)
        await talk.until(lambda: any(use.outcome == "left" for use in talk.uses))
        assert talk.sound_ms(1) == before


async def test_of_a_reply_that_nobody_heard_nothing_is_left(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        vendor.mood.trouble, vendor.mood.slow_s, vendor.mood.times = Trouble.SLOW, 0.3, 1
        talk.says(1, hum(800))
        await vendor.until(lambda: vendor.sessions and session(vendor).responses)
        talk.do(Cancel(1, 0))
        talk.says(2, hum(400), Turn("hello there", ""))
        await talk.over(2)
        assert [role for role, _ in session(vendor).told] == ["user", "user", "assistant"]
        assert talk.finals(1) == ["hello there"], "its words were told all the same"


async def test_noise_is_forgotten_by_the_vendor_too(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.do(*[Hear(1, frame) for frame in hum(320)], Cancel(1, 0))
        talk.says(2, hum(1_600))
        await talk.over(2)
        assert len(session(vendor).items[0].sound) == 1_600 * 48


async def test_what_the_call_remembers_shorter_is_cut_there(vendor: ConversationServer) -> None:
    """A client says after the end how much of a reply was heard."""
    vendor.answers = lambda said: [LONG]
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        await talk.until(lambda: talk.finals(1))
        sentence = "A verb is a doing word."
        talk.says(2, hum(800), Turn("hello there", sentence, interrupted=True))
        await talk.over(2)
        role, told = session(vendor).told[1]
        assert role == "assistant"
        assert abs(len(told) - len(sentence)) < 14


# Word for word, and recordings.


async def test_what_is_said_word_for_word_is_said_by_the_cascade(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        await ready(vendor)
        talk.says(1, hum(800))
        await talk.over(1)
        talk.do(Say(2, "One minute left."))
        await talk.over(2)
        assert talk.text(2) == "One minute left."
        assert talk.sound_ms(2) == 3 * 240
        await vendor.until(lambda: session(vendor).told[-1:] == [("assistant", "One minute left.")])
        talk.says(3, hum(800), Turn("hello there", "You said: hello there."))
        await talk.over(3)
        assert len(session(vendor).told) == 5


async def test_a_recording_is_heard_by_the_cascade(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.do(Transcribe(5, tuple(hum(800))))
        await talk.until(lambda: talk.finals(5))
        assert talk.finals(5) == ["What is a verb?"]


async def test_other_settings_hold_from_the_next_turn(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        talk.do(Configure(EngineSettings(voice="cedar", instructions="Other.")))
        # A session keeps the voice that it has spoken with: there must be another.
        await vendor.until(lambda: len(vendor.sessions) == 2 and session(vendor).told)
        await talk.until(lambda: talk.finals(1))
        talk.says(2, hum(800), Turn("hello there", "You said: hello there."))
        await talk.over(2)
        assert session(vendor).session["audio"]["output"]["voice"] == "cedar"
        assert session(vendor).session["instructions"] == "Other."
        assert len(session(vendor).told) == 4


# Words that do not come.


@pytest.mark.parametrize("fails", [False, True])
async def test_words_that_the_vendor_owes_are_found_by_the_cascade(
    vendor: ConversationServer, fails: bool
) -> None:
    vendor.words_after_s, vendor.words_fail = (0.0 if fails else None), fails
    patience_s = 20.0 if fails else 1.0
    async with talking(options_of(vendor, patience_s=patience_s)) as talk:
        talk.says(1, hum(800))
        await talk.until(lambda: talk.finals(1))
        await talk.over(1)
        assert talk.finals(1) == ["What is a verb?"]
        answered(talk, 1, "You said: hello there.")


# Sessions come and go.


async def test_an_old_session_is_exchanged_and_nobody_hears_it(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor, realtime_minutes_max=0.02)) as talk:
        history = list[Turn]()
        for turn in range(1, 6):
            talk.says(turn, hum(800), *history)
            await talk.over(turn)
            await talk.until(partial(talk.finals, turn))
            history.append(Turn("hello there", "You said: hello there."))
            if turn in (2, 4):
                await renewed(vendor, len(vendor.sessions))
        assert all(talk.text(turn) == "You said: hello there." for turn in range(1, 6))
        assert len(vendor.sessions) >= 3
        said = [("user", "hello there"), ("assistant", "You said: hello there.")]
        assert session(vendor).told[:8] == said * 4
        await vendor.until(lambda: vendor.open == 1)
        assert not [use for use in talk.uses if use.outcome != "done"]


async def test_a_session_that_the_vendor_ends_is_replaced(vendor: ConversationServer) -> None:
    vendor.session_s = 0.5
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        await talk.until(lambda: talk.finals(1))
        await vendor.until(lambda: len(vendor.sessions) >= 2)
        vendor.session_s = None
        talk.says(2, hum(800), Turn("hello there", "You said: hello there."))
        await talk.over(2)
        answered(talk, 2, "You said: hello there.")


async def test_a_connection_lost_in_an_utterance_costs_none_of_it(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        frames = hum(1_600)
        talk.do(*[Hear(1, frame) for frame in frames[:25]])
        await vendor.until(lambda: vendor.sessions and session(vendor)._buffer)
        await asyncio.to_thread(vendor.cut_all)
        await vendor.until(lambda: len(vendor.sessions) == 2)
        talk.says(1, frames[25:])
        await talk.over(1)
        answered(talk, 1, "You said: hello there.")
        assert len(session(vendor).items[0].sound) == 1_600 * 48


async def test_a_connection_lost_before_the_answer_costs_a_moment(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor)) as talk:
        await ready(vendor)
        vendor.mood.trouble, vendor.mood.times = Trouble.DROPPED, 1
        talk.says(1, hum(800))
        await talk.over(1)
        answered(talk, 1, "You said: hello there.")
        assert len(vendor.sessions) == 2
        assert [use.outcome for use in talk.uses if use.role == "speech_to_speech"] == [
            "failed", "done",
        ]  # fmt: skip


async def test_a_connection_lost_in_a_reply_is_told(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor)) as talk:
        vendor.mood.trouble, vendor.mood.times, vendor.mood.after = Trouble.DROPPED, 1, 6
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.failed(1)
        talk.do(Cancel(1, 100))
        talk.says(2, hum(800))
        await talk.over(2)
        answered(talk, 2, "You said: hello there.")


# Where the vendor cannot be had.


REFUSING = [Trouble.LIMITED, Trouble.BROKEN, Trouble.LOCKED]


@pytest.mark.parametrize("trouble", REFUSING, ids=str)
async def test_where_no_session_can_be_had_the_cascade_talks(
    vendor: ConversationServer, trouble: Trouble
) -> None:
    vendor.mood.trouble = trouble
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.text(1) == CASCADE_SAYS
        assert talk.finals(1) == ["What is a verb?"]
        assert talk.engines.asked[0][-1] == Turn("What is a verb?", "")


async def test_the_vendor_takes_the_call_back_when_it_is_well(
    vendor: ConversationServer,
) -> None:
    vendor.mood.trouble, vendor.mood.times = Trouble.BROKEN, 1
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.text(1) == CASCADE_SAYS
        await vendor.until(lambda: vendor.sessions and session(vendor).told)
        talk.says(2, hum(800), Turn("What is a verb?", CASCADE_SAYS))
        await talk.over(2)
        answered(talk, 2, "You said: hello there.")
        assert session(vendor).told[:2] == [
            ("user", "What is a verb?"), ("assistant", CASCADE_SAYS),
        ]  # fmt: skip


async def test_noise_gets_no_answer_of_the_cascade(vendor: ConversationServer) -> None:
    vendor.mood.trouble = Trouble.BROKEN
    async with talking(options_of(vendor)) as talk:
        talk.engines.hears = ""
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.done(1) and not talk.text(1) and not talk.engines.asked


@pytest.mark.parametrize("trouble", REFUSING, ids=str)
async def test_a_reply_that_the_vendor_refuses_is_given_by_the_cascade(
    vendor: ConversationServer, trouble: Trouble
) -> None:
    async with talking(options_of(vendor)) as talk:
        await ready(vendor)
        vendor.mood.trouble = trouble
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.text(1) == CASCADE_SAYS
        assert len(talk.finals(1)) == 1


async def test_a_vendor_that_falls_silent_is_not_waited_for(vendor: ConversationServer) -> None:
    async with talking(options_of(vendor, patience_s=1.0)) as talk:
        await ready(vendor)
        vendor.mood.trouble = Trouble.STALLED
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.text(1) == CASCADE_SAYS
        assert talk.finals(1) == ["hello there"]


async def test_a_vendor_that_falls_silent_in_a_reply_has_failed(
    vendor: ConversationServer,
) -> None:
    async with talking(options_of(vendor, patience_s=1.0)) as talk:
        vendor.mood.trouble, vendor.mood.after = Trouble.STALLED, 6
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.failed(1) and talk.sound_ms(1)


@pytest.mark.parametrize("trouble", [Trouble.SLOW, Trouble.LATE], ids=str)
async def test_a_slow_answer_is_an_answer(vendor: ConversationServer, trouble: Trouble) -> None:
    vendor.mood.trouble, vendor.mood.slow_s, vendor.mood.after = trouble, 0.5, 6
    vendor.words_after_s = 0.5
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.over(1)
        answered(talk, 1, "You said: hello there.")
        await talk.until(lambda: talk.finals(1))


async def test_an_utterance_that_nobody_could_hear_at_first_is_heard_in_the_end(
    vendor: ConversationServer,
) -> None:
    """It began while there was a session, and ended when there was none."""
    async with talking(options_of(vendor)) as talk:
        talk.do(*[Hear(1, frame) for frame in hum(800)])
        await vendor.until(lambda: vendor.sessions and session(vendor)._buffer)
        vendor.mood.trouble = Trouble.BROKEN
        await asyncio.to_thread(vendor.cut_all)
        talk.says(1, hum(800))
        await talk.over(1)
        assert talk.finals(1) == ["What is a verb?"]
        assert talk.text(1) == CASCADE_SAYS


async def test_leaving_closes_the_session_at_once(vendor: ConversationServer) -> None:
    vendor.answers = lambda said: [LONG * 40]
    async with talking(options_of(vendor)) as talk:
        talk.says(1, hum(800))
        await talk.until(lambda: talk.sound_ms(1) >= 1_000)
    await vendor.until(lambda: vendor.open == 0)
