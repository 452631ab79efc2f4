"""Refuses references that lead back to where they stand without going into the value: no validator ends on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.normal.locations import Location, whole

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
# Keywords that speak of the same value, and those that speak of what is inside it.
_SAME = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
_INSIDE = (
    "properties", "patternProperties", "additionalProperties", "items", "prefixItems", "additionalItems", "contains",
    "propertyNames", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip


def refuse_endless_references(schema: Any, dialect: str = "") -> None:
    """Raises UnsupportedSchema where subschemas of one value refer to each other in a circle."""
    found: dict[int, list[Location]] = {}
    waiting = [whole(schema, dialect)]
    start = waiting[0]
    places = {id(start.schema): start}
    while waiting:
        location = waiting.pop()
        if id(location.schema) in found or not isinstance(location.schema, dict):
            continue
        places[id(location.schema)] = location
        found[id(location.schema)] = same = list(_same(location))
        waiting += [*same, *_below(location, _INSIDE)]
    done: set[int] = set()
    for begin in found:
        _walk(begin, found, places, done)


def _walk(begin: int, edges: dict[int, list[Location]], places: dict[int, Location], done: set[int]) -> None:
    """Depth first from a subschema, without recursion of Python's own."""
    path: list[int] = []
    waiting: list[tuple[int, bool]] = [(begin, True)]
    open_ones: set[int] = set()
    while waiting:
        number, entering = waiting.pop()
        if not entering:
            open_ones.discard(path.pop())
            done.add(number)
            continue
        if number in open_ones:
            raise UnsupportedSchema("$ref", places[number].pointer, "a reference to itself without end")
        if number in done or number not in edges:
            continue
        path.append(number)
        open_ones.add(number)
        waiting.append((number, False))
        waiting += [(id(target.schema), True) for target in edges[number]]


def _same(location: Location) -> Iterator[Location]:
    """What the same value must or may satisfy."""
    keywords = location.keywords
    for keyword in _REFERENCES:
        if keyword in keywords:
            yield location.follow(keyword)
    yield from _below(location, _SAME)


def _below(location: Location, names: tuple[str, ...]) -> Iterator[Location]:
    keywords = location.keywords
    for name in names:
        value = keywords.get(name)
        if isinstance(value, list):
            yield from (location.at(name, i) for i, part in enumerate(value) if isinstance(part, dict))
        elif isinstance(value, dict):
            if name in ("properties", "patternProperties", "dependentSchemas", "dependencies"):
                yield from (location.at(name, key) for key, part in value.items() if isinstance(part, dict))
            else:
                yield location.at(name)
