"""A language over characters as one over the bytes of UTF-8: tokens may begin and end within a character."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from jaxdiff.schema.languages.dfa import Dfa

# Beyond so much work, characters beyond ASCII are left out: what is left is a subset.
MAX_WORK = 400_000
_REFUSED = -1
# (first byte, last byte, what they lead to).
_Ranges = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, eq=False)
class ByteDfa:
    """An automaton over bytes.

    transitions: [S, 256] int32, -1 where refused. accepting: [S] bool. State 0 is first. between: the number of states
    between characters; those behind them are within one.
    """

    transitions: np.ndarray
    accepting: np.ndarray
    between: int


def byte_language(language: Dfa) -> ByteDfa:
    """The texts of the language in UTF-8. Its limit on characters must be counted (`Dfa.counted`)."""
    states = len(language.accepting)
    rows = np.full((states, 256), _REFUSED, np.int32)
    rows[:, :128] = language.transitions[:, language.class_of(np.arange(128))]
    tree = _Tree(language)
    if len(tree.nodes) * states > MAX_WORK:
        return ByteDfa(rows, language.accepting, states)
    within: dict[_Ranges, int] = {}
    for state, moves in enumerate(language.transitions.tolist()):
        known: dict[int, int] = {}

        def resolve(node: int, moves: list[int] = moves, known: dict[int, int] = known) -> int:
            """A node of the tree, for this state: the state or the rest of a character that it leads to."""
            if node < 0:
                return _REFUSED if node == _REFUSED else moves[-node - 2]
            if node not in known:
                ranges = _joined([(low, high, resolve(behind)) for low, high, behind in tree.nodes[node]])
                known[node] = within.setdefault(ranges, states + len(within)) if ranges else _REFUSED
            return known[node]

        for low, high, node in tree.leads:
            rows[state, low : high + 1] = resolve(node)
    more = np.full((len(within), 256), _REFUSED, np.int32)
    for i, ranges in enumerate(within):
        for low, high, target in ranges:
            more[i, low : high + 1] = target
    accepting = np.append(language.accepting, np.zeros(len(within), bool))
    return ByteDfa(np.vstack([rows, more]), accepting, states)


def _joined(ranges: list[tuple[int, int, int]]) -> _Ranges:
    """Neighbours that lead to the same joined, what is refused left out."""
    found: list[tuple[int, int, int]] = []
    for low, high, target in ranges:
        if found and found[-1][2] == target and found[-1][1] == low - 1:
            found[-1] = (found[-1][0], high, target)
        elif target != _REFUSED:
            found.append((low, high, target))
    return tuple(found)


class _Tree:
    """Which class of a language the bytes of a character beyond ASCII lead to.

    nodes: ranges of bytes each, leading to a node (its number), to a class (-2 minus its number) or to nothing (-1).
    leads: ranges of first bytes. Equal nodes are one.
    """

    def __init__(self, language: Dfa):
        self.nodes: list[_Ranges] = []
        self._numbers: dict[_Ranges, int] = {}
        self._bounds, self._classes = language.bounds.tolist(), language.classes.tolist()
        self.leads: list[tuple[int, int, int]] = []
        # First bytes, bytes behind, and the first and last code points that are written so.
        for first, last, behind, low, high in (
            (0xC2, 0xDF, 1, 0x80, 0x7FF), (0xE0, 0xEF, 2, 0x800, 0xFFFF), (0xF0, 0xF4, 3, 0x10000, 0x10FFFF)
        ):  # fmt: skip
            offset = {1: 0xC0, 2: 0xE0, 3: 0xF0}[behind]
            for byte in range(first, last + 1):
                node = self._node((byte - offset) << (6 * behind), behind, low, high)
                self.leads.append((byte, byte, node))

    def _node(self, base: int, behind: int, low: int, high: int) -> int:
        """What `behind` more bytes lead to, from the code point `base` on."""
        last = base + (1 << (6 * behind)) - 1
        if last < low or base > high or (base >= 0xD800 and last <= 0xDFFF):
            return _REFUSED
        whole = base >= low and last <= high and (last < 0xD800 or base > 0xDFFF)
        place = bisect_right(self._bounds, base) - 1
        uniform = whole and (place + 1 == len(self._bounds) or self._bounds[place + 1] > last)
        if behind == 0:
            return -2 - self._classes[place]
        if uniform:
            child = -2 - self._classes[place]
            for _ in range(behind):
                child = self._number(((0x80, 0xBF, child),))
            return child
        size = 1 << (6 * (behind - 1))
        ranges = _joined([(0x80 + i, 0x80 + i, self._node(base + i * size, behind - 1, low, high)) for i in range(64)])
        return self._number(ranges) if ranges else _REFUSED

    def _number(self, ranges: _Ranges) -> int:
        number = self._numbers.setdefault(ranges, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(ranges)
        return number
