"""Looks for another value of a node where the first choice does not pass its checks: nearest decisions first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.decider import Asked, Decider, Question, score_loss
from jaxdiff.schema.scaffold.feasibility import Feasibility
from jaxdiff.schema.scaffold.plan import Walk, decision_key
from jaxdiff.schema.scaffold.tree import Decided, Place, Spot, TextSlot, Tree

# Options of one decision, and other texts of one slot, that are tried.
ALTERNATIVES = 6
TEXTS = 8
# A change costs this much besides what it loses in score: few changes come before many.
CHANGE, TEXT_CHANGE = 1.0, 2.0
# A value with so many slots and decisions counts as one more try, so that the time of a search is bounded.
LARGE = 16

Forced = Mapping[Place, Any]


@dataclass
class Tries:
    """How many values may still be tried; large ones count more."""

    left: int
    known: dict[Place, tuple[Question, tuple[float, ...]]] = field(default_factory=dict)


def search(
    feasibility: Feasibility,
    decider: Decider,
    budget: Budget,
    spot: Spot,
    attempt: Callable[[Tree, Forced], tuple[bool, Any]],
    tries: Tries,
    *,
    strict: bool = True,
) -> tuple[bool, Any]:
    """(True, the first value that the attempt accepts), or (False, None) when the tries are used up.

    attempt: (tree, forced options) -> (accepted, value). Trees come in order of what they lose against the best scores.
    """
    counter = itertools.count()
    waiting: list[tuple[float, int, dict[Place, Any]]] = [(0.0, next(counter), {})]
    seen: set[frozenset[Place]] = set()
    while waiting and tries.left > 0:
        loss, _, forced = heapq.heappop(waiting)
        walk = Walk(feasibility, decider, budget, strict=strict, forced=forced, known=tries.known)
        tree = walk.visit(spot)
        tries.left -= 1 + (len(walk.slots) + len(walk.decisions)) // LARGE
        accepted, value = attempt(tree, forced)
        if accepted:
            return True, value
        changes = [*_other_options(walk.decisions, forced), *_other_texts(walk.slots, forced)]
        for cost, key, number, option in changes[: 4 * max(tries.left, 0)]:
            mark = frozenset([*((k, _mark(v)) for k, v in forced.items()), (key, number)])
            if mark not in seen:
                seen.add(mark)
                heapq.heappush(waiting, (loss + cost, next(counter), {**forced, key: option}))
    return False, None


def text_key(slot: TextSlot) -> Place:
    """Where a forced text of a slot is kept: the number of a spare text."""
    return (*slot.spot.place, ("?", "text"))


def _mark(option: Any) -> Any:
    return option if isinstance(option, (int, str)) else id(option)


def _other_options(decisions: list[Decided], forced: Forced) -> Iterator[tuple[float, Place, Any, Any]]:
    for decided in decisions:
        key = decision_key(decided.question, decided.place)
        if key in forced:
            continue
        order = sorted(range(len(decided.scores)), key=lambda i: (-decided.scores[i], i))
        others = [i for i in order if i != decided.chosen][:ALTERNATIVES]
        if decided.question.asked is Asked.ITEMS:
            # Of numbers of items the nearest tell most.
            others.sort(key=lambda i: abs(i - decided.chosen))
        for i in others:
            option = decided.question.options[i]
            yield CHANGE + score_loss(decided.scores, i), key, _mark(option), option


def _other_texts(slots: list[TextSlot], forced: Forced) -> Iterator[tuple[float, Place, Any, Any]]:
    for slot in slots:
        key = text_key(slot)
        if key not in forced:
            for number in range(1, TEXTS + 1):
                yield TEXT_CHANGE + number, key, number, number
