"""Branches of unions, by what the frozen base decided of each field alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from jaxdiff.agent.asked import Present
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.frozen_values import Decision
from jaxdiff.schema.branches import (
    Branches,
    Presence,
    allowed_candidates,
    decide_branches,
    narrowed,
    told_odds,
)
from jaxdiff.schema.fields import Field
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class Settled:
    """What the branches leave of decisions.

    names: the fields that the call has. decisions: of those of them that had a value. branches: those that are taken.
    """

    names: frozenset[str]
    decisions: dict[str, Decision]
    branches: Branches

    @property
    def complete(self) -> bool:
        """Whether every field of the call has a value."""
        return self.names == self.decisions.keys()

    def filling(self, query: str, by: str) -> Filling:
        """The call as a fill hands it back."""
        found = {name: decision.filled(query, by) for name, decision in self.decisions.items()}
        return Filling(found, branches=self.branches)


def settle(tool: Tool, decisions: Mapping[str, Decision], present: Present) -> Settled:
    """Decides the branches. decisions: by name of the field, in schema order. present: see `fill_parallel`.

    Listed values that a branch does not allow give way to the best that it does.
    """
    whole = tool.fields
    odds = np.array([decisions[field.name].odds for field in whole]) if present is None else told_odds(whole, present)
    listed = {i: decisions[field.name].listed for i, field in enumerate(whole) if field.name in decisions}
    known = Presence.of_odds(odds, {i: logprob for i, logprob in listed.items() if logprob is not None})
    decided = decide_branches(whole, known)
    there = {
        i
        for i, field in enumerate(whole)
        if (field.name in present if present is not None else i in decided.present)
        or (not field.standings and field.name in decisions and decisions[field.name].present)
    }
    fields = narrowed(whole, decided.taken)
    kept = {
        whole[i].name: _allowed(decisions[whole[i].name], whole[i], fields[i])
        for i in sorted(there)
        if decisions[whole[i].name].present
    }
    return Settled(frozenset(whole[i].name for i in there), kept, decided.taken)


def _allowed(decision: Decision, whole: Field, narrow: Field) -> Decision:
    places = allowed_candidates(whole, narrow)
    if decision.listed is None or not places or len(places) == len(whole.candidates):
        return decision
    best = max(places, key=lambda place: float(np.asarray(decision.listed)[place]))
    return replace(decision, value=whole.candidates[best], confidence=float(np.exp(decision.listed[best])))
