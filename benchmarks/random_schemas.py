"""Random JSON Schemas over all keywords, and deciders and texts that mean ill: what a scaffold has to withstand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random
from typing import Any

from jaxdiff.schema.scaffold.budget import SlotKind
from jaxdiff.schema.scaffold.decider import Question
from jaxdiff.schema.scaffold.tree import TextSlot
from jaxdiff.schema.scaffold.walks import random_text

NAMES = ("a", "b", "c", "key with space", "é", "x-1", "/~")
STRINGS = ("", "a", "b", "abc", "x-1", "0", '"', "\\", "é")
PATTERNS = ("^a", "b$", "^[a-c]{2,4}$", "^x-", r"^\d+$", r"\w", "^(foo|bar)?$", r"^[^\s]+$", ".")
FORMATS = ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "regex")
DIALECTS = (
    "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
)  # fmt: skip
FREE_TEXTS = (
    "", '"', '"""', "\\", '\\"', "}", '{"a": 1}', "null", "a", "é", "\U0001f600", "\x00", "\n", "a" * 80, " ", "NaN",
    "1e999", "-0", "٣", "\u2028", "a\n",
)  # fmt: skip


def random_schema(draw: Random, depth: int = 3) -> dict[str, Any]:
    """A schema of a random dialect with definitions that may refer to themselves."""
    dialect = draw.choice(DIALECTS)
    modern = DIALECTS.index(dialect) >= 3
    old = DIALECTS.index(dialect) == 0
    holder = "$defs" if modern else "definitions"
    maker = _Maker(draw, holder, modern=modern, old=old, last=dialect == DIALECTS[-1])
    schema = maker.schema(depth)
    if not isinstance(schema, dict):
        schema = {"type": "object"}
    if "$ref" in schema and not modern:
        schema = {"allOf": [schema]}
    definitions = {name: maker.schema(depth - 1) for name in ("one", "two")}
    return {"$schema": dialect, **schema, holder: definitions}


