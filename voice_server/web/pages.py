"""The pages: plain files from the package, checked for freshness by the browser each time."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGES = Path(__file__).parent / "pages"
# Files have no version in their name: the browser asks each time, and mostly hears 304.
_FRESH = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """What pages are made of."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_FRESH)
        return response


FILES = PageFiles(directory=PAGES)


async def landing(request: Request) -> Response:
    return await FILES.get_response("index.html", request.scope)


async def call(request: Request) -> Response:
    return await FILES.get_response("call.html", request.scope)
