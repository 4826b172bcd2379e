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
_VENDOR = b"voice-server"
_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, OPUS_RATE_HZ, 0, 0)
_TAGS = b"OpusTags" + struct.pack("<I", len(_VENDOR)) + _VENDOR + struct.pack("<I", 0)


def ogg_opus(frames: Iterable[OpusFrame]) -> bytes:
    """An Ogg Opus file that plays every 20 ms packet: its duration is exactly their number.

    Nothing is skipped at the start, so a packet's place in the file is its time in the call.
    """
    writer = OggOpusWriter()
    return writer.feed(frames) + writer.finish()


class OggOpusWriter:
    """The same file piece by piece, while its packets are still being made: a page leaves as
    soon as `packets_per_page` are known not to be the last. Holds no more than one page."""

    def __init__(self, packets_per_page: int = _PACKETS_PER_PAGE) -> None:
        assert 0 < packets_per_page <= _PACKETS_PER_PAGE
        self._packets_per_page = packets_per_page
        self._held: list[bytes] = []
        self._pages = self._packets = 0

    def feed(self, frames: Iterable[OpusFrame]) -> bytes:
        """The pages that these packets complete; with the first call the file's head."""
        pages = [] if self._pages else [self._page([_HEAD], _FIRST)]
        for frame in frames:
            if self._pages == 1:
                pages.append(self._page([_TAGS], 0))
            # The last page must say that it is: so one packet is always kept back.
            if len(self._held) == self._packets_per_page:
                pages.append(self._take(0))
            self._held.append(frame.packet)
        return b"".join(pages)

    def finish(self) -> bytes:
        """The last page."""
        begun = b"" if self._pages else self._page([_HEAD], _FIRST)
        if self._pages == 1:
            return begun + self._page([_TAGS], _LAST)
        return self._take(_LAST)

    def _take(self, flags: int) -> bytes:
        packets, self._held = self._held, []
        self._packets += len(packets)
        return self._page(packets, flags)

    def _page(self, packets: Sequence[bytes], flags: int) -> bytes:
        page = _page(packets, self._packets * _FRAME_SAMPLES, self._pages, flags)
        self._pages += 1
        return page


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
