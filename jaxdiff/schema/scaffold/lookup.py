"""What a value has at the paths of a walk: pointers, but that the free names of an object go by their numbers."""

from __future__ import annotations

from typing import Any

from jaxdiff.schema.fields import unescape_pointer

KEY, VALUE = "~key", "~value"
NOTHING = object()
"""Stands where a value has nothing."""


class Lookup:
    """A value, and of its objects the free names in the order in which the walk asks for them."""

    def __init__(self, value: Any):
        self._value = value
        self._names: dict[str, list[str]] = {}

    def add_names(self, path: str, names: list[str]) -> None:
        """Further free names of the object at a path."""
        self._names.setdefault(path, []).extend(names)

    def at(self, path: str, missing: Any = NOTHING) -> Any:
        """What stands at a path, the name itself for that of an entry; `missing` where there is none."""
        value, above = self._value, ""
        for token in path.split("/")[1:]:
            if token.startswith((KEY, VALUE)):
                kind = KEY if token.startswith(KEY) else VALUE
                names, number = self._names.get(above, []), int(token.removeprefix(kind))
                if number >= len(names):
                    return missing
                value = names[number] if kind == KEY else value[names[number]]
            elif isinstance(value, list):
                if not token.isdecimal() or int(token) >= len(value):
                    return missing
                value = value[int(token)]
            else:
                name = unescape_pointer(token)
                if not isinstance(value, dict) or name not in value:
                    return missing
                value = value[name]
            above += f"/{token}"
        return value
