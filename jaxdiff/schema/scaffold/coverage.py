"""Looks through the nodes of a schema for what cannot be guaranteed, and says what it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.normal.nodes import Array, Lazy, Never, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.objects import required_names
from jaxdiff.schema.scaffold.feasibility import DEEPEST, MOST_DEMANDED, needs_witness
from jaxdiff.schema.scaffold.language import language_of
from jaxdiff.schema.scaffold.witness import WitnessSearch

# Nodes that are looked at beforehand, and levels of them; what lies beyond is met when it is planned.
MOST_NODES, MOST_LEVELS = 2000, 6


@dataclass(frozen=True)
class Dropped:
    """A part of the schema that no value will have. keyword, pointer: what is not supported, and where."""

    keyword: str
    pointer: str
    reason: str


def look_through(node: Node, witnesses: WitnessSearch) -> tuple[Dropped, ...]:
    """Parts that no value will have: those of unions that have other branches, and those for which no value is found.

    Raises UnsupportedSchema for all else that is not supported.
    """
    dropped: dict[str, Dropped] = {}
    waiting: deque[tuple[Lazy, int, bool]] = deque([(Lazy(lambda: node), 0, False)])
    seen: set[tuple[int, bool]] = set()
    while waiting and len(seen) < MOST_NODES:
        lazy, level, spare = waiting.popleft()
        try:
            looked = lazy.node
            if (id(looked), spare) in seen:
                continue
            seen.add((id(looked), spare))
            _check(looked)
        except UnsupportedSchema as error:
            if not spare:
                raise
            dropped.setdefault(error.pointer, Dropped(error.keyword, error.pointer, str(error)))
            continue
        if needs_witness(looked) and not witnesses.feasibility.fits(looked, DEEPEST):
            missing = _without_value(looked)
            dropped.setdefault(looked.pointer, Dropped(missing.keyword, missing.pointer, str(missing)))
        if isinstance(looked, Union):
            nodes = map(witnesses.feasibility.node, looked.branches)
            fitting = [witnesses.feasibility.fits(branch, DEEPEST) for branch in nodes]
            for branch, fits in zip(looked.branches, fitting, strict=True):
                waiting.append((branch, level, spare or sum(fitting) > fits))
        elif level < MOST_LEVELS:
            waiting += [(child, level + 1, spare) for child in below(looked)]
    return tuple(dropped.values())


def below(node: Node) -> list[Lazy]:
    """The nodes of the values inside of a value."""
    if isinstance(node, Array):
        return [*node.prefix, *([] if node.items is None else [node.items])]
    if isinstance(node, Object):
        return [entry.value for entry in node.properties] + [group.value for group in node.entries]
    return []


def _check(node: Node) -> None:
    """Raises UnsupportedSchema where the texts of the node, or the names that it asks for, cannot be held."""
    if isinstance(node, (Text, Number)):
        language_of(node)
    if isinstance(node, Object):
        for group in node.entries:
            language_of(group.key)


def unmet(node: Node, witnesses: WitnessSearch) -> UnsupportedSchema:
    """Why a node has no value that can be made."""
    feasibility = witnesses.feasibility
    if isinstance(node, Never):
        return UnsupportedSchema("false", node.pointer, node.reason or "no value is valid")
    if isinstance(node, Object):
        for name in required_names(node):
            value = next((entry.value for entry in node.properties if entry.name == name), None)
            if value is None:
                return UnsupportedSchema("required", node.pointer, f"no value is declared for {name!r}")
            if feasibility.least_depth(feasibility.node(value)) is None:
                return _deeper(node, value, witnesses)
        if feasibility.least_depth(node, strict=False) is None:
            return UnsupportedSchema("minProperties", node.pointer, "there are not enough names")
    if isinstance(node, Array):
        if node.min_items > MOST_DEMANDED:
            return UnsupportedSchema("minItems", node.pointer, f"{node.min_items} items")
        for lazy in below(node)[: node.min_items]:
            if feasibility.least_depth(feasibility.node(lazy)) is None:
                return _deeper(node, lazy, witnesses)
    if isinstance(node, Union) and node.branches:
        last = [feasibility.node(branch) for branch in node.branches]
        if all(feasibility.least_depth(branch) is None for branch in last):
            return _deeper(node, node.branches[0], witnesses)
    if isinstance(node, (Text, Number)):
        return UnsupportedSchema("pattern" if isinstance(node, Text) else "type", node.pointer, "no text is valid")
    return _without_value(node)


def _deeper(node: Node, lazy: Lazy, witnesses: WitnessSearch, seen: int = 0) -> UnsupportedSchema:
    child = witnesses.feasibility.node(lazy)
    if child.pointer.count("/") > node.pointer.count("/") + DEEPEST or child is node:
        return UnsupportedSchema("$ref", node.pointer, "its recursion has no end")
    return unmet(child, witnesses)


def _without_value(node: Node) -> UnsupportedSchema:
    keyword = "uniqueItems" if isinstance(node, Array) and node.unique else "not"
    return UnsupportedSchema(keyword, node.pointer, "no value was found that is valid")
