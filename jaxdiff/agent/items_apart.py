"""Items of a list that stand apart in the query: "add eggs ... oh, and milk too".

A span is one run of tokens. Where else the items of an array are said, the owners of the tokens tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxdiff.agent.assignment import Span, trimmed, understood
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.values import ValueNotUnderstood, parse_value

# Above one half no other field can own the token.
OWNED = 0.5


@dataclass(frozen=True)
class ItemsApart:
    """A list said in several places.

    value: its items in the order of the query. places: where they are said, in that order. score: log-probability.
    """

    value: list[Any]
    places: tuple[Span, ...]
    score: float


def items_apart(
    owner: np.ndarray,
    field: Field,
    best: Span,
    spans: Sequence[Span],
    query: str,
    offsets: Sequence[tuple[int, int]],
) -> ItemsApart | None:
    """The list that a field's best span and its further spans say together.

    owner: [T] log-probability that a token belongs to the field. spans: the best one of every field, this one's too.
    None where nothing more is said, or where all of it together is no value that the field's schema allows.
    """
    if field.kind is not Kind.ARRAY:
        return None
    further = further_spans(owner, field, best, spans, query, offsets)
    if not further:
        return None
    places = tuple(sorted([best, *further], key=lambda span: span.first))
    value = join_items([query[span.start : span.end] for span in places], field)
    if value is None:
        return None
    return ItemsApart(value, places, sum(span.score for span in places))


def further_spans(
    owner: np.ndarray,
    field: Field,
    best: Span,
    spans: Sequence[Span],
    query: str,
    offsets: Sequence[tuple[int, int]],
) -> list[Span]:
    """The runs of tokens that belong to a field and that no span covers, from left to right.

    Left out are runs beside `best`, whose ends are chosen already, and runs that are not made of whole words. Arguments
    are those of `items_apart`. The score of a run is the mean over its tokens, which are right or wrong together.
    """
    count = len(offsets)
    free = owner[:count] > math.log(OWNED)
    for span in spans:
        free[span.first : span.last + 1] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]])))
    found = []
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        last = end - 1
        start, stop = trimmed(query, offsets[first][0], offsets[last][1])
        if (best.first - 1 <= last and first <= best.last + 1) or not _whole_words(query, start, stop):
            continue
        score = float(owner[first:end].mean())
        found.append(Span(first, last, start, stop, score, understood(query[start:stop], field)))
    return found


def join_items(texts: Sequence[str], field: Field) -> list[Any] | None:
    """The items that several texts say, one after another.

    None where a text says no items, or where the list is no value that the field's schema allows.
    """
    items: list[Any] = []
    for text in texts:
        try:
            said = parse_value(text, field)
        except ValueNotUnderstood:
            return None
        if not said:
            return None
        items += said
    return items if check_value(items, field) is None else None


def _whole_words(query: str, start: int, end: int) -> bool:
    """Whether a part holds a letter or a digit, and no word that goes on outside of it."""

    def inside_of_word(place: int) -> bool:
        return 0 < place < len(query) and query[place - 1].isalnum() and query[place].isalnum()

    return any(map(str.isalnum, query[start:end])) and not inside_of_word(start) and not inside_of_word(end)
