"""What a plan is made of: slots whose texts are still to come, and the decided structure that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.normal.nodes import Array, Choice, Node, Number, Object, Text, Union
from jaxdiff.schema.scaffold.budget import SlotKind
from jaxdiff.schema.scaffold.decider import Question

# The way to a node: property names, item indices and branches. Unlike a JSON pointer it tells branches apart.
Place: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Spot:
    """Where in a value a node stands. path: JSON pointer; depth: levels of containers that may still be opened."""

    node: Node
    path: str
    place: Place
    depth: int


@dataclass(frozen=True)
class TextSlot:
    """A text to be filled in: of a string, of a number or of the name of an entry.

    path: JSON pointer of the value in the result; under an entry, whose name is not known yet, `~value0` stands for
    the name and `~key0` is the path of the name itself (no JSON pointer has such a part). language: the texts that are
    valid, None where all are. tokens: size of the slot.
    """

    spot: Spot
    node: Text | Number
    kind: SlotKind
    language: Dfa | None
    tokens: int

    @property
    def path(self) -> str:
        """JSON pointer of the value."""
        return self.spot.path


@dataclass(frozen=True)
class Decided:
    """A decision that was made: its question, one score an option, and the place of the chosen option."""

    question: Question
    place: Place
    scores: tuple[float, ...]
    chosen: int


@dataclass(frozen=True)
class Chosen:
    """A whole JSON value."""

    spot: Spot
    node: Choice
    value: Any


@dataclass(frozen=True)
class Branched:
    """The chosen branch of a union."""

    spot: Spot
    node: Union
    branch: Tree


@dataclass(frozen=True)
class Listed:
    """An array with so many items."""

    spot: Spot
    node: Array
    items: tuple[Tree, ...]


@dataclass(frozen=True)
class Keyed:
    """An object: present properties in schema order, then entries whose names are slots."""

    spot: Spot
    node: Object
    properties: tuple[tuple[str, Tree], ...]
    entries: tuple[tuple[TextSlot, Tree], ...]


Tree: TypeAlias = Chosen | TextSlot | Branched | Listed | Keyed
