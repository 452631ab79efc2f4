"""Walks a node by decisions: from scores to the structure of a value, and the slots that are left to be filled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from jaxdiff.errors import ScaffoldBug
from jaxdiff.schema.fields import escape_pointer
from jaxdiff.schema.normal.nodes import Array, Choice, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.objects import required_names
from jaxdiff.schema.scaffold.budget import Budget, SlotKind
from jaxdiff.schema.scaffold.decider import Asked, Decider, Question, checked_scores
from jaxdiff.schema.scaffold.feasibility import Feasibility
from jaxdiff.schema.scaffold.language import language_of, least_bytes, most_bytes
from jaxdiff.schema.scaffold.members import filled_up, joined
from jaxdiff.schema.scaffold.texts import json_key
from jaxdiff.schema.scaffold.tree import Branched, Chosen, Decided, Keyed, Listed, Place, Spot, TextSlot, Tree


class Walk:
    """One walk. `decisions` and `slots` are those that were met, in the order of the value.

    strict: only nodes are entered whose checks can be met. forced: place and kind of a decision -> the option that it
    must take, where it has it. known: scores of earlier walks, so that a decider is asked once.
    """

    def __init__(
        self,
        feasibility: Feasibility,
        decider: Decider,
        budget: Budget,
        *,
        strict: bool = True,
        forced: Mapping[Place, Any] | None = None,
        known: dict[Place, tuple[Question, tuple[float, ...]]] | None = None,
    ):
        self.decisions: list[Decided] = []
        self.slots: list[TextSlot] = []
        self._feasibility = feasibility
        self._decider = decider
        self._budget = budget
        self._strict = strict
        self._forced = forced or {}
        self._known = {} if known is None else known

    def visit(self, spot: Spot) -> Tree:
        """The tree of a node that can be completed."""
        node = spot.node
        if isinstance(node, Choice):
            keep = self._choose(Question(Asked.CANDIDATE, spot.path, node, node.values), spot.place)
            return Chosen(spot, node, node.values[keep])
        if isinstance(node, (Text, Number)):
            kind = SlotKind.TEXT if isinstance(node, Text) else SlotKind.INTEGER if node.integer else SlotKind.NUMBER
            return self._slot(spot, node, kind)
        if isinstance(node, Union):
            return self._union(spot, node)
        if isinstance(node, Array):
            return self._array(spot, node)
        assert isinstance(node, Object), f"no value of {node} can be made"
        return self._object(spot, node)

    @property
    def _full(self) -> bool:
        return len(self.slots) >= self._budget.slots

    def _slot(self, spot: Spot, node: Text | Number, kind: SlotKind) -> TextSlot:
        language = language_of(node)
        tokens = self._budget.slot_tokens(kind, least_bytes(language), most_bytes(language))
        slot = TextSlot(spot, node, kind, language, tokens)
        self.slots.append(slot)
        return slot

    def _union(self, spot: Spot, node: Union) -> Tree:
        branches = [self._feasibility.node(branch) for branch in node.branches]
        depth = self._feasibility.enough(node, spot.depth, self._strict)
        if self._full:
            depth = self._feasibility.least_depth(node, self._strict) or 0
        fitting = [i for i, branch in enumerate(branches) if self._feasibility.fits(branch, depth, self._strict)]
        question = Question(Asked.BRANCH, spot.path, node, tuple(branches[i] for i in fitting))
        chosen = fitting[self._choose(question, spot.place)]
        inner = Spot(branches[chosen], spot.path, (*spot.place, ("branch", chosen)), depth)
        return Branched(spot, node, self.visit(inner))

    def _array(self, spot: Spot, node: Array) -> Tree:
        depth = self._feasibility.enough(node, spot.depth, self._strict)
        counts = [node.min_items]
        while len(counts) <= self._budget.items and not self._full and self._may_grow(node, counts[-1], depth):
            counts.append(counts[-1] + 1)
        question = Question(Asked.ITEMS, spot.path, node, tuple(counts))
        count = counts[self._choose(question, spot.place)]
        items = []
        for index in range(count):
            child = self._feasibility.item(node, index)
            assert child is not None
            items.append(self.visit(Spot(child, f"{spot.path}/{index}", (*spot.place, index), depth - 1)))
        return Listed(spot, node, tuple(items))

    def _may_grow(self, node: Array, count: int, depth: int) -> bool:
        if count >= max(self._budget.items, node.min_items) or (node.max_items is not None and count >= node.max_items):
            return False
        child = self._feasibility.item(node, count)
        if child is None or not self._fits_below(child, depth):
            return False
        # So many items can differ.
        return not (node.unique and isinstance(child, Choice) and count >= len(node.prefix) + len(child.values))

    def _fits_below(self, child: Node, depth: int) -> bool:
        return depth > 0 and self._feasibility.fits(child, depth - 1, self._strict)

    def _object(self, spot: Spot, node: Object) -> Tree:
        depth = self._feasibility.enough(node, spot.depth, self._strict)
        present = self._present(spot, node, depth)
        properties = []
        for entry in node.properties:
            if entry.name in present:
                child = self._feasibility.node(entry.value)
                path = f"{spot.path}/{escape_pointer(entry.name)}"
                properties.append((entry.name, self.visit(Spot(child, path, (*spot.place, entry.name), depth - 1))))
        entries: list[tuple[TextSlot, Tree]] = []
        for group, count in zip(node.entries, self._entry_counts(spot, node, len(present), depth), strict=True):
            for _ in range(count):
                child = self._feasibility.node(group.value)
                number = len(entries)
                key_place, place = (*spot.place, ("key", number)), (*spot.place, ("value", number))
                key = self._slot(Spot(group.key, f"{spot.path}/~key{number}", key_place, 0), group.key, SlotKind.KEY)
                value = self.visit(Spot(child, f"{spot.path}/~value{number}", place, depth - 1))
                entries.append((key, value))
        return Keyed(spot, node, tuple(properties), tuple(entries))

    def _present(self, spot: Spot, node: Object, depth: int) -> frozenset[str]:
        """Names of the properties that the object has."""
        possible = self._feasibility.possible(node, depth, self._strict)
        required = present = required_names(node)
        wanted: dict[str, float] = {}
        for entry in () if self._full else node.properties:
            if entry.name in present or (more := joined(node, present, entry.name, possible)) is None:
                continue
            question = Question(Asked.PRESENCE, spot.path, node, (False, True), name=entry.name)
            if self._choose(question, spot.place):
                present = more
            wanted[entry.name] = self._margin(question, spot.place)
        order = sorted(node.properties, key=lambda entry: -wanted.get(entry.name, 0.0))
        entries = partial(self._feasibility.spare_names, node, depth, self._strict)
        for start in (present, required):
            if (found := filled_up(node, start, order, possible, entries)) is not None:
                return found
        raise ScaffoldBug(f"the object at {node.pointer or '/'} of the schema cannot be completed")

    def _entry_counts(self, spot: Spot, node: Object, properties: int, depth: int) -> list[int]:
        """How many entries of each group there are."""
        usable = self._feasibility.usable_groups(node, depth, self._strict)
        missing = max(0, node.min_properties - properties)
        room = None if node.max_properties is None else node.max_properties - properties
        most = max(self._budget.entries, missing)
        keys: set[str] = set()
        free = []
        for group in node.entries:
            # Names that two groups share are counted once.
            names = set(self._feasibility.spare_keys(node, group, most)) - keys if group in usable else set()
            keys |= names
            free.append(len(names))
        counts = []
        for number in range(len(node.entries)):
            least = max(0, missing - sum(free[number + 1 :]))
            limit = least if self._full else max(least, min(self._budget.entries, free[number]))
            if room is not None:
                limit = min(limit, room)
            question = Question(
                Asked.ENTRIES, spot.path, node, tuple(range(least, max(least, limit) + 1)), group=number
            )
            count = question.options[self._choose(question, spot.place)]
            counts.append(count)
            missing = max(0, missing - count)
            room = None if room is None else room - count
        return counts

    def _choose(self, question: Question, place: Place) -> int:
        """The number of the option that is taken."""
        if len(question.options) == 1:
            return 0
        key = decision_key(question, place)
        scores = self._scores(key, question)
        chosen = max(range(len(scores)), key=lambda i: (scores[i], -i))
        if key in self._forced:
            forced = json_key(self._forced[key]) if question.asked is not Asked.BRANCH else self._forced[key]
            for i, option in enumerate(question.options):
                if (option is forced) if question.asked is Asked.BRANCH else json_key(option) == forced:
                    chosen = i
        self.decisions.append(Decided(question, place, scores, chosen))
        return chosen

    def _scores(self, key: Place, question: Question) -> tuple[float, ...]:
        known = self._known.get(key)
        if known is None or known[0].options != question.options:
            known = self._known[key] = (question, checked_scores(self._decider, question))
        return known[1]

    def _margin(self, question: Question, place: Place) -> float:
        absent, there = self._scores(decision_key(question, place), question)
        return there - absent if there != absent else 0.0


def decision_key(question: Question, place: Place) -> Place:
    """What tells a decision from all others of a walk."""
    return (*place, ("?", question.asked, question.name, question.group))
