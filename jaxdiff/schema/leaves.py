"""The fields of a tool: the scalar values, and lists of them, that its parameters come down to, each with its path.

Nested objects flatten to paths; a list of objects gives the fields of its first few items, a map those of its first few
entries. What no field stands for (a list of lists, say) is left to the scaffold, which leaves it out where it may.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from jaxdiff.schema.alternatives import alternatives, joined, surely_required
from jaxdiff.schema.fields import Field, Kind, escape_pointer, unescape_pointer
from jaxdiff.schema.leaf_nodes import (
    candidates_of,
    empty_values,
    is_null,
    is_untyped,
    items_of,
    kind_of,
    other_kinds,
    says_something,
    schema_of,
    without_null,
)
from jaxdiff.schema.meta_schema import checked_dialect
from jaxdiff.schema.normal.nodes import Array, Choice, Entries, Node, Object, Text, Union
from jaxdiff.schema.normal.normalise import normalise
from jaxdiff.schema.places import Place
from jaxdiff.schema.scaffold.prepare import prepare

# Items of a list of objects, and entries of a map, that have fields of their own.
GROUPS = 3
# Fields that a tool can be filled with; maps of objects or lists, which have many, give fewer where there are more.
MOST_FIELDS = 256
# What a map is called that is the parameters themselves.
ROOT_MAP = "entries"
# Levels of objects and lists that are flattened.
DEPTH = 4
_APPLICATORS = frozenset(
    "$ref $dynamicRef $recursiveRef allOf anyOf oneOf not if then else dependencies dependentSchemas nullable".split()
)
# With them, what stands elsewhere may narrow a property.
_NARROWING = _APPLICATORS | {"patternProperties"}


def fields_of(parameters: Any, where: str = "parameters") -> tuple[Field, ...]:
    """The fields of a tool's `parameters`, in schema order; no fields for None or an empty schema.

    where: what the error messages call the schema. Pointers in errors are relative to `parameters`.
    Raises SchemaError where it is not a valid JSON Schema of an object, UnsupportedSchema for what cannot be
    guaranteed.
    """
    if parameters is None:
        return ()
    dialect = checked_dialect(parameters, where)
    return _fields(json.dumps(parameters), dialect)


@lru_cache(maxsize=4096)
def _fields(text: str, dialect: str) -> tuple[Field, ...]:
    """Cached: training reads the same tools many times."""
    parameters = json.loads(text)
    whole = parameters if parameters.keys() & {"type", *_APPLICATORS} else {"type": "object", **parameters}
    node = prepare(whole).node
    for entries in range(GROUPS, -1, -1):
        fields = _fields_of_node(node, _Finder(parameters, dialect, entries))
        if len(fields) <= MOST_FIELDS:
            break
    return fields


def _fields_of_node(node: Node, finder: _Finder) -> tuple[Field, ...]:
    found: dict[str, list[Field]] = {}
    for field in finder.below(node, Place("", "", True, "", DEPTH)):
        # Branches of a union may have the same property.
        found.setdefault(field.pointer, []).append(field)
    return tuple(_named_apart(surely_required([joined(same) for same in found.values()])))


def _named_apart(fields: Iterable[Field]) -> Iterator[Field]:
    """Calls fields by their pointers where they have no name, or one that another has ("a.b", and "b" of "a")."""
    taken: set[str] = set()
    for field in fields:
        name = field.name
        while not name or name in taken:
            name = f"{name}'" if name == field.pointer or name.startswith(f"{field.pointer}'") else field.pointer
        taken.add(name)
        yield field if name == field.name else replace(field, name=name)


class _Finder:
    """Walks the nodes of one schema; entries: those of a map of objects or lists that have fields."""

    def __init__(self, parameters: dict[str, Any], dialect: str, entries: int):
        self._parameters, self._dialect, self._entries_with_parts = parameters, dialect, entries
        text = json.dumps(parameters)
        self._narrows = any(f'"{keyword}"' in text for keyword in _NARROWING)

    def below(self, node: Node, place: Place) -> Iterator[Field]:
        """The fields of a node at a place."""
        if place.pointer and (leaf := self._leaf(node, place)) is not None:
            yield leaf
        elif place.depth > 0:
            if place.pointer and node.description:
                place = replace(place, context=_joined(place.context, node.description))
            if isinstance(node, Union):
                yield from self._union(node, place)
            elif isinstance(node, Object):
                yield from self._object(node, place.entered())
            elif isinstance(node, Array):
                yield from self._array(node, place.entered())

    def _union(self, node: Union, place: Place) -> Iterator[Field]:
        for number, branch in enumerate(node.branches):
            if not is_null(branch.node):
                yield from self.below(branch.node, place.in_branch(node, number))

    def _object(self, node: Object, place: Place) -> Iterator[Field]:
        for entry in node.properties:
            name = f"{place.name}.{entry.name}" if place.pointer else entry.name
            yield from self.below(entry.value.node, place.inside(name, escape_pointer(entry.name), entry.required))
        for group in node.entries[:1]:
            # That a tool allows any arguments beside those that it declares does not ask for them.
            if not node.properties and (place.pointer or says_something(group)):
                yield from self._entries(group, node.min_properties, place)

    def _entries(self, group: Entries, least: int, place: Place) -> Iterator[Field]:
        """The fields of the entries of a map, of which there are at least so many."""
        name, node = place.name if place.pointer else ROOT_MAP, group.value.node
        for number in range(GROUPS):
            key, value = (
                place.in_entry(number, number < least, f"{name}[{number}]", half) for half in ("key", "value")
            )
            below = list(self.below(node, value))
            plain = bool(below) and below[0].pointer == value.pointer
            if plain or (below and number < self._entries_with_parts):
                yield self._key(group.key, key, [] if plain else empty_values(node))
                yield from below

    def _array(self, node: Array, place: Place) -> Iterator[Field]:
        most = GROUPS if node.max_items is None else min(GROUPS, node.max_items)
        for number in range(most):
            item = node.prefix[number] if number < len(node.prefix) else node.items
            if item is not None:
                inside = place.inside(f"{place.name}[{number}]", f"~item{number}", number < node.min_items)
                yield from self.below(item.node, inside)

    def _leaf(self, node: Node, place: Place) -> Field | None:
        """The field that a node is, None where it is none."""
        plain, nullable = without_null(node)
        first = self._leaf_of(node, plain, nullable, place)
        others = (self._leaf_of(node, other, nullable, place) for other in other_kinds(node))
        return None if first is None else alternatives([first, *(other for other in others if other is not None)])

    def _leaf_of(self, node: Node, plain: Node, nullable: bool, place: Place) -> Field | None:
        """The field that a node is as one of the kinds that it may be of."""
        if isinstance(plain, Array) and plain.items is None and not plain.prefix:
            # The empty list alone.
            plain = Choice(values=([],), pointer=plain.pointer, description=plain.description)
        kind = kind_of(plain)
        item = None
        if kind is None:
            item = items_of(plain)
            if item is None:
                return None
            kind = Kind.ARRAY
        candidates = candidates_of(plain, nullable)
        # Where nothing is read, null can stand.
        needed = not nullable or None in candidates
        schema = (None if isinstance(node, Union) else self._own_schema(plain)) or schema_of(plain)
        items = self._item_alternatives(plain, place)
        if items:
            schema = {**schema, "items": {"anyOf": [one.schema for one in items]}}
        return Field(
            name=place.name,
            pointer=place.pointer,
            kind=kind,
            required=place.required and needed,
            required_with=(place.required_with or "") if needed else "",
            description=_joined(node.description or plain.description, place.context),
            schema=schema,
            item_kind=None if item is None else kind_of(item),
            candidates=candidates,
            item_candidates=() if item is None else candidates_of(item, False),
            item_alternatives=items,
            has_default=node.has_default or plain.has_default,
            dialect=self._dialect,
            nullable=(nullable and not is_untyped(node)) or None in candidates,
            standings=place.standings(needed),
        )

    def _item_alternatives(self, node: Node, place: Place) -> tuple[Field, ...]:
        """The kinds that the items of a list of scalars may be of, where there are several."""
        first = items_of(node)
        if first is None or not isinstance(node, Array) or node.items is None:
            return ()
        of = node.items.node
        kinds = [self._leaf_of(of, kind, False, place) for kind in (first, *other_kinds(of)) if kind_of(kind)]
        return alternatives([kind for kind in kinds if kind is not None]).alternatives

    def _key(self, node: Text, place: Place, empty: Iterable[Any]) -> Field:
        """The field of the name of an entry; empty: see `Field.empty_values`."""
        return Field(
            name=place.name, pointer=place.pointer, kind=Kind.STRING, required=place.required,
            required_with=place.required_with or "", description=_joined("name of the entry", place.context),
            schema=schema_of(node), empty_values=tuple(empty), standings=place.standings(True),
        )  # fmt: skip

    def _own_schema(self, node: Node) -> dict[str, Any] | None:
        """The subschema as it stands, where it says all by itself."""
        found: Any = self._parameters
        for token in node.pointer.split("/")[1:]:
            token = unescape_pointer(token)
            found = found[int(token)] if isinstance(found, list) else found.get(token)
            if not isinstance(found, (dict, list)):
                return None
        if not _says_all(found) or (self._narrows and not self._is_all(found, node)):
            return None
        return found

    def _is_all(self, schema: dict[str, Any], node: Node) -> bool:
        """Whether nothing beside a subschema narrows its node."""
        alone, _ = without_null(normalise(schema, dialect=self._dialect or None))
        if type(alone) is not type(node) or (isinstance(alone, Array) and items_of(alone) is None):
            return False
        return schema_of(alone) == schema_of(node)


def _says_all(schema: Any) -> bool:
    """Whether a subschema of a scalar, or of a list of scalars, can be read by itself."""
    if not isinstance(schema, dict) or _APPLICATORS & schema.keys() or not isinstance(schema.get("type", ""), str):
        return False
    listed = schema.get("type") == "array" and not schema.keys() & {"enum", "const"}
    return not listed or _says_all(schema.get("items"))


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first and second else first or second
