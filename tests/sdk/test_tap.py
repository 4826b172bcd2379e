"""The tap reads what passes, however it is cut into pieces, and leaves the rest alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from .tap import Frames

HEAD = b"GET /v1/realtime HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
TEXTS = ["{}", "ü" * 100, "x" * 300, "y" * 70_000]


def wire(*, masked: bool) -> bytes:
    """Four messages, one of them in two frames around a ping."""
    frames = [Frame(Opcode.TEXT, text.encode()) for text in TEXTS]
    whole = frames.pop(1)
    frames[1:1] = [
        Frame(Opcode.TEXT, whole.data[:7], fin=False),
        Frame(Opcode.PING, b"still there?"),
        Frame(Opcode.CONT, whole.data[7:]),
    ]
    return HEAD + b"".join(frame.serialize(mask=masked) for frame in frames)


@given(st.booleans(), st.lists(st.integers(1, 71_000), max_size=20))
def test_messages_are_read_from_pieces_of_any_size(masked: bool, cuts: list[int]) -> None:
    sent, frames = wire(masked=masked), Frames()
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    pieces = [sent[start:end] for start, end in pairwise(edges)]
    assert [text for piece in pieces for text in frames.read(piece)] == TEXTS


def test_what_is_no_websocket_is_not_read() -> None:
    frames = Frames()
    assert list(frames.read(b"HTTP/1.1 401 Unauthorized\r\n\r\n")) == []
    assert list(frames.read(b"\x81\x02{}")) == []
