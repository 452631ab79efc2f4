"""Sizes and switches of a head on the command line: `hidden=160,time_conditioning=false,without=mixing+competition`."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxdiff.errors import ConfigError

_BOOLEANS = {"true": True, "false": False}


def head_options(text: str, config: type[Any]) -> dict[str, Any]:
    """What `text` says of the fields of a head's configuration that have a default, by their types.

    Raises ConfigError for what is no NAME=VALUE, an unknown name, and a value of another type. Whether a value is
    possible, the configuration itself says.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    known = [name for name, value in defaults.items() if value is not dataclasses.MISSING]
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, said = part.partition("=")
        if not equals:
            raise ConfigError(f"head_config: {part!r} is not NAME=VALUE")
        if name not in known:
            raise ConfigError(f"head_config: {name!r} is unknown; known: {', '.join(known)}")
        values[name] = _value(name, said, defaults[name])
    return values


def _value(name: str, said: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple(filter(None, said.split("+")))
    if isinstance(default, str):
        return said
    try:
        if isinstance(default, bool):
            return _BOOLEANS[said.lower()]
        # A limit that is off by default is an integer.
        return float(said) if isinstance(default, float) else int(said)
    except (KeyError, ValueError):
        kind = (
            "true or false" if isinstance(default, bool) else "a number" if isinstance(default, float) else "an integer"
        )
        raise ConfigError(f"head_config: {name}={said!r} must be {kind}") from None
