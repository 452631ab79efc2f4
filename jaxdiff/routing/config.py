"""Sizes of the router."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import ConfigError


@dataclass(frozen=True)
class RouterConfig:
    """Widths of what is read (see `jaxdiff.routing.features`), and of the networks.

    token_states: joined states of a token. end_states: joined states at the end of a text. hidden_state: the base's
    hidden size. lexical: number of lexical scores of a tool. width: of the compared vectors of whole texts;
    token_width: of tokens. hidden: of the networks for modes and boundaries. dropout: of inputs while training.
    """

    token_states: int
    end_states: int
    hidden_state: int
    lexical: int = 4
    width: int = 96
    token_width: int = 64
    hidden: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if name == "dropout":
                if not isinstance(value, int | float) or not 0 <= value < 1:
                    raise ConfigError(f"{name}={value!r} must be in [0, 1)")
            elif not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name}={value!r} must be an integer > 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RouterConfig:
        """Inverse of `to_dict`. Raises ConfigError for unknown or missing keys."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"not a router configuration: {error}") from error

    @classmethod
    def tiny(cls, **changes: Any) -> RouterConfig:
        """A few hundred parameters, for tests."""
        values: dict[str, Any] = dict(
            token_states=6, end_states=8, hidden_state=4, width=5, token_width=3, hidden=7, lexical=4
        )
        return cls(**(values | changes))
