"""Between the arguments of a call and the values of its fields: flat by name, or nested as the schema has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from jaxdiff.schema.fields import Field, escape_pointer

_KEY, _VALUE = "~key", "~value"


def flat_values(fields: Sequence[Field], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of each field that the arguments have."""
    return {name: value for name, (_, value) in placed_values(fields, arguments).items()}


def placed_values(fields: Sequence[Field], arguments: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Name -> JSON pointer and value of each field that the arguments have; names of entries point at their values."""
    return {field.name: found for field in fields if (found := _look(arguments, field.pointer)) is not None}


def value_at(arguments: Mapping[str, Any], pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901). Raises KeyError where there is nothing."""
    found = _look(arguments, pointer)
    if found is None:
        raise KeyError(pointer)
    return found[1]


def nested(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments from values by name, keys in the order of the fields; items of lists close up."""
    root: dict[str, Any] = {}
    for field in fields:
        if field.name in values:
            place: dict[str, Any] = root
            *outer, last = field.pointer.split("/")[1:]
            for token in outer:
                place = place.setdefault(token, {})
            place[last] = values[field.name]
    return {_unescaped(token): _settled(value) for token, value in root.items()}


def with_required(fields: Sequence[Field], names: Collection[str]) -> frozenset[str]:
    """The names, and those that an optional value requires once one of them is in it."""
    found = frozenset(names)
    pointers = {field.pointer for field in fields if field.name in found}
    while more := {
        field
        for field in fields
        if field.required_with
        and field.name not in found
        and any(pointer.startswith(f"{field.required_with}/") for pointer in pointers)
    }:
        found |= {field.name for field in more}
        pointers |= {field.pointer for field in more}
    return found


def _settled(value: Any) -> Any:
    """What was collected by token, as JSON: numbers name items of lists, `~keyN` and `~valueN` entries of maps."""
    if not isinstance(value, dict) or not value:
        return value
    if all(token.isdecimal() for token in value):
        return [_settled(value[token]) for token in sorted(value, key=int)]
    pairs = {token.removeprefix(_KEY) for token in value if token.startswith(_KEY)}
    entries = {
        str(value[_KEY + number]): _settled(value[_VALUE + number])
        for number in sorted(pairs)
        if _VALUE + number in value
    }
    plain = {_unescaped(token): _settled(part) for token, part in value.items() if not token.startswith((_KEY, _VALUE))}
    return plain | entries


def _look(value: Any, pointer: str) -> tuple[str, Any] | None:
    """Where in a value the place of a field's pointer is, as a JSON pointer, and what stands there."""
    path = ""
    for token in pointer.split("/")[1:]:
        if isinstance(value, list):
            if not token.isdecimal() or int(token) >= len(value):
                return None
            path, value = f"{path}/{token}", value[int(token)]
            continue
        if not isinstance(value, dict):
            return None
        kind = next((kind for kind in (_KEY, _VALUE) if token.startswith(kind)), None)
        name: str | None = _unescaped(token)
        if kind is not None:
            name = next(islice(value, int(token.removeprefix(kind)), None), None)
        if name is None or name not in value:
            return None
        path += f"/{escape_pointer(name)}"
        value = name if kind == _KEY else value[name]
    return path, value


def _unescaped(token: str) -> str:
    return token.replace("~1", "/").replace("~0", "~")
