"""The node of an object: which names it declares, which it must have, and which further names are free."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jaxdiff.schema.normal.facts import Atom, Facts
from jaxdiff.schema.normal.nodes import Check, Choice, Entries, Lazy, Node, Object, Property, Text, Union

# Patterns whose overlaps are all told apart: with more, only names that match one pattern, or none, are offered.
_MAX_OVERLAPS = 3


def object_node(
    facts: tuple[Facts, ...],
    checks: tuple[Check, ...],
    described: dict[str, Any],
    grow: Callable[[tuple[Atom, ...]], Lazy],
) -> Node | None:
    """The object of which all facts hold; None where it is seen that there is none, without a look at children."""
    required = list(dict.fromkeys(name for entry in facts for name in entry.required))
    keys = _keys(facts, grow)
    declared = (name for entry in facts for name in entry.properties or ())
    # A name that another one needs is declared, so that it is found where it is needed.
    needed = (name for entry in facts for pair in entry.requires for name in pair[1])
    names = list(dict.fromkeys(itertools.chain(declared, required, needed)))
    if keys is not None:
        names += [name for key in keys if isinstance(key, Choice) for name in key.values if name not in names]
    name_atoms = [entry.property_names for entry in facts if entry.property_names is not None]
    values = {name: tuple(atom for entry in facts for atom in entry.child(name)) for name in names}
    needs: dict[str, dict[str, None]] = {}
    for name, others in (pair for entry in facts for pair in entry.requires):
        needs.setdefault(name, {}).update(dict.fromkeys(others))
    requires = tuple((name, tuple(others)) for name, others in needs.items())
    gone = {
        name
        for name, atoms in values.items()
        if any(atom.impossible for atom in atoms) or not all(atom.is_valid(name) for atom in name_atoms)
    }
    gone = without(gone, requires)
    if not gone.isdisjoint(required):
        return None
    properties = [
        Property(name=name, value=grow(atoms), required=name in required)
        for name, atoms in values.items()
        if name not in gone
    ]
    most = min((entry.max_properties for entry in facts if entry.max_properties is not None), default=None)
    least = max((entry.min_properties for entry in facts), default=0)
    if most is not None and (most < least or most < len(required)):
        return None
    texts = [Text()] if keys is None else [key for key in keys if isinstance(key, Text)]
    return Object(
        properties=tuple(properties), entries=tuple(_entries(facts, texts, tuple(sorted(gone)), grow)),
        min_properties=least, max_properties=most,
        requires=tuple(pair for pair in requires if pair[0] not in gone), checks=checks, **described,
    )  # fmt: skip


def without(gone: set[str], requires: tuple[tuple[str, tuple[str, ...]], ...]) -> set[str]:
    """The names that cannot be there if these cannot: also those that need one of them."""
    while more := {name for name, others in requires if name not in gone and not gone.isdisjoint(others)}:
        gone = gone | more
    return gone


def with_needed(node: Object, names: Iterable[str]) -> frozenset[str]:
    """The names, and all that must be there with them."""
    requires = dict(node.requires)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += requires.get(name, ())
    return frozenset(found)


def required_names(node: Object) -> frozenset[str]:
    """The names of a value with the fewest properties."""
    return with_needed(node, [entry.name for entry in node.properties if entry.required])


def _keys(facts: tuple[Facts, ...], grow: Callable[[tuple[Atom, ...]], Lazy]) -> list[Node] | None:
    """What names may be: texts and lists of names; None where nothing is said of names."""
    atoms = [entry.property_names for entry in facts if entry.property_names is not None]
    if not atoms or all(atom.trivial for atom in atoms):
        return None
    node = grow((*atoms, Atom(atoms[0].location.synthetic({"type": "string"})))).node
    return [branch.node for branch in node.branches] if isinstance(node, Union) else [node]


def _entries(
    facts: tuple[Facts, ...], keys: list[Text], forbidden: tuple[str, ...], grow: Callable[[tuple[Atom, ...]], Lazy]
) -> Iterator[Entries]:
    """Free names, apart by which of the patterns they match."""
    patterns = tuple(dict.fromkeys(pattern for entry in facts for pattern in entry.pattern_properties or ()))
    most = len(patterns) if len(patterns) <= _MAX_OVERLAPS else 1
    for size in (*range(1, most + 1), 0):
        for matched in itertools.combinations(patterns, size):
            atoms = tuple(atom for entry in facts for atom in _free(entry, matched))
            if any(atom.impossible for atom in atoms):
                continue
            others = tuple(pattern for pattern in patterns if pattern not in matched)
            for key in keys:
                text = Text(
                    min_length=key.min_length, max_length=key.max_length, formats=key.formats,
                    patterns=tuple(dict.fromkeys((*key.patterns, *matched))),
                    excluded_patterns=tuple(dict.fromkeys((*key.excluded_patterns, *others))),
                    excluded_values=tuple(dict.fromkeys((*key.excluded_values, *forbidden))), checks=key.checks,
                )  # fmt: skip
                if not set(text.patterns) & set(text.excluded_patterns):
                    yield Entries(key=text, value=grow(atoms))


def _free(facts: Facts, matched: tuple[str, ...]) -> list[Atom]:
    """What the value of a free name that matches these patterns must satisfy."""
    found = [atom for pattern, atom in (facts.pattern_properties or {}).items() if pattern in matched]
    return found or ([facts.additional] if facts.additional else [])
