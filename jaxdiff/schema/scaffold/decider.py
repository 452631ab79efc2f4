"""Who decides about the structure of a value, and how scores become decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from jaxdiff.errors import InputError
from jaxdiff.schema.normal.nodes import Node


class Asked(StrEnum):
    """What is decided, and what the options of the question are."""

    BRANCH = "branch"  # nodes
    PRESENCE = "presence"  # False: the property is absent; True: it has a value
    ITEMS = "items"  # numbers of items
    ENTRIES = "entries"  # numbers of entries whose names are free
    CANDIDATE = "candidate"  # JSON values


@dataclass(frozen=True)
class Question:
    """One decision to be made: only options that can be completed to a valid value, two or more.

    path: JSON pointer of the value that is decided on. name: of the property whose presence is asked. group: which of
    an object's groups of free names.
    """

    asked: Asked
    path: str
    node: Node
    options: tuple[Any, ...]
    name: str = ""
    group: int = 0


class Decider(Protocol):
    """Gives scores for structural decisions."""

    def scores(self, question: Question) -> Sequence[float]:
        """One score an option; the highest wins, the first of equals. NaN is the lowest."""
        ...


def checked_scores(decider: Decider, question: Question) -> tuple[float, ...]:
    """The decider's scores, NaN read as minus infinity. Raises InputError where it does not give one an option."""
    scores = tuple(-math.inf if math.isnan(score) else float(score) for score in decider.scores(question))
    if len(scores) != len(question.options):
        raise InputError(
            f"{len(scores)} scores for {len(question.options)} options of {question.asked} at {question.path or '/'}"
        )
    return scores


def score_loss(scores: Sequence[float], option: int) -> float:
    """How much the option's score lies below the best: 0 or more, finite."""
    best = max(scores)
    if scores[option] == best:
        return 0.0
    return min(best - scores[option], 1e9)
