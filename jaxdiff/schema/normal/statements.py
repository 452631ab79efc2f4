"""What a subschema says, whatever its dialect calls it: facts, conjuncts, choices and what is left to check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from jaxdiff.schema.normal.facts import Atom, Facts
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.nodes import Check


@dataclass(frozen=True, eq=False)
class Guard:
    """A check of values of some types only."""

    types: frozenset[str]
    check: Check


Term: TypeAlias = Atom | Facts | Guard


@dataclass(frozen=True, eq=False)
class Choice:
    """Alternatives, each a conjunction, of which one at least holds; exactly one if `exclusive`.

    check: holds exactly where the choice does.
    """

    alternatives: tuple[tuple[Term, ...], ...]
    check: Check
    exclusive: bool = False


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


# Adds what a keyword with this value says at this place.
Reader = Callable[[Statement, Location, Any], None]


def count(value: Any) -> int:
    """A length or number of things, rounded up. Raises TypeError and ValueError for what is none."""
    whole = math.ceil(value)
    if isinstance(value, bool) or whole < 0:
        raise ValueError("not a count")
    return whole


def atoms(location: Location, keyword: str, value: Any) -> list[Atom]:
    """The schemas of a list under a keyword."""
    if not isinstance(value, list):
        raise TypeError("not a list of schemas")
    return [Atom(location.at(keyword, index)) for index in range(len(value))]


def atom_map(location: Location, keyword: str, value: Any) -> dict[str, Atom]:
    """The schemas of an object under a keyword."""
    if not isinstance(value, dict):
        raise TypeError("not an object of schemas")
    return {name: Atom(location.at(keyword, name)) for name in value}


def names(value: Any) -> tuple[str, ...]:
    """A list of names."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("not a list of names")
    return tuple(value)


def part_of(location: Location, *keywords: str) -> Location:
    """These keywords of the subschema alone."""
    return location.synthetic({name: location.schema[name] for name in keywords if name in location.keywords})
