"""What a call begins with: what the door was asked for, tried before anybody is let in.

A session may be described three times: by the owner of a client secret, by the address
(`?model=`, `?intent=transcription`), and by whoever calls. They are taken in this order, and
each is checked by the dialect itself, as if it had come in a `session.update`. Only `?model=`
is weaker than it stands: clients send it by habit, and a secret may name another model.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from voice_server.calls.realtime.dialect import Dialect
from voice_server.calls.rules import Rules

from .errors import Refusal
from .house import House
from .vault import ClientSecret

MODEL_DEFAULT = "voice-server"
MODEL_CHARS_MAX = 128

JsonObject = dict[str, object]


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True)
class Beginning:
    """`sessions` change, one after the other, what the house would do by itself. `webrtc`:
    sound travels on a track."""

    house: House
    rules: Rules
    model: str
    sessions: tuple[object, ...]
    webrtc: bool = False
    transcribes: bool = False

    def dialect(self, call_id: str = "") -> Dialect:
        """The dialect of a call that begins so. Raises `Refusal`: 400."""
        dialect = Dialect(
            call_id=call_id, model=self.model or MODEL_DEFAULT,
            settings=self.house.settings_for(self.model), rules=self.rules, new_id=new_id,
            webrtc=self.webrtc, transcription_only=self.transcribes,
            describe=self.house.describe,
        )  # fmt: skip
        for session in self.sessions:
            for event in dialect.preset(session).events:
                error = event["error"]
                assert isinstance(error, dict)
                raise Refusal(
                    400, error.get("code") or "bad_session", str(error["message"]),
                    param=error.get("param"),
                )  # fmt: skip
        return dialect


def beginning(
    house: House, rules: Rules, query: Mapping[str, str], secret: ClientSecret | None,
    session: object, *, webrtc: bool,
) -> Beginning:  # fmt: skip
    """What is asked for at a door. Raises `Refusal` for what is no model's name."""
    preset: object = orjson.loads(secret.session) if secret else {}
    names = (_model_in(preset), query.get("model", ""), _model_in(session))
    model = next(filter(None, names), "")
    if len(model) > MODEL_CHARS_MAX:
        raise Refusal(400, "bad_model", "This is no model's name.", param="model")
    return Beginning(
        house, rules, model, sessions=(preset, session), webrtc=webrtc,
        transcribes=query.get("intent") == "transcription",
    )  # fmt: skip


def _model_in(session: object) -> str:
    """The model that a session names. What is no name is found by the dialect."""
    name = session.get("model", "") if isinstance(session, dict) else ""
    return name if isinstance(name, str) else ""
