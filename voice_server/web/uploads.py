"""Forms with a file in them: bounded in size, in parts and in time, and kept off the loop.

The file goes to the disk once it is larger than a megabyte, by the hands of a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .errors import Refusal

# What OpenAI takes: 25 MB, and around it the other fields of the form.
FILE_BYTES_MAX = 25 * 2**20
FORM_BYTES_MAX = 256 * 2**10
FIELD_BYTES_MAX = 64 * 2**10
FIELDS_MAX = 128
# A client that sends nothing for so long has gone, and one that needs longer for all of it is
# no faster than a modem.
PAUSE_SECONDS_MAX, UPLOAD_SECONDS_MAX = 10.0, 120.0
PIECE_BYTES = 64 * 2**10


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form by name, each as often as it came, and its file."""

    fields: dict[str, list[str]]
    file: UploadFile

    def text(self, name: str, default: str = "") -> str:
        """A field that may come once. Raises `Refusal` 400 when it comes twice."""
        found = self.fields.get(name, [])
        if len(found) > 1:
            raise Refusal(400, "bad_parameter", f"{name} must be given once.", param=name)
        return found[0] if found else default

    def all(self, name: str) -> list[str]:
        """A field that is a list, in either spelling: `name` or `name[]`."""
        return [*self.fields.get(name, []), *self.fields.get(f"{name}[]", [])]

    async def pieces(self) -> AsyncIterator[bytes]:
        """The file's bytes, from the beginning."""
        await self.file.seek(0)
        while piece := await self.file.read(PIECE_BYTES):
            yield piece


@contextlib.asynccontextmanager
async def uploaded(request: Request) -> AsyncIterator[Form]:
    """The form in the request's body, whose file is gone after the block. Raises `Refusal`: 415
    for anything but a form, 400 for one that cannot be read or has no file, 413, 408."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal(415, "unsupported_media_type", "Send multipart/form-data with a file.")
    _check_declared(request.headers.get("content-length", ""))
    form = await _parsed(request)
    try:
        yield _form(form)
    finally:
        await form.close()


def _check_declared(length: str) -> None:
    if length.isascii() and length.isdigit() and int(length) > FILE_BYTES_MAX + FORM_BYTES_MAX:
        raise _too_large()


async def _parsed(request: Request) -> FormData:
    try:
        async with asyncio.timeout(UPLOAD_SECONDS_MAX):
            return await MultiPartParser(
                request.headers, _bounded(request), max_files=1, max_fields=FIELDS_MAX,
                max_part_size=FIELD_BYTES_MAX,
            ).parse()  # fmt: skip
    except (MultiPartException, KeyError, ValueError) as error:
        raise Refusal(400, "bad_form", "The form cannot be read.") from error
    except TimeoutError:
        raise Refusal(408, "request_timeout", "The request took too long to arrive.") from None
    except ClientDisconnect:
        raise Refusal(400, "broken_off", "The request broke off.") from None


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    size = 0
    stream = aiter(request.stream())
    while True:
        async with asyncio.timeout(PAUSE_SECONDS_MAX):
            chunk = await anext(stream, None)
        if chunk is None:
            return
        size += len(chunk)
        if size > FILE_BYTES_MAX + FORM_BYTES_MAX:
            raise _too_large()
        # The parser has the loop for as long as its piece is.
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


def _form(data: FormData) -> Form:
    fields: dict[str, list[str]] = {}
    file: UploadFile | None = None
    for name, value in data.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value)
        elif name == "file":
            file = value
    if file is None:
        raise Refusal(400, "missing_file", "The form has no file named file.", param="file")
    if (file.size or 0) > FILE_BYTES_MAX:
        raise _too_large()
    if not file.size:
        raise Refusal(400, "empty_file", "The file is empty.", param="file")
    return Form(fields, file)


def _too_large() -> Refusal:
    return Refusal(
        413, "too_large", f"A file may have {FILE_BYTES_MAX} bytes at most.", param="file"
    )
