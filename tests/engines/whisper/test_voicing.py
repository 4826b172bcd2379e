"""The voices of people are heard where they are, and nothing else is a voice."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engines.silero import Network, SileroDetector, package_network
from engines.speech import PCM_FRAME_BYTES, PCM_FRAME_MS, PcmFrame
from engines.whisper.voicing import VOICE_MIN, Voicing

from ..sounds import NOT_SPEECH, not_speech


@pytest.fixture(scope="module")
def network() -> Network:
    return package_network()


def heard(network: Network, frames: list[PcmFrame]) -> Voicing:
    voicing = Voicing(network)
    for frame in frames:
        voicing.hear(frame.samples, silent=not any(frame.samples))
    voicing.catch_up()
    return voicing


def test_somebody_who_speaks_is_heard(network: Network, english: list[PcmFrame]) -> None:
    length_ms = len(english) * PCM_FRAME_MS
    assert heard(network, english).voiced_ms(0, length_ms) > length_ms * 0.6


@pytest.mark.parametrize("sound", NOT_SPEECH)
def test_noise_is_no_voice(network: Network, sound: str) -> None:
    frames = not_speech(sound, seconds=8)
    assert heard(network, frames).voiced_ms(0, 8_000) < 64


def test_a_voice_is_where_it_is(network: Network, english: list[PcmFrame]) -> None:
    pause = [PcmFrame(bytes(PCM_FRAME_BYTES))] * 60
    voicing = heard(network, pause + english[:90] + pause)
    begin_ms, end_ms = 60 * PCM_FRAME_MS, 150 * PCM_FRAME_MS
    assert voicing.voiced_ms(0, begin_ms) == 0
    assert voicing.voiced_ms(begin_ms, end_ms) > 1_500
    assert voicing.voiced_ms(end_ms + 320, 9_999_999) == 0
    assert voicing.voiced_ms(-500, 0) == 0


def test_looking_often_hears_the_same(network: Network, english: list[PcmFrame]) -> None:
    once, often = heard(network, english), Voicing(network)
    for frame in english:
        often.hear(frame.samples, silent=not any(frame.samples))
        often.catch_up()
    for start_ms in range(0, len(english) * PCM_FRAME_MS, 500):
        assert often.voiced_ms(start_ms, start_ms + 500) == once.voiced_ms(start_ms, start_ms + 500)


def test_nobody_computes_before_somebody_asks() -> None:
    def asked(*_: object) -> None:
        raise AssertionError("computed")

    voicing = Voicing(asked)  # type: ignore[arg-type]
    voicing.hear(b"\x00\x20" * 512, silent=False)
    assert voicing.voiced_ms(0, 32) == 0
    silent = Voicing(asked)  # type: ignore[arg-type]
    silent.hear(bytes(PCM_FRAME_BYTES), silent=True)
    silent.catch_up()
    assert silent.voiced_ms(0, 32) == 0


def test_two_who_look_at_once_lose_no_frame(network: Network, english: list[PcmFrame]) -> None:
    once, both = heard(network, english), Voicing(network)
    for frame in english:
        both.hear(frame.samples, silent=not any(frame.samples))
    threads = [threading.Thread(target=both.catch_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert both.voiced_ms(0, 99_999) == once.voiced_ms(0, 99_999)


def test_the_chances_are_those_that_the_detector_of_calls_gives(
    network: Network, english: list[PcmFrame]
) -> None:
    async def chances() -> list[float]:
        detector = SileroDetector()
        await detector.start()
        stream = detector.open()
        try:
            return [await stream.probability(frame) for frame in loud]
        finally:
            await detector.close()

    loud = [frame for frame in english if any(frame.samples)][:60]
    expected = [chance >= VOICE_MIN for chance in asyncio.run(chances())]
    voicing = heard(network, loud)
    assert [voicing.voiced_ms(32 * n, 32 * (n + 1)) > 0 for n in range(60)] == expected
    assert any(expected) and not all(expected)
