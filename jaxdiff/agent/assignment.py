"""Which words of the query go to which field: the best spans, no two over the same words, each a value that its schema
allows.

All on the host, over the few best spans of each field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxdiff.schema.fields import Field
from jaxdiff.schema.values import NOT_SAID, valid_value

STARTS, ENDS = 5, 2
# Nats that two spans pay for words that both take, and one for words that its field cannot take as a value.
OVERLAP_COST = 4.0
NOT_A_VALUE_COST = 6.0
# Prices of a span beside another that are asked for before the search is ended.
PRICES = 100_000


# Nats that two fields pay for their spans.
PairCost = Callable[[int, "Span", int, "Span"], float]


@dataclass(frozen=True)
class Span:
    """Words for a field.

    first, last: tokens. start, end: code points of the words proper. score: log-probability. understood: whether the
    words are a valid value of the field.
    """

    first: int
    last: int
    start: int
    end: int
    score: float
    understood: bool

    def overlaps(self, other: Span) -> bool:
        """Whether both hold a common token."""
        return self.first <= other.last and other.first <= self.last


def best_spans(
    start: np.ndarray, end: np.ndarray, field: Field, query: str, offsets: Sequence[tuple[int, int]]
) -> list[Span]:
    """The most probable spans of a field: the ends of the best starts. start: [T], end: [T, T] log-probabilities.

    None begins or ends inside a word or a number, as tokens may.
    """
    spans = []
    count = len(offsets)
    for first in np.argsort(-start[:count])[:STARTS].tolist():
        for last in np.argsort(-end[first, :count])[:ENDS].tolist():
            if last < first:
                continue
            a, b = trimmed(query, offsets[first][0], offsets[last][1])
            if a >= b or cuts_word(query, a) or cuts_word(query, b):
                continue
            score = float(start[first] + end[first, last])
            spans.append(Span(first, last, a, b, score, understood(query[a:b], field)))
    return sorted(spans, key=lambda span: -span.score)


def overlap_cost(_: int, span: Span, __: int, other: Span) -> float:
    """What two spans that share a token cost."""
    return OVERLAP_COST * span.overlaps(other)


def assign(spans: Sequence[Sequence[Span]], cost: PairCost = overlap_cost) -> list[Span | None]:
    """One span for each field, the most probable together; None where a field has no spans.

    spans: the possible spans of each field. Words without a value cost what the constant says, each two fields what
    `cost` says of their places in `spans` and their spans, never below zero. The choice is exact (branch and bound)
    unless it takes more than `PRICES` prices; then it is the best found until there, never worse than taking fields one
    after the other.
    """
    asked = [i for i in range(len(spans)) if spans[i]]
    options = {
        i: sorted(((span.score - NOT_A_VALUE_COST * (not span.understood), span) for span in spans[i]), key=_worth)
        for i in asked
    }
    # Sure fields first: what they take bounds the others soonest.
    order = sorted(asked, key=lambda i: -options[i][0][0])
    # At most this much is gained by the fields from a place on.
    most = [sum(options[i][0][0] for i in order[place:]) for place in range(len(order) + 1)]
    best_total, best, prices = -np.inf, {}, 0

    def search(place: int, total: float, chosen: dict[int, Span]) -> None:
        nonlocal best_total, best, prices
        if place == len(order):
            best_total, best = total, dict(chosen)
            return
        i = order[place]
        priced = [(own - sum(cost(i, span, j, other) for j, other in chosen.items()), span) for own, span in options[i]]
        prices += len(options[i]) * (len(chosen) + 1)
        for gained, span in sorted(priced, key=_worth):
            if total + gained + most[place + 1] <= best_total or (prices > PRICES and best):
                break
            search(place + 1, total + gained, chosen | {i: span})

    search(0, 0.0, {})
    return [best.get(i) for i in range(len(spans))]


def _worth(option: tuple[float, Span]) -> float:
    return -option[0]


def understood(text: str, field: Field) -> bool:
    """Whether `text` says a value that the field's schema allows."""
    return valid_value(text, field) is not NOT_SAID


def cuts_word(text: str, place: int) -> bool:
    """Whether a place is between two letters of a script with capitals, or between two digits."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    letters = all(c.islower() or c.isupper() for c in (before, after))
    return letters or (before.isdigit() and after.isdigit())


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Start and end of a part of a text without the spaces around it."""
    words = text[start:end]
    return start + len(words) - len(words.lstrip()), end - (len(words) - len(words.rstrip()))
