"""Which words of the query go to which field: the best spans, no two over the same words, each a value that its schema
allows.

All on the host, over the few best spans of each field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdiff.schema.fields import Field
from jaxdiff.schema.merge import check_value
from jaxdiff.schema.values import ValueNotUnderstood, parse_value

STARTS, ENDS = 5, 2
# Nats that a span pays for words that another field has taken, and for words that its field cannot take as a value.
OVERLAP_COST = 4.0
NOT_A_VALUE_COST = 6.0
BEAM = 32


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
    """The most probable spans of a field: the ends of the best starts. start: [T], end: [T, T] log-probabilities."""
    spans = []
    count = len(offsets)
    for first in np.argsort(-start[:count])[:STARTS].tolist():
        for last in np.argsort(-end[first, :count])[:ENDS].tolist():
            if last < first:
                continue
            a, b = _trimmed(query, offsets[first][0], offsets[last][1])
            if a >= b:
                continue
            score = float(start[first] + end[first, last])
            spans.append(Span(first, last, a, b, score, understood(query[a:b], field)))
    return sorted(spans, key=lambda span: -span.score)


def assign(spans: Sequence[Sequence[Span]]) -> list[Span | None]:
    """One span for each field, the most probable together (beam search); None where a field has no spans.

    spans: the possible spans of each field. Overlap and words without a value cost what the constants say.
    """
    order = sorted(range(len(spans)), key=lambda i: -max((span.score for span in spans[i]), default=-np.inf))
    beam: list[tuple[float, dict[int, Span]]] = [(0.0, {})]
    for i in order:
        if not spans[i]:
            continue
        longer = []
        for total, chosen in beam:
            for span in spans[i]:
                cost = OVERLAP_COST * any(span.overlaps(other) for other in chosen.values())
                cost += NOT_A_VALUE_COST * (not span.understood)
                longer.append((total + span.score - cost, chosen | {i: span}))
        beam = sorted(longer, key=lambda pair: -pair[0])[:BEAM]
    best = beam[0][1]
    return [best.get(i) for i in range(len(spans))]


def understood(text: str, field: Field) -> bool:
    """Whether `text` says a value that the field's schema allows."""
    return valid_value(text, field) is not None


def valid_value(text: str, field: Field) -> Any:
    """The value that `text` says, or None where it says none that the field's schema allows."""
    try:
        value = parse_value(text, field)
    except ValueNotUnderstood:
        return None
    return value if check_value(value, field) is None else None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    words = text[start:end]
    return start + len(words) - len(words.lstrip()), end - (len(words) - len(words.rstrip()))
