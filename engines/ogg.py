"""Opus packets as an Ogg file that any player opens (RFC 3533, RFC 7845). Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

from .speech import OPUS_FRAME_MS, OPUS_RATE_HZ, OpusFrame

_FRAME_SAMPLES = OPUS_RATE_HZ * OPUS_FRAME_MS // 1_000
# A page has room for 255 lengths, and the longest packet takes six of them.
_PACKETS_PER_PAGE = 40
_FIRST, _LAST = 0x02, 0x04
_SERIAL = 0x766F6963
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_opus(frames: Iterable[OpusFrame]) -> bytes:
    """An Ogg Opus file that plays every 20 ms packet: its duration is exactly their number.

    Nothing is skipped at the start, so a packet's place in the file is its time in the call.
    """
    packets = [frame.packet for frame in frames]
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, OPUS_RATE_HZ, 0, 0)
    vendor = b"voice-server"
    tags = b"OpusTags" + struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", 0)
    pages = [_page([head], 0, 0, _FIRST)]
    pages.append(_page([tags], 0, 1, 0 if packets else _LAST))
    for start in range(0, len(packets), _PACKETS_PER_PAGE):
        some = packets[start : start + _PACKETS_PER_PAGE]
        end = start + len(some)
        flags = _LAST if end == len(packets) else 0
        pages.append(_page(some, end * _FRAME_SAMPLES, len(pages), flags))
    return b"".join(pages)


def _page(packets: Sequence[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(each) // 255) + bytes([len(each) % 255]) for each in packets)
    assert len(lacing) <= 255, "an Opus packet of 20 ms has at most 1,275 bytes"
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, _SERIAL, number, 0, len(lacing))
    page = head + lacing + b"".join(packets)
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def _checksum(page: bytes) -> int:
    """Ogg's CRC is zlib's read backwards, without its inversions: C does the work."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
