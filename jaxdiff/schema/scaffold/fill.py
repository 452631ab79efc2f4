"""Fills a tree with texts. What does not pass is repaired, so that every value is valid; each repair is reported."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jaxdiff.schema.normal.nodes import Node, Object
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.decider import Decider
from jaxdiff.schema.scaffold.feasibility import Feasibility, needs_witness
from jaxdiff.schema.scaffold.search import Forced, Tries, search, text_key
from jaxdiff.schema.scaffold.texts import json_key, read_text, spare_texts
from jaxdiff.schema.scaffold.tree import Branched, Chosen, Keyed, Listed, Spot, TextSlot, Tree

# Values that are tried for one node, and all repairs of a value together.
TRIES_A_NODE, TRIES = 48, 160


class Witnesses(Protocol):
    """Knows a valid value of each node that has checks."""

    def find(self, node: Node) -> tuple[bool, Any]:
        """(True, a valid value), or (False, None)."""
        ...


@dataclass(frozen=True)
class Repair:
    """What was changed so that the value is valid. path: JSON pointer of the value, as slots have it."""

    path: str
    reason: str


class NoValue(Exception):
    """A tree has no valid value with the texts at hand; a node around it has to change."""


class Filler:
    """Makes values of trees.

    texts: path -> text. mend: whether a node that does not pass is searched for another value, or has its witness at
    once. missing: whether a slot without a text is reported.
    """

    def __init__(
        self,
        feasibility: Feasibility,
        witnesses: Witnesses,
        decider: Decider,
        budget: Budget,
        texts: Mapping[str, str],
        *,
        mend: bool = True,
        strict: bool = True,
        forced: Forced | None = None,
        tries: Tries | None = None,
    ):
        self.repairs: list[Repair] = []
        self._feasibility = feasibility
        self._witnesses = witnesses
        self._decider = decider
        self._budget = budget
        self._texts = texts
        self._mend = mend
        self._strict = strict
        self._forced = forced or {}
        self._tries = Tries(TRIES) if tries is None else tries

    def value(self, tree: Tree) -> Any:
        """The value of a tree. Raises NoValue where the tree's node has no checks to be repaired by."""
        try:
            value = self.unchecked(tree)
            reason = "" if self.passes(tree.spot.node, value) else "it does not pass what the schema demands besides"
        except NoValue as failure:
            reason, value = str(failure), None
        if not reason:
            return value
        return self._repaired(tree.spot, reason)

    @staticmethod
    def passes(node: Node, value: Any) -> bool:
        """Whether a value passes the checks of a node."""
        return all(check.is_valid(value) for check in node.checks)

    def _repaired(self, spot: Spot, reason: str) -> Any:
        if not needs_witness(spot.node):
            raise NoValue(reason)
        if self._mend and self._tries.left > 0:
            found, value = self.another(spot, set())
            if found:
                self.repairs.append(Repair(spot.path, f"{reason}; other decisions were taken"))
                return value
        found, value = self._witnesses.find(spot.node)
        if not found:
            raise NoValue(reason)
        self.repairs.append(Repair(spot.path, f"{reason}; a value known to be valid was taken"))
        return copy.deepcopy(value)

    def another(self, spot: Spot, taken: set[Any]) -> tuple[bool, Any]:
        """(True, the nearest valid value that is not taken), or (False, None)."""

        def attempt(tree: Tree, forced: Forced) -> tuple[bool, Any]:
            inner = Filler(
                self._feasibility, self._witnesses, self._decider, self._budget, self._texts,
                mend=False, strict=self._strict, forced=forced, tries=self._tries,
            )  # fmt: skip
            try:
                value = inner.unchecked(tree)
            except NoValue:
                return False, None
            return self.passes(tree.spot.node, value) and (not taken or json_key(value) not in taken), value

        allowed = max(0, min(TRIES_A_NODE, self._tries.left))
        tries = Tries(allowed, self._tries.known)
        found = search(self._feasibility, self._decider, self._budget, spot, attempt, tries, strict=self._strict)
        self._tries.left -= allowed - tries.left
        return found

    def unchecked(self, tree: Tree) -> Any:
        """The value of a tree whose own node is not asked whether it passes. Raises NoValue."""
        if isinstance(tree, Chosen):
            return copy.deepcopy(tree.value)
        if isinstance(tree, TextSlot):
            return read_text(tree.node, tree.language, self._text(tree))
        if isinstance(tree, Branched):
            return self.value(tree.branch)
        if isinstance(tree, Listed):
            return self._list(tree)
        return self._object(tree)

    def _text(self, slot: TextSlot) -> str:
        """The text of a slot, or another that its language accepts."""
        given = self._texts.get(slot.path)
        if given is not None and read_text(slot.node, slot.language, given) is None:
            if not self._forced.get(text_key(slot)):
                self.repairs.append(Repair(slot.path, f"{given[:80]!r} is not a text of the slot; another was taken"))
            given = None
        number = self._forced.get(text_key(slot), 0)
        if not number and given is not None:
            return given
        fitting = (
            text
            for text in spare_texts(slot.node, slot.language, given)
            if read_text(slot.node, slot.language, text) is not None
        )
        text = next(itertools.islice(fitting, max(0, number - (given is not None)), None), None)
        if text is None:
            raise NoValue("no text is at hand that its slot accepts")
        return text

    def _list(self, tree: Listed) -> list[Any]:
        if not tree.node.unique:
            return [self.value(item) for item in tree.items]
        made: list[Any] = []
        taken: set[Any] = set()
        spare = len(tree.items) - tree.node.min_items
        for index, item in enumerate(tree.items):
            value = self.value(item)
            if json_key(value) in taken:
                found, value = self._different(item, taken)
                if not found:
                    # An item that has a place of its own cannot be left out alone: all behind it go too.
                    left_out = len(tree.items) - index if index < len(tree.node.prefix) else 1
                    spare -= left_out
                    if spare < 0:
                        raise NoValue("its items cannot be made to differ")
                    self.repairs.append(Repair(item.spot.path, "an item that was there already is left out"))
                    if left_out > 1:
                        return made
                    continue
                self.repairs.append(Repair(item.spot.path, "an item that was there already is replaced"))
            taken.add(json_key(value))
            made.append(value)
        return made

    def _different(self, item: Tree, taken: set[Any]) -> tuple[bool, Any]:
        if isinstance(item, TextSlot) and not item.spot.node.checks:
            for text in spare_texts(item.node, item.language, self._texts.get(item.path), len(taken)):
                value = read_text(item.node, item.language, text)
                if value is not None and json_key(value) not in taken:
                    return True, value
            return False, None
        if isinstance(item, Chosen) and not item.spot.node.checks:
            return next(((True, value) for value in item.node.values if json_key(value) not in taken), (False, None))
        return self.another(item.spot, taken) if self._tries.left > 0 else (False, None)

    def _object(self, tree: Keyed) -> dict[str, Any]:
        made = {name: self.value(value) for name, value in tree.properties}
        spare = len(tree.properties) + len(tree.entries) - tree.node.min_properties
        for slot, value in tree.entries:
            given = self._text(slot)
            name = self._name(tree.node, slot, given, made)
            if name is None:
                if spare <= 0:
                    raise NoValue("its names cannot be made to differ")
                self.repairs.append(Repair(slot.path, f"{given[:80]!r} cannot be a name here, the entry is left out"))
                spare -= 1
                continue
            if name != given:
                self.repairs.append(Repair(slot.path, f"{given[:80]!r} cannot be a name here, another was taken"))
            made[name] = self.value(value)
        return made

    def _name(self, node: Object, slot: TextSlot, given: str, made: Mapping[str, Any]) -> str | None:
        """The given name of an entry, or another that may stand beside what is made; None where none is at hand."""
        taken = {entry.name for entry in node.properties} | made.keys()
        needs = dict(node.requires)
        others = spare_texts(slot.node, slot.language, given, len(taken))
        for name in itertools.chain([given], others):
            free = name not in taken and made.keys() >= set(needs.get(name, ()))
            if free and read_text(slot.node, slot.language, name) is not None and self.passes(slot.node, name):
                return name
        return None
