"""Arguments for a tool, made from what somebody said and from the tool's JSON Schema. Pure.

No model is asked, so this only knows what words give away: a place stands after "in", a choice
is one of those on offer, a number is a number. What a schema requires is always there, from the
words or else the plainest value that is valid; what it leaves open is there only when the words
give it. Schemas come from clients: depth and size are bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .json_schema import (
    Judge,
    Schema,
    branches_of,
    count_of,
    items_of,
    mapping,
    number_of,
    parsed,
    resolved,
    same,
    texts_of,
    types_of,
)
from .spoken_values import Kind, Spoken, kind_of
from .utterance import Utterance

DEPTH_MAX = 6
VALUES_MAX = 300
CHOICES_MAX = 100
PROPERTIES_MAX = 64
ITEMS_MAX = 32
SPOKEN_ITEMS_MAX = 8
CHARS_MAX = 16_000
_UNKNOWN = "unknown"
# What is at least of the right form, where nothing was said.
_BY_FORMAT = {
    "date": "2000-01-01", "time": "00:00:00Z", "date-time": "2000-01-01T00:00:00Z",
    "email": "someone@example.com", "uri": "https://example.com", "duration": "P1D",
    "uuid": "00000000-0000-0000-0000-000000000000", "ipv4": "127.0.0.1", "hostname": "localhost",
}  # fmt: skip


def arguments_for(parameters: str, said: Utterance, about: Iterable[str] = ()) -> str:
    """The arguments as JSON text: an object. `parameters` is the schema as JSON text; `about`:
    the stems of the words that named the tool, and so are no values."""
    root = parsed(parameters)
    try:
        made = _Maker(root, Spoken(said, frozenset(about))).arguments()
        text = json.dumps(made, ensure_ascii=False, allow_nan=False)
    except RecursionError:  # A default or a choice that is itself a nest.
        return "{}"
    return text if len(text) <= CHARS_MAX else "{}"


@dataclass(frozen=True, slots=True)
class _Made:
    """A value, and whether somebody said it."""

    value: object
    given: bool


class _Maker:
    def __init__(self, root: Schema, spoken: Spoken) -> None:
        self._root, self._spoken, self._judge = root, spoken, Judge(root)
        self._values_left = VALUES_MAX

    def arguments(self) -> object:
        rules = resolved(self._root, self._root)
        alternatives = [rules, *branches_of(rules, self._root)]
        objects = [each for each in alternatives if "object" in types_of(each)]
        made = self._object((objects or [{}])[-1], needed=True, depth=0)
        return made.value if made else {}

    # One value.

    def _make(
        self, name: str, schema: object, *, needed: bool, depth: int, loose: bool = False
    ) -> _Made | None:
        """A value of this schema; None where nobody gave one and none is needed. `loose`: take
        words that only may be meant, as always where a value is needed."""
        self._values_left -= 1
        rules = resolved(schema, self._root)
        if self._values_left < 0 or depth > DEPTH_MAX:
            return _Made(self._plainest(rules), given=False) if needed else None
        if "const" in rules:
            return _Made(rules["const"], given=False) if needed else None
        if "enum" in rules:
            made = self._chosen(rules)
        elif branches := branches_of(rules, self._root):
            made = self._of_a_branch(name, branches, schema, depth, loose or needed)
        else:
            made = self._of_a_type(name, rules, depth, loose or needed)
        if made is not None and self._judge.fits(made.value, schema):
            return made
        return self._unsaid(name, schema, rules, depth) if needed else None

    def _chosen(self, rules: Schema) -> _Made | None:
        """Which of the choices was said; the longest of those that were."""
        told = items_of(rules["enum"])[:CHOICES_MAX]
        choices = [each for each in told if isinstance(each, str | int | float)]
        found = self._spoken.choice([str(each) for each in choices])
        return None if found is None else _Made(choices[found], given=True)

    def _of_a_branch(
        self, name: str, branches: list[Schema], schema: object, depth: int, loose: bool
    ) -> _Made | None:
        for branch in branches:
            taken = self._spoken.mark()
            made = self._make(name, branch, needed=False, depth=depth + 1, loose=loose)
            if made and made.given and self._judge.fits(made.value, schema):
                return made
            self._spoken.reset(taken)
        return None

    def _of_a_type(self, name: str, rules: Schema, depth: int, loose: bool) -> _Made | None:
        for kind in types_of(rules):
            taken = self._spoken.mark()
            match kind:
                case "object":
                    made = self._object(rules, needed=False, depth=depth)
                case "array":
                    made = self._array(name, rules, depth, loose)
                case _:
                    made = self._simple(name, kind, rules, loose)
            if made is not None:
                return made
            self._spoken.reset(taken)
        return None

    def _simple(self, name: str, kind: str, rules: Schema, loose: bool) -> _Made | None:
        match kind:
            case "boolean":
                said = self._spoken.truth(name)
                return None if said is None else _Made(said, given=True)
            case "integer" | "number":
                exact: Schema = {**rules, "type": kind}
                number = self._spoken.number(name, lambda n: self._judge.fits(n, exact), loose)
                return None if number is None else _Made(number, given=True)
            case "string":
                text = self._spoken.text(name, count_of(rules.get("maxLength"), CHARS_MAX))
                enough = text and len(text) >= count_of(rules.get("minLength"), 0)
                return _Made(text, given=True) if enough else None
            case _:
                return None

    # Several values.

    def _object(self, rules: Schema, *, needed: bool, depth: int) -> _Made | None:
        """Properties whose words are easy to tell come first, and leave the rest to others."""
        properties = dict(list(mapping(rules.get("properties")).items())[:PROPERTIES_MAX])
        required = texts_of(rules.get("required"))[:PROPERTIES_MAX]
        others = rules.get("additionalProperties", True)
        told = {**properties, **{n: others for n in required if n not in properties}}
        found = dict[str, _Made]()
        for name in sorted(told, key=lambda name: self._rank(name, told[name])):
            is_needed = name in required
            if made := self._make(name, told[name], needed=is_needed, depth=depth + 1):
                found[name] = made
        given = any(made.given for made in found.values())
        if not given and not needed:
            return None
        least = count_of(rules.get("minProperties"), 0)
        for name in told:
            if name not in found and len(found) < least:
                made = self._make(name, told[name], needed=True, depth=depth + 1)
                found[name] = made or _Made(None, given=False)
        return _Made({name: found[name].value for name in told if name in found}, given)

    def _rank(self, name: str, schema: object) -> int:
        rules = resolved(schema, self._root)
        if "enum" in rules:
            return 0
        if "string" not in types_of(rules):
            return 1 if "boolean" not in types_of(rules) else 2
        return 3 + list(Kind).index(kind_of(name))

    def _array(self, name: str, rules: Schema, depth: int, loose: bool) -> _Made | None:
        most = min(count_of(rules.get("maxItems"), ITEMS_MAX), SPOKEN_ITEMS_MAX)
        found, items = list[object](), rules.get("items", True)
        while len(found) < most:
            made = self._make(name, items, needed=False, depth=depth + 1, loose=loose)
            if made is None or not made.given:
                break
            if not any(same(made.value, each) for each in found):
                found.append(made.value)
        return _Made(self._filled(name, rules, found, depth), given=True) if found else None

    def _filled(
        self, name: str, rules: Schema, found: list[object], depth: int
    ) -> list[object]:
        """Up to the number of items that there must be, all different where they must be."""
        least = min(count_of(rules.get("minItems"), 0), ITEMS_MAX)
        items = rules.get("items", True)
        unique = rules.get("uniqueItems") is True
        while len(found) < least and self._values_left > 0:
            made = self._make(name, items, needed=True, depth=depth + 1)
            value = made.value if made else None
            if unique and any(same(value, each) for each in found):
                others = self._others(resolved(items, self._root), len(found))
                value = next((each for each in others if self._is_new(each, found, items)), value)
            found.append(value)
        return found

    def _is_new(self, value: object, found: list[object], schema: object) -> bool:
        is_known = any(same(value, each) for each in found)
        return not is_known and self._judge.fits(value, schema)

    def _others(self, rules: Schema, count: int) -> Iterator[object]:
        yield from items_of(rules.get("enum"))
        yield from (False, True, None)
        yield from (f"{_UNKNOWN} {count + 1}", *(chr(ord("a") + n) for n in range(26)))
        yield from _plain_numbers(rules)
        step = number_of(rules.get("multipleOf")) or 1
        for number in list(_plain_numbers(rules)):
            yield from (number + way * n * step for n in range(1, ITEMS_MAX) for way in (1, -1))

    # What nobody said.

    def _unsaid(self, name: str, schema: object, rules: Schema, depth: int) -> _Made:
        for value in self._suggestions(name, rules, depth):
            if self._judge.fits(value, schema):
                return _Made(value, given=False)
        return _Made(self._plainest(rules), given=False)

    def _suggestions(self, name: str, rules: Schema, depth: int) -> Iterator[object]:
        """Values to try, the most sensible first."""
        branches = branches_of(rules, self._root)
        if "null" in types_of(rules) or any("null" in types_of(each) for each in branches):
            yield None
        if "default" in rules:
            yield rules["default"]
        yield from items_of(rules.get("enum"))
        if any(kind == "string" for kind in types_of(rules)) and "enum" not in rules:
            yield from self._texts(name, rules)
        yield from items_of(rules.get("examples"))[:4]
        for kind in types_of(rules):
            match kind:
                case "boolean":
                    yield from (False, True)
                case "integer" | "number":
                    yield from _plain_numbers(rules)
                case "array":
                    yield self._filled(name, rules, [], depth)
                case "object":
                    made = self._object(rules, needed=True, depth=depth)
                    yield made.value if made else {}
        for branch in branches:
            if made := self._make(name, branch, needed=True, depth=depth + 1):
                yield made.value

    def _texts(self, name: str, rules: Schema) -> Iterator[str]:
        least = count_of(rules.get("minLength"), 0)
        most = min(count_of(rules.get("maxLength"), CHARS_MAX), CHARS_MAX)
        formed = _BY_FORMAT.get(str(rules.get("format")))
        left = self._spoken.what_is_left(name) if formed is None else ""
        for text in filter(None, (formed, left, *texts_of(rules.get("examples")))):
            yield text[:most]
        yield _UNKNOWN[:most].ljust(min(least, CHARS_MAX), ".")

    def _plainest(self, rules: Schema) -> object:
        """The emptiest value of the type, where the schema goes on beyond all bounds."""
        if choices := items_of(rules.get("enum")):
            return choices[0]
        empty: dict[str, object] = {"object": {}, "array": [], "null": None, "string": ""}
        kind = types_of(rules)[0]
        return False if kind == "boolean" else empty.get(kind, 0)


def _plain_numbers(rules: Schema) -> Iterator[int | float]:
    """Numbers near what a schema allows, the plainest first."""
    yield from (1, 0)
    bounds = [number_of(rules.get(key)) for key in
              ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")]  # fmt: skip
    known = [bound for bound in bounds if bound is not None]
    step = number_of(rules.get("multipleOf")) or 1
    for bound in known:
        yield bound
        if math.isfinite(bound / step):
            whole = math.floor(bound / step)
            yield from ((whole + n) * step for n in (0, 1, -1, 2))
        yield from (math.floor(bound), math.ceil(bound), math.floor(bound) + 1)
        yield from (bound + 0.5, bound - 0.5)
    if len(known) > 1:
        yield (min(known) + max(known)) / 2
    yield step
