"""Files are heard and spoken by whoever of the configured engines can."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from engines.dictation import can_translate
from engines.registry import Registry
from engines.roster import EngineOptions
from engines.speech import EngineError, OpusFrame, PcmFrame, Transcript
from engines.vendors import OpenAIOptions

FRAME = PcmFrame(bytes(1_024))


class BrokenEars:
    async def transcribe(
        self, audio: AsyncIterator[PcmFrame], *, language: str, expected: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        raise EngineError("no ears today")
        yield Transcript("", final=True)

    async def translate(self) -> None: ...


class DoesNotStart(BrokenEars):
    async def start(self) -> None:
        raise EngineError("no ears today")


async def sound() -> AsyncIterator[PcmFrame]:
    for _ in range(64):
        yield FRAME


async def test_who_stands_by_writes_down_what_the_first_could_not() -> None:
    for broken in (BrokenEars, DoesNotStart):
        names = f"{__name__}:{broken.__name__},scripted"
        registry = Registry(EngineOptions(names, "scripted", "scripted"))
        ears = registry.file_ears("", "en")
        await registry.ready(ears)
        heard = [each async for each in ears.transcribe(sound(), language="en")]
        assert heard[-1].final and heard[-1].text
        assert can_translate(ears), "that is the first's to answer"
        await registry.close()


async def test_no_voice_stands_by_that_is_not_configured_and_nobody_is_hurried() -> None:
    openai = OpenAIOptions(api_key="sk-test", base_url="http://127.0.0.1:9/v1")
    registry = Registry(EngineOptions("whisper,scripted", "tutor", "openai", openai=openai))
    files = registry._for_files()
    assert [each.name for each in files.text_to_speech("").candidates] == ["openai"]  # type: ignore[attr-defined]
    assert [each.name for each in files.text_to_speech("espeak").candidates] == [  # type: ignore[attr-defined]
        "espeak", "openai",
    ]  # fmt: skip
    ears = files.speech_to_text("", "en")
    assert ears.patience.final_ms is None  # type: ignore[attr-defined]
    assert {each.patience_ms for each in ears.candidates} == {None}  # type: ignore[attr-defined]
    await registry.close()


async def test_a_text_is_spoken_to_its_end() -> None:
    registry = Registry(EngineOptions("scripted", "tutor", "scripted"))
    voice = registry.file_voice("")
    sounds = [each async for each in voice.synthesize("One.", voice="", language="en")]
    assert any(isinstance(each, OpusFrame) for each in sounds)
    await registry.close()
