"""The margin by which ` none` must beat the best value of an optional field: answers at several, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Answer = TypeVar("Answer")


def answers_at(fill_at: Callable[[float], Answer], margins: Sequence[float]) -> list[Answer]:
    """What a fill answers at each of the ascending margins, with few calls of it.

    A field decided present stays so at a larger margin, and sees only fields decided before it. So the first field that
    differs between two margins stays different, and answers that agree at two margins agree at all between.
    """
    answers: dict[int, Answer] = {}

    def settle(low: int, high: int) -> None:
        for place in {low, high} - answers.keys():
            answers[place] = fill_at(margins[place])
        if answers[low] == answers[high]:
            answers.update(dict.fromkeys(range(low, high), answers[low]))
        elif high - low > 1:
            middle = (low + high) // 2
            settle(low, middle)
            settle(middle, high)

    settle(0, len(margins) - 1)
    return [answers[place] for place in range(len(margins))]


def best_margin(shares: Mapping[float, float]) -> float:
    """The margin with the largest share; of several, the one nearest to 0."""
    return min(shares, key=lambda margin: (-shares[margin], abs(margin)))
