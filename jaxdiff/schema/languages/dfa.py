"""Deterministic finite automata over characters.

Characters that move every state alike share a class, so that tables stay small whatever the alphabet.
Shapes: S states, C classes, K intervals of code points. State 0 is the first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.code_points import Ranges
from jaxdiff.schema.languages.enumeration import texts_of
from jaxdiff.schema.languages.reduction import ending_lengths, numbered_by_walk, reduced

MAX_STATES = 8192
Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Dfa:
    """A language over characters; every state can be reached and can still come to an end (but for the empty language).

    bounds: [K] int32, first code point of each interval, from 0 on. classes: [K] int32, the class of its characters.
    transitions: [S, C] int32, -1 where a character is refused. accepting: [S] bool.
    max_characters: a limit on the length of texts that the tables do not count, or None; see `counted`.
    """

    bounds: np.ndarray
    classes: np.ndarray
    transitions: np.ndarray
    accepting: np.ndarray
    max_characters: int | None = None

    @cached_property
    def _content(self) -> tuple[object, ...]:
        tables = (self.bounds, self.classes, self.transitions, self.accepting)
        return (*(table.tobytes() for table in tables), self.max_characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dfa) and self._content == other._content

    @cached_property
    def _hash(self) -> int:
        return hash(self._content)

    def __hash__(self) -> int:
        return self._hash

    def class_of(self, codes: np.ndarray) -> np.ndarray:
        """The class of each code point."""
        return self.classes[np.searchsorted(self.bounds, codes, side="right") - 1]

    def accepts(self, text: str) -> bool:
        """Whether a text is of the language. A lone surrogate is no character."""
        if self.max_characters is not None and len(text) > self.max_characters:
            return False
        state = 0
        for code, kind in zip(map(ord, text), self.class_of(np.array([*map(ord, text)], np.int64)), strict=True):
            if 0xD800 <= code <= 0xDFFF:
                return False
            state = int(self.transitions[state, kind])
            if state < 0:
                return False
        return bool(self.accepting[state])

    def is_empty(self) -> bool:
        """Whether no text at all is accepted."""
        return not self.accepting.any()

    def intersect(self, other: Dfa) -> Dfa:
        """The texts of both languages. Raises UnsupportedLanguage beyond `MAX_STATES`."""
        bounds = np.union1d(self.bounds, other.bounds)
        width = other.transitions.shape[1]
        paired = self.class_of(bounds).astype(np.int64) * width + other.class_of(bounds)
        kinds, classes = np.unique(paired, return_inverse=True)
        mine, theirs = self.transitions[:, kinds // width], other.transitions[:, kinds % width]
        many = len(other.accepting)
        number = np.full(len(self.accepting) * many, -1, np.int64)
        number[0], frontier, rows, pairs, count = 0, np.zeros(1, np.int64), [], [np.zeros(1, np.int64)], 1
        while len(frontier):
            left, right = mine[frontier // many], theirs[frontier % many]
            target = np.where((left >= 0) & (right >= 0), left.astype(np.int64) * many + right, -1)
            found = np.unique(target[target >= 0])
            frontier = found[number[found] < 0]
            number[frontier] = count + np.arange(len(frontier))
            count += len(frontier)
            if count > 4 * MAX_STATES:
                raise UnsupportedLanguage("intersection", f"needs more than {4 * MAX_STATES} states")
            rows.append(target)
            pairs.append(frontier)
        targets, states = np.concatenate(rows), np.concatenate(pairs)
        transitions = np.where(targets >= 0, number[targets], -1)
        accepting = self.accepting[states // many] & other.accepting[states % many]
        both = build(bounds, classes, transitions, accepting, "intersection")
        limits = [limit for limit in (self.max_characters, other.max_characters) if limit is not None]
        return both.at_most(min(limits)) if limits else both

    def at_most(self, characters: int) -> Dfa:
        """The texts of the language that have no more characters, counting nothing in the tables."""
        if self.max_characters is not None:
            characters = min(characters, self.max_characters)
        fewest, most = ending_lengths(self.transitions, self.accepting)
        if self.is_empty() or fewest[0] > characters:
            refused = np.full((1, 1), -1)
            return build(np.zeros(1, np.int64), np.zeros(1, np.int64), refused, np.zeros(1, bool), "nothing")
        return replace(self, max_characters=characters if most[0] < 0 or most[0] > characters else None)

    def counted(self) -> Dfa:
        """The same language with its limit on characters in the tables.

        Raises UnsupportedLanguage where that needs more than `MAX_STATES`.
        """
        if self.max_characters is None:
            return self
        if self.max_characters >= MAX_STATES:
            raise UnsupportedLanguage("length", f"{self.max_characters} characters need more than {MAX_STATES} states")
        chain = np.append(np.arange(1, self.max_characters + 1), -1)[:, None]
        one = np.zeros(1, np.int64)
        length = build(one, one, chain, np.ones(len(chain), bool), "length")
        return replace(self, max_characters=None).intersect(length)

    def complement(self) -> Dfa:
        """The texts that are not of the language."""
        if self.max_characters is not None:
            return self.counted().complement()
        states, width = self.transitions.shape
        full = np.vstack([np.where(self.transitions < 0, states, self.transitions), np.full((1, width), states)])
        return build(self.bounds, self.classes, full, np.append(~self.accepting, True), "complement")

    def after_space(self) -> Dfa:
        """The texts of the language, each with or without one blank before it that is no part of it."""
        if self.max_characters is not None:
            return self.counted().after_space()
        bounds = np.union1d(self.bounds, [32, 33])
        classes, blank = self.class_of(bounds), self.transitions.shape[1]
        first = self.transitions[0] + (self.transitions[0] >= 0)
        rows = np.vstack([first, self.transitions + (self.transitions >= 0)])
        columns = np.column_stack([rows, rows[:, classes[bounds == 32]]])
        columns[0, blank] = 1
        accepting = np.append(self.accepting[0], self.accepting)
        return build(bounds, np.where(bounds == 32, blank, classes), columns, accepting, "a blank before it")

    @cached_property
    def max_length(self) -> int | None:
        """No text has more characters; None where there is no limit. 0 for the empty language."""
        if self.is_empty():
            return 0
        most = int(ending_lengths(self.transitions, self.accepting)[1][0])
        return min((limit for limit in (self.max_characters, most) if limit is not None and limit >= 0), default=None)

    def shortest(self) -> str | None:
        """The first of the examples; None for the empty language."""
        return next(self.examples(), None)

    def examples(self) -> Iterator[str]:
        """Accepted texts, all of them in the end, shortest first; of one length letters and digits come first."""
        return texts_of(self)


def build(bounds: np.ndarray, classes: np.ndarray, transitions: np.ndarray, accepting: np.ndarray, name: str) -> Dfa:
    """The smallest automaton of these tables. `name` stands in the error of one that is too large."""
    transitions, accepting = reduced(np.asarray(transitions, np.int32), np.asarray(accepting, bool))
    if len(accepting) > MAX_STATES:
        raise UnsupportedLanguage(name, f"needs more than {MAX_STATES} states")
    _, merged = np.unique(transitions, axis=1, return_inverse=True)
    kinds = merged.reshape(-1)[classes]
    change = np.append(True, kinds[1:] != kinds[:-1])
    bounds, kinds = bounds[change], kinds[change]
    # Classes are numbered as characters first come to them, states as a walk does: equal languages have equal tables.
    _, first, place = np.unique(kinds, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)
    column = np.zeros(merged.max() + 1, np.int64)
    column[merged.reshape(-1)] = np.arange(transitions.shape[1])
    transitions = transitions[:, column[kinds[first[order]]]]
    states = numbered_by_walk(transitions)
    number = np.argsort(states)
    transitions = np.where(transitions >= 0, number[transitions], -1)[states]
    return Dfa(
        bounds.astype(np.int32),
        rank[place.reshape(-1)].astype(np.int32),
        transitions.astype(np.int32),
        accepting[states],
    )


def alphabet(sets: Sequence[Ranges]) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """(bounds [K], classes [K], for each class the numbers of the sets that hold its characters)."""
    edges = [[(_cut(low), _cut(high + 1)) for low, high in ranges] for ranges in sets]
    cuts = {0, *(cut for pairs in edges for pair in pairs for cut in pair)} - {sys.maxunicode + 1}
    bounds = np.array(sorted(cuts), np.int64)
    held = np.zeros((len(bounds), len(sets)), bool)
    for i, pairs in enumerate(edges):
        for start, stop in np.searchsorted(bounds, np.array(pairs, np.int64).reshape(-1, 2)).tolist():
            held[start:stop, i] = True
    kinds, classes = np.unique(held, axis=0, return_inverse=True)
    return bounds, classes.reshape(-1), [np.flatnonzero(row).tolist() for row in kinds]


def _cut(code: int) -> int:
    """Lone surrogates go with the character behind them, so that none is ever a class of its own."""
    return 0xD800 if 0xD800 < code <= 0xE000 else code


def explore(
    start: Node,
    symbols: Sequence[Ranges],
    step: Callable[[Node, int], Node | None],
    accepting: Callable[[Node], bool],
    name: str,
) -> Dfa:
    """The automaton whose states are what can be reached from `start`.

    symbols: disjoint sets of characters. step: (state, number of a symbol) -> the next state, None where refused.
    Raises UnsupportedLanguage beyond four times `MAX_STATES`, counted before equal states are merged.
    """
    bounds, classes, members = alphabet(symbols)
    number: dict[Node, int] = {start: 0}
    order, rows = [start], []
    for state in order:
        row = []
        for held in members:
            target = step(state, held[0]) if held else None
            if target is not None and target not in number:
                number[target] = len(order)
                order.append(target)
            row.append(-1 if target is None else number[target])
        rows.append(row)
        if len(order) > 4 * MAX_STATES:
            raise UnsupportedLanguage(name, f"needs more than {4 * MAX_STATES} states")
    return build(bounds, classes, np.array(rows), np.array([accepting(state) for state in order]), name)
