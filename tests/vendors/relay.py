"""A TCP relay before a vendor server, whose connections can be cut in the middle of anything.

A server made with a vendor's own library cannot do what networks do: lose a connection without
a word. The relay is threads and blocking sockets, so that it leaves no task in a test's loop.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_PIECE_BYTES = 65_536
# Closing resets the connection, as if the other side had vanished.
_AT_ONCE = struct.pack("ii", 1, 0)


class Relay:
    """Listens on `port` of 127.0.0.1 and passes everything on to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection there is; new ones are taken."""
        with self._lock:
            cut, self._sockets = self._sockets, set()
        for each in cut:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            # A thread may be reading: closing alone would not wake it.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD)
            each.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                near.close()
                continue
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {near, far}
                self.connections += 1
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                sink.sendall(piece)
        for each in (source, sink):
            with self._lock:
                self._sockets.discard(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
