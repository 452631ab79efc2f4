"""What was read for each slot -> the typed arguments of a call, valid for the tool's schema."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jsonschema.protocols import Validator

from jaxdiff.errors import FillError, InputError
from jaxdiff.schema.branches import Branches, narrowed
from jaxdiff.schema.checks import TOO_LARGE, check_value
from jaxdiff.schema.fields import Field, Kind, validator_class
from jaxdiff.schema.nearest import nearest
from jaxdiff.schema.normal.membership import equal
from jaxdiff.schema.paths import Arranged, arrange, is_entry, names_entry, placed_values, value_at
from jaxdiff.schema.scaffold.prepare import prepare
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import ValueNotUnderstood, parse_value


@dataclass(frozen=True)
class MergeResult:
    """The arguments in schema order, and what became of other values, with the reason.

    dropped: by name, values that were read but are not valid, or cannot be there beside or without others.
    repaired: by JSON pointer, what had to be changed or added so that the whole is valid. places: by name, the JSON
    pointer of each value that was read and is there: items of lists close up, so its name may have another number.
    """

    arguments: dict[str, Any]
    dropped: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def merge(tool: Tool, texts: Mapping[str, Any], branches: Branches | None = None) -> MergeResult:
    """Typed JSON arguments from what was read for each field: a string is words to parse, other values are typed.

    branches: those that are taken of unions, where that was decided.

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
    for entry in narrowed(tool.fields, branches or {}):
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
    arranged = _arranged(tool.fields, values, dropped)
    try:
        valid = _whole_validator(tool).is_valid(arranged.arguments)
    except OverflowError:
        _drop_too_large(tool.fields, values, dropped)
        arranged = _arranged(tool.fields, values, dropped)
        valid = _whole_validator(tool).is_valid(arranged.arguments)
    if valid:
        return MergeResult(arranged.arguments, dropped, places=arranged.places)
    found = nearest(prepare(tool.parameters), arranged.arguments, branches)
    keys = {entry.name for entry in tool.fields if names_entry(entry)}
    places: dict[str, str] = {}
    for name, place in arranged.places.items():
        if _stands_there(found.value, place, *([] if name in keys else [values[name]])):
            places[name] = place
        else:
            dropped[name] = "it cannot stand beside the other values"
    # Null where a property was not read says so itself; an entry or item that was put in does not.
    empty = _null_properties(tool.fields, found.value) - set(arranged.places.values())
    repaired = {repair.path: repair.reason for repair in found.repairs if repair.path not in empty}
    return MergeResult(found.value, dropped, repaired, places)


def _arranged(fields: Sequence[Field], values: dict[str, Any], dropped: dict[str, str]) -> Arranged:
    """The values that can stand together, arranged; the others are dropped."""
    while True:
        _drop_incomplete(fields, values, dropped)
        arranged = arrange(fields, values)
        if not arranged.left_out:
            return arranged
        for name, reason in arranged.left_out.items():
            del values[name]
            dropped[name] = reason


def _drop_too_large(fields: Sequence[Field], values: dict[str, Any], dropped: dict[str, str]) -> None:
    """Removes integers that no float holds: validators divide by a float for `multipleOf`."""
    for entry in fields:
        if _too_large(values.get(entry.name)):
            if entry.required:
                raise FillError(entry.name, str(values[entry.name]), TOO_LARGE)
            del values[entry.name]
            dropped[entry.name] = TOO_LARGE


def _too_large(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_too_large, value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


def _null_properties(fields: Sequence[Field], whole: Any) -> set[str]:
    """JSON pointers of the declared properties that are null in the whole."""
    properties = [entry for entry in fields if not is_entry(entry)]
    found = {place for place, value in placed_values(properties, whole).values() if value is None}
    above = {entry.pointer.rpartition("/")[0] for entry in properties}
    return found | {place for place in above if place and _stands_there(whole, place, None)}


def _stands_there(whole: Any, place: str, *value: Any) -> bool:
    """Whether the value, or any where none is given, stands at a JSON pointer of the whole."""
    try:
        there = value_at(whole, place)
    except KeyError:
        return False
    return not value or equal(there, value[0])


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


def _typed(value: Any, field: Field) -> Any:
    """Integral floats of integer fields are written as integers, exactly."""
    kind = field.item_kind if field.kind is Kind.ARRAY else field.kind
    if kind is Kind.INTEGER:
        if isinstance(value, list):
            return [int(item) if isinstance(item, float) and item.is_integer() else item for item in value]
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return value


@lru_cache(maxsize=4096)
def _whole_validator(tool: Tool) -> Validator:
    return validator_class(tool.parameters.get("$schema", ""))(tool.parameters)
