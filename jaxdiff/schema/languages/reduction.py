"""Smaller tables for the same language: states that lead nowhere go, states that nothing tells apart become one.

Tables: transitions [S, C] int32, -1 where refused; accepting [S] bool; state 0 is the first, before and after.
"""

from __future__ import annotations

import numpy as np


def reduced(transitions: np.ndarray, accepting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tables of the smallest automaton; one state that refuses everything for the empty language."""
    forward, backward = _neighbours(transitions)
    keep = _spread(forward, [0]) & _spread(backward, np.flatnonzero(accepting).tolist())
    if not keep[0]:
        return np.full((1, transitions.shape[1]), -1, np.int32), np.zeros(1, bool)
    number = np.where(keep, np.cumsum(keep) - 1, -1)
    transitions = np.where(transitions >= 0, number[transitions], -1)[keep].astype(np.int32)
    return _merged(transitions, accepting[keep])


def ending_lengths(transitions: np.ndarray, accepting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[S] int64 each: how few and how many characters lead from a state to an end, -1 for any number.

    Every state must be able to come to an end.
    """
    forward, backward = _neighbours(transitions)
    fewest = np.full(len(accepting), -1, np.int64)
    frontier, length = np.flatnonzero(accepting).tolist(), 0
    while frontier:
        fewest[frontier] = length
        frontier = list({source for state in frontier for source in backward[state] if fewest[source] < 0})
        length += 1
    most = np.full(len(accepting), -1, np.int64)
    left = [len(targets) for targets in forward]
    ready = [state for state, count in enumerate(left) if not count]
    longest = [0] * len(left)
    while ready:
        state = ready.pop()
        most[state] = longest[state]
        for source in backward[state]:
            longest[source] = max(longest[source], longest[state] + 1)
            left[source] -= 1
            if not left[source]:
                ready.append(source)
    return fewest, most


def numbered_by_walk(transitions: np.ndarray) -> np.ndarray:
    """[S], the states in the order in which a breadth-first walk meets them. All must be reachable."""
    rows = transitions.tolist()
    order, seen = [0], [False] * len(rows)
    seen[0] = True
    for state in order:
        for target in rows[state]:
            if target >= 0 and not seen[target]:
                seen[target] = True
                order.append(target)
    return np.array(order)


def _neighbours(transitions: np.ndarray) -> tuple[list[list[int]], list[list[int]]]:
    """For each state the states that it leads to, and those that lead to it, each once."""
    source, kind = np.nonzero(transitions >= 0)
    edges = np.unique(source * np.int64(len(transitions)) + transitions[source, kind])
    forward: list[list[int]] = [[] for _ in range(len(transitions))]
    backward: list[list[int]] = [[] for _ in range(len(transitions))]
    for start, end in zip((edges // len(transitions)).tolist(), (edges % len(transitions)).tolist(), strict=True):
        forward[start].append(end)
        backward[end].append(start)
    return forward, backward


def _spread(neighbours: list[list[int]], start: list[int]) -> np.ndarray:
    """[S] bool, the states that can be reached from `start`, itself included."""
    seen = [False] * len(neighbours)
    for state in start:
        seen[state] = True
    stack = list(start)
    while stack:
        for state in neighbours[stack.pop()]:
            if not seen[state]:
                seen[state] = True
                stack.append(state)
    return np.array(seen)


def _merged(transitions: np.ndarray, accepting: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moore's partition refinement.

    It starts from how many characters may follow, which tells the states of counted repeats apart in one round.
    """
    start = np.column_stack([accepting, *ending_lengths(transitions, accepting)])
    _, first, group = np.unique(start, axis=0, return_index=True, return_inverse=True)
    while True:
        group, count = group.reshape(-1), len(first)
        seen = np.where(transitions >= 0, group[transitions], -1)
        _, first, group = np.unique(np.column_stack([group, seen]), axis=0, return_index=True, return_inverse=True)
        if len(first) == count:
            break
    order = np.argsort(first)  # State 0 stays the first.
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group, first = rank[group.reshape(-1)], first[order]
    return np.where(transitions >= 0, group[transitions], -1)[first].astype(np.int32), accepting[first]
