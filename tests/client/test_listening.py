"""What is saved is what a listener would have heard."""

from __future__ import annotations

import io
import wave

from engines.audio import OpusEncoder
from voice_server.client.caller import Sound
from voice_server.client.listening import RATE_HZ, Listener

MS = 1_000


def pcm(ms: int, value: int = 1_000) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (RATE_HZ * ms // 1_000)


def sound(at_ms: int, ms: int = 100, value: int = 1_000) -> Sound:
    return Sound(pcm(ms, value), at_ms * MS, ms, opus=False)


def heard(listener: Listener) -> bytes:
    with wave.open(io.BytesIO(listener.wav())) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2)
        return bytes(file.readframes(file.getnframes()))


def test_a_burst_is_heard_in_its_own_time() -> None:
    listener = Listener()
    for _ in range(3):
        listener.hear(sound(500))
    assert listener.ends_us == 800 * MS and heard(listener) == pcm(300)


def test_a_pause_is_heard_as_a_pause() -> None:
    listener = Listener()
    listener.hear(sound(0))
    listener.hear(sound(250))
    assert heard(listener) == pcm(100) + pcm(150, 0) + pcm(100)


def test_jitter_is_not_heard() -> None:
    listener = Listener()
    listener.hear(sound(0))
    listener.hear(sound(103))
    assert heard(listener) == pcm(200)


def test_what_was_taken_back_is_not_heard() -> None:
    listener = Listener()
    listener.hear(sound(0, 200))
    listener.drop(50 * MS)
    assert heard(listener) == pcm(50) and listener.heard_ms == 50
    listener.drop(60 * MS)
    assert heard(listener) == pcm(50)


def test_opus_is_decoded_and_a_bad_packet_is_silence() -> None:
    listener = Listener()
    packet = OpusEncoder(RATE_HZ).encode(pcm(20))[0].packet
    listener.hear(Sound(packet, 0, 20, opus=True))
    listener.hear(Sound(b"", 20 * MS, 20, opus=True))
    assert len(heard(listener)) == len(pcm(40))
