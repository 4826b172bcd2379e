"""Sound made slower or faster without making it lower or higher, by FFmpeg's atempo."""

from __future__ import annotations

import av
import av.filter
from av import AudioFrame


class Tempo:
    """Mono s16le at `rate_hz`, `tempo` times as fast (0.5 to 100)."""

    def __init__(self, rate_hz: int, tempo: float) -> None:
        self._rate_hz = rate_hz
        self._graph = av.filter.Graph()
        source = self._graph.add_abuffer(
            format="s16", sample_rate=rate_hz, layout="mono", channels=1
        )
        paced = self._graph.add("atempo", f"{tempo:.4f}")
        sink = self._graph.add("abuffersink")
        source.link_to(paced)
        paced.link_to(sink)
        self._graph.configure()
        self._fed = 0

    def feed(self, pcm: bytes) -> bytes:
        """Take whole samples; what has become of the sound so far."""
        if not pcm:
            return b""
        frame = AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2, align=1)
        frame.sample_rate, frame.pts = self._rate_hz, self._fed
        frame.planes[0].update(pcm)
        self._fed += frame.samples
        self._graph.push(frame)
        return self._pull()

    def flush(self) -> bytes:
        """The end of the sound."""
        self._graph.push(None)
        return self._pull()

    def _pull(self) -> bytes:
        made = b""
        while True:
            try:
                frame = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return made
            assert isinstance(frame, AudioFrame)
            made += bytes(frame.planes[0])[: frame.samples * 2]
