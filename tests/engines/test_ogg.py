"""Our Ogg files are read by somebody else's reader, whole and with the right duration."""

from __future__ import annotations

import io

import av
import av.container
import pytest

from engines.audio import BadAudio, read_audio
from engines.ogg import OggOpusWriter, ogg_opus
from engines.opus import OpusEncoder
from engines.speech import OpusFrame
from tests.engines.sounds import sine


def opened(frames: list[OpusFrame]) -> av.container.InputContainer:
    return av.open(io.BytesIO(ogg_opus(frames)), mode="r")


@pytest.mark.parametrize("count", [1, 39, 40, 41, 500])
def test_every_packet_comes_back_at_its_time(count: int) -> None:
    frames = OpusEncoder(24_000).encode(sine(440, 24_000, count / 50).tobytes())
    with opened(frames) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size]
        assert file.streams.audio[0].codec_context.name in {"opus", "libopus"}
        assert [bytes(packet) for packet in packets] == [frame.packet for frame in frames]
        assert [packet.pts for packet in packets] == [number * 960 for number in range(count)]
    with opened(frames) as file:
        assert file.duration == count * 20_000
        assert sum(each.samples for each in file.decode(file.streams.audio[0])) == count * 960


def test_packets_of_every_size() -> None:
    sizes = [1, 254, 255, 256, 509, 510, 1_275] * 30
    frames = [OpusFrame(b"\x08" + bytes(size - 1)) for size in sizes]
    with opened(frames) as file:
        found = [packet.size for packet in file.demux(audio=0) if packet.size]
    assert found == sizes


def test_no_packets_make_a_file_without_sound() -> None:
    file = ogg_opus([])
    assert file.count(b"OggS") == 2
    with pytest.raises(BadAudio):
        read_audio(file, seconds_max=1)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 57])
def test_a_file_written_piece_by_piece_holds_the_same(count: int) -> None:
    frames = OpusEncoder(24_000).encode(sine(440, 24_000, count / 50).tobytes())
    writer = OggOpusWriter(10)
    pieces = [writer.feed([frame]) for frame in frames]
    file = b"".join([*pieces, writer.finish()])
    if count > 11:  # Nearly all of it has left before the end was known.
        assert any(pieces[11:])
    if not count:
        assert file == ogg_opus([])
        return
    with av.open(io.BytesIO(file), mode="r") as opened_file:
        packets = [packet for packet in opened_file.demux(audio=0) if packet.size]
        assert [bytes(packet) for packet in packets] == [frame.packet for frame in frames]
        assert opened_file.duration == count * 20_000
