"""Nodes of one case: facts about a value, without open choices, become one node for each type that is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from jaxdiff.schema.normal.conjunction import Case
from jaxdiff.schema.normal.facts import NUMBER, TYPES, Atom
from jaxdiff.schema.normal.locations import Location, whole
from jaxdiff.schema.normal.nodes import Array, Check, Choice, Lazy, Node, Number, Text
from jaxdiff.schema.normal.numbers import common_multiple, room, tightest_lower, tightest_upper
from jaxdiff.schema.normal.objects import object_node
from jaxdiff.schema.normal.sayings import pointer_of, said_of

# Of what nothing is said of.
_ANYWHERE = whole({})
# Makes the node of all that these atoms say together.
Grow = Callable[[tuple[Atom, ...]], Lazy]


def nodes_of(case: Case, atoms: tuple[Atom, ...], grow: Grow, narrow: bool = True) -> Iterator[Node]:
    """The nodes of a case, whose union it is. atoms: what the case comes from.

    narrow: a schema that names no type and speaks of one type only is read as of that type; one that speaks of several
    offers them first. Nodes that are seen to hold no value are left out, without a look at children.
    """
    described = {"pointer": pointer_of(case, atoms), **said_of(case.said[case.common :], atoms)}
    if any(facts.enum is not None for facts in case.facts):
        if values := _listed_values(case, atoms):
            yield Choice(values=values, **described)
        return
    types = case.types
    if types is None:
        about = frozenset[str]().union(*(facts.about for facts in case.facts)) if narrow else frozenset[str]()
        first = [name for name in TYPES if name in about]
        one_kind = len(about) == 1 or about == NUMBER
        types = tuple(first) if one_kind else (*first, *(name for name in TYPES if name not in about))
    place = atoms[0].location if atoms else _ANYWHERE
    for name in types:
        if name == "fraction" and "integer" in types:
            continue
        kinds = frozenset({name}) | (NUMBER if name == "integer" and "fraction" in types else frozenset())
        checks = tuple(guard.check for guard in case.guards if guard.types & kinds)
        node = _BUILDERS[name](case, kinds, checks, described, place, grow)
        if node is not None:
            yield node


def _listed_values(case: Case, atoms: tuple[Atom, ...]) -> tuple[Any, ...]:
    """The listed values of a case that satisfy the whole."""
    lists = [facts.enum for facts in case.facts if facts.enum is not None]
    written = map(_written, lists[0])
    silent = not case.guards and not case.choices
    if silent and len(lists) == 1 and not any(facts.about or facts.excluded_values for facts in case.facts):
        types = case.types
        return tuple(value for value in written if types is None or _type_of(value) in types)
    return tuple(value for value in written if all(atom.is_valid(value) for atom in atoms))


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "fraction", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _written(value: Any) -> Any:
    """A listed value; a whole double as an integer, which equals it and is one in draft 4 as well."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _listed(*values: Any) -> Callable[..., Node | None]:
    def choice(
        case: Case,
        kinds: frozenset[str],
        checks: tuple[Check, ...],
        described: dict[str, Any],
        place: Location,
        grow: Grow,
    ) -> Node | None:
        excluded = [entry for facts in case.facts for entry in facts.excluded_values]
        left = tuple(
            value
            for value in values
            if not any(value is entry for entry in excluded) and all(check.is_valid(value) for check in checks)
        )
        return Choice(values=left, **described) if left else None

    return choice


