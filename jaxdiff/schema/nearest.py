"""The valid value that is nearest to one that may not be: the scaffold's decisions follow it as far as they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jaxdiff.schema.branches import Branches
from jaxdiff.schema.fields import escape_pointer
from jaxdiff.schema.languages.numbers import number_text
from jaxdiff.schema.normal.membership import contains, equal
from jaxdiff.schema.normal.nodes import Array, Choice, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.objects import with_needed
from jaxdiff.schema.scaffold.decider import Asked, Question
from jaxdiff.schema.scaffold.fill import Repair
from jaxdiff.schema.scaffold.lookup import KEY, NOTHING, VALUE, Lookup
from jaxdiff.schema.scaffold.merge import Merged, merge, plan
from jaxdiff.schema.scaffold.prepare import Prepared
from jaxdiff.schema.scaffold.tree import TextSlot

# A branch that was decided on counts more than likeness, and less than that the draft is a value of another.
_TAKEN = 1.99


def nearest(prepared: Prepared, draft: Any, branches: Branches | None = None) -> Merged:
    """A valid value with what the draft has where the schema allows it, and what had to be changed.

    branches: those to take of unions where the draft, as it is, is of no other.
    Repairs are at JSON pointers (RFC 6901) of the value.
    """
    decider = _Follower(draft, branches or {})
    scaffold = plan(prepared, decider)
    texts = {slot.path: text for slot in scaffold.slots if (text := decider.text(slot)) is not None}
    merged = merge(scaffold, texts)
    # Of slots of free names, the value itself tells what has changed.
    repairs = [repair for repair in merged.repairs if f"/{KEY}" not in repair.path and f"/{VALUE}" not in repair.path]
    told = {repair.path for repair in repairs}
    repairs += [repair for repair in _changes(draft, merged.value, "") if repair.path not in told]
    return Merged(merged.value, tuple(repairs))


def _changes(draft: Any, value: Any, path: str) -> Iterator[Repair]:
    """What the value has, and the draft has not or has otherwise."""
    if isinstance(value, dict) and isinstance(draft, dict):
        for name, part in value.items():
            yield from _changes(draft.get(name, NOTHING), part, f"{path}/{escape_pointer(name)}")
    elif isinstance(value, list) and isinstance(draft, list):
        for number, part in enumerate(value):
            yield from _changes(draft[number] if number < len(draft) else NOTHING, part, f"{path}/{number}")
    elif draft is NOTHING:
        yield Repair(path, "nothing was read for it")
    elif not equal(draft, value):
        yield Repair(path, "what was read for it is not valid there")


class _Follower:
    """Scores highest what a draft has. As a decider, it is asked of a place before what is inside of it."""

    def __init__(self, draft: Any, branches: Branches):
        self._draft, self._branches = Lookup(draft), branches

    def scores(self, question: Question) -> Sequence[float]:
        """See `Decider`."""
        value = self._draft.at(question.path, None)
        options: Sequence[Any] = question.options
        if question.asked is Asked.BRANCH:
            taken = self._taken(question)
            return [max(_closeness(option, value), _TAKEN * any(option is one for one in taken)) for option in options]
        if question.asked is Asked.PRESENCE:
            # All that the schema wants beside the property must be there too.
            needed = (
                with_needed(question.node, [question.name]) if isinstance(question.node, Object) else {question.name}
            )
            there = isinstance(value, dict) and needed <= value.keys()
            return [float(option == there) for option in options]
        if question.asked is Asked.ITEMS:
            count = len(value) if isinstance(value, list) else 0
            return [-abs(option - count) for option in options]
        if question.asked is Asked.ENTRIES:
            count = len(self._names(question, value))
            return [-abs(option - count) for option in options]
        return [float(equal(option, value)) for option in options]

    def text(self, slot: TextSlot) -> str | None:
        """What the draft has for a slot, None where it has nothing of the kind."""
        value = self._draft.at(slot.path, None)
        if isinstance(slot.node, Number):
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number_text(value) if is_number else None
        return value if isinstance(value, str) else None

    def _taken(self, question: Question) -> list[Node]:
        """The branches that may be taken of a union, none where that is open."""
        branches = question.node.branches if isinstance(question.node, Union) else ()
        numbers = self._branches.get(question.path, ())
        return [branch.node for number, branch in enumerate(branches) if number in numbers]

    def _names(self, question: Question, value: Any) -> list[str]:
        """Names of a draft's object that the schema does not declare, and that entries of the group may have."""
        node = question.node
        assert isinstance(node, Object)
        declared, key = {entry.name for entry in node.properties}, node.entries[question.group].key
        names = list(value) if isinstance(value, dict) else []
        free = [name for name in names if name not in declared and contains(key, name)]
        self._draft.add_names(question.path, free)
        return free


def _closeness(node: Node, value: Any) -> float:
    """How well a branch suits a draft: it holds it, or is of its kind with as many names in common as can be."""
    if contains(node, value):
        return 2.0
    if isinstance(node, Object) and isinstance(value, dict):
        declared = {entry.name for entry in node.properties}
        return 1 + len(declared & value.keys()) / (1 + len(declared | value.keys()))
    same = (
        (isinstance(node, Array) and isinstance(value, list))
        or (isinstance(node, Text) and isinstance(value, str))
        or (isinstance(node, Number) and isinstance(value, (int, float)) and not isinstance(value, bool))
    )
    if isinstance(node, Choice) and value is None:
        return float(None in node.values)
    return float(same)
