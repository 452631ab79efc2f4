"""Which branch of a union a call takes: the most probable as a whole, by what is known of each field's presence.

A candidate is a branch with all that stands in it: the fields that it requires are present, those that it leaves open
as is more probable, those that it lacks absent, and a listed value is one that it allows. A union that may be absent
has one candidate more. Unions inside of a branch are decided for it alone, optional objects and lists as unions of one
branch; the best of all combinations is found by recursion, as the parts of a branch are independent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from jaxdiff.schema.alternatives import joined
from jaxdiff.schema.fields import Field, Standing, Step
from jaxdiff.schema.normal.membership import equal

# Pointer of a union that is there -> number of its branch, or of several that come to the same.
Branches: TypeAlias = Mapping[str, frozenset[int]]
# Log-odds of what is told; finite, so that of branches that contradict it one with the fewest contradictions is taken.
_CERTAIN = 1e6


@dataclass(frozen=True)
class Presence:
    """What is known of fields before their branches are decided.

    present, absent: [F] log-probability. candidates: number of a field -> [C] log-probability of its candidates.
    """

    present: Sequence[float]
    absent: Sequence[float]
    candidates: Mapping[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_odds(cls, odds: np.ndarray, candidates: Mapping[int, np.ndarray] | None = None) -> Presence:
        """odds: [F] log-odds of being present."""
        each = np.asarray(odds, np.float64)
        return cls((-np.logaddexp(0, -each)).tolist(), (-np.logaddexp(0, each)).tolist(), candidates or {})


def told_odds(fields: Sequence[Field], present: Collection[str]) -> np.ndarray:
    """[F] log-odds of fields where it is told which are present."""
    return np.array([_CERTAIN if one.name in present else -_CERTAIN for one in fields])


@dataclass(frozen=True)
class Decision:
    """score: log-probability of what is decided. present: numbers of the fields that stand in unions and are there;
    absent: of those that are not. taken: see `Branches`."""

    score: float = 0.0
    present: frozenset[int] = frozenset()
    absent: frozenset[int] = frozenset()
    taken: Branches = field(default_factory=dict)

    def beside(self, other: Decision) -> Decision:
        """Both, of fields that the other does not decide on."""
        return Decision(
            self.score + other.score, self.present | other.present, self.absent | other.absent,
            {**self.taken, **other.taken},
        )  # fmt: skip

    def amounts_to(self, other: Decision) -> bool:
        """Whether the same fields are there, as probably."""
        return self.present == other.present and math.isclose(self.score, other.score, rel_tol=1e-9, abs_tol=1e-9)


# Number of a field, the steps that are left on its way, and where it stands.
_Way: TypeAlias = tuple[int, tuple[Step, ...], Standing]


def decide_branches(fields: Sequence[Field], known: Presence) -> Decision:
    """The most probable branches, and with them which of the fields that stand in unions are present.

    Of equally probable candidates, absence is taken before all others.
    """
    unions: dict[str, list[_Way]] = {}
    for i, one in enumerate(fields):
        for standing in one.standings:
            unions.setdefault(standing.steps[0].pointer, []).append((i, standing.steps, standing))
    decider, found = _Decider(fields, known), Decision()
    for ways in unions.values():
        step, inside = ways[0][1][0], {i for i, _, _ in ways}
        around = f"{step.required_with}/"
        needed = bool(step.required_with) and any(
            one.pointer.startswith(around) and i not in inside and known.present[i] > known.absent[i]
            for i, one in enumerate(fields)
        )
        found = found.beside(decider.union(ways, step.optional and not needed))
    return found


def narrowed(fields: Sequence[Field], taken: Branches) -> tuple[Field, ...]:
    """The fields as the branches that are taken have them; the others as they are."""
    return tuple(_narrowed(one, taken) for one in fields)


def allowed_candidates(whole: Field, narrow: Field) -> list[int]:
    """The places, among a field's candidates, of those that it still has as a branch has it."""
    if narrow is whole:
        return list(range(len(whole.candidates)))
    return [
        place
        for place, value in enumerate(whole.candidates)
        if any(equal(value, allowed) for allowed in narrow.candidates)
    ]


def narrowed_candidates(logprob: np.ndarray | None, whole: Field, narrow: Field) -> np.ndarray:
    """[C] log-probability of the candidates that a field has as a branch has it, in their order.

    logprob: of those of the whole field; None where it lists none. What a branch alone lists is as probable as another
    such value.
    """
    places = [
        next((place for place, known in enumerate(whole.candidates) if equal(known, value)), None)
        for value in narrow.candidates
    ]
    alike = -math.log(len(places))
    return np.array([alike if logprob is None or place is None else float(logprob[place]) for place in places])


def _narrowed(one: Field, taken: Branches) -> Field:
    there = [
        standing.only
        for standing in one.standings
        if all(step.branch in taken.get(step.pointer, ()) for step in standing.steps)
    ]
    kept = [only for only in there if only is not None]
    if not kept or len(kept) == len(one.standings):
        return one
    # What a call is asked for stays as it is said of the whole.
    return replace(joined(kept), name=one.name, required=one.required, required_with=one.required_with)


class _Decider:
    def __init__(self, fields: Sequence[Field], known: Presence):
        self._fields, self._known = fields, known

    def union(self, ways: Sequence[_Way], may_be_absent: bool) -> Decision:
        """The best candidate of the union that all ways lead through next."""
        step = ways[0][1][0]
        everywhere = {i for i, _, _ in ways}
        options = [self._absent(everywhere)] if may_be_absent else []
        for number in range(step.count):
            inside = [(i, steps[1:], standing) for i, steps, standing in ways if steps[0].branch == number]
            lacking = self._absent(everywhere - {i for i, _, _ in inside})
            taken = Decision(taken={step.pointer: frozenset([number])})
            options.append(self._branch(inside).beside(lacking).beside(taken))
        best = max(options, key=lambda option: option.score)
        if not best.taken:
            return best
        alike = [option.taken for option in options if option.taken and option.amounts_to(best)]
        places = {pointer for taken in alike for pointer in taken}
        return replace(
            best, taken={place: frozenset().union(*(taken.get(place, ()) for taken in alike)) for place in places}
        )

    def _branch(self, ways: Sequence[_Way]) -> Decision:
        found = Decision()
        unions: dict[str, list[_Way]] = {}
        for i, steps, standing in ways:
            if steps:
                unions.setdefault(steps[0].pointer, []).append((i, steps, standing))
            else:
                found = found.beside(self._field(i, standing))
        for inside in unions.values():
            found = found.beside(self.union(inside, inside[0][1][0].optional))
        return found

    def _field(self, i: int, standing: Standing) -> Decision:
        there = Decision(self._known.present[i] + self._best_candidate(i, standing), frozenset([i]))
        if standing.required:
            return there
        return max(self._absent([i]), there, key=lambda option: option.score)

    def _best_candidate(self, i: int, standing: Standing) -> float:
        """Log-probability of the best value that a place allows; 0 where all places allow the same, or lists none."""
        if standing.only is None or i not in self._known.candidates:
            return 0.0
        allowed = allowed_candidates(self._fields[i], standing.only)
        return max((float(self._known.candidates[i][place]) for place in allowed), default=0.0)

    def _absent(self, numbers: Iterable[int]) -> Decision:
        gone = frozenset(numbers)
        return Decision(sum(self._known.absent[i] for i in sorted(gone)), absent=gone)
