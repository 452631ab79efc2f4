"""What was read for each slot -> the typed arguments of a call, valid for the tool's schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from jaxdiff.errors import FillError, InputError
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Field, Kind, validator_class
from jaxdiff.schema.nearest import nearest
from jaxdiff.schema.paths import flat_values, nested
from jaxdiff.schema.scaffold.prepare import prepare
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import ValueNotUnderstood, parse_value


@dataclass(frozen=True)
class MergeResult:
    """The arguments in schema order, and what became of other values, with the reason.

    dropped: by name, optional values that were read but are not valid, and those that cannot be there without them.
    repaired: by JSON pointer, what had to be changed or added so that the whole is valid.
    """

    arguments: dict[str, Any]
    dropped: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)


def merge(tool: Tool, texts: Mapping[str, Any]) -> MergeResult:
    """Typed JSON arguments from what was read for each field: a string is words to parse, other values are typed.

    The result validates against the tool's schema. No value is bent to fit: an optional one that is not valid is left
    out and reported. Where all values are valid and the whole is not, or parts that no field stands for are missing,
    the nearest whole that is valid is taken, and what differs reported. Raises FillError where a required value is
    missing or not valid, InputError for unknown fields.
    """
    known = {entry.name for entry in tool.fields}
    if unknown := [name for name in texts if name not in known]:
        raise InputError(f"tool {tool.name!r} has no field {unknown[0]!r}")
    values: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for entry in tool.fields:
        if entry.name not in texts:
            if entry.required:
                raise FillError(entry.name, "", "a required value is missing")
            continue
        given = texts[entry.name]
        try:
            value = parse_value(given, entry) if isinstance(given, str) else _typed(given, entry)
            reason = check_value(value, entry)
        except ValueNotUnderstood as error:
            reason = str(error)
        if reason is None:
            values[entry.name] = value
        elif entry.required:
            raise FillError(entry.name, str(given), reason)
        else:
            dropped[entry.name] = reason
    _drop_incomplete(tool.fields, values, dropped)
    arguments = nested(tool.fields, values)
    if _whole_validator(tool).is_valid(arguments):
        return MergeResult(arguments, dropped)
    found = nearest(prepare(tool.parameters), arguments)
    kept = flat_values(tool.fields, found.value)
    for name, value in values.items():
        if name not in kept or not same_value(kept[name], value):
            dropped[name] = "it cannot stand beside the other values"
    return MergeResult(found.value, dropped, {repair.path: repair.reason for repair in found.repairs})


def _drop_incomplete(fields: Sequence[Field], values: dict[str, Any], dropped: dict[str, str]) -> None:
    """Removes the values below an optional one that lacks what it requires."""
    while missing := next(
        (
            entry
            for entry in fields
            if entry.required_with
            and entry.name not in values
            and any(_below(other.pointer, entry.required_with) for other in fields if other.name in values)
        ),
        None,
    ):
        for entry in fields:
            if entry.name in values and _below(entry.pointer, missing.required_with):
                del values[entry.name]
                dropped[entry.name] = f"{missing.name!r}, which it needs, has no value"


def _below(pointer: str, above: str) -> bool:
    return pointer.startswith(f"{above}/")


def check_value(value: Any, field: Field) -> str | None:
    """Why `value` breaks the field's own schema (type, listed values, bounds, lengths), or None where it does not."""
    if not _finite(value):
        return f"{value!r} is not a JSON value"
    try:
        error = best_match(_field_validator(field).iter_errors(value))
    except OverflowError:
        return "the number is too large to be checked"
    return None if error is None else error.message


def _typed(value: Any, field: Field) -> Any:
    """Integral floats of integer fields are written as integers, exactly."""
    kind = field.item_kind if field.kind is Kind.ARRAY else field.kind
    if kind is Kind.INTEGER:
        if isinstance(value, list):
            return [int(item) if isinstance(item, float) and item.is_integer() else item for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return value


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@lru_cache(maxsize=16384)
def _field_validator(field: Field) -> Validator:
    return validator_class(field.dialect)(field.schema)


@lru_cache(maxsize=4096)
def _whole_validator(tool: Tool) -> Validator:
    return validator_class(tool.parameters.get("$schema", ""))(tool.parameters)
