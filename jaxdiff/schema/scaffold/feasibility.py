"""Which nodes can be completed to a value, and within how many levels of containers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import RLock

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.normal.nodes import Array, Choice, Entries, Lazy, Never, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.objects import required_names
from jaxdiff.schema.scaffold.language import has_text, language_of
from jaxdiff.schema.scaffold.members import filled_up
from jaxdiff.schema.scaffold.texts import distinct_texts

# Levels that a schema may demand. One that demands more has no end, or none that is worth a slot.
DEEPEST = 24
# Items or entries that a schema may demand of one container.
MOST_DEMANDED = 256


def needs_witness(node: Node) -> bool:
    """Whether structure alone does not make a value of the node valid."""
    return bool(node.checks) or (isinstance(node, Array) and node.unique and (node.max_items or 2) > 1)


class Feasibility:
    """Answers for the nodes of one schema, each computed once.

    proven: whether a valid value of a node with `checks` is known.
    """

    def __init__(self, proven: Callable[[Node], bool]):
        self._proven = proven
        self._fits: dict[tuple[int, int, bool], bool] = {}
        self._least: dict[tuple[int, bool], int | None] = {}
        self._keys: dict[int, tuple[int, list[str]]] = {}
        self._refused: dict[int, Never] = {}
        self._asking: set[tuple[int, int, bool]] = set()
        # What is being asked, here and in the search for witnesses, belongs to one thread.
        self.lock = RLock()
        # Answers are kept by identity: the nodes must live as long.
        self._kept: dict[int, Node | Entries] = {}

    def node(self, lazy: Lazy) -> Node:
        """The node, or Never where it uses what is not supported."""
        try:
            return lazy.node
        except UnsupportedSchema as error:
            return self._refused.setdefault(id(lazy), Never(reason=str(error)))

    def fits(self, node: Node, depth: int, strict: bool = True) -> bool:
        """Whether the node has a value with at most `depth` levels of filled containers.

        strict: and all nodes with checks that it must have are proven; otherwise structure alone is looked at.
        """
        asked = (id(node), depth, strict)
        with self.lock:
            if asked in self._fits:
                return self._fits[asked]
            if asked in self._asking:
                # A branch that is the union itself again.
                return False
            self._kept[id(node)] = node
            self._asking.add(asked)
            try:
                found = self._ends(node, depth, strict) and (
                    not strict or not needs_witness(node) or self._proven(node)
                )
            finally:
                self._asking.discard(asked)
            self._fits[asked] = found
        return self._fits[asked]

    def least_depth(self, node: Node, strict: bool = True) -> int | None:
        """The fewest levels that a value of the node can have; None where it has no value."""
        asked = (id(node), strict)
        if asked not in self._least:
            self._least[asked] = next((d for d in range(DEEPEST + 1) if self.fits(node, d, strict)), None)
        return self._least[asked]

    def enough(self, node: Node, depth: int, strict: bool) -> int:
        """The depth, or what the node needs at least."""
        if self.fits(node, depth, strict):
            return depth
        least = self.least_depth(node, strict)
        return depth if least is None else max(depth, least)

    def item(self, node: Array, index: int) -> Node | None:
        """The node of one item; None where the array ends before."""
        if index < len(node.prefix):
            return self.node(node.prefix[index])
        return None if node.items is None else self.node(node.items)

    def spare_keys(self, node: Object, group: Entries, count: int) -> list[str]:
        """Up to `count` names that entries of the group may have."""
        asked, names = self._keys.get(id(group), (0, []))
        if asked < count:
            self._kept[id(group)] = group
            asked = max(count, 8)
            # A name that needs others is no spare one, declared or not.
            taken = frozenset([*(entry.name for entry in node.properties), *(name for name, _ in node.requires)])
            try:
                found = distinct_texts(group.key, language_of(group.key), taken, asked)
            except UnsupportedSchema:
                found = []
            names = [name for name in found if all(check.is_valid(name) for check in group.key.checks)]
            self._keys[id(group)] = (asked, names)
        return names[:count]

    def possible(self, node: Object, depth: int, strict: bool) -> Callable[[str], bool]:
        """Whether a property can have a value within what `depth` leaves below the object."""
        values = {entry.name: entry.value for entry in node.properties}
        return lambda name: name in values and self._child_fits(values[name], depth, strict)

    def usable_groups(self, node: Object, depth: int, strict: bool) -> list[Entries]:
        """The groups of free names whose values fit."""
        return [group for group in node.entries if self._child_fits(group.value, depth, strict)]

    def spare_names(self, node: Object, depth: int, strict: bool, count: int) -> int:
        """How many free names the object has, `count` at most of each group."""
        groups = self.usable_groups(node, depth, strict)
        return len({key for group in groups for key in self.spare_keys(node, group, count)})

    def _ends(self, node: Node, depth: int, strict: bool) -> bool:
        if isinstance(node, Never):
            return False
        if isinstance(node, Choice):
            return bool(node.values)
        if isinstance(node, (Text, Number)):
            return has_text(node)
        if isinstance(node, Union):
            return any(self.fits(self.node(branch), depth, strict) for branch in node.branches)
        if isinstance(node, Array):
            return self._array_ends(node, depth, strict)
        return self._object_ends(node, depth, strict)

    def _child_fits(self, lazy: Lazy, depth: int, strict: bool) -> bool:
        return depth > 0 and self.fits(self.node(lazy), depth - 1, strict)

    def _array_ends(self, node: Array, depth: int, strict: bool) -> bool:
        least = node.min_items
        if least > MOST_DEMANDED or (node.max_items is not None and node.max_items < least):
            return False
        if node.items is None and least > len(node.prefix):
            return False
        children = [
            *node.prefix[:least],
            *([node.items] if node.items is not None and least > len(node.prefix) else []),
        ]
        return all(self._child_fits(child, depth, strict) for child in children)

    def _object_ends(self, node: Object, depth: int, strict: bool) -> bool:
        if node.min_properties > MOST_DEMANDED:
            return False
        # Properties that need not be there are looked at only where there are too few: a recursive schema ends here.
        possible = self.possible(node, depth, strict)
        usable = partial(self.spare_names, node, depth, strict)
        return filled_up(node, required_names(node), node.properties, possible, usable) is not None
