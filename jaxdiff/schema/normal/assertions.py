"""Keywords that speak of the value itself: its type, its bounds, its names and items."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jaxdiff.schema.languages.formats import FORMATS
from jaxdiff.schema.languages.parsing import compiled
from jaxdiff.schema.normal.facts import NUMBER, TYPES, Atom
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.numbers import Bound, exact, tightest_lower, tightest_upper
from jaxdiff.schema.normal.statements import Guard, Reader, Statement, atom_map, atoms, count, names, part_of


def _type(statement: Statement, location: Location, value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    split = [part for name in names for part in (("integer", "fraction") if name == "number" else (name,))]
    if unknown := [name for name in names if name == "fraction"] or [name for name in split if name not in TYPES]:
        raise ValueError(f"unknown type {unknown[0]!r}")
    statement.facts["types"] = tuple(dict.fromkeys(split))


def _enum(statement: Statement, location: Location, value: Any) -> None:
    listed = tuple(value) if isinstance(value, list) else ()
    if not isinstance(value, list):
        raise TypeError("not a list of values")
    both = statement.facts.get("enum")
    statement.facts["enum"] = (
        listed
        if both is None
        else tuple(entry for entry in both if location.synthetic({"enum": value}).is_valid(entry))
    )


def _const(statement: Statement, location: Location, value: Any) -> None:
    _enum(statement, location, [value])


def _bound(side: str) -> Reader:
    def read_bound(statement: Statement, location: Location, value: Any) -> None:
        excluded = False
        if "exclusiveMinimum" not in location.known:  # draft 4
            excluded = bool(location.schema.get("exclusiveMinimum" if side == "lower" else "exclusiveMaximum", False))
        _tighten(statement, side, (exact(value), excluded))

    return read_bound


def _exclusive_bound(side: str) -> Reader:
    return lambda statement, location, value: _tighten(statement, side, (exact(value), True))


def _tighten(statement: Statement, side: str, bound: Bound) -> None:
    pick = tightest_lower if side == "lower" else tightest_upper
    statement.facts[side] = pick([bound, statement.facts[side]]) if side in statement.facts else bound


def _multiple_of(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["multiple_of"] = exact(value)
    if value <= 0:
        raise ValueError("not above 0")
    if isinstance(value, float):
        # The validator divides doubles, and 0.3 / 0.1 is not whole there.
        statement.guards.append(Guard(NUMBER, part_of(location, "multipleOf")))


def _fact(name: str, convert: Callable[[Any], Any]) -> Reader:
    def read_fact(statement: Statement, location: Location, value: Any) -> None:
        statement.facts[name] = convert(value)

    return read_fact


def _pattern(statement: Statement, location: Location, value: Any) -> None:
    compiled(value)
    statement.facts["pattern"] = value


def _format(statement: Statement, location: Location, value: Any) -> None:
    # Formats that are not known are annotations, and may be meant for other types than strings.
    if isinstance(value, str) and value in FORMATS:
        statement.facts["format"] = value


def _one(name: str, keyword: str) -> Reader:
    def read_one(statement: Statement, location: Location, value: Any) -> None:
        statement.facts[name] = Atom(location.at(keyword))

    return read_one


def _map(name: str, keyword: str) -> Reader:
    def read_map(statement: Statement, location: Location, value: Any) -> None:
        if found := atom_map(location, keyword, value):
            statement.facts[name] = found

    return read_map


def _pattern_properties(statement: Statement, location: Location, value: Any) -> None:
    for pattern in value:
        compiled(pattern)
    statement.facts["pattern_properties"] = atom_map(location, "patternProperties", value)


def _items(statement: Statement, location: Location, value: Any) -> None:
    if not isinstance(value, list):
        statement.facts["items"] = Atom(location.at("items"))
        return
    statement.facts["prefix"] = tuple(atoms(location, "items", value))
    if "additionalItems" in location.keywords:
        statement.facts["items"] = Atom(location.at("additionalItems"))


def _prefix_items(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["prefix"] = tuple(atoms(location, "prefixItems", value))


def _min_items(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["min_items"] = count(value)


def read_requires(statement: Statement, location: Location, value: Any) -> None:
    """Names that must be there with another; entries that are schemas are left to others."""
    for name, entry in value.items():
        if isinstance(entry, list):
            statement.facts["requires"] = (*statement.facts.get("requires", ()), (name, names(entry)))


ASSERTIONS: dict[str, Reader] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("lower"),
    "maximum": _bound("upper"),
    "exclusiveMinimum": _exclusive_bound("lower"),
    "exclusiveMaximum": _exclusive_bound("upper"),
    "multipleOf": _multiple_of,
    "minLength": _fact("min_length", count),
    "maxLength": _fact("max_length", math.floor),
    "pattern": _pattern,
    "format": _format,
    "properties": _map("properties", "properties"),
    "patternProperties": _pattern_properties,
    "additionalProperties": _one("additional", "additionalProperties"),
    "propertyNames": _one("property_names", "propertyNames"),
    "required": _fact("required", names),
    "dependentRequired": read_requires,
    "minProperties": _fact("min_properties", count),
    "maxProperties": _fact("max_properties", math.floor),
    "items": _items,
    "prefixItems": _prefix_items,
    "minItems": _min_items,
    "maxItems": _fact("max_items", math.floor),
    "uniqueItems": _fact("unique", bool),
}
