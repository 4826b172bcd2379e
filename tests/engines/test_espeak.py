"""eSpeak NG speaks: soon, at the right speed, with every word at its place, and stops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from engines.audio import PcmFramer
from engines.espeak import FAMILIAR, TEXT_CHARS_MAX, VARIANTS, EspeakTextToSpeech
from engines.opus import OpusDecoder, packet_ms
from engines.serving import WINDOW_BYTES
from engines.silero import SileroDetector
from engines.speech import EngineError, OpusFrame, WordTime
from tests.engines.sounds import samples_of

ENGLISH = "Good morning, everybody! Don't worry: 2026 is well-known, and $45.50 is not much."
ENGLISH_WORDS = "Good morning everybody Don't worry 2026 is well-known and $ 45.50 is not much"
RUSSIAN = "Привет, мир. Это 25 слов — правда!"
RUSSIAN_WORDS = "Привет мир Это 25 слов правда"
LONG = "This is a sentence that takes quite a while to be spoken to its end. " * 60




@pytest.fixture
async def voice() -> AsyncIterator[EspeakTextToSpeech]:
    one = EspeakTextToSpeech()
    await one.start()
    yield one
    await one.close()


class Said:
    """All that came of one synthesis."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[WordTime] = []
        self.frames: list[OpusFrame] = []
        self.frames_before: list[int] = []

    @property
    def spoken(self) -> list[str]:
        return [self.text[word.char_start : word.char_end] for word in self.words]

    @property
    def duration_ms(self) -> int:
        return 20 * len(self.frames)

    def pcm(self, rate_hz: int = 16_000) -> bytes:
        decoder = OpusDecoder(rate_hz)
        return b"".join(decoder.decode(frame.packet) for frame in self.frames)


async def say(
    engine: EspeakTextToSpeech,
    text: str,
    *,
    voice: str = "",
    language: str = "en",
    speed: float = 1.0,
) -> Said:
    said = Said(text)
    async for each in engine.synthesize(text, voice=voice, language=language, speed=speed):
        if isinstance(each, OpusFrame):
            said.frames.append(each)
        else:
            said.words.append(each)
            said.frames_before.append(len(said.frames))
    return said


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        (ENGLISH, "en", ENGLISH_WORDS),
        (RUSSIAN, "ru", RUSSIAN_WORDS),
        ("A 😀 smile after.", "en", "A 😀 smile after"),
        ("cafe\u0301 noir, nai\u0308ve", "en", "cafe\u0301 noir nai\u0308ve"),
        ("one\ntwo\n\n  three", "en", "one two three"),
        ("one\x00two\x07 three", "en", "one two three"),
        ("half \ud83d a pair", "en", "half a pair"),
    ],
)
async def test_words_lie_where_they_are_spoken(
    voice: EspeakTextToSpeech, text: str, language: str, words: str
) -> None:
    said = await say(voice, text, language=language)
    assert " ".join(said.spoken) == words
    times = [word.start_ms for word in said.words]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < said.duration_ms - 100
    for word, frames in zip(said.words, said.frames_before, strict=True):
        assert word.start_ms >= frames * 20 - 1, "told before the frame that holds it"


async def test_words_begin_where_there_is_sound(voice: EspeakTextToSpeech) -> None:
    said = await say(voice, "First. Second. Third.")
    power = np.abs(samples_of(said.pcm()).astype(float))
    for word in said.words[1:]:
        before = power[(word.start_ms - 150) * 16 : (word.start_ms - 30) * 16].mean()
        after = power[(word.start_ms + 20) * 16 : (word.start_ms + 200) * 16].mean()
        assert after > 20 * before, "after a pause a word begins at its time"


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (RUSSIAN, "ru")])
async def test_it_is_speech_at_the_level_of_speech(
    voice: EspeakTextToSpeech, text: str, language: str
) -> None:
    said = await say(voice, text, language=language)
    assert {packet_ms(frame.packet) for frame in said.frames} == {20}
    detector = SileroDetector()
    await detector.start()
    stream, framer = detector.open(), PcmFramer()
    chances = [await stream.probability(frame) for frame in framer.feed(said.pcm())]
    await detector.close()
    assert np.mean(np.array(chances) > 0.5) > 0.6
    power = (samples_of(said.pcm())[: said.duration_ms * 16].reshape(-1, 320) / 32_768.0) ** 2
    spoken = power.mean(axis=1)
    level = 10 * np.log10(spoken[spoken > spoken.max() / 1_000].mean())
    assert level == pytest.approx(-20, abs=2.5)


