"""Reads one subschema under its dialect: its facts, the subschemas that hold as well, and the choices it leaves."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from jaxdiff.errors import SchemaError
from jaxdiff.schema.fields import escape_pointer
from jaxdiff.schema.normal.facts import NUMBER, TYPES, Atom, Facts, tightest_lower, tightest_upper
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.nodes import Check

Term = Atom | Facts
FORMATS = frozenset("date time date-time duration email hostname ipv4 ipv6 uri uuid".split())
# From here on, doubles are whole numbers and integers are compared with what they are, not with what is written.
_EXACT_DOUBLES = 2**53


@dataclass(frozen=True, eq=False)
class Choice:
    """Alternatives, each a conjunction, of which one at least holds; exactly one if `exclusive`.

    check: holds exactly where the choice does.
    """

    alternatives: tuple[tuple[Term, ...], ...]
    check: Check
    exclusive: bool = False


@dataclass(frozen=True, eq=False)
class Guard:
    """A check of values of some types only."""

    types: frozenset[str]
    check: Check


@dataclass(eq=False)
class Statement:
    """All that a subschema says: everything here holds."""

    facts: dict[str, Any] = field(default_factory=dict)
    conjuncts: list[Atom] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)

    @cached_property
    def own_facts(self) -> Facts:
        """`facts` as one object."""
        return Facts(**self.facts)


def read(location: Location) -> Statement:
    """What the subschema, an object, says. Raises SchemaError with the place of a keyword that is malformed."""
    statement = Statement()
    for keyword, value in location.keywords.items():
        reader = _READERS.get(keyword)
        try:
            if reader is not None:
                reader(statement, location, value)
        except (TypeError, ValueError, AttributeError, KeyError, re.error) as error:
            if isinstance(error, SchemaError):
                raise
            place = f"{location.pointer}/{escape_pointer(keyword)}"
            raise SchemaError(f"{keyword} cannot be {value!r:.60}: {error}", place) from error
    if statement.facts:
        statement.facts["whole_floats"] = location.whole_floats
    return statement


def exact(number: Any) -> Fraction:
    """The number as it is written; from 2 ** 53 on as it is held, since all doubles are whole there."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError("not a number")
    if isinstance(number, float) and abs(number) < _EXACT_DOUBLES:
        return Fraction(repr(number))
    return Fraction(number)


def _count(value: Any) -> int:
    whole = math.ceil(value)
    if isinstance(value, bool) or whole < 0:
        raise ValueError("not a count")
    return whole


def _atoms(location: Location, keyword: str, value: Any) -> list[Atom]:
    if not isinstance(value, list):
        raise TypeError("not a list of schemas")
    return [Atom(location.at(keyword, index)) for index in range(len(value))]


def _atom_map(location: Location, keyword: str, value: Any) -> dict[str, Atom]:
    if not isinstance(value, dict):
        raise TypeError("not an object of schemas")
    return {name: Atom(location.at(keyword, name)) for name in value}


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("not a list of names")
    return tuple(value)


def _part(location: Location, *keywords: str) -> Location:
    """These keywords of the subschema alone."""
    return location.synthetic({name: location.schema[name] for name in keywords if name in location.keywords})


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


def _bound(side: str) -> Callable[[Statement, Location, Any], None]:
    def read_bound(statement: Statement, location: Location, value: Any) -> None:
        excluded = False
        if "exclusiveMinimum" not in location.known:  # draft 4
            excluded = bool(location.schema.get("exclusiveMinimum" if side == "lower" else "exclusiveMaximum", False))
        _tighten(statement, side, (exact(value), excluded))

    return read_bound


def _exclusive_bound(side: str) -> Callable[[Statement, Location, Any], None]:
    return lambda statement, location, value: _tighten(statement, side, (exact(value), True))


def _tighten(statement: Statement, side: str, bound: tuple[Fraction, bool]) -> None:
    pick = tightest_lower if side == "lower" else tightest_upper
    statement.facts[side] = pick([bound, statement.facts[side]]) if side in statement.facts else bound


