"""How large a filled value may become. Training and answering both ask here, so that their canvases agree."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from jaxdiff.errors import ConfigError


class SlotKind(StrEnum):
    """What the text of a slot is read as."""

    TEXT = "text"
    KEY = "key"
    INTEGER = "integer"
    NUMBER = "number"


@dataclass(frozen=True)
class Budget:
    """Bounds on a value, and the sizes that the slots of a kind may have.

    depth: levels of arrays and objects with something in them. items, entries: of one array, and of one group of free
    names of an object. slots: of the whole; from there on only what a value must have is added. A schema that asks for
    more gets the least that it asks for. text, key, integer, number: tokens of a slot, ascending: the first, and those
    it may grow to.
    """

    depth: int = 8
    items: int = 8
    entries: int = 8
    slots: int = 256
    text: tuple[int, ...] = (24, 48, 96)
    key: tuple[int, ...] = (12, 24)
    integer: tuple[int, ...] = (12, 24)
    number: tuple[int, ...] = (16, 32)

    def __post_init__(self) -> None:
        """Raises ConfigError for a negative bound or sizes that do not grow."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, int):
                if value < 0:
                    raise ConfigError(f"Budget.{entry.name} = {value} must be >= 0")
            elif not value or value[0] < 1 or list(value) != sorted(set(value)):
                raise ConfigError(f"Budget.{entry.name} = {value} must ascend from at least 1")

    def sizes(self, kind: SlotKind) -> tuple[int, ...]:
        """Tokens that a slot of the kind may have, ascending."""
        found: tuple[int, ...] = getattr(self, kind.value)
        return found

    def slot_tokens(self, kind: SlotKind, least: int = 1, most: int | None = None) -> int:
        """Tokens of a new slot. least: tokens that its shortest text needs at most; most: what its longest needs."""
        wanted = next((size for size in self.sizes(kind) if size >= least), least)
        return max(1, wanted if most is None else min(wanted, most))

    def grown(self, kind: SlotKind, tokens: int) -> int | None:
        """The next size of a slot that is full, or None at the hard limit."""
        return next((size for size in self.sizes(kind) if size > tokens), None)