def _text(
    case: Case, kinds: frozenset[str], checks: tuple[Check, ...], described: dict[str, Any], place: Location, grow: Grow
) -> Node | None:
    facts = case.facts
    shortest = max((entry.min_length for entry in facts), default=0)
    limits = [entry.max_length for entry in facts if entry.max_length is not None]
    if limits and min(limits) < shortest:
        return None
    patterns = dict.fromkeys(entry.pattern for entry in facts if entry.pattern is not None)
    excluded_patterns = dict.fromkeys(entry.excluded_pattern for entry in facts if entry.excluded_pattern is not None)
    if patterns.keys() & excluded_patterns.keys():
        return None
    excluded = dict.fromkeys(value for entry in facts for value in entry.excluded_values if isinstance(value, str))
    formats = dict.fromkeys(entry.format for entry in facts if entry.format is not None)
    return Text(
        min_length=shortest, max_length=min(limits, default=None), patterns=tuple(patterns), formats=tuple(formats),
        excluded_patterns=tuple(excluded_patterns), excluded_values=tuple(excluded), checks=checks, **described,
    )  # fmt: skip


def _number(
    case: Case, kinds: frozenset[str], checks: tuple[Check, ...], described: dict[str, Any], place: Location, grow: Grow
) -> Node | None:
    lowers = [facts.lower for facts in case.facts if facts.lower]
    uppers = [facts.upper for facts in case.facts if facts.upper]
    low = tightest_lower(lowers) if lowers else None
    high = tightest_upper(uppers) if uppers else None
    multiples = tuple(dict.fromkeys(facts.multiple_of for facts in case.facts if facts.multiple_of))
    integer = "fraction" not in kinds
    step = common_multiple([*multiples, Fraction(1)] if integer else list(multiples))
    if low and high and not room(low, high, step):
        return None
    if kinds == {"fraction"}:
        checks = (*checks, place.synthetic({"not": {"type": "integer"}}))
    if any(_is_number(value) for facts in case.facts for value in facts.excluded_values):
        checks += _not_listed(case, place)
    return Number(
        integer=integer, whole_floats=all(facts.whole_floats for facts in case.facts),
        minimum=low[0] if low else None, maximum=high[0] if high else None,
        exclusive_minimum=low is not None and low[1], exclusive_maximum=high is not None and high[1],
        multiples_of=multiples, checks=checks, **described,
    )  # fmt: skip


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_listed(case: Case, place: Location) -> tuple[Check, ...]:
    listed = [facts.excluded_values for facts in case.facts if facts.excluded_values]
    return tuple(place.synthetic({"not": {"enum": list(values)}}) for values in listed)


def _array(
    case: Case, kinds: frozenset[str], checks: tuple[Check, ...], described: dict[str, Any], place: Location, grow: Grow
) -> Node | None:
    facts = case.facts
    least = max((entry.min_items for entry in facts), default=0)
    most = min((entry.max_items for entry in facts if entry.max_items is not None), default=None)
    prefix: list[Lazy] = []
    for index in range(max((len(entry.prefix) for entry in facts), default=0)):
        here = tuple(atom for entry in facts for atom in entry.item(index))
        if any(atom.impossible for atom in here):
            most = index if most is None else min(index, most)
            break
        prefix.append(grow(here))
    rest = tuple(entry.items for entry in facts if entry.items is not None)
    closed = any(atom.impossible for atom in rest)
    if closed:
        most = len(prefix) if most is None else min(len(prefix), most)
    if most is not None:
        prefix = prefix[:most]
        if most < least:
            return None
    if any(isinstance(value, list) for entry in facts for value in entry.excluded_values):
        checks += _not_listed(case, place)
    items = None if closed or (most is not None and most <= len(prefix)) else grow(rest)
    unique = any(entry.unique for entry in facts)
    return Array(
        prefix=tuple(prefix), items=items, min_items=least, max_items=most, unique=unique, checks=checks, **described
    )


def _object(
    case: Case, kinds: frozenset[str], checks: tuple[Check, ...], described: dict[str, Any], place: Location, grow: Grow
) -> Node | None:
    if any(isinstance(value, dict) for facts in case.facts for value in facts.excluded_values):
        checks += _not_listed(case, place)
    return object_node(case.facts, checks, described, grow)


_BUILDERS: dict[str, Callable[..., Node | None]] = {
    "string": _text,
    "integer": _number,
    "fraction": _number,
    "boolean": _listed(True, False),
    "null": _listed(None),
    "array": _array,
    "object": _object,
}