async def test_the_pause_after_a_sentence_is_short_but_there(voice: EspeakTextToSpeech) -> None:
    power = np.abs(samples_of((await say(voice, "Hello.")).pcm()).astype(int))
    silence_ms = (len(power) - np.nonzero(power > 200)[0][-1]) / 16
    assert 150 < silence_ms < 320


async def test_speed_is_a_factor(voice: EspeakTextToSpeech) -> None:
    text = "This sentence is spoken at a number of different speeds by the very same voice."
    durations = {
        speed: (await say(voice, text, speed=speed)).duration_ms
        for speed in (0.25, 0.5, 1.0, 2.0, 4.0)
    }
    usual = durations[1.0]
    for speed, duration in durations.items():
        assert duration == pytest.approx(usual / speed, rel=0.25), f"at {speed}"
    slow = await say(voice, text, speed=0.25)
    assert slow.words[-1].start_ms == pytest.approx(durations[0.25] * 0.9, rel=0.1)


@pytest.mark.parametrize("speed", [0.0, -1.0, 0.24, 4.01, float("nan"), float("inf")])
async def test_absurd_speeds_are_refused(voice: EspeakTextToSpeech, speed: float) -> None:
    with pytest.raises(EngineError, match="speed"):
        await say(voice, "Hello", speed=speed)


@pytest.mark.parametrize("text", ["", " \n\t", "...", "?!", "—", "***", "<>", "\x00", "¿"])
async def test_nothing_to_say_makes_no_sound(voice: EspeakTextToSpeech, text: str) -> None:
    assert (await say(voice, text)).frames == []


async def test_text_is_plain(voice: EspeakTextToSpeech) -> None:
    """Tags and phonemes are not obeyed, and marks of emphasis not read out."""
    paused = await say(voice, 'Hello <break time="9s"/> there')
    assert {"Hello", "break", "there"} <= set(paused.spoken)
    assert "s" in "".join((await say(voice, "[[s]] end")).spoken)
    bold = await say(voice, "This is **very** _good_.")
    assert bold.spoken == ["This", "is", "very", "good"]
    assert abs(bold.duration_ms - (await say(voice, "This is   very    good .")).duration_ms) <= 300


async def test_too_long_a_text_is_refused(voice: EspeakTextToSpeech) -> None:
    with pytest.raises(EngineError, match="at most"):
        await say(voice, "a" * (TEXT_CHARS_MAX + 1))


@pytest.mark.parametrize(
    "name", ["nobody", "en-us+nobody", "../../etc/passwd", "en-us+", "+f2", "en-us+../ru", "\x00"]
)
async def test_an_unknown_voice_is_an_error_and_leaves_no_trace(
    voice: EspeakTextToSpeech, name: str
) -> None:
    before = await say(voice, "Hello")
    with pytest.raises(EngineError, match="no voice"):
        await say(voice, "Hello", voice=name)
    assert abs((await say(voice, "Hello")).duration_ms - before.duration_ms) <= 20


async def test_an_unknown_language_is_an_error(voice: EspeakTextToSpeech) -> None:
    with pytest.raises(EngineError, match="does not speak"):
        await say(voice, "Hello", language="xx")


