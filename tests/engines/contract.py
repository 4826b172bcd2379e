"""What every engine must keep, whoever made it. `test_contract` runs each check on each engine.

To hold a new engine to it, add a fixture there that makes one, and its name to the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from engines.opus import OpusDecoder
from engines.speech import (
    OPUS_FRAME_MS,
    PCM_FRAME_BYTES,
    PCM_FRAME_MS,
    Dialogue,
    EngineError,
    EngineRefused,
    EngineSettings,
    HangUp,
    OpusFrame,
    PcmFrame,
    SpeechToText,
    TextToSpeech,
    Transcript,
    Turn,
    WordTime,
)

SILENT = PcmFrame(bytes(PCM_FRAME_BYTES))
# An engine that hangs fails by this; none is judged by how fast it is.
PATIENCE_S = 240.0
# Whisper's window, and a frame.
STRETCH_MS_MAX = 30_000 + PCM_FRAME_MS
Frames = Sequence[PcmFrame]
Check = Callable[..., Awaitable[None]]


class Talk:
    """Somebody who speaks the frames, then is silent until told to `stop`."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._stopped = False
        self.sent = 0

    def stop(self) -> None:
        self._stopped = True

    async def __aiter__(self) -> AsyncIterator[PcmFrame]:
        for frame in self._frames:
            await asyncio.sleep(0)  # As in a call, others run between two frames.
            self.sent += 1
            yield frame
        while not self._stopped:
            await asyncio.sleep(0.01)
            self.sent += 1
            yield SILENT


async def spoken(frames: Frames) -> AsyncIterator[PcmFrame]:
    for frame in frames:
        await asyncio.sleep(0)
        yield frame


async def all_of(engine: SpeechToText, audio: AsyncIterator[PcmFrame]) -> list[Transcript]:
    async with asyncio.timeout(PATIENCE_S):
        return [each async for each in engine.transcribe(audio, language="en")]


# Recognisers.


async def partials_come_before_the_final(engine: SpeechToText, speech: Frames) -> None:
    talk, heard = Talk(speech), []
    async with asyncio.timeout(PATIENCE_S):
        async for transcript in engine.transcribe(aiter(talk), language="en"):
            heard.append(transcript)
            talk.stop()
    assert not heard[0].final
    assert heard[0].text
    assert [each.final for each in heard].count(True) == 1
    assert heard[-1].final


async def words_lie_in_order_within_the_sound(engine: SpeechToText, speech: Frames) -> None:
    length_ms = len(speech) * PCM_FRAME_MS
    for transcript in await all_of(engine, spoken(speech)):
        assert 0 <= transcript.start_ms <= transcript.end_ms <= length_ms
        if transcript.words:
            assert transcript.text.split() == [w for word in transcript.words
                                               for w in word.text.split()]  # fmt: skip
        starts = [word.start_ms for word in transcript.words]
        assert starts == sorted(starts)
        assert all(0 <= w.start_ms <= w.end_ms <= length_ms for w in transcript.words)


async def silence_is_not_words(engine: SpeechToText, speech: Frames) -> None:
    heard = await all_of(engine, spoken([SILENT] * 90))
    assert all(each.final and not each.text and not each.words for each in heard)


async def no_sound_is_not_words(engine: SpeechToText, speech: Frames) -> None:
    heard = await all_of(engine, spoken([]))
    assert all(each.final and not each.text for each in heard)


async def closing_leaves_nothing_behind(engine: SpeechToText, speech: Frames) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):  # More often than there are places: a lost one would show.
        talk = Talk(speech)
        async with asyncio.timeout(PATIENCE_S):
            stream = engine.transcribe(aiter(talk), language="en")
            async with contextlib.aclosing(stream):
                assert await anext(stream)
        sent = talk.sent
        await asyncio.sleep(0.05)
        assert talk.sent <= sent + 1, "the engine still listens"
    assert asyncio.all_tasks() <= before
    assert await all_of(engine, spoken(speech)), "the engine works on"


async def cancelling_is_obeyed_while_waiting(engine: SpeechToText, speech: Frames) -> None:
    async def hesitant() -> AsyncIterator[PcmFrame]:
        for frame in speech[:10]:
            yield frame
        waiting.set()
        await asyncio.Event().wait()

    waiting = asyncio.Event()
    task = asyncio.create_task(all_of(engine, hesitant()))
    async with asyncio.timeout(PATIENCE_S):
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await all_of(engine, spoken(speech)), "the engine works on"


async def a_failing_source_fails_the_stream(engine: SpeechToText, speech: Frames) -> None:
    async def failing() -> AsyncIterator[PcmFrame]:
        for frame in speech[:40]:
            yield frame
        raise EngineError("the microphone is gone")

    with pytest.raises(EngineError, match="microphone"):
        await all_of(engine, failing())


async def two_streams_do_not_mix(engine: SpeechToText, speech: Frames) -> None:
    alone = await all_of(engine, spoken(speech))
    both = await asyncio.gather(
        all_of(engine, spoken(speech)), all_of(engine, spoken([SILENT] * len(speech)))
    )
    assert both[0][-1] == alone[-1]
    assert both[1] == [] or both[1][-1].text in ("", alone[-1].text)


