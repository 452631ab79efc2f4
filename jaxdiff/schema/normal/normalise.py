"""Any JSON Schema -> the node of all values that it accepts."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock
from typing import Any

from jaxdiff.errors import SchemaError
from jaxdiff.schema.normal.cases import nodes_of
from jaxdiff.schema.normal.conjunction import Case, Conjunctions
from jaxdiff.schema.normal.dialects import as_json_schema
from jaxdiff.schema.normal.facts import Atom
from jaxdiff.schema.normal.locations import whole
from jaxdiff.schema.normal.nodes import Array, Choice, Lazy, Never, Node, Object, Union
from jaxdiff.schema.normal.objects import required_names, without
from jaxdiff.schema.normal.sayings import said_of, with_common

# How deep required values are looked into for whether there is any value at all; deeper ones are believed in.
_MAX_DEPTH = 100

Key = frozenset[tuple[int, bool]]


def normalise(schema: Any, *, dialect: str | None = None) -> Node:
    """The node of all values that a schema accepts.

    dialect: `$schema` URI for a schema that names none (None: draft 2020-12), or one of `dialects.as_json_schema`.

    Values are those that the `jsonschema` library's validator of the dialect accepts, with three exceptions: known
    formats hold; a schema that names no type but speaks of one type only is read as of that type; and where a node has
    checks, its structure alone may let through more. Raises SchemaError for what is no schema or lets no value pass,
    UnsupportedSchema for what can neither be held by structure nor checked. Children are made when they are asked for
    and may raise the same.
    """
    location = whole(*as_json_schema(schema, dialect or ""))
    node = _Normaliser().lazy((Atom(location),)).node
    if isinstance(node, Never):
        raise SchemaError(f"no value satisfies the schema: {node.reason}", node.pointer)
    return node


class _Normaliser:
    """Keeps what was made: the same conjunction of subschemas has the same node, so that recursion closes."""

    def __init__(self) -> None:
        self._conjunctions = Conjunctions(self._is_empty)
        self._lazies: dict[Key, Lazy] = {}
        self._atoms: dict[Lazy, tuple[Atom, ...]] = {}
        self._made: dict[Key, tuple[Node, ...]] = {}
        self._making: set[Key] = set()
        self._known: dict[Key, bool] = {}
        self._asked: set[Key] = set()
        self._believed = self._doubted = False
        # Children may be asked for by several threads.
        self._lock = RLock()

    def lazy(self, atoms: tuple[Atom, ...]) -> Lazy:
        """The node of all that the atoms say together."""
        needed = tuple({atom.key: atom for atom in atoms if not atom.trivial}.values())
        key = frozenset(atom.key for atom in needed)
        if key not in self._lazies:
            lazy = self._lazies[key] = Lazy(lambda: self._node(needed, key))
            self._atoms[lazy] = needed
        return self._lazies[key]

    def _node(self, atoms: tuple[Atom, ...], key: Key) -> Node:
        with self._lock:
            pruned = [node for node in map(self._pruned, self._nodes(atoms, key)) if node is not None]
        pointer = atoms[0].location.pointer if atoms else ""
        common = said_of(self._conjunctions.common(atoms), atoms)
        if len(pruned) == 1:
            return replace(pruned[0], pointer=pointer, **common)
        if not pruned:
            return Never(pointer=pointer, reason="what it asks for contradicts itself")
        branches = tuple(map(self._branch, (with_common(node, common) for node in pruned)))
        return Union(branches=branches, pointer=pointer, **common)

    @staticmethod
    def _branch(node: Node) -> Lazy:
        return Lazy(lambda: node)

    def _nodes(self, atoms: tuple[Atom, ...], key: Key) -> tuple[Node, ...]:
        """The nodes whose union the conjunction is, without a look at their children."""
        if key not in self._made:
            self._making.add(key)
            try:
                self._made[key] = tuple(
                    node for case in self._conjunctions.cases(atoms) for node in nodes_of(case, atoms, self.lazy)
                )
            finally:
                self._making.discard(key)
        return self._made[key]

    def _is_empty(self, case: Case, atoms: tuple[Atom, ...]) -> bool:
        return not any(self._holds(node) for node in nodes_of(case, atoms, self.lazy, narrow=False))

    def _exists(self, lazy: Lazy) -> bool:
        """Whether there is a value: the least answer, so that a value which needs itself does not exist."""
        atoms = self._atoms[lazy]
        key = frozenset(atom.key for atom in atoms)
        if key in self._known:
            return self._known[key]
        if key in self._making or len(self._asked) > _MAX_DEPTH:
            # Asked while its branches are being told apart: to believe in it keeps more of them than needed, at worst.
            self._believed = True
            return True
        if key in self._asked:
            self._doubted = True
            return False
        outside, self._believed, self._doubted = (self._believed, self._doubted), False, False
        self._asked.add(key)
        try:
            found = any(self._holds(node) for node in self._nodes(atoms, key))
        finally:
            self._asked.discard(key)
        # What was doubted may come true further up, where it is asked for; what is true stays so.
        if not self._believed and (found or not self._doubted or not self._asked):
            self._known[key] = found
        self._believed, self._doubted = self._believed or outside[0], self._doubted or outside[1]
        return found

    def _holds(self, node: Node) -> bool:
        """Whether a node without open branches has a value, as far as its structure says."""
        if isinstance(node, Object):
            needed = required_names(node)
            declared = {entry.name: entry.value for entry in node.properties}
            if not all(name not in declared or self._exists(declared[name]) for name in needed):
                return False
            more = (value for name, value in declared.items() if name not in needed)
            spare = node.min_properties - len(needed)
            return (
                spare <= 0
                or any(self._exists(entry.value) for entry in node.entries)
                or sum(map(self._exists, more)) >= spare
            )
        if isinstance(node, Array):
            if node.unique and (distinct := self._distinct(node)) is not None and distinct < node.min_items:
                return False
            first = node.prefix[: node.min_items]
            others = node.min_items > len(node.prefix)
            return all(map(self._exists, first)) and (
                not others or (node.items is not None and self._exists(node.items))
            )
        return True

    def _pruned(self, node: Node) -> Node | None:
        """The node without children that have no value; None where it has none itself."""
        if not self._holds(node):
            return None
        if isinstance(node, Object):
            return self._pruned_object(node)
        if isinstance(node, Array):
            return self._pruned_array(node)
        return node

    def _pruned_object(self, node: Object) -> Object | None:
        gone = without({entry.name for entry in node.properties if not self._exists(entry.value)}, node.requires)
        needed = required_names(node)
        if gone & needed:
            return None
        entries = [entry for entry in node.entries if self._exists(entry.value)]
        if gone:
            entries = [
                replace(entry, key=replace(entry.key, excluded_values=(*entry.key.excluded_values, *sorted(gone))))
                for entry in entries
            ]
        requires = tuple(pair for pair in node.requires if pair[0] not in gone and pair[0] not in needed)
        properties = tuple(
            replace(entry, required=entry.name in needed) for entry in node.properties if entry.name not in gone
        )
        if not entries and len(properties) < node.min_properties:
            return None
        return replace(node, properties=properties, entries=tuple(entries), requires=requires)

    def _pruned_array(self, node: Array) -> Array:
        known = next((i for i, item in enumerate(node.prefix) if not self._exists(item)), len(node.prefix))
        if known < len(node.prefix) or (node.items is not None and not self._exists(node.items)):
            most = known if node.max_items is None else min(known, node.max_items)
            return replace(node, prefix=node.prefix[:known], items=None, max_items=most)
        if node.unique and (distinct := self._distinct(node)) is not None:
            return replace(node, max_items=distinct if node.max_items is None else min(distinct, node.max_items))
        return node

    def _distinct(self, node: Array) -> int | None:
        """How many different items there can be at most; None where that is not seen."""
        if node.items is None:
            return None
        atoms = self._atoms[node.items]
        key = frozenset(atom.key for atom in atoms)
        if key in self._making:
            return None
        values = self._nodes(atoms, key)
        if not all(isinstance(entry, Choice) for entry in values):
            return None
        return len(node.prefix) + sum(len(entry.values) for entry in values if isinstance(entry, Choice))
