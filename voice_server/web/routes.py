"""The one table of paths."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from . import (
    account,
    calls,
    catalogue,
    client_secrets,
    health,
    pages,
    realtime,
    speech,
    transcription,
)


def routes() -> list[BaseRoute]:
    return [
        Route("/", pages.landing),
        Route("/call", pages.call),
        Mount("/pages", pages.FILES),
        Route("/health", health.alive),
        Route("/health/ready", health.ready),
        WebSocketRoute("/v1/realtime", realtime.websocket),
        Route("/v1/realtime/client_secrets", client_secrets.create, methods=["POST"]),
        Route("/v1/realtime/calls", realtime.offer, methods=["POST"]),
        Route("/v1/realtime/calls/{call_id}/hangup", realtime.hang_up, methods=["POST"]),
        Route("/v1/calls", calls.listed),
        Route("/v1/calls/{call_id}", calls.show),
        Route("/v1/calls/{call_id}/turns", calls.turns),
        Route("/v1/audio/transcriptions", transcription.transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", transcription.translations, methods=["POST"]),
        Route("/v1/audio/speech", speech.speech, methods=["POST"]),
        Route("/v1/models", catalogue.models),
        Route("/v1/models/{model_id}", catalogue.model),
        Route("/v1/models/{model_id}/voices", catalogue.voices),
        Route("/v1/wallet", account.wallet),
        Route("/v1/ice", account.ice),
    ]
