"""Which properties an object must have, and which more can be added."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jaxdiff.schema.normal.nodes import Object, Property
from jaxdiff.schema.normal.objects import with_needed


def joined(node: Object, present: frozenset[str], name: str, possible: Callable[[str], bool]) -> frozenset[str] | None:
    """`present` with the property and all that it needs; None where one is not possible or they are too many."""
    found = with_needed(node, [*present, name])
    if node.max_properties is not None and len(found) > node.max_properties:
        return None
    return found if all(possible(name) for name in found - present) else None


def filled_up(
    node: Object,
    present: frozenset[str],
    order: Iterable[Property],
    possible: Callable[[str], bool],
    entries: Callable[[int], int],
) -> frozenset[str] | None:
    """`present`, and where that is fewer than the least number more properties in `order`; None where they do not do.

    possible: whether a property has a value. entries: how many free names there are, up to a number.
    """
    if not all(map(possible, present)) or (node.max_properties is not None and len(present) > node.max_properties):
        return None
    for entry in order:
        if len(present) >= node.min_properties:
            break
        present = joined(node, present, entry.name, possible) or present
    missing = node.min_properties - len(present)
    return present if missing <= 0 or entries(missing) >= missing else None