async def test_voices(voice: EspeakTextToSpeech) -> None:
    assert len(voice.voices()) > 100
    for language, default in (("en", "en-us"), ("ru", "ru")):
        found = voice.voices(language)
        assert found[0].name == default == voice.default_voice(language)
        assert {each.language for each in found} == {language}
        assert {each.gender for each in found} >= {"male", "female"}
        assert len({each.name for each in found}) == len(found)
    assert voice.default_voice("en-GB") == "en-gb"
    assert voice.default_voice("de") == "de"
    assert voice.voices("xx") == []
    for name, _ in VARIANTS:
        assert (await say(voice, "Hello", voice=f"ru+{name}")).frames


@pytest.mark.parametrize("name", sorted(FAMILIAR))
async def test_a_voice_by_the_name_other_houses_give_it(
    voice: EspeakTextToSpeech, name: str
) -> None:
    for language, text in (("en", "Hello"), ("ru", "Привет")):
        assert (await say(voice, text, voice=name, language=language)).frames


def test_no_language_is_left_without_its_voice() -> None:
    """Every voice that is offered can really be chosen, and says something."""
    code = """
from engines.espeak_worker import Espeak, Measuring
espeak = Espeak()
for facts in espeak.voices():
    assert 0 < espeak.choose(facts["name"]) < 10, facts
print(len(espeak.voices()))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(out.stdout) > 100


def test_stopping_is_heeded_at_the_next_chunk() -> None:
    """In a process of its own, because the library is global."""
    code = f"""
from engines.espeak_worker import Espeak, Measuring, Speaking
from engines.serving import JobCancelled
class Leaving(Speaking):
    chunks = 0
    def take(self, sound, words):
        self.chunks += 1
        if self.chunks == 3:
            raise JobCancelled
espeak, leaving, whole = Espeak(), Leaving(), Measuring()
try:
    espeak.say({LONG!r}, 160, leaving)
    raise SystemExit("it went on")
except JobCancelled:
    pass
espeak.say("And it can speak again.", 160, whole)
print(leaving.chunks, len(whole._sound))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    chunks, after = map(int, out.stdout.split())
    assert chunks == 3
    assert after > 20


async def test_leaving_early_frees_the_only_worker(voice: EspeakTextToSpeech) -> None:
    for _ in range(5):
        async with aclosing(voice.synthesize(LONG, voice="", language="en")) as sound:
            async for each in sound:
                if isinstance(each, OpusFrame):
                    break
    assert (await say(voice, "Next.")).spoken == ["Next"]


async def test_two_at_once_share_one_worker(voice: EspeakTextToSpeech) -> None:
    one, two = await asyncio.gather(
        say(voice, ENGLISH), say(voice, RUSSIAN, language="ru", speed=1.5)
    )
    assert " ".join(one.spoken) == ENGLISH_WORDS
    assert " ".join(two.spoken) == RUSSIAN_WORDS
    alone = await say(voice, ENGLISH)
    assert abs(one.duration_ms - alone.duration_ms) <= 20


async def test_a_listener_that_stalls_stops_the_worker_and_not_the_server(
    voice: EspeakTextToSpeech,
) -> None:
    text = LONG[:TEXT_CHARS_MAX]
    stream = voice.synthesize(text, voice="", language="en", speed=0.5)
    async with aclosing(stream) as sound:
        assert isinstance(await anext(sound), WordTime)
        [child] = voice._pool._children
        [job] = child.jobs.values()

        def unread() -> int:
            return job._unacknowledged + sum(size for _, _, size in job._said)

        while unread() < 2 * WINDOW_BYTES:
            await asyncio.sleep(0)
        assert unread() < 2 * WINDOW_BYTES + 5_000
        frames = [each async for each in sound if isinstance(each, OpusFrame)]
    assert len(frames) * 20 > 300_000


async def test_closing_leaves_no_child() -> None:
    engine = EspeakTextToSpeech(workers=2)
    await engine.start()
    children = [child._process.pid for child in engine._pool._children]
    assert len(children) == 2
    await engine.close()
    await engine.close()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    with pytest.raises(EngineError):
        await say(engine, "Hello")


def test_the_server_does_not_load_the_library() -> None:
    code = "import sys, engines.espeak; print('espeakng_loader' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
