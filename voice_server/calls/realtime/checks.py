"""What a client may send: typed reading of untrusted JSON, and the refusal of the rest. Pure.

`Fields` reads one JSON object. Each method names a field and says what it must be; a field that
is absent or null keeps the value passed as `current`, anything else raises `Refusal`, which
names the field by its full path so that the client can find it. Fields nobody asks for are
tolerated, because newer clients send more than we know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import orjson

ID_CHARS_MAX = 128
NAME_CHARS_MAX = 256
TEXT_BYTES_MAX = 64 * 1024
METADATA_PAIRS_MAX, METADATA_KEY_CHARS, METADATA_VALUE_CHARS = 16, 64, 512
# The largest event that carries no sound, and how deep its JSON may nest. Both keep what is
# echoed or remembered small; orjson itself would write no deeper than 254 levels.
EVENT_BYTES_MAX = 256 * 1024
EVENT_DEPTH_MAX = 32

_KINDS: dict[type, str] = {
    str: "a string", bool: "a boolean", int: "an integer", float: "a number",
    list: "an array", dict: "an object", type(None): "null",
}  # fmt: skip


class Refusal(Exception):
    """The client asked for something that cannot be; nothing has been changed.

    `code` and `param` go into the error event as they are; `message` is for a person.
    """

    def __init__(self, message: str, *, code: str, param: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.param = message, code, param


_REFUSALS = {
    "commit_empty": (
        "input_audio_buffer_commit_empty",
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.",
    ),
    "response_active": (
        "conversation_already_has_active_response",
        "Conversation already has an active response in progress. Wait until it is finished.",
    ),
    "response_not_active": (
        "response_cancel_not_active", "Cancellation failed: no active response found."
    ),
    "asks_full": (
        "too_many_responses",
        "Too many responses have been asked for and not begun. Wait until one is done.",
    ),
    "asides_full": (
        "too_many_responses",
        "Too many responses outside of the conversation are in progress. Wait until one is done.",
    ),
}  # fmt: skip


def refusal_of(code: str, param: str = "") -> Refusal:
    """A refusal by the call (see `events.Refused`) in the words of the protocol."""
    name, message = _REFUSALS.get(code, (code, "This cannot be done now."))
    return Refusal(message, code=name, param=param)


def wrong_type(param: str, wanted: str, value: object) -> Refusal:
    found = _KINDS.get(type(value), "something else")
    return Refusal(
        f"Invalid type for '{param}': expected {wanted}, but got {found} instead.",
        code="invalid_type", param=param,
    )  # fmt: skip


def wrong_value(param: str, wanted: str) -> Refusal:
    return Refusal(f"Invalid value for '{param}': {wanted}.", code="invalid_value", param=param)


class Fields:
    """One JSON object from the client and its path, for instance `session.audio.input`.

    Raises `Refusal` when `values` is not an object.
    """

    __slots__ = ("path", "values")

    def __init__(self, values: object, path: str = "") -> None:
        if not isinstance(values, dict):
            raise wrong_type(path or "event", "an object", values)
        self.values: Mapping[str, object] = values
        self.path = path

    def at(self, name: str) -> str:
        """The full path of a field, as errors name it."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        return name in self.values

    def is_null(self, name: str) -> bool:
        return name in self.values and self.values[name] is None

    def child(self, name: str) -> Fields | None:
        """The object in this field; None where it is absent or null."""
        value = self.values.get(name)
        return None if value is None else Fields(value, self.at(name))

    def need(self, name: str) -> object:
        if self.values.get(name) is None:
            raise Refusal(
                f"Missing required parameter: '{self.at(name)}'.",
                code="missing_required_parameter", param=self.at(name),
            )  # fmt: skip
        return self.values[name]

    def text(self, name: str, current: str, *, bytes_max: int = TEXT_BYTES_MAX) -> str:
        value = self.values.get(name)
        if value is None:
            return current
        if not isinstance(value, str):
            raise wrong_type(self.at(name), "a string", value)
        # A character is at most four bytes, so most strings need no encoding to be measured.
        if 4 * len(value) > bytes_max and len(value.encode()) > bytes_max:
            raise Refusal(
                f"Invalid '{self.at(name)}': string too long. Expected at most {bytes_max} bytes.",
                code="string_above_max_length", param=self.at(name),
            )  # fmt: skip
        if "\0" in value:
            raise wrong_value(self.at(name), "it must not contain the character NUL")
        return value

    def need_text(self, name: str, *, bytes_max: int = TEXT_BYTES_MAX) -> str:
        self.need(name)
        return self.text(name, "", bytes_max=bytes_max)

    def need_id(self, name: str) -> str:
        self.need(name)
        return self.id(name)

    def id(self, name: str) -> str:
        """An id of the client's choosing, or "" where there is none."""
        value = self.text(name, "", bytes_max=ID_CHARS_MAX)
        if self.values.get(name) == "":
            raise wrong_value(self.at(name), "an id must not be empty")
        return value

    def flag(self, name: str, current: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return current
        if not isinstance(value, bool):
            raise wrong_type(self.at(name), "a boolean", value)
        return value

    def number(self, name: str, current: float, low: float, high: float) -> float:
        value = self.values.get(name)
        if value is None:
            return current
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(self.at(name), "a number", value)
        if not low <= value <= high:
            raise wrong_value(self.at(name), f"expected a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, current: int, low: int, high: int) -> int:
        value = self.values.get(name)
        if value is None:
            return current
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JavaScript knows no integers: 500.0 is meant as 500.
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(self.at(name), "an integer", value)
        if not low <= value <= high:
            raise wrong_value(self.at(name), f"expected an integer from {low} to {high}")
        return value

    def need_integer(self, name: str, low: int, high: int) -> int:
        self.need(name)
        return self.integer(name, low, low, high)

    def choice(self, name: str, current: str, options: Collection[str]) -> str:
        value = self.text(name, current)
        if self.values.get(name) is not None and value not in options:
            wanted = ", ".join(f"'{option}'" for option in options)
            raise wrong_value(self.at(name), f"supported values are: {wanted}")
        return value

    def array(self, name: str, *, length_max: int) -> list[object]:
        """The array in this field; empty where it is absent or null."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong_type(self.at(name), "an array", value)
        if len(value) > length_max:
            raise Refusal(
                f"Invalid '{self.at(name)}': array too long. Expected at most {length_max}.",
                code="array_above_max_length", param=self.at(name),
            )  # fmt: skip
        return value

    def objects(self, name: str, *, length_max: int) -> Iterator[Fields]:
        for index, value in enumerate(self.array(name, length_max=length_max)):
            yield Fields(value, f"{self.at(name)}[{index}]")

    def texts(self, name: str, *, length_max: int, bytes_max: int = NAME_CHARS_MAX) -> list[str]:
        values = self.array(name, length_max=length_max)
        return [
            Fields({index: value}, self.at(name)).text(index, "", bytes_max=bytes_max)
            for index, value in ((str(i), v) for i, v in enumerate(values))
        ]

    def metadata(self, name: str) -> dict[str, str]:
        """Up to sixteen short strings by name; empty where absent."""
        child = self.child(name)
        if child is None:
            return {}
        if len(child.values) > METADATA_PAIRS_MAX:
            raise wrong_value(self.at(name), f"at most {METADATA_PAIRS_MAX} pairs are kept")
        for key in child.values:
            child.need(key)
            if len(key) > METADATA_KEY_CHARS or len(child.text(key, "")) > METADATA_VALUE_CHARS:
                raise wrong_value(child.at(key[:METADATA_KEY_CHARS]), "the pair is too long")
        return {key: child.text(key, "") for key in child.values}


def parse(text: str | bytes, *, bytes_max: int) -> Fields:
    """One client event. Raises `Refusal` for what is not a JSON object."""
    if len(text) > bytes_max:
        raise Refusal(f"The event is longer than {bytes_max} bytes.", code="event_too_large")
    try:
        return Fields(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise Refusal("The event is not valid JSON.", code="invalid_json") from error


def check_small(fields: Fields, size: int) -> None:
    """Only sound may be large. Raises `Refusal` for an event that is long or deep."""
    if size > EVENT_BYTES_MAX:
        raise Refusal(
            f"An event of this type may have at most {EVENT_BYTES_MAX} bytes.",
            code="event_too_large",
        )
    level: list[object] = [fields.values]
    for _ in range(EVENT_DEPTH_MAX):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise Refusal(f"The event is nested deeper than {EVENT_DEPTH_MAX}.", code="event_too_deep")


def _inside(value: object) -> Iterator[object]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (item for item in inner if isinstance(item, dict | list))
