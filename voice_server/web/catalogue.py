"""What can be chosen: engines, languages and voices. A superset of OpenAI's list of models."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .errors import Refusal
from .house import House


async def models(request: Request) -> Response:
    """`GET /v1/models`: engines of every kind, the languages, and what is used by default."""
    house: House = request.app.state.house
    house.gate.admit(request)
    return JSONResponse(house.engines.offers.catalogue())


async def model(request: Request) -> Response:
    """`GET /v1/models/{id}`: one of ours, or what another house's model is here."""
    house: House = request.app.state.house
    house.gate.admit(request)
    data = house.engines.offers.catalogue()["data"]
    assert isinstance(data, list)
    name = request.path_params["model_id"]
    for each in data:
        if each["id"] == name:
            return JSONResponse(each)
    if (alias := house.engines.offers.alias(name)) is not None:
        return JSONResponse(alias)
    raise Refusal(404, "model_not_found", "There is no such model.")


async def voices(request: Request) -> Response:
    """`GET /v1/models/{id}/voices`: each language's default voice comes first."""
    house: House = request.app.state.house
    house.gate.admit(request)
    found = house.engines.offers.voices(request.path_params["model_id"])
    if found is None:
        raise Refusal(404, "model_not_found", "There is no such voice engine.")
    return JSONResponse({"object": "list", "data": found})
