"""The configuration as a command sees it: the environment, and what the command line says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voice_server.config import Config


class BadSettings(Exception):
    """A setting cannot be used; the message names it."""


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="use this value for a setting, whatever the environment says; may be repeated",
    )  # fmt: skip


def read_config(given: Mapping[str, object] | None = None) -> Config:
    """The configuration with these values instead of the environment's. `BadSettings` names
    the variable that is wrong."""
    from pydantic import ValidationError
    from pydantic_settings.exceptions import SettingsError

    from voice_server.config import Config

    values = {name: value for name, value in (given or {}).items() if value is not None}
    if unknown := values.keys() - Config.model_fields.keys():
        raise BadSettings(f"there is no setting {', '.join(sorted(unknown))}")
    try:
        return Config(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise BadSettings("; ".join(map(_complaint, error.errors()))) from error
    except SettingsError as error:
        raise BadSettings(f"{error}: {error.__cause__}") from error


def parsed(pairs: list[str]) -> dict[str, object]:
    """`NAME=VALUE` pairs, each value as the environment would give it."""
    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadSettings(f"--set takes NAME=VALUE, not {pair!r}")
        name = name.strip().lower().removeprefix("voice_server_")
        found[name] = _structured(name, value) if value[:1] in {"[", "{"} else value
    return found


def _structured(name: str, value: str) -> object:
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise BadSettings(f"VOICE_SERVER_{name.upper()} is not JSON: {error}") from error


def _complaint(error: Mapping[str, object]) -> str:
    location = error.get("loc")
    name = ".".join(map(str, location)) if isinstance(location, tuple) else "settings"
    return f"VOICE_SERVER_{name.upper()}: {error.get('msg')}, got {error.get('input')!r}"
