"""Between the arguments of a call and the values of its fields: flat by name, or nested as the schema has them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

from jaxdiff.schema.fields import Field, Kind, escape_pointer, unescape_pointer
from jaxdiff.schema.scaffold.lookup import KEY, VALUE

_ITEM = "~item"
# A field's name, or what is below, by token.
_Part: TypeAlias = "str | dict[str, _Part]"


@dataclass
class Arranged:
    """Arguments made of the values of fields.

    places: name of a field -> JSON pointer of its value; names of entries point at their values. left_out: name of a
    field -> why its value is not there.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def flat_values(fields: Sequence[Field], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of each field that the arguments have."""
    return {name: value for name, (_, value) in placed_values(fields, arguments).items()}


def placed_values(fields: Sequence[Field], arguments: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    """Name -> JSON pointer and value of each field that the arguments have; names of entries point at their values."""
    return {
        field.name: found
        for field in fields
        if (found := _look(arguments, field.pointer)) is not None and _may_hold(field, found[1])
    }


def value_at(arguments: Mapping[str, Any], pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901). Raises KeyError where there is nothing."""
    found = _look(arguments, pointer)
    if found is None:
        raise KeyError(pointer)
    return found[1]


def nested(fields: Sequence[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments from values by name, keys in the order of the fields; items of lists close up."""
    return arrange(fields, values).arguments


def arrange(fields: Sequence[Field], values: Mapping[str, Any]) -> Arranged:
    """As `nested`, with where each value came to stand, and which have no place: an entry lacks its name or its value,
    two have the same name, or a field before has the place already (branches of a union)."""
    made = Arranged()
    root: dict[str, _Part] = {}
    for entry in fields:
        if entry.name in values and (reason := _put(root, entry)) is not None:
            made.left_out[entry.name] = reason
    empty = {entry.name: entry.empty_values for entry in fields if names_entry(entry)}
    made.arguments = _Settling(values, empty, made).settled_object(root, "")
    return made


def _put(place: dict[str, _Part], entry: Field) -> str | None:
    """Puts a field's name where its pointer says, or says why it cannot be there."""
    *outer, last = entry.pointer.split("/")[1:]
    for token in outer:
        if _holds_other_kind(place, token):
            return "a list and an object have the same place"
        inside = place.setdefault(token, {})
        if isinstance(inside, str):
            return f"{inside!r} has the place already"
        place = inside
    if last in place or _holds_other_kind(place, last):
        return "what is inside of it has the place already"
    place[last] = entry.name
    return None


def _holds_other_kind(place: dict[str, _Part], token: str) -> bool:
    return bool(place) and next(iter(place)).startswith(_ITEM) != token.startswith(_ITEM)


def names_entry(field: Field) -> bool:
    """Whether the field is the name of an entry of a map."""
    return field.pointer.rpartition("/")[2].startswith(KEY)


def is_entry(field: Field) -> bool:
    """Whether the field is the name or the value of an entry of a map."""
    return field.pointer.rpartition("/")[2].startswith((KEY, VALUE))


def with_required(fields: Sequence[Field], names: Collection[str]) -> frozenset[str]:
    """The names, and those that an optional value requires once one of them is in it.

    An entry of a map is in its value too: its key is required with any part of the value, and with the key what the
    value requires.
    """
    found = frozenset(names)
    pointers = {field.pointer for field in fields if field.name in found}
    while more := {field for field in fields if field.name not in found and _is_required_by(field, pointers)}:
        found |= {field.name for field in more}
        pointers |= {field.pointer for field in more}
    return found


def _is_required_by(field: Field, pointers: Collection[str]) -> bool:
    above, _, last = field.pointer.rpartition("/")
    if last.startswith(KEY):
        value = f"{above}/{VALUE}{last.removeprefix(KEY)}"
        if any(pointer == value or pointer.startswith(f"{value}/") for pointer in pointers):
            return True
    whole = field.pointer if last.startswith(VALUE) else field.required_with
    outer, _, token = whole.rpartition("/")
    if token.startswith(VALUE) and f"{outer}/{KEY}{token.removeprefix(VALUE)}" in pointers:
        return True
    inside = f"{field.required_with}/"
    return bool(field.required_with) and any(pointer.startswith(inside) for pointer in pointers)


@dataclass
class _Settling:
    """Makes JSON of what was collected by token. empty: by the name of an entry's key, see `Field.empty_values`."""

    values: Mapping[str, Any]
    empty: Mapping[str, tuple[Any, ...]]
    made: Arranged

    def settled(self, part: _Part, path: str) -> Any:
        """The value of a part; path: where it stands."""
        if isinstance(part, str):
            self.made.places[part] = path
            return self.values[part]
        if part and next(iter(part)).startswith(_ITEM):
            order = sorted(part, key=lambda token: int(token.removeprefix(_ITEM)))
            return [self.settled(part[token], f"{path}/{place}") for place, token in enumerate(order)]
        return self.settled_object(part, path)

    def settled_object(self, part: Mapping[str, _Part], path: str) -> dict[str, Any]:
        """The value of a part that has names."""
        found: dict[str, Any] = {}
        for token, inside in part.items():
            if not token.startswith((KEY, VALUE)):
                name = unescape_pointer(token)
                found[name] = self.settled(inside, f"{path}/{escape_pointer(name)}")
        for number in sorted(
            {token.removeprefix(KEY).removeprefix(VALUE) for token in part if token.startswith((KEY, VALUE))}
        ):
            self._settle_entry(part.get(KEY + number), part.get(VALUE + number), path, found)
        return found

    def _settle_entry(self, key: _Part | None, value: _Part | None, path: str, found: dict[str, Any]) -> None:
        """Adds an entry of a map to what was found; key: a field."""
        reason = "the entry has no name"
        if isinstance(key, str):
            name, empty = str(self.values[key]), self.empty[key] if value is None else ()
            place = f"{path}/{escape_pointer(name)}"
            if name in found:
                reason = f"there is another entry {name!r}"
            elif value is None and not empty:
                reason = "the entry has no value"
            else:
                self.made.places[key] = place
                found[name] = deepcopy(empty[0]) if value is None else self.settled(value, place)
                return
        self.made.left_out |= {given: reason for half in (key, value) if half is not None for given in _names(half)}


def _names(part: _Part) -> Iterator[str]:
    """The fields of a part."""
    if isinstance(part, str):
        yield part
    else:
        for inside in part.values():
            yield from _names(inside)


def _look(value: Any, pointer: str) -> tuple[str, Any] | None:
    """Where in a value the place of a field's pointer is, as a JSON pointer, and what stands there."""
    path = ""
    for token in pointer.split("/")[1:]:
        if isinstance(value, list):
            number = token.removeprefix(_ITEM)
            if not _is_index(number) or int(number) >= len(value):
                return None
            path, value = f"{path}/{number}", value[int(number)]
            continue
        if not isinstance(value, dict) or token.startswith(_ITEM):
            return None
        kind = next((kind for kind in (KEY, VALUE) if token.startswith(kind)), None)
        name: str | None = unescape_pointer(token)
        if kind is not None:
            name = next(islice(value, int(token.removeprefix(kind)), None), None)
        if name is None or name not in value:
            return None
        path += f"/{escape_pointer(name)}"
        value = name if kind == KEY else value[name]
    return path, value


def _may_hold(field: Field, value: Any) -> bool:
    """False for what other fields stand for: the objects and lists that branches beside the field's have."""
    if isinstance(value, list) and field.kind is Kind.ARRAY:
        return all(not isinstance(item, (dict, list)) or item in field.item_candidates for item in value)
    return not isinstance(value, (dict, list)) or value in field.candidates


def _is_index(token: str) -> bool:
    return token.isascii() and token.isdecimal()
