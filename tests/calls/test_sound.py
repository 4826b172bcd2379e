"""Sound in and out of a call, in every format a client may use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.audio import BadAudio, OpusEncoder, mulaw_to_pcm
from engines.speech import PCM_FRAME_BYTES, OpusFrame
from voice_server.calls.realtime.session import AudioFormat
from voice_server.calls.sound import Loudspeaker, Microphone

from .exchange import loudness, tone

OPUS = AudioFormat("audio/opus", 0)
PCM_24 = AudioFormat("audio/pcm", 24_000)


def packets(duration_ms: int) -> list[bytes]:
    return [frame.packet for frame in OpusEncoder(24_000).encode(tone(duration_ms))]


@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=12))
def test_how_sound_is_cut_does_not_matter(cuts: list[int]) -> None:
    pcm = tone(300)
    whole = Microphone(PCM_24).hear(pcm)
    microphone, pieces, start = Microphone(PCM_24), [], 0
    for cut in [*cuts, len(pcm)]:
        pieces += microphone.hear(pcm[start : start + cut])
        start += cut
    assert pieces == whole


def test_a_lost_packet_is_filled_with_as_much_sound() -> None:
    microphone = Microphone(OPUS)
    heard = [frame for packet in packets(320) for frame in microphone.hear(packet)]
    missed = microphone.miss(320)
    assert len(heard) == len(missed) == 10
    assert all(len(frame.samples) == PCM_FRAME_BYTES for frame in missed)
    # It goes on as it was at first, and then it is quiet.
    assert loudness(missed[0].samples) > 200
    assert loudness(missed[-1].samples) == 0


@pytest.mark.parametrize("duration_ms", [1, 20, 33, 1_000])
def test_what_is_missed_lasts_as_long_as_it_should(duration_ms: int) -> None:
    microphone, missed = Microphone(OPUS), 0
    for _ in range(32):
        missed += len(microphone.miss(duration_ms))
    assert missed == duration_ms


def test_what_is_no_packet_is_refused_and_the_next_one_heard() -> None:
    microphone = Microphone(OPUS)
    with pytest.raises(BadAudio):
        microphone.hear(b"")
    assert sum(len(microphone.hear(packet)) for packet in packets(640)) == 20


def test_the_format_may_change_in_the_middle() -> None:
    microphone = Microphone(PCM_24)
    frames = microphone.hear(tone(320))
    microphone.use(AudioFormat("audio/pcm", 16_000))
    frames += microphone.hear(tone(320, 16_000))
    microphone.use(AudioFormat("audio/pcmu", 0))
    frames += microphone.hear(bytes([0xFF]) * 320 * 8)
    assert 28 <= len(frames) <= 30


@pytest.mark.parametrize(
    ("sound_format", "size"),
    [(PCM_24, 960), (AudioFormat("audio/pcm", 16_000), 640), (AudioFormat("audio/pcma", 0), 160)],
)
def test_each_frame_of_a_reply_is_20_ms(sound_format: AudioFormat, size: int) -> None:
    loudspeaker = Loudspeaker(sound_format)
    assert {len(loudspeaker.speak(OpusFrame(packet))) for packet in packets(200)} == {size}


def test_opus_passes_through_untouched() -> None:
    [packet] = packets(20)
    assert Loudspeaker(OPUS).speak(OpusFrame(packet)) == packet


def test_a_telephone_hears_the_reply() -> None:
    loudspeaker = Loudspeaker(AudioFormat("audio/pcmu", 0))
    sound = b"".join(loudspeaker.speak(OpusFrame(packet)) for packet in packets(400))
    assert loudness(mulaw_to_pcm(sound)) > 1_000
