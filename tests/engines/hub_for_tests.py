"""A model hub on loopback that speaks the real hub's way: model info, HEAD, GET with ranges."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "a" * 40


class Hub:
    """Serves one repository. `breaks_after`: bytes of a file after which the next transfers
    of it are cut; `damages`: files whose next transfer arrives with wrong bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.breaks_after: dict[str, int] = {}
        self.damages: list[str] = []
        self.ignores_ranges = False
        self.ranges: list[tuple[str, str]] = []
        self.sent: dict[str, int] = {}
        self.endpoint = ""

    def info(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": "0" * 40,
                **({"lfs": _lfs(data)} if name.endswith((".bin", ".onnx")) else {}),
            }
            for name, data in self.files.items()
        ]
        return json.dumps(
            {"id": "x/y", "modelId": "x/y", "sha": COMMIT, "siblings": siblings, "tags": []}
        ).encode()


def _lfs(data: bytes) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    return {"sha256": digest, "size": len(data), "pointerSize": 130}


def _answering(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._resolve(body=False)

        def do_GET(self) -> None:
            if self.path.startswith("/api/models/"):
                self._send(200, hub.info(), {"Content-Type": "application/json"})
            else:
                self._resolve(body=True)

        def _resolve(self, *, body: bool) -> None:
            path = unquote(self.path.split("?")[0])
            # owner/repository/resolve/revision/the file, which may be in a folder
            name = path.partition("/resolve/")[2].partition("/")[2]
            data = hub.files.get(name)
            if data is None:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                return
            is_large = name.endswith((".bin", ".onnx"))
            etag = hashlib.sha256(data).hexdigest() if is_large else "e" * 40
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if not body:
                self._send(200, b"", {**headers, "Content-Length": str(len(data))})
                return
            wanted = "" if hub.ignores_ranges else self.headers.get("Range", "")
            begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            if wanted:
                hub.ranges.append((name, wanted))
                headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
            if name in hub.damages:
                hub.damages.remove(name)
                data = bytes(len(data))
            self._file(name, 206 if wanted else 200, data[begin:], headers)

        def _file(self, name: str, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            cut = hub.breaks_after.get(name, len(data))
            self.wfile.write(data[:cut])
            hub.sent[name] = hub.sent.get(name, 0) + min(cut, len(data))
            if cut < len(data):
                self.close_connection = True

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Answer


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _answering(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
