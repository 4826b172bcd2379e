"""As much of JSON Schema as tools are described with: what a schema says, and does a value fit.

Schemas come from clients and are taken as they are found: references that go nowhere or in
circles, bounds that exclude each other and nests without end are possible, and must only not
hang. `pattern` and `format` are not judged: a foreign regular expression may take for ever.
Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Schema = Mapping[str, object]

_LOOKS_MAX, _DEPTH_MAX = 20_000, 32
_SCHEMA_CHARS_MAX = 32_000
_NUMBER_MAX = 1 << 53
_REFERENCES_MAX = 16
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")


def parsed(text: str) -> Schema:
    """The schema in this JSON text; an empty one where it is none, or beyond all measure."""
    try:
        usable = 0 < len(text) <= _SCHEMA_CHARS_MAX
        found = json.loads(text, parse_constant=lambda _: None) if usable else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def items_of(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def texts_of(value: object) -> list[str]:
    return [each for each in items_of(value) if isinstance(each, str)]


def number_of(value: object) -> float | int | None:
    """The number, if it is one to reckon with: beyond the limit sums are no longer exact."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= _NUMBER_MAX else None


def count_of(value: object, otherwise: int) -> int:
    found = number_of(value)
    return int(found) if found is not None and 0 <= found < 1 << 31 else otherwise


def same(one: object, other: object) -> bool:
    """Equal as JSON has it: true is not 1, and 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    return one == other


def resolved(schema: object, root: Schema) -> Schema:
    """The schema with its references followed and its `allOf` merged."""
    if not isinstance(schema, dict):
        return {} if schema is not False else {"enum": []}
    merged, waiting, seen = dict[str, object](), [schema], 0
    while waiting and seen < _REFERENCES_MAX:
        seen += 1
        part = dict(waiting.pop(0))
        reference = part.pop("$ref", None)
        if isinstance(reference, str):
            target = _referred(reference, root)
            waiting[:0] = [target] if isinstance(target, dict) else []
        waiting += [each for each in items_of(part.pop("allOf", None)) if isinstance(each, dict)]
        for key, value in part.items():
            merged[key] = _merged(key, merged[key], value) if key in merged else value
    return merged


def _referred(reference: str, root: Schema) -> object:
    """What `#/$defs/name` means."""
    found: object = root if reference.startswith("#") else None
    for step in reference.removeprefix("#").split("/")[1:_REFERENCES_MAX]:
        found = mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _merged(key: str, one: object, other: object) -> object:
    """What both say of the same thing."""
    match key, one, other:
        case "properties" | "$defs", dict(), dict():
            return {**one, **other}
        case "required", list(), list():
            return [*one, *(each for each in other if each not in one)]
        case "enum", list(), list():
            return [each for each in one if any(same(each, found) for found in other)]
        case _, int() | float(), int() | float():
            return max(one, other) if key.startswith(("min", "exclusiveMin")) else min(one, other)
        case _:
            return one


def types_of(schema: Schema) -> tuple[str, ...]:
    """The types a value may have; of a schema that names none, those it speaks of."""
    if named := _named_types(schema):
        return named
    if "properties" in schema or "required" in schema:
        return ("object",)
    if "items" in schema:
        return ("array",)
    if {"minimum", "maximum", "multipleOf"} & schema.keys():
        return ("number",)
    return ("string",)


def _named_types(schema: Schema) -> tuple[str, ...]:
    told = schema.get("type")
    named = [told] if isinstance(told, str) else texts_of(told)
    return tuple(each for each in named if each in _TYPES)


def branches_of(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of `anyOf` or `oneOf`, each with what is said beside them."""
    for key in ("anyOf", "oneOf"):
        if told := items_of(schema.get(key)):
            beside = {name: value for name, value in schema.items() if name != key}
            return [resolved({"allOf": [each, beside]}, root) for each in told[:_REFERENCES_MAX]]
    return []


class Judge:
    """Says whether values fit schemas. Hostile schemas could keep it busy for ever, so it looks
    at a bounded number of places in its life, and takes the rest for good."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._looks_left, self._depth = _LOOKS_MAX, 0

    def fits(self, value: object, schema: object) -> bool:
        """Whether the value is valid, as far as this module understands schemas."""
        self._looks_left -= 1
        if self._looks_left < 0 or self._depth > _DEPTH_MAX:
            return True
        if isinstance(schema, bool):
            return schema
        rules = resolved(schema, self._root)
        if "const" in rules and not same(value, rules["const"]):
            return False
        if "enum" in rules:
            choices = items_of(rules["enum"])
            self._looks_left -= len(choices)
            if not any(same(value, each) for each in choices):
                return False
        kinds = _named_types(rules)
        if kinds and not any(_is_of(value, kind) for kind in kinds):
            return False
        self._depth += 1
        fit = self._has_a_branch(value, rules) and self._is_within(value, rules)
        self._depth -= 1
        return fit

    def _has_a_branch(self, value: object, rules: Schema) -> bool:
        any_of, one_of = items_of(rules.get("anyOf")), items_of(rules.get("oneOf"))
        return (not any_of or any(self.fits(value, each) for each in any_of)) and (
            not one_of or [self.fits(value, each) for each in one_of].count(True) == 1
        )

    def _is_within(self, value: object, rules: Schema) -> bool:
        match value:
            case str():
                return _within(len(value), rules, "minLength", "maxLength")
            case dict():
                return self._object_fits(value, rules)
            case list():
                return self._array_fits(value, rules)
            case _:
                number = number_of(value)
                return number is None or _number_fits(number, rules)

    def _array_fits(self, value: list[object], rules: Schema) -> bool:
        if not _within(len(value), rules, "minItems", "maxItems"):
            return False
        pairs = ((a, b) for at, a in enumerate(value) for b in value[:at])
        if rules.get("uniqueItems") is True and any(same(a, b) for a, b in pairs):
            return False
        return all(self.fits(each, rules.get("items", True)) for each in value)

    def _object_fits(self, value: dict[str, object], rules: Schema) -> bool:
        known = mapping(rules.get("properties"))
        others = rules.get("additionalProperties", True)
        return (
            all(name in value for name in texts_of(rules.get("required")))
            and _within(len(value), rules, "minProperties", "maxProperties")
            and all(self.fits(each, known.get(name, others)) for name, each in value.items())
        )


def _is_of(value: object, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            found = number_of(value)
            return found is not None and found == int(found)
        case "number":
            return number_of(value) is not None
        case _:
            return isinstance(value, {"string": str, "array": list, "object": dict}[kind])


def _within(size: int, rules: Schema, least: str, most: str) -> bool:
    return count_of(rules.get(least), 0) <= size <= count_of(rules.get(most), size)


def _number_fits(value: float, rules: Schema) -> bool:
    low, high = number_of(rules.get("minimum")), number_of(rules.get("maximum"))
    above, below = (number_of(rules.get(f"exclusive{end}imum")) for end in ("Min", "Max"))
    step = number_of(rules.get("multipleOf"))
    return not (
        (low is not None and value < low) or (high is not None and value > high)
        or (above is not None and value <= above) or (below is not None and value >= below)
        or (step and value % step)
    )  # fmt: skip