def _multiple_of(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["multiple_of"] = exact(value)
    if value <= 0:
        raise ValueError("not above 0")
    if isinstance(value, float):
        # The validator divides doubles, and 0.3 / 0.1 is not whole there.
        statement.guards.append(Guard(NUMBER, _part(location, "multipleOf")))


def _fact(name: str, convert: Callable[[Any], Any]) -> Callable[[Statement, Location, Any], None]:
    def read_fact(statement: Statement, location: Location, value: Any) -> None:
        statement.facts[name] = convert(value)

    return read_fact


def _pattern(statement: Statement, location: Location, value: Any) -> None:
    re.compile(value)
    statement.facts["pattern"] = value


def _format(statement: Statement, location: Location, value: Any) -> None:
    # Formats that are not known are annotations, and may be meant for other types than strings.
    if isinstance(value, str) and value in FORMATS:
        statement.facts["format"] = value


def _one(name: str, keyword: str) -> Callable[[Statement, Location, Any], None]:
    def read_one(statement: Statement, location: Location, value: Any) -> None:
        statement.facts[name] = Atom(location.at(keyword))

    return read_one


def _map(name: str, keyword: str) -> Callable[[Statement, Location, Any], None]:
    def read_map(statement: Statement, location: Location, value: Any) -> None:
        if found := _atom_map(location, keyword, value):
            statement.facts[name] = found

    return read_map


def _pattern_properties(statement: Statement, location: Location, value: Any) -> None:
    for pattern in value:
        re.compile(pattern)
    statement.facts["pattern_properties"] = _atom_map(location, "patternProperties", value)


def _items(statement: Statement, location: Location, value: Any) -> None:
    if not isinstance(value, list):
        statement.facts["items"] = Atom(location.at("items"))
        return
    statement.facts["prefix"] = tuple(_atoms(location, "items", value))
    if "additionalItems" in location.keywords:
        statement.facts["items"] = Atom(location.at("additionalItems"))


def _prefix_items(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["prefix"] = tuple(_atoms(location, "prefixItems", value))


def _contains(statement: Statement, location: Location, value: Any) -> None:
    least = location.schema.get("minContains", 1) if "dependentSchemas" in location.known else 1
    part = _part(location, "contains")
    if "dependentSchemas" in location.known:
        limits = {name: location.schema[name] for name in ("minContains", "maxContains") if name in location.schema}
        part = location.synthetic(part.schema | limits)
    statement.guards.append(Guard(frozenset({"array"}), part))
    statement.facts["min_items"] = max(_count(least), statement.facts.get("min_items", 0))


def _min_items(statement: Statement, location: Location, value: Any) -> None:
    statement.facts["min_items"] = max(_count(value), statement.facts.get("min_items", 0))


def _requires(statement: Statement, location: Location, value: Any) -> None:
    for name, entry in value.items():
        if isinstance(entry, list):
            statement.facts["requires"] = (*statement.facts.get("requires", ()), (name, _names(entry)))


def _dependent_schemas(keyword: str) -> Callable[[Statement, Location, Any], None]:
    def read_dependent(statement: Statement, location: Location, value: Any) -> None:
        nothing = Atom(location.synthetic(False))
        for name, entry in value.items():
            if isinstance(entry, list):
                continue
            without = Facts(properties={name: nothing})
            with_it = (Facts(required=(name,)), Atom(location.at(keyword, name)))
            check = location.synthetic({keyword: {name: entry}})
            statement.choices.append(Choice(((without,), with_it), check))

    return read_dependent


def _dependencies(statement: Statement, location: Location, value: Any) -> None:
    _requires(statement, location, value)
    _dependent_schemas("dependencies")(statement, location, value)


def _all_of(statement: Statement, location: Location, value: Any) -> None:
    statement.conjuncts.extend(_atoms(location, "allOf", value))


def _some_of(keyword: str) -> Callable[[Statement, Location, Any], None]:
    def read_choice(statement: Statement, location: Location, value: Any) -> None:
        alternatives = tuple((atom,) for atom in _atoms(location, keyword, value))
        statement.choices.append(Choice(alternatives, _part(location, keyword), keyword == "oneOf"))

    return read_choice


def _not(statement: Statement, location: Location, value: Any) -> None:
    statement.conjuncts.append(Atom(location.at("not"), negated=True))


def _if(statement: Statement, location: Location, value: Any) -> None:
    condition = Atom(location.at("if"))
    branches = [
        (premise, Atom(location.at(keyword))) if keyword in location.schema else (premise,)
        for premise, keyword in ((condition, "then"), (condition.opposite(), "else"))
    ]
    if any(len(branch) > 1 for branch in branches):
        part = {name: location.schema[name] for name in ("if", "then", "else") if name in location.schema}
        statement.choices.append(Choice(tuple(branches), location.synthetic(part)))


def _reference(keyword: str) -> Callable[[Statement, Location, Any], None]:
    return lambda statement, location, value: statement.conjuncts.append(Atom(location.follow(keyword)))


def _unevaluated(keyword: str, kind: str) -> Callable[[Statement, Location, Any], None]:
    def read_unevaluated(statement: Statement, location: Location, value: Any) -> None:
        # What counts as evaluated depends on all that is said at this place, and on which alternatives hold.
        statement.guards.append(Guard(frozenset({kind}), location))

    return read_unevaluated


_READERS: dict[str, Callable[[Statement, Location, Any], None]] = {
    "$ref": _reference("$ref"),
    "$dynamicRef": _reference("$dynamicRef"),
    "$recursiveRef": _reference("$recursiveRef"),
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("lower"),
    "maximum": _bound("upper"),
    "exclusiveMinimum": _exclusive_bound("lower"),
    "exclusiveMaximum": _exclusive_bound("upper"),
    "multipleOf": _multiple_of,
    "minLength": _fact("min_length", _count),
    "maxLength": _fact("max_length", math.floor),
    "pattern": _pattern,
    "format": _format,
    "properties": _map("properties", "properties"),
    "patternProperties": _pattern_properties,
    "additionalProperties": _one("additional", "additionalProperties"),
    "propertyNames": _one("property_names", "propertyNames"),
    "required": _fact("required", _names),
    "dependentRequired": _requires,
    "dependentSchemas": _dependent_schemas("dependentSchemas"),
    "dependencies": _dependencies,
    "minProperties": _fact("min_properties", _count),
    "maxProperties": _fact("max_properties", math.floor),
    "items": _items,
    "prefixItems": _prefix_items,
    "minItems": _min_items,
    "maxItems": _fact("max_items", math.floor),
    "uniqueItems": _fact("unique", bool),
    "contains": _contains,
    "allOf": _all_of,
    "anyOf": _some_of("anyOf"),
    "oneOf": _some_of("oneOf"),
    "not": _not,
    "if": _if,
    "unevaluatedProperties": _unevaluated("unevaluatedProperties", "object"),
    "unevaluatedItems": _unevaluated("unevaluatedItems", "array"),
}
