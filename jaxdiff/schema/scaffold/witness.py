"""Finds one valid value of a node, by a bounded search that always ends the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxdiff.schema.normal.nodes import Node
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.decider import Asked, Question
from jaxdiff.schema.scaffold.feasibility import Feasibility
from jaxdiff.schema.scaffold.fill import Filler, NoValue
from jaxdiff.schema.scaffold.represent import represent
from jaxdiff.schema.scaffold.search import Forced, Tries, search
from jaxdiff.schema.scaffold.tree import Spot, Tree

# Values that are tried of the least kind, and of the fullest.
LEAST_TRIES, FULL_TRIES = 120, 60
# Nodes with checks inside of each other that are looked into.
DEEPEST_SEARCH = 3
# No slot is written here: what a witness holds is bounded by what its schema demands, and by these.
_BUDGET = Budget(depth=4, items=2, entries=1, slots=128)


class Least:
    """Decides for as little as may be: what is absent, the first branch, the fewest items."""

    def scores(self, question: Question) -> Sequence[float]:
        """The first option of each question."""
        return [0.0] * len(question.options)


class Fullest:
    """Decides for all properties and one item or entry more than need be."""

    def scores(self, question: Question) -> Sequence[float]:
        """The second option of all questions but of branches and candidates."""
        first = question.asked in (Asked.BRANCH, Asked.CANDIDATE)
        return [float(i == (0 if first else 1)) for i in range(len(question.options))]


class WitnessSearch:
    """Finds witnesses of the nodes of one schema, each once."""

    def __init__(self) -> None:
        self.feasibility = Feasibility(lambda node: self.find(node)[0])
        self._found: dict[int, tuple[Node, bool, Any]] = {}
        self._searching: list[int] = []

    def find(self, node: Node) -> tuple[bool, Any]:
        """(True, a valid value of the node), or (False, None) where the search finds none."""
        with self.feasibility.lock:
            return self._find(node)

    def _find(self, node: Node) -> tuple[bool, Any]:
        known = self._found.get(id(node))
        if known is not None:
            return known[1], known[2]
        if id(node) in self._searching or len(self._searching) >= DEEPEST_SEARCH:
            return False, None
        self._searching.append(id(node))
        try:
            found, value = self._search(node)
        finally:
            self._searching.pop()
        # Inside another search not everything was looked at.
        if found or not self._searching:
            self._found[id(node)] = (node, found, value)
        return found, value

    def _search(self, node: Node) -> tuple[bool, Any]:
        # A default need not have the format that the schema names.
        if node.has_default and represent(self.feasibility, node, node.default, None, str.encode):
            return True, node.default
        depth = self.feasibility.least_depth(node, strict=False)
        if depth is None:
            return False, None
        for decider, tries in ((Least(), LEAST_TRIES), (Fullest(), FULL_TRIES)):
            spot = Spot(node, "", (), max(depth, 1) if isinstance(decider, Least) else depth + 2)
            left = Tries(tries)

            def attempt(tree: Tree, forced: Forced, decider: Least | Fullest = decider) -> tuple[bool, Any]:
                filler = Filler(
                    self.feasibility, self, decider, _BUDGET, {}, mend=False, strict=False, forced=forced
                )  # fmt: skip
                try:
                    value = filler.unchecked(tree)
                except NoValue:
                    return False, None
                return filler.passes(node, value), value

            found, value = search(self.feasibility, decider, _BUDGET, spot, attempt, left, strict=False)
            if found:
                return True, value
        return False, None
