"""The decisions and texts that make a given value: what a head learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxdiff.schema.languages.numbers import number_text
from jaxdiff.schema.normal.nodes import Number, Object
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.decider import Asked, Question
from jaxdiff.schema.scaffold.lookup import NOTHING, Lookup
from jaxdiff.schema.scaffold.merge import Scaffold, merge
from jaxdiff.schema.scaffold.plan import Walk
from jaxdiff.schema.scaffold.prepare import Prepared
from jaxdiff.schema.scaffold.represent import Reader, Tokens
from jaxdiff.schema.scaffold.texts import json_key
from jaxdiff.schema.scaffold.tree import Spot, TextSlot, Tree


@dataclass(frozen=True)
class Followed:
    """A scaffold whose decisions are those of a value, and the texts of its slots by path."""

    scaffold: Scaffold
    texts: dict[str, str]


def follow(prepared: Prepared, value: Any, budget: Budget | None, encode: Tokens) -> Followed | None:
    """The scaffold and the texts that merge to a value without a repair; None where there are none within the budget.

    encode: text -> token ids of a slot. Values are compared as JSON has it: 1 is 1.0, the order of names is free.
    """
    budget = budget or Budget()
    reader = Reader(prepared.feasibility, budget, encode)
    if not reader.represents(prepared.node, value):
        return None
    teacher = _Teacher(reader, value)
    walk = _TaughtWalk(teacher, prepared, budget)
    tree = walk.visit(Spot(prepared.node, "", (), budget.depth))
    scaffold = Scaffold(prepared, teacher, budget, tree, tuple(walk.slots), tuple(walk.decisions), {})
    texts = {slot.path: teacher.text(slot) for slot in scaffold.slots if teacher.value.at(slot.path) is not NOTHING}
    if len(texts) < len(scaffold.slots):
        return None
    merged = merge(scaffold, texts)
    if merged.repairs or json_key(merged.value) != json_key(value):
        return None
    return Followed(scaffold, texts)


class _Teacher:
    """Scores the options that a value takes above all others.

    value: what was given, with the free names of the objects that were entered.
    """

    def __init__(self, reader: Reader, value: Any):
        self.value = Lookup(value)
        self._groups: dict[str, list[list[str]]] = {}
        self._reader = reader

    def enter(self, spot: Spot) -> None:
        """Takes note of the free names of the object at a spot."""
        value, path = self.value.at(spot.path, None), spot.path
        if isinstance(spot.node, Object) and isinstance(value, dict):
            self._groups[path] = self._reader.grouped(spot.node, value, spot.depth)
            self.value.add_names(path, [name for group in self._groups[path] for name in group])

    def scores(self, question: Question) -> Sequence[float]:
        """As a decider."""
        value: Any = self.value.at(question.path, None)
        options = question.options
        if question.asked is Asked.BRANCH:
            depth = self._reader.depth - question.path.count("/")
            counts = [self._reader.slots(option, value, depth) for option in options]
            return [-math.inf if count is None else -float(count) for count in counts]
        wanted: Any = value
        if question.asked is Asked.PRESENCE:
            wanted = question.name in value
        elif question.asked is Asked.ITEMS:
            wanted = len(value)
        elif question.asked is Asked.ENTRIES:
            wanted = len(self._groups[question.path][question.group])
        return [float(json_key(option) == json_key(wanted)) for option in options]

    def text(self, slot: TextSlot) -> str:
        """What stands in a slot."""
        value = self.value.at(slot.path)
        return number_text(value) if isinstance(slot.node, Number) else str(value)


class _TaughtWalk(Walk):
    """A walk that tells the teacher where it is."""

    def __init__(self, teacher: _Teacher, prepared: Prepared, budget: Budget):
        super().__init__(prepared.feasibility, teacher, budget)
        self._teacher = teacher

    def visit(self, spot: Spot) -> Tree:
        """See `Walk.visit`."""
        self._teacher.enter(spot)
        return super().visit(spot)
