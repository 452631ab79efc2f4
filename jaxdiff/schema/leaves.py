"""The fields of a tool: the scalar values, and lists of them, that its parameters come down to, each with its path.

Nested objects flatten to paths; a list of objects gives the fields of its first few items, a map those of its first few
entries. What no field stands for (a list of lists, say) is left to the scaffold, which leaves it out where it may.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match

from jaxdiff.errors import SchemaError
from jaxdiff.schema.fields import Field, Kind, escape_pointer, validator_class
from jaxdiff.schema.normal.nodes import Array, Choice, Node, Number, Object, Text, Union
from jaxdiff.schema.scaffold.prepare import prepare

# Items of a list of objects, and entries of a map, that have fields of their own.
GROUPS = 3
# Levels of objects and lists that are flattened.
DEPTH = 4
_APPLICATORS = frozenset(
    "$ref $dynamicRef $recursiveRef allOf anyOf oneOf not if then else dependencies dependentSchemas nullable".split()
)


@dataclass(frozen=True)
class _Place:
    """Where a node stands.

    required_with: see `Field`; None where something above is optional and this is so in it. context: what the objects
    and lists around say of themselves. one_of_several: what one branch requires, another may lack.
    """

    name: str
    pointer: str
    required: bool
    required_with: str | None
    depth: int
    context: str = ""
    one_of_several: bool = False


def fields_of(parameters: Any, where: str = "parameters") -> tuple[Field, ...]:
    """The fields of a tool's `parameters`, in schema order; no fields for None or an empty schema.

    where: what the error messages call the schema. Pointers in errors are relative to `parameters`.
    Raises SchemaError where it is not a valid JSON Schema of an object, UnsupportedSchema for what cannot be
    guaranteed.
    """
    if parameters is None:
        return ()
    if not isinstance(parameters, dict):
        raise SchemaError(f"{where} must be a JSON Schema object, not {_json_type(parameters)}")
    dialect = parameters.get("$schema", "")
    if not isinstance(dialect, str):
        raise SchemaError(f"{where}: $schema must be a string", "/$schema")
    _check_valid(parameters, dialect, where)
    declared = parameters.get("type", "object")
    if declared != "object" and not (isinstance(declared, list) and "object" in declared):
        raise SchemaError(f"{where} must describe an object, not {declared!r}", "/type")
    for index, name in enumerate(parameters.get("required", [])):
        if name not in parameters.get("properties", {}) and not _APPLICATORS & parameters.keys():
            raise SchemaError(f"{where} requires {name!r}, which it does not declare", f"/required/{index}")
    return _fields(json.dumps(parameters), dialect)


@lru_cache(maxsize=4096)
def _fields(text: str, dialect: str) -> tuple[Field, ...]:
    """Cached: training reads the same tools many times."""
    parameters = json.loads(text)
    whole = parameters if parameters.keys() & {"type", *_APPLICATORS} else {"type": "object", **parameters}
    finder = _Finder(parameters, dialect)
    found: dict[str, Field] = {}
    for field in finder.below(prepare(whole).node, _Place("", "", True, "", DEPTH)):
        # Branches of a union may have the same property; who comes first stands for all.
        known = found.setdefault(field.name, field)
        if known.required and not field.required:
            found[field.name] = replace(known, required=False)
    return tuple(found.values())


class _Finder:
    """Walks the nodes of one schema."""

    def __init__(self, parameters: dict[str, Any], dialect: str):
        self._parameters, self._dialect = parameters, dialect

    def below(self, node: Node, place: _Place) -> Iterator[Field]:
        """The fields of a node at a place."""
        if place.name and (leaf := self._leaf(node, place)) is not None:
            yield leaf
        elif place.depth > 0:
            if place.name and node.description:
                place = replace(place, context=_joined(place.context, node.description))
            if isinstance(node, Union):
                several = sum(not _is_null(branch.node) for branch in node.branches) > 1
                for branch in node.branches:
                    yield from self.below(branch.node, replace(place, one_of_several=several))
            elif isinstance(node, Object):
                yield from self._object(node, place)
            elif isinstance(node, Array):
                yield from self._array(node, place)

    def _object(self, node: Object, place: _Place) -> Iterator[Field]:
        for entry in node.properties:
            name = f"{place.name}.{entry.name}" if place.name else entry.name
            yield from self.below(entry.value.node, _inside(place, name, escape_pointer(entry.name), entry.required))
        if node.properties or not place.name:
            return
        for group in node.entries[:1]:
            for number in range(GROUPS):
                needed = number < node.min_properties
                key = _inside(place, f"{place.name}[{number}].key", f"~key{number}", needed)
                value = _inside(place, f"{place.name}[{number}].value", f"~value{number}", needed)
                if (leaf := self._leaf(group.value.node, value)) is not None:
                    yield from (self._key(group.key, key), leaf)

    def _array(self, node: Array, place: _Place) -> Iterator[Field]:
        most = GROUPS if node.max_items is None else min(GROUPS, node.max_items)
        for number in range(most):
            item = node.prefix[number] if number < len(node.prefix) else node.items
            if item is not None:
                inside = _inside(place, f"{place.name}[{number}]", str(number), number < node.min_items)
                yield from self.below(item.node, inside)

    def _leaf(self, node: Node, place: _Place) -> Field | None:
        """The field that a node is, None where it is none."""
        plain, nullable = _without_null(node)
        if isinstance(plain, Array) and plain.items is None and not plain.prefix:
            # The empty list alone.
            plain = Choice(values=([],), description=plain.description)
        kind = _kind(plain)
        item = None
        if kind is None:
            item = _items(plain)
            if item is None:
                return None
            kind = Kind.ARRAY
        return Field(
            name=place.name,
            pointer=place.pointer,
            kind=kind,
            required=place.required,
            required_with=place.required_with or "",
            description=_joined(node.description or plain.description, place.context),
            schema=(None if isinstance(node, Union) else self._own_schema(node)) or schema_of(plain),
            item_kind=None if item is None else _kind(item),
            candidates=_candidates(plain, nullable),
            item_candidates=() if item is None else _candidates(item, False),
            has_default=node.has_default or plain.has_default,
            dialect=self._dialect,
        )

    def _key(self, node: Text, place: _Place) -> Field:
        """The field of the name of an entry."""
        return Field(
            name=place.name, pointer=place.pointer, kind=Kind.STRING, required=place.required,
            required_with=place.required_with or "", description=_joined("name of the entry", place.context),
            schema=schema_of(node),
        )  # fmt: skip

    def _own_schema(self, node: Node) -> dict[str, Any] | None:
        """The subschema as it stands, where it says all by itself."""
        found: Any = self._parameters
        for token in node.pointer.split("/")[1:]:
            token = token.replace("~1", "/").replace("~0", "~")
            found = found[int(token)] if isinstance(found, list) else found.get(token)
            if not isinstance(found, (dict, list)):
                return None
        alone = isinstance(found, dict) and not _APPLICATORS & found.keys() and isinstance(found.get("type", ""), str)
        return found if alone else None


def schema_of(node: Node) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of a field's node."""
    said = {"description": node.description} if node.description else {}
    if isinstance(node, Choice):
        return {**said, "enum": list(node.values)}
    if isinstance(node, Text):
        bounds = {"minLength": node.min_length or None, "maxLength": node.max_length}
        bounds["format"] = next(iter(node.formats), None)  # type: ignore[assignment]
        patterns = [{"pattern": pattern} for pattern in node.patterns]
        refused = [{"pattern": pattern} for pattern in node.excluded_patterns]
        refused += [{"const": value} for value in node.excluded_values]
        more = {"pattern": node.patterns[0]} if len(patterns) == 1 else {"allOf": patterns} if patterns else {}
        return {**said, "type": "string", **_given(bounds), **more, **({"not": {"anyOf": refused}} if refused else {})}
    if isinstance(node, Number):
        low = "exclusiveMinimum" if node.exclusive_minimum else "minimum"
        high = "exclusiveMaximum" if node.exclusive_maximum else "maximum"
        steps = [{"multipleOf": _json_number(step)} for step in node.multiples_of]
        limits = {low: _json_number(node.minimum), high: _json_number(node.maximum)}
        return {
            **said, "type": "integer" if node.integer else "number", **_given(limits),
            **({"allOf": steps} if steps else {}),
        }  # fmt: skip
    assert isinstance(node, Array) and node.items is not None
    counts = {"minItems": node.min_items or None, "maxItems": node.max_items, "uniqueItems": node.unique or None}
    return {**said, "type": "array", "items": schema_of(node.items.node), **_given(counts)}


