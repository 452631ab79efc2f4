"""What a node is as a field: its kind, its candidates, the kind of its items, and a JSON Schema of its own.

And of entries of a map: whether they ask for fields, and what they may hold without one.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from jaxdiff.schema.fields import Kind
from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.nodes import Array, Choice, Entries, Node, Number, Object, Text, Union


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
    item = items_of(node)
    assert isinstance(node, Array) and item is not None
    counts = {"minItems": node.min_items or None, "maxItems": node.max_items, "uniqueItems": node.unique or None}
    return {**said, "type": "array", "items": schema_of(item), **_given(counts)}


def is_null(node: Node) -> bool:
    """Whether null is the node's only value."""
    return isinstance(node, Choice) and node.values == (None,)


def without_null(node: Node) -> tuple[Node, bool]:
    """The node without the branch that is null, where one other is left or all others are scalars: the first then."""
    if not isinstance(node, Union):
        return node, False
    others = [branch.node for branch in node.branches if not is_null(branch.node)]
    if not others:
        return node.branches[0].node, False
    nullable = len(others) < len(node.branches)
    listed = [other for other in others if isinstance(other, Choice)]
    if listed and len(listed) == len(others):
        return replace(listed[0], values=tuple(value for other in listed for value in other.values)), nullable
    if len(others) == 1 or kind_of(others[0]) is not None:
        return others[0], nullable
    return node, nullable


def other_kinds(node: Node) -> list[Node]:
    """The branches beside the one that `without_null` takes of scalars: other scalars, and lists of scalars.

    None are given where the schema says nothing of types: a text serves then.
    """
    plain, _ = without_null(node)
    if not isinstance(node, Union) or kind_of(plain) is None or is_untyped(node):
        return []
    others = [branch.node for branch in node.branches if branch.node != plain and not is_null(branch.node)]
    if isinstance(plain, Choice) and all(isinstance(other, Choice) for other in others):
        return []
    return [other for other in others if kind_of(other) is not None or items_of(other) is not None]


def is_untyped(node: Node) -> bool:
    """Whether the node is that of a schema which says nothing of types."""
    branches = [branch.node for branch in node.branches] if isinstance(node, Union) else []
    return {type(branch) for branch in branches} >= {Text, Number, Choice, Array, Object}


def kind_of(node: Node) -> Kind | None:
    """What a slot of the node holds, None where the node is no scalar."""
    match node:
        case Choice():
            return Kind.BOOLEAN if set(map(repr, node.values)) == {"True", "False"} else Kind.ENUM
        case Text():
            return Kind.STRING
        case Number():
            return Kind.INTEGER if node.integer else Kind.NUMBER
    return None


def items_of(node: Node) -> Node | None:
    """The node of the items of a list of scalars."""
    if not isinstance(node, Array) or node.prefix or node.items is None:
        return None
    item, _ = without_null(node.items.node)
    return item if kind_of(item) is not None else None


def candidates_of(node: Node, nullable: bool) -> tuple[Any, ...]:
    """The listed values of a node, null among them where it may be null; () where none are listed."""
    if not isinstance(node, Choice):
        return ()
    if kind_of(node) is Kind.BOOLEAN:
        return (True, False)
    return (*node.values, None) if nullable and None not in node.values else node.values


def says_something(entries: Entries) -> bool:
    """Whether the schema says what entries of a map are called, or what they hold."""
    key = entries.key
    named = key.patterns or key.formats or key.min_length or key.max_length is not None
    # What nothing is said of has no place in the schema.
    return bool(named or entries.value.node.pointer)


def empty_values(node: Node) -> list[Any]:
    """What a node may be where it holds nothing."""
    nothing: tuple[Any, ...] = (None, {}, [])
    return [value for value in nothing if contains(node, value)]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json_number(value: Fraction | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value.denominator == 1 else float(value)
