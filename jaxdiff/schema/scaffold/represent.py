"""Whether a scaffold can produce a given value, and what it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.languages.numbers import number_text
from jaxdiff.schema.normal.nodes import Array, Choice, Never, Node, Number, Object, Text
from jaxdiff.schema.normal.objects import with_needed
from jaxdiff.schema.scaffold.budget import Budget, SlotKind
from jaxdiff.schema.scaffold.feasibility import Feasibility
from jaxdiff.schema.scaffold.fill import Filler
from jaxdiff.schema.scaffold.language import language_of, least_bytes
from jaxdiff.schema.scaffold.texts import json_key, read_text

Tokens = Callable[[str], Sequence[int]]
_NO_LIMIT = 10_000


def represent(feasibility: Feasibility, node: Node, value: Any, budget: Budget | None, encode: Tokens) -> bool:
    """Whether some decisions and texts make exactly this value (as JSON compares values).

    budget: within its depth, counts and largest slots; None: whatever it takes. encode: text -> token ids of a slot.
    """
    return Reader(feasibility, budget, encode).represents(node, value)


@dataclass(frozen=True)
class Reader:
    """Reads values as values of nodes, within a budget (None: whatever it takes)."""

    feasibility: Feasibility
    budget: Budget | None
    encode: Tokens

    @property
    def depth(self) -> int:
        """Levels of containers that a whole value may have."""
        return _NO_LIMIT if self.budget is None else self.budget.depth

    def represents(self, node: Node, value: Any) -> bool:
        """See `represent`."""
        slots = self.slots(node, value, self.depth)
        return slots is not None and (self.budget is None or slots <= self.budget.slots)

    def slots(self, node: Node, value: Any, depth: int) -> int | None:
        """The fewest slots of the value, or None where the node has no such value."""
        found = self._structure(node, value, depth)
        return found if found is not None and Filler.passes(node, value) else None

    def _structure(self, node: Node, value: Any, depth: int) -> int | None:
        if isinstance(node, Never):
            return None
        if isinstance(node, Choice):
            return 0 if json_key(value) in map(json_key, node.values) else None
        if isinstance(node, (Text, Number)):
            return self._text(node, value)
        if isinstance(node, Array):
            return self._array(node, value, depth) if isinstance(value, list) else None
        if isinstance(node, Object):
            return self._object(node, value, depth) if isinstance(value, dict) else None
        counts = (self.slots(self.feasibility.node(branch), value, depth) for branch in node.branches)
        return min((count for count in counts if count is not None), default=None)

    def _text(self, node: Text | Number, value: Any) -> int | None:
        if isinstance(node, Text):
            return self._fits(node, value, SlotKind.TEXT) if isinstance(value, str) else None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if node.integer and isinstance(value, float) and not node.whole_floats:
            return None
        return self._fits(node, number_text(value), SlotKind.INTEGER if node.integer else SlotKind.NUMBER)

    def _fits(self, node: Text | Number, text: str, kind: SlotKind) -> int | None:
        try:
            language = language_of(node)
        except UnsupportedSchema:
            return None
        if read_text(node, language, text) is None:
            return None
        if self.budget is None:
            return 1
        most = self.budget.slot_tokens(kind, max(self.budget.sizes(kind)[-1], least_bytes(language)))
        return 1 if len(self.encode(text)) <= most else None

    def _array(self, node: Array, value: list[Any], depth: int) -> int | None:
        count = len(value)
        most = None if self.budget is None else max(self.budget.items, node.min_items)
        if count < node.min_items or (node.max_items is not None and count > node.max_items):
            return None
        if (most is not None and count > most) or (count and depth <= 0):
            return None
        if node.unique and len({json_key(item) for item in value}) < count:
            return None
        total = 0
        for index, item in enumerate(value):
            child = self.feasibility.item(node, index)
            slots = None if child is None else self.slots(child, item, depth - 1)
            if slots is None:
                return None
            total += slots
        return total

    def _object(self, node: Object, value: dict[str, Any], depth: int) -> int | None:
        declared = {entry.name: entry for entry in node.properties}
        count = len(value)
        if count < node.min_properties or (node.max_properties is not None and count > node.max_properties):
            return None
        if (value and depth <= 0) or any(entry.required and name not in value for name, entry in declared.items()):
            return None
        if not with_needed(node, value) <= value.keys():
            return None
        total, many = 0, [0] * len(node.entries)
        for name, part in value.items():
            if name in declared:
                slots = self.slots(self.feasibility.node(declared[name].value), part, depth - 1)
            else:
                group = self._group(node, name, part, depth)
                slots = None if group is None else group[1] + 1
                many = many if group is None else [count + (i == group[0]) for i, count in enumerate(many)]
            if slots is None:
                return None
            total += slots
        most = None if self.budget is None else max(self.budget.entries, node.min_properties)
        return total if most is None or all(count <= most for count in many) else None

    def grouped(self, node: Object, value: dict[str, Any], depth: int) -> list[list[str]]:
        """For each group of free names those of the value that belong to it."""
        declared = {entry.name for entry in node.properties}
        groups: list[list[str]] = [[] for _ in node.entries]
        for name, part in value.items():
            if name not in declared and (group := self._group(node, name, part, depth)) is not None:
                groups[group[0]].append(name)
        return groups

    def _group(self, node: Object, name: str, value: Any, depth: int) -> tuple[int, int] | None:
        """(the group that the name belongs to, slots of the value); None where there is none."""
        for number, group in enumerate(node.entries):
            if self._fits(group.key, name, SlotKind.KEY) is not None:
                slots = self.slots(self.feasibility.node(group.value), value, depth - 1)
                if slots is not None:
                    return number, slots
        return None
