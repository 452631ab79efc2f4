"""What was read for each slot -> the typed arguments of a call, valid for the tool's schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from jaxdiff.errors import FillError, InputError
from jaxdiff.schema.fields import Field, Kind, validator_class
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import ValueNotUnderstood, parse_value


@dataclass(frozen=True)
class MergeResult:
    """The arguments in schema order, and for each optional value that was left out the reason."""

    arguments: dict[str, Any]
    dropped: dict[str, str] = field(default_factory=dict)


def merge(tool: Tool, texts: Mapping[str, Any]) -> MergeResult:
    """Typed JSON arguments from what was read for each field: a string is words to parse, other values are typed.

    The result validates against the tool's schema. No value is bent to fit: an optional one that is not valid is left
    out and reported. Raises FillError where a required one is missing or not valid, InputError for unknown fields.
    """
    known = {entry.name for entry in tool.fields}
    if unknown := [name for name in texts if name not in known]:
        raise InputError(f"tool {tool.name!r} has no field {unknown[0]!r}")
    arguments: dict[str, Any] = {}
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
            arguments[entry.name] = value
        elif entry.required:
            raise FillError(entry.name, str(given), reason)
        else:
            dropped[entry.name] = reason
    problem = best_match(_whole_validator(tool).iter_errors(arguments))
    if problem is not None:
        name = str(problem.absolute_path[0]) if problem.absolute_path else tool.name
        raise FillError(name, str(texts.get(name, "")), problem.message)
    return MergeResult(arguments, dropped)


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
