"""Keywords that bring other subschemas to bear on the same value: references, combinations and conditions."""

from __future__ import annotations

from typing import Any

from jaxdiff.schema.normal.assertions import read_requires
from jaxdiff.schema.normal.facts import Atom, Facts
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.statements import Choice, Guard, Reader, Statement, atoms, part_of


def _dependent_schemas(keyword: str) -> Reader:
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
    read_requires(statement, location, value)
    _dependent_schemas("dependencies")(statement, location, value)


def _all_of(statement: Statement, location: Location, value: Any) -> None:
    statement.conjuncts.extend(atoms(location, "allOf", value))


def _some_of(keyword: str) -> Reader:
    def read_choice(statement: Statement, location: Location, value: Any) -> None:
        alternatives = tuple((atom,) for atom in atoms(location, keyword, value))
        statement.choices.append(Choice(alternatives, part_of(location, keyword), keyword == "oneOf"))

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


def _reference(keyword: str) -> Reader:
    return lambda statement, location, value: statement.conjuncts.append(Atom(location.follow(keyword)))


def _unevaluated(keyword: str, kind: str) -> Reader:
    def read_unevaluated(statement: Statement, location: Location, value: Any) -> None:
        # What counts as evaluated depends on all that is said at this place, and on which alternatives hold.
        statement.guards.append(Guard(frozenset({kind}), location))

    return read_unevaluated


APPLICATORS: dict[str, Reader] = {
    "$ref": _reference("$ref"),
    "$dynamicRef": _reference("$dynamicRef"),
    "$recursiveRef": _reference("$recursiveRef"),
    "dependentSchemas": _dependent_schemas("dependentSchemas"),
    "dependencies": _dependencies,
    "allOf": _all_of,
    "anyOf": _some_of("anyOf"),
    "oneOf": _some_of("oneOf"),
    "not": _not,
    "if": _if,
    "unevaluatedProperties": _unevaluated("unevaluatedProperties", "object"),
    "unevaluatedItems": _unevaluated("unevaluatedItems", "array"),
}