async def a_long_stream_comes_in_bounded_stretches(engine: SpeechToText, speech: Frames) -> None:
    times = 45_000 // (len(speech) * PCM_FRAME_MS) + 1
    heard = await all_of(engine, spoken(list(speech) * times))
    finals = [each for each in heard if each.final]
    assert all(each.end_ms - each.start_ms <= STRETCH_MS_MAX for each in finals)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(finals))


async def expected_words_do_no_harm(engine: SpeechToText, speech: Frames) -> None:
    odd = ("noun", "", "  ", "Ünïcode", "a|b;<x> = {evil}", "ё" * 300, "two words", "no" * 999)
    heard = engine.transcribe(spoken(speech[:40]), language="en", expected=odd * 20)
    async with asyncio.timeout(PATIENCE_S):
        assert [each async for each in heard][-1].final


# Voices.


async def speech_is_packets_and_places(voice: TextToSpeech) -> None:
    text = "A verb is a doing word."
    decoder, sound_ms, words = OpusDecoder(16_000), 0, list[WordTime]()
    async with asyncio.timeout(PATIENCE_S):
        async for each in voice.synthesize(text, voice="", language="en"):
            if isinstance(each, OpusFrame):
                assert len(decoder.decode(each.packet)) == 2 * 16 * OPUS_FRAME_MS
                sound_ms += OPUS_FRAME_MS
            elif isinstance(each, WordTime):
                assert 0 <= each.char_start < each.char_end <= len(text)
                words.append(each)
    assert sound_ms > 0
    assert [w.start_ms for w in words] == sorted(w.start_ms for w in words)
    assert all(0 <= word.start_ms <= sound_ms for word in words)


async def every_script_is_spoken(voice: TextToSpeech) -> None:
    """Or refused, by an engine that has no voice for it and says so."""
    sounds = voice.synthesize("Это глагол.", voice="", language="ru")
    async with asyncio.timeout(PATIENCE_S):
        if hasattr(voice, "voices") and not voice.voices("ru"):
            with pytest.raises(EngineRefused, match="ru"):
                await anext(sounds)
            return
        made = [x async for x in sounds]
    assert any(isinstance(each, OpusFrame) for each in made)


async def nothing_to_say_is_no_error(voice: TextToSpeech) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for each in voice.synthesize(" … ", voice="", language="en"):
            assert isinstance(each, OpusFrame | WordTime)


async def falling_silent_is_obeyed(voice: TextToSpeech) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async with asyncio.timeout(PATIENCE_S):
            stream = voice.synthesize("word " * 300, voice="", language="en")
            async with contextlib.aclosing(stream):
                assert await anext(stream)
    assert asyncio.all_tasks() <= before
    await speech_is_packets_and_places(voice)


async def an_odd_voice_or_text_is_an_engine_error_at_most(voice: TextToSpeech) -> None:
    for text, name in (("hello", "../../etc"), ("\x00\x01<b>", ""), ("hello", "nobody" * 99)):
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(EngineError):
                async for _ in voice.synthesize(text, voice=name, language="en"):
                    pass


# Dialogues.


async def a_reply_has_words(dialogue: Dialogue) -> None:
    for user in ("", "What is a verb?", "Что такое глагол?", "?!", "x" * 5_000):
        for language in ("en", "ru", "xx"):
            settings = EngineSettings(language=language)
            async with asyncio.timeout(PATIENCE_S):
                made = [x async for x in dialogue.respond((Turn(user, ""),), settings)]
            assert "".join(x for x in made if isinstance(x, str)).strip()
            assert HangUp() not in made


async def a_reply_can_be_left(dialogue: Dialogue) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(PATIENCE_S):
        stream = dialogue.respond((Turn("hello", ""),), EngineSettings())
        async with contextlib.aclosing(stream):
            assert await anext(stream)
        # The loop itself finishes the streams that a vendor's library leaves half read.
        while not asyncio.all_tasks() <= before:
            await asyncio.sleep(0)


async def a_long_history_is_answered(dialogue: Dialogue) -> None:
    history = [Turn(f"word {n}", "I heard.", interrupted=n % 3 == 0) for n in range(64)]
    async with asyncio.timeout(PATIENCE_S):
        made = [x async for x in dialogue.respond((*history, Turn("yes", "")), EngineSettings())]
    assert made


RECOGNISER_CHECKS = (
    partials_come_before_the_final,
    words_lie_in_order_within_the_sound,
    silence_is_not_words,
    no_sound_is_not_words,
    closing_leaves_nothing_behind,
    cancelling_is_obeyed_while_waiting,
    a_failing_source_fails_the_stream,
    two_streams_do_not_mix,
    a_long_stream_comes_in_bounded_stretches,
    expected_words_do_no_harm,
)
VOICE_CHECKS = (
    speech_is_packets_and_places,
    every_script_is_spoken,
    nothing_to_say_is_no_error,
    falling_silent_is_obeyed,
    an_odd_voice_or_text_is_an_engine_error_at_most,
)
DIALOGUE_CHECKS = (a_reply_has_words, a_reply_can_be_left, a_long_history_is_answered)
