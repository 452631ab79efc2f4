"""An expression as a nondeterministic automaton (Thompson's construction) with conditions on its silent edges."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import code_points as cp
from jaxdiff.schema.languages.syntax import (
    Boundary,
    Chars,
    Choice,
    End,
    Expression,
    Look,
    Repeat,
    Sequence,
    Start,
)

MAX_STATES = 20_000
# No slot holds more repeats than this, so a larger upper limit may be cut: what is left is a subset.
MOST_REPEATS = 1024

Condition: TypeAlias = Literal["start", "end"] | int | None


@dataclass
class Nfa:
    """States are numbers; `first` and `last` are where a match begins and ends.

    silent: for each state (target, condition: the text starts or ends here, the number of a look that must hold, or
    None). moves: for each state (number of its set, target). sets: sets of characters. looks: looks by number.
    """

    silent: list[list[tuple[int, Condition]]] = field(default_factory=list)
    moves: list[list[tuple[int, int]]] = field(default_factory=list)
    sets: list[cp.Ranges] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    first: int = 0
    last: int = 0


def agreed(node: Expression, outer: bool = False) -> Expression:
    """An expression for texts that match in both dialects, of which each `Chars` is now what `both` says.

    With `outer` it is one for texts that match in any dialect, as under a negation.
    """
    match node:
        case Chars():
            return Chars(node.either if outer else node.both)
        case Sequence():
            return Sequence(tuple(agreed(part, outer) for part in node.parts))
        case Choice():
            return Choice(tuple(agreed(option, outer) for option in node.options))
        case Repeat():
            return Repeat(agreed(node.body, outer), node.least, node.most)
        case Look():
            return Look(agreed(node.body, outer is not node.negative), node.ahead, node.negative)
        case End() if outer:  # Python's `$` also matches before a line end that closes the text.
            line_end = Chars(cp.of("\n"))
            return Choice((node, Look(Sequence((line_end, node)), ahead=True, negative=False)))
        case Boundary():
            return _word_looks()
    return node


def _word_looks() -> Expression:
    """A place where a word starts or ends, in terms of what stands before and behind."""
    word = Chars(cp.ASCII_WORD)
    sides = [(True, False), (False, True)]  # Whether no character of a word stands before, and behind.
    return Choice(tuple(Sequence((Look(word, False, before), Look(word, True, behind))) for before, behind in sides))


class Builder:
    """Builds the `Nfa` of an agreed expression. Raises UnsupportedLanguage beyond `MAX_STATES`."""

    def __init__(self, name: str):
        self.name, self.nfa = name, Nfa()
        self._set_numbers: dict[cp.Ranges, int] = {}
        self._look_numbers: dict[Look, int] = {}

    def build(self, expression: Expression) -> Nfa:
        """The automaton of the expression."""
        self.nfa.first = self._state()
        self.nfa.last = self._silent(self._add(expression, self.nfa.first))
        return self.nfa

    def _state(self) -> int:
        if len(self.nfa.moves) >= MAX_STATES:
            raise UnsupportedLanguage(self.name, f"needs more than {MAX_STATES} states")
        self.nfa.silent.append([])
        self.nfa.moves.append([])
        return len(self.nfa.moves) - 1

    def _silent(self, source: int, condition: Condition = None, target: int | None = None) -> int:
        target = self._state() if target is None else target
        self.nfa.silent[source].append((target, condition))
        return target

    def _add(self, node: Expression, source: int) -> int:
        """Adds what leads from `source` through `node`; returns where it comes out."""
        match node:
            case Chars():
                target = self._state()
                number = self._set_numbers.setdefault(node.both, len(self._set_numbers))
                if number == len(self.nfa.sets):
                    self.nfa.sets.append(node.both)
                self.nfa.moves[source].append((number, target))
                return target
            case Sequence():
                for part in node.parts:
                    source = self._add(part, source)
                return source
            case Choice():
                end = self._state()
                for option in node.options:
                    self._silent(self._add(option, source), None, end)
                return end
            case Repeat():
                return self._repeat(node, source)
            case Look():
                number = self._look_numbers.setdefault(node, len(self._look_numbers))
                if number == len(self.nfa.looks):
                    self.nfa.looks.append(node)
                return self._silent(source, number)
            case Start():
                return self._silent(source, "start")
            case End():
                return self._silent(source, "end")
        raise TypeError(f"{node!r} is of one dialect only; see `agreed`")

    def _repeat(self, node: Repeat, source: int) -> int:
        for _ in range(node.least):
            source = self._add(node.body, source)
        if node.most is None:
            loop = self._silent(source)
            self._silent(self._add(node.body, loop), None, loop)
            return loop
        end = self._state()
        for _ in range(min(node.most, max(node.least, MOST_REPEATS)) - node.least):
            self._silent(source, None, end)
            source = self._add(node.body, source)
        return self._silent(source, None, end)
