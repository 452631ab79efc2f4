"""From an expression to a deterministic automaton, looks ahead and behind included (the subset construction).

A look behind is an automaton that has read all of the text so far, so it is in one state and simply runs along. A look
ahead is one that has to read what follows, so it starts where it is met and must accept in the end: a thread, tied to
the path of the match that met it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import dfa
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.nfa import Builder
from jaxdiff.schema.languages.syntax import Boundary, Choice, Expression, Look, Repeat, Sequence, Start

# (number of the look, state) of each look ahead that is still open.
Threads = tuple[tuple[int, int], ...]
# Where a match may be, with its open looks.
Item = tuple[int, Threads]
# States of the looks behind, all items, and whether the text may end here.
Subset = tuple[tuple[int, ...], frozenset[Item], bool]


def looks_back(node: Expression) -> bool:
    """Whether it depends on what stands before."""
    match node:
        case Start() | Boundary():
            return True
        case Look():
            return not node.ahead or looks_back(node.body)
        case Sequence():
            return any(map(looks_back, node.parts))
        case Choice():
            return any(map(looks_back, node.options))
        case Repeat():
            return looks_back(node.body)
    return False


def determinise(expression: Expression, name: str, *, anywhere: bool, open_end: bool, at_start: bool = True) -> Dfa:
    """The texts that an agreed expression matches.

    anywhere: a match may begin behind other characters. open_end: others may follow it. at_start: the text is whole; if
    not, it goes on from a place inside another, of which nothing is known. Raises UnsupportedLanguage naming `name`.
    """
    return _Subsets(expression, name, anywhere, open_end, at_start).run()


@dataclass(frozen=True)
class _Closure:
    """What silent edges lead to: items that can read on or have matched, and threads of matches that end here."""

    items: tuple[Item, ...]
    ended: tuple[Threads, ...]


class _Subsets:
    def __init__(self, expression: Expression, name: str, anywhere: bool, open_end: bool, at_start: bool):
        self.name, self.anywhere, self.open_end, self.at_start = name, anywhere, open_end, at_start
        self.nfa = Builder(name).build(expression)
        behind = [i for i, look in enumerate(self.nfa.looks) if not look.ahead]
        self.behind = {i: self._behind(self.nfa.looks[i]) for i in behind}
        self.ahead: dict[tuple[int, bool], Dfa] = {}
        for i, look in enumerate(self.nfa.looks):
            if look.ahead:
                for start in (False, True) if looks_back(look.body) and at_start else (False,):
                    self.ahead[i, start] = self._ahead(look, start)
        # Threads name their automaton by its place in this list.
        self.running = list(self.ahead.values())
        self.place = {key: i for i, key in enumerate(self.ahead)}
        self._closures: dict[tuple[int, bool, tuple[bool, ...]], _Closure] = {}

    def _behind(self, look: Look) -> Dfa:
        if not self.at_start:
            raise UnsupportedLanguage(self.name, "a look behind within a look ahead")
        return determinise(look.body, self.name, anywhere=True, open_end=False)

    def _ahead(self, look: Look, start: bool) -> Dfa:
        if not self.open_end:
            raise UnsupportedLanguage(self.name, "a look ahead within a look behind")
        found = determinise(look.body, self.name, anywhere=False, open_end=True, at_start=start)
        return found.complement() if look.negative else found

    @cached_property
    def _universal(self) -> list[np.ndarray]:
        """For each automaton of a thread, the states from which it accepts whatever comes."""
        return [d.accepting & (d.transitions == np.arange(len(d.accepting))[:, None]).all(axis=1) for d in self.running]

    def _alphabet(self) -> tuple[np.ndarray, np.ndarray, list[frozenset[int]], np.ndarray, np.ndarray]:
        """(bounds, classes, sets of each class, and each class as one of the looks' own: behind, ahead)."""
        bounds, classes, members = dfa.alphabet(self.nfa.sets)
        others = [*self.behind.values(), *self.running]
        every = bounds
        for other in others:
            every = np.union1d(every, other.bounds)
        own = classes[np.searchsorted(bounds, every, side="right") - 1]
        table = np.column_stack([own, *(other.class_of(every) for other in others)])
        kinds, merged = np.unique(table, axis=0, return_inverse=True)
        split = 1 + len(self.behind)
        return (
            every, merged.reshape(-1), [frozenset(members[i]) for i in kinds[:, 0]], kinds[:, 1:split], kinds[:, split:]
        )  # fmt: skip

    def _closure(self, state: int, start: bool, flags: tuple[bool, ...]) -> _Closure:
        """`flags`: for each look behind, whether its body has just been read."""
        key = (state, start, flags)
        found = self._closures.get(key)
        if found is None:
            found = self._closures[key] = self._compute_closure(state, start, flags)
        return found

    def _compute_closure(self, state: int, start: bool, flags: tuple[bool, ...]) -> _Closure:
        held = dict(zip(self.behind, flags, strict=True))
        items: dict[Item, None] = {}
        ended: dict[Threads, None] = {}
        stack: list[tuple[int, bool, Threads]] = [(state, False, ())]
        seen = set(stack)
        while stack:
            here, end, threads = stack.pop()
            if here == self.nfa.last and end:
                ended[threads] = None
            elif not end and (here == self.nfa.last or self.nfa.moves[here]):
                items[here, threads] = None
            for target, condition in self.nfa.silent[here]:
                now_end, now = end or condition == "end", threads
                if condition == "start" and not start:
                    continue
                if isinstance(condition, int):
                    look = self.nfa.looks[condition]
                    if look.ahead:
                        met = self._meet(condition, start)
                        if met is None:
                            continue
                        now = tuple(sorted({*threads, *met}))
                    elif held[condition] is look.negative:
                        continue
                if (target, now_end, now) not in seen:
                    seen.add((target, now_end, now))
                    stack.append((target, now_end, now))
        return _Closure(tuple(items), tuple(ended))

    def _meet(self, look: int, start: bool) -> Threads | None:
        """The threads that a look ahead begins; None where it cannot hold."""
        place = self.place[look, start and (look, True) in self.place]
        if self.running[place].is_empty():
            return None
        return () if self._universal[place][0] else ((place, 0),)

    def run(self) -> Dfa:
        bounds, classes, members, behind_kinds, ahead_kinds = self._alphabet()
        moves = [
            [[target for number, target in edges if number in held] for edges in self.nfa.moves] for held in members
        ]
        steps = [d.transitions.tolist() for d in self.running]
        universal = [flags.tolist() for flags in self._universal]
        behinds = list(self.behind.values())
        back = [d.transitions.tolist() for d in behinds]
        back_accepting = [d.accepting.tolist() for d in behinds]
        behind_of, ahead_of = behind_kinds.tolist(), ahead_kinds.tolist()
        last = self.nfa.last
        matched: frozenset[Item] = frozenset({(last, ())})

        def subset(places: tuple[int, ...], begun: Iterable[Item], start: bool) -> Subset:
            """What states of the nondeterministic automaton stand for together."""
            flags = tuple(p >= 0 and accepts[p] for p, accepts in zip(places, back_accepting, strict=True))
            items: set[Item] = set()
            accepted = False
            for state, threads in begun:
                closure = self._closure(state, start, flags)
                for here, new in closure.items:
                    items.add((here, tuple(sorted({*threads, *new})) if threads else new))
                accepted = accepted or any(self._all_accept((*threads, *new)) for new in closure.ended)
            if self.open_end and (last, ()) in items:
                return (), matched, True
            items = _least(items)
            accepted = accepted or any(here == last and self._all_accept(threads) for here, threads in items)
            if not self.open_end:
                items = {item for item in items if item[0] != last}
            return places, frozenset(items), accepted

        begin: list[Item] = [(self.nfa.first, ())]
        first = subset(tuple(0 for _ in behinds), begin, self.at_start)
        number, order, rows = {first: 0}, [first], []
        for source in order:
            places, items, _ = source
            row = []
            for kind in range(len(members)):
                if items == matched and self.open_end:
                    row.append(number[source])
                    continue
                begun = [*begin] if self.anywhere else []
                for here, threads in items:
                    now = []
                    for place, state in threads:
                        state = steps[place][state][ahead_of[kind][place]]
                        if state < 0:
                            break
                        if not universal[place][state]:
                            now.append((place, state))
                    else:
                        open_threads = tuple(sorted(now))
                        begun += [(target, open_threads) for target in moves[kind][here]]
                        if here == last:
                            begun.append((last, open_threads))
                there = tuple(
                    -1 if p < 0 else table[p][behind_of[kind][i]]
                    for i, (p, table) in enumerate(zip(places, back, strict=True))
                )
                target = subset(there, begun, False)
                if not (target[1] or target[2] or self.anywhere):
                    row.append(-1)
                    continue
                if target not in number:
                    number[target] = len(order)
                    order.append(target)
                row.append(number[target])
            rows.append(row)
            if len(order) > 2 * dfa.MAX_STATES:
                raise UnsupportedLanguage(self.name, f"needs more than {2 * dfa.MAX_STATES} states")
        return dfa.build(bounds, classes, np.array(rows), np.array([source[2] for source in order]), self.name)

    def _all_accept(self, threads: Threads) -> bool:
        return all(self.running[place].accepting[state] for place, state in threads)


def _least(items: set[Item]) -> set[Item]:
    """Without items that ask for more than another does of the same place."""
    if not any(threads for _, threads in items):
        return items
    by_place: dict[int, list[set[tuple[int, int]]]] = {}
    kept = set()
    for here, threads in sorted(items, key=lambda item: len(item[1])):
        asked = set(threads)
        if not any(less <= asked for less in by_place.get(here, [])):
            by_place.setdefault(here, []).append(asked)
            kept.add((here, threads))
    return kept