def _inside(place: _Place, name: str, token: str, required: bool) -> _Place:
    """The place of a child: what is required of an optional parent goes with it."""
    required = required and not place.one_of_several
    parent = place.required_with or ("" if place.required else place.pointer)
    return _Place(
        name, f"{place.pointer}/{token}", place.required and required, parent if required else None,
        place.depth - 1, place.context,
    )  # fmt: skip


def _joined(first: str, second: str) -> str:
    return f"{first}; {second}" if first and second else first or second


def _is_null(node: Node) -> bool:
    return isinstance(node, Choice) and node.values == (None,)


def _without_null(node: Node) -> tuple[Node, bool]:
    """The node without the branch that is null, where one other is left or all others are scalars: the first then."""
    if not isinstance(node, Union):
        return node, False
    others = [branch.node for branch in node.branches if not _is_null(branch.node)]
    nullable = len(others) < len(node.branches)
    listed = [other for other in others if isinstance(other, Choice)]
    if listed and len(listed) == len(others):
        return replace(listed[0], values=tuple(value for other in listed for value in other.values)), nullable
    if len(others) == 1 or _kind(others[0]) is not None:
        return others[0], nullable
    return node, nullable


def _kind(node: Node) -> Kind | None:
    match node:
        case Choice():
            return Kind.BOOLEAN if set(map(repr, node.values)) == {"True", "False"} else Kind.ENUM
        case Text():
            return Kind.STRING
        case Number():
            return Kind.INTEGER if node.integer else Kind.NUMBER
    return None


def _items(node: Node) -> Node | None:
    """The node of the items of a list of scalars."""
    if not isinstance(node, Array) or node.prefix or node.items is None:
        return None
    item, _ = _without_null(node.items.node)
    return item if _kind(item) is not None else None


def _candidates(node: Node, nullable: bool) -> tuple[Any, ...]:
    if not isinstance(node, Choice):
        return ()
    if _kind(node) is Kind.BOOLEAN:
        return (True, False)
    return (*node.values, None) if nullable and None not in node.values else node.values


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json_number(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)


def _check_valid(parameters: dict[str, Any], dialect: str, where: str) -> None:
    try:
        text = json.dumps(parameters, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is not JSON: {error}") from error
    if problem := _meta_problem(text, dialect):
        message, pointer = problem
        raise SchemaError(f"{where} is not a valid JSON Schema: {message}", pointer)


@lru_cache(maxsize=16384)
def _meta_problem(text: str, dialect: str) -> tuple[str, str] | None:
    """Why the schema breaks its meta-schema, and where. Cached: training reads the same tools many times."""
    checker = validator_class(dialect)
    error = best_match(checker(checker.META_SCHEMA).iter_errors(json.loads(text)))
    if error is None:
        return None
    return error.message, "".join(f"/{escape_pointer(str(part))}" for part in error.absolute_path)


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), type(value).__name__)