class _Maker:
    """Draws subschemas of one dialect."""

    def __init__(self, draw: Random, holder: str, *, modern: bool, old: bool, last: bool):
        self._draw, self._holder = draw, holder
        self._modern, self._old, self._last = modern, old, last

    def schema(self, depth: int) -> Any:
        """A schema, of which containers and applicators hold others of less depth."""
        draw = self._draw
        if not self._old and draw.random() < 0.03:
            return draw.random() < 0.7
        if draw.random() < 0.08:
            return {"$ref": f"#/{self._holder}/{draw.choice(('one', 'two'))}"}
        kinds = [self._string, self._number, self._enum, self._simple, self._types]
        if depth > 0:
            kinds += [self._object] * 4 + [self._array] * 2 + [self._applied] * 3
        found = draw.choice(kinds)(depth)
        if depth > 0 and draw.random() < 0.15:
            found = {**found, **self._applied(depth - 1)}
        if draw.random() < 0.1:
            found["default"] = draw.choice((None, 1, "a", [], {}))
        return found

    def _simple(self, depth: int) -> dict[str, Any]:
        return {"type": self._draw.choice(("boolean", "null", "string", "integer", "number"))}

    def _types(self, depth: int) -> dict[str, Any]:
        types = self._draw.sample(("string", "integer", "number", "boolean", "null", "object", "array"), k=2)
        return {**self._string(0), **self._number(0), "type": types}

    def _string(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        found: dict[str, Any] = {"type": "string"}
        if draw.random() < 0.4:
            found["minLength"] = draw.choice((0, 1, 2, 5))
        if draw.random() < 0.4:
            found["maxLength"] = found.get("minLength", 0) + draw.choice((0, 1, 4, 40))
        if draw.random() < 0.3:
            found["pattern"] = draw.choice(PATTERNS)
        elif draw.random() < 0.3:
            found["format"] = draw.choice(FORMATS)
        return found

    def _number(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        found: dict[str, Any] = {"type": draw.choice(("integer", "number"))}
        low = draw.choice((-100, -1, 0, 0.5, 1, 3, 10**18))
        if draw.random() < 0.5:
            found["minimum"] = low
        if draw.random() < 0.5:
            found["maximum"] = low + draw.choice((0, 1, 2.5, 100, 10**20))
        if draw.random() < 0.2 and found:
            bound, limit = draw.choice((("exclusiveMinimum", low), ("exclusiveMaximum", low + 7)))
            if not self._old:
                found[bound] = limit
            else:
                found |= {bound[9].lower() + bound[10:]: limit, bound: True}
        if draw.random() < 0.25:
            found["multipleOf"] = draw.choice((1, 2, 3, 7, 0.5, 0.1, 0.01, 2.5))
        return found

    def _enum(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        values = (None, True, False, 0, 1, 1.5, "", "a", "b", [], [1], {}, {"a": 1}, "null")
        if not self._old and draw.random() < 0.3:
            return {"const": draw.choice(values)}
        found: dict[str, Any] = {"enum": draw.sample(values, k=draw.randint(1, 4))}
        return found if draw.random() < 0.8 else {**found, **self._simple(depth)}

    def _array(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        found: dict[str, Any] = {"type": "array"}
        if draw.random() < 0.7:
            found["items"] = self._item(depth)
        elif draw.random() < 0.5:
            first = "prefixItems" if self._last else "items"
            found[first] = [self._item(depth) for _ in range(draw.randint(1, 3))]
            if draw.random() < 0.5:
                found["items" if self._last else "additionalItems"] = draw.choice((self._item(depth), {"type": "null"}))
        if draw.random() < 0.4:
            found["minItems"] = draw.choice((0, 1, 2, 3))
        if draw.random() < 0.4:
            found["maxItems"] = found.get("minItems", 0) + draw.choice((0, 1, 3))
        if draw.random() < 0.3:
            found["uniqueItems"] = True
        if not self._old and draw.random() < 0.1:
            found["contains"] = self._item(depth)
        return found

    def _item(self, depth: int) -> dict[str, Any]:
        found = self.schema(depth - 1)
        return found if isinstance(found, dict) else {}

    def _object(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        names = draw.sample(NAMES, k=draw.randint(0, 4))
        found: dict[str, Any] = {"type": "object"}
        if names:
            found["properties"] = {name: self.schema(depth - 1) for name in names}
        required = [name for name in NAMES if draw.random() < (0.4 if name in names else 0.02)]
        if required:
            found["required"] = required
        if draw.random() < 0.5:
            closed: tuple[Any, ...] = (False, self._item(depth))
            found["additionalProperties"] = draw.choice(closed)
        if draw.random() < 0.2:
            patterns = draw.sample(PATTERNS, k=draw.randint(1, 2))
            found["patternProperties"] = {pattern: self._item(depth) for pattern in patterns}
        if draw.random() < 0.15:
            found["minProperties"] = draw.randint(0, 3)
        if draw.random() < 0.15:
            found["maxProperties"] = found.get("minProperties", 0) + draw.randint(1, 3)
        if draw.random() < 0.1:
            found["dependentRequired" if self._modern else "dependencies"] = {draw.choice(NAMES): [draw.choice(NAMES)]}
        elif draw.random() < 0.1:
            found["dependentSchemas" if self._modern else "dependencies"] = {draw.choice(NAMES): self._item(depth)}
        if not self._old and draw.random() < 0.05:
            found["propertyNames"] = self._string(0)
        return found

    def _applied(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        keyword = draw.choice(("anyOf", "oneOf", "allOf", "not", "if", "anyOf", "oneOf"))
        if keyword == "not":
            return {"not": draw.choice(({"required": [draw.choice(NAMES)]}, self._enum(0), self._item(depth)))}
        if keyword == "if" and not self._old:
            names = ("if", "then", "else") if draw.random() < 0.5 else ("if", "then")
            return {name: self._item(depth) for name in names}
        count = draw.randint(1, 3 if keyword != "allOf" else 2)
        return {keyword if keyword != "if" else "anyOf": [self._item(depth) for _ in range(count)]}


class RandomDecider:
    """Scores of one kind: `random`, `constant`, `extreme` (infinite or not a number), `last`, `most`."""

    KINDS = ("random", "constant", "extreme", "last", "most")

    def __init__(self, draw: Random, kind: str):
        self._draw, self._kind = draw, kind

    def scores(self, question: Question) -> Sequence[float]:
        """One score an option."""
        count = len(question.options)
        if self._kind == "random":
            return [self._draw.gauss(0, 3) for _ in range(count)]
        if self._kind == "constant":
            return [0.0] * count
        if self._kind == "extreme":
            return [self._draw.choice((math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0)) for _ in range(count)]
        return [float(i if self._kind == "last" else i == min(count - 1, 3)) for i in range(count)]


class RandomTexts:
    """Texts of one kind: `random`, `shortest`, `longest`, `null` (empty where that is accepted), `quote`."""

    KINDS = ("random", "shortest", "longest", "null", "quote")

    def __init__(self, draw: Random, kind: str):
        self._draw, self._kind = draw, kind

    def text(self, slot: TextSlot) -> str:
        """A text that the slot accepts."""
        language = slot.language
        if language is None:
            fixed = {"null": "", "quote": '"' * 5, "shortest": "", "longest": "\\" * 90}
            names = NAMES if slot.kind is SlotKind.KEY else ()
            return fixed.get(self._kind) or self._draw.choice((*names, *FREE_TEXTS))
        wished = {"null": "", "quote": '"' * 5}.get(self._kind)
        if wished is not None and language.accepts(wished):
            return wished
        if self._kind == "shortest":
            return language.shortest() or ""
        if self._kind in ("longest", "random"):
            walked = random_text(language, self._draw, 90 if self._kind == "longest" else self._draw.randint(0, 30))
            if walked is not None:
                return walked
        examples = list(itertools.islice(language.examples(), self._draw.randint(1, 8)))
        return examples[-1]
