"""Keywords that bring other subschemas to bear on the same value: references, combinations and conditions."""

from __future__ import annotations

from typing import Any

from jaxdiff.schema.normal.assertions import read_requires
from jaxdiff.schema.normal.facts import Atom, Facts
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.statements import Choice, Guard, Reader, Statement, Term, atoms, count, part_of
from jaxdiff.schema.normal.unevaluated import evaluated

# Beyond, items that an array must contain are only checked.
_MAX_CONTAINED = 8


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


def _unevaluated_properties(statement: Statement, location: Location, value: Any) -> None:
    found = evaluated(location)
    if not found.open:
        rest = found.rest(location)
        statement.choices.append(Choice(((rest,),), location))
    if found.open or not found.certain:
        # What is evaluated depends on which alternatives hold.
        statement.guards.append(Guard(frozenset({"object"}), location))


def _unevaluated_items(statement: Statement, location: Location, value: Any) -> None:
    statement.guards.append(Guard(frozenset({"array"}), location))


def _contains(statement: Statement, location: Location, value: Any) -> None:
    counted = "dependentSchemas" in location.known
    named = [name for name in ("minContains", "maxContains") if counted and name in location.schema]
    limits = {name: location.schema[name] for name in named}
    check = Guard(frozenset({"array"}), location.synthetic({"contains": value} | limits))
    least = count(limits.get("minContains", 1))
    if not 1 <= least <= _MAX_CONTAINED:
        statement.guards.append(check)
        return
    # They come first, which is one way to have them; the other ways need the check.
    first = Facts(types=("array",), min_items=least, prefix=(Atom(location.at("contains")),) * least)
    rest: tuple[Term, ...] = (Facts(min_items=least), check)
    leading: tuple[Term, ...] = (first, check) if "maxContains" in limits else (first,)
    statement.choices.append(Choice((leading, rest), check.check))


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
    "contains": _contains,
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
}
