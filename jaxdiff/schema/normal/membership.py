"""Whether a value is one of those that a node stands for."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from jaxdiff.schema.languages.formats import format_language
from jaxdiff.schema.languages.parsing import compiled
from jaxdiff.schema.normal.nodes import Array, Choice, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.numbers import exact


def contains(node: Node, value: Any, *, formats: bool = True) -> bool:
    """Whether the JSON value is one of the node's: structure and checks.

    formats: whether a text must have the formats that it is said to have, which a validator does not ask for.
    """
    return _in_structure(node, value, formats) and all(check.is_valid(value) for check in node.checks)


def _in_structure(node: Node, value: Any, formats: bool) -> bool:
    match node:
        case Choice():
            return any(equal(value, entry) for entry in node.values)
        case Text():
            return isinstance(value, str) and _in_text(node, value, formats)
        case Number():
            return isinstance(value, int | float) and not isinstance(value, bool) and _in_number(node, value)
        case Array():
            return isinstance(value, list) and _in_array(node, value, formats)
        case Object():
            return isinstance(value, dict) and _in_object(node, value, formats)
        case Union():
            return any(contains(branch.node, value, formats=formats) for branch in node.branches)
    return False


def equal(a: Any, b: Any) -> bool:
    """JSON equality: 1 equals 1.0 but not true, the order of names has no meaning."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(value, b[name]) for name, value in a.items())
    return bool(a == b)


def _in_text(node: Text, value: str, formats: bool) -> bool:
    return (
        node.min_length <= len(value)
        and (node.max_length is None or len(value) <= node.max_length)
        and all(compiled(pattern).search(value) for pattern in node.patterns)
        and not any(compiled(pattern).search(value) for pattern in node.excluded_patterns)
        and value not in node.excluded_values
        and (not formats or all(format_language(name).accepts(value) for name in node.formats))
    )


def _in_number(node: Number, value: float) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    number: Fraction = exact(value)
    if node.integer and (number.denominator != 1 or (isinstance(value, float) and not node.whole_floats)):
        return False
    if node.minimum is not None and (number < node.minimum or (node.exclusive_minimum and number == node.minimum)):
        return False
    if node.maximum is not None and (number > node.maximum or (node.exclusive_maximum and number == node.maximum)):
        return False
    return all((number / step).denominator == 1 for step in node.multiples_of)


def _in_array(node: Array, value: list[Any], formats: bool) -> bool:
    if len(value) < node.min_items or (node.max_items is not None and len(value) > node.max_items):
        return False
    if node.items is None and len(value) > len(node.prefix):
        return False
    if node.unique and any(equal(a, b) for i, a in enumerate(value) for b in value[:i]):
        return False
    lazies = [node.prefix[i] if i < len(node.prefix) else node.items for i in range(len(value))]
    return all(
        lazy is not None and contains(lazy.node, entry, formats=formats)
        for lazy, entry in zip(lazies, value, strict=True)
    )


def _in_object(node: Object, value: dict[str, Any], formats: bool) -> bool:
    if len(value) < node.min_properties or (node.max_properties is not None and len(value) > node.max_properties):
        return False
    declared = {entry.name: entry for entry in node.properties}
    if any(entry.required and entry.name not in value for entry in node.properties):
        return False
    if any(name in value and other not in value for name, others in node.requires for other in others):
        return False
    for name, inner in value.items():
        if name in declared:
            fits = contains(declared[name].value.node, inner, formats=formats)
        else:
            fits = any(
                contains(entry.key, name, formats=formats) and contains(entry.value.node, inner, formats=formats)
                for entry in node.entries
            )
        if not fits:
            return False
    return True
