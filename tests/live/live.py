"""Hold the real vendors to the contract of engines. `make test-live` runs it; `make test` does not.

Keys come from the settings of the server: OPENAI_API_KEY, ELEVENLABS_API_KEY,
VOICE_SERVER_YANDEX_API_KEY (or its IAM token and folder) and VOICE_SERVER_CHAT_API_KEY or
VOICE_SERVER_CHAT_BASE_URL, from the environment or `.env`. A vendor without a key is named and
left out; without any key there is nothing to test, and that is a failure. What is said to the
vendors is a sentence that eSpeak NG speaks; it costs some cents.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engines import roster
from engines.audio import OpusDecoder, PcmFramer
from engines.espeak import EspeakTextToSpeech
from engines.roster import DIALOGUE, OURS, SPEECH_TO_TEXT, TEXT_TO_SPEECH
from engines.shelf import Shelf
from engines.speech import PCM_RATE_HZ, OpusFrame, PcmFrame
from tests.engines import contract
from voice_server.commands.settings import read_config
from voice_server.web.house import engine_options

SENTENCE = "Hello, how are you today? I would like to learn ten new words."
OPTIONS = engine_options(read_config({}))
CHECKS = {
    SPEECH_TO_TEXT: contract.RECOGNISER_CHECKS,
    DIALOGUE: contract.DIALOGUE_CHECKS,
    TEXT_TO_SPEECH: contract.VOICE_CHECKS,
}
VENDORS = [
    (role, name)
    for role in CHECKS
    for name, line in roster.TABLES[role].items()
    if line.owner != OURS
]
WITH_KEYS = [
    (role, name) for role, name in VENDORS if not roster.TABLES[role][name].missing(OPTIONS)
]


def test_there_is_a_key_to_test_with() -> None:
    lacking = [roster.TABLES[role][name].missing(OPTIONS) for role, name in VENDORS]
    print("\nNot tested:", *dict.fromkeys(filter(None, lacking)), sep="\n  ")
    assert WITH_KEYS, "no vendor has a key: set one of those that are named above"


@pytest.fixture
async def sentence() -> list[PcmFrame]:
    """What a microphone would hear of the sentence."""
    voice, decoder, framer = EspeakTextToSpeech(workers=1), OpusDecoder(PCM_RATE_HZ), PcmFramer()
    await voice.start()
    frames: list[PcmFrame] = []
    async for sound in voice.synthesize(SENTENCE, voice="", language="en"):
        if isinstance(sound, OpusFrame):
            frames += framer.feed(decoder.decode(sound.packet))
    await voice.close()
    return [*frames, *framer.flush()]


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    shelf = Shelf(OPTIONS)
    yield shelf
    await shelf.close()


@pytest.mark.parametrize(
    ("role", "name", "check"),
    [
        pytest.param(role, name, check, id=f"{name}-{role}-{check.__name__}")
        for role, name in WITH_KEYS
        for check in CHECKS[role]
    ],
)
async def test_a_vendor(
    role: str, name: str, check: contract.Check, shelf: Shelf, sentence: list[PcmFrame]
) -> None:
    engine = shelf.take(roster.TABLES[role][name])
    await shelf.ready(engine)
    await (check(engine, sentence) if role == SPEECH_TO_TEXT else check(engine))
