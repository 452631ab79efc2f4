"""Plans a value by decisions, and merges the texts of its slots into typed JSON that is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import InputError, ScaffoldBug
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.decider import Decider, Question
from jaxdiff.schema.scaffold.fill import TRIES, Filler, NoValue, Repair
from jaxdiff.schema.scaffold.plan import Walk
from jaxdiff.schema.scaffold.prepare import Prepared
from jaxdiff.schema.scaffold.search import Tries
from jaxdiff.schema.scaffold.tree import Decided, Place, Spot, TextSlot, Tree


@dataclass(frozen=True, eq=False)
class Scaffold:
    """The structure of one value. slots: to be filled, in the order of the value; decisions: in the same order."""

    prepared: Prepared
    decider: Decider
    budget: Budget
    tree: Tree
    slots: tuple[TextSlot, ...]
    decisions: tuple[Decided, ...]
    known: dict[Place, tuple[Question, tuple[float, ...]]]


@dataclass(frozen=True)
class Merged:
    """A valid value, and what had to be changed for it."""

    value: Any
    repairs: tuple[Repair, ...]


def plan(prepared: Prepared, decider: Decider, budget: Budget | None = None) -> Scaffold:
    """The scaffold that the decider's scores make of a schema: at each question the best option that can be completed.

    Raises InputError where the decider does not give one score an option.
    """
    budget = budget or Budget()
    known: dict[Place, tuple[Question, tuple[float, ...]]] = {}
    walk = Walk(prepared.feasibility, decider, budget, known=known)
    tree = walk.visit(Spot(prepared.node, "", (), budget.depth))
    return Scaffold(prepared, decider, budget, tree, tuple(walk.slots), tuple(walk.decisions), known)


def merge(scaffold: Scaffold, texts: Mapping[str, str]) -> Merged:
    """The value of a scaffold with its slots filled. It validates against the schema whatever the texts are.

    texts: path of a slot -> its raw text; a slot that has none gets a text of its language. Keys stand in schema order,
    entries with free names behind. Integers are exact. Raises InputError for a path that no slot has, ScaffoldBug where
    the value is not valid after all.
    """
    paths = {slot.path for slot in scaffold.slots}
    if unknown := [path for path in texts if path not in paths]:
        raise InputError(f"no slot has the path {unknown[0]!r}")
    prepared = scaffold.prepared
    filler = Filler(
        prepared.feasibility, prepared.witnesses, scaffold.decider, scaffold.budget, texts,
        tries=Tries(TRIES, scaffold.known),
    )  # fmt: skip
    try:
        value = filler.value(scaffold.tree)
    except NoValue as failure:
        filler.repairs.append(Repair("", f"{failure}; a value known to be valid was taken"))
        value = prepared.witness()
    if problem := prepared.problem(value):
        raise ScaffoldBug(f"a merged value is not valid: {problem}")
    return Merged(value, tuple(filler.repairs))
