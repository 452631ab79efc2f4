"""Which fields a call has and which words each of them takes, decided together.

An optional field that the head finds likely may do so for words that are another field's: "at least 800" is a lower
limit, and no upper one beside it. Where a field's words lie is a distribution, so how much of it other fields leave
free is known, and by Bayes' rule p(present | its words are free) = p f / (p f + 1 - p), for the head's probability p
and the free share f.

No two fields take the same words, and of the two ends of a range the lower one is seldom above the upper one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from jaxdiff.agent.asked import Present
from jaxdiff.agent.assignment import PairCost, Span, assign, best_spans, overlap_cost
from jaxdiff.schema.branches import Branches, Presence, decide_branches, narrowed, told_odds
from jaxdiff.schema.fields import Field
from jaxdiff.schema.paths import with_required
from jaxdiff.schema.ranges import in_order, range_ends
from jaxdiff.schema.values import valid_value

# Nats that the two ends of a range pay where the lower one is above the upper one: the log-odds of the calls of the
# training packs that have both (73 against 6).
DISORDER_COST = 2.5
# Less is rounding, which must not tell which of two fields without words of their own goes first.
_LEAST_FREE = 1e-5


@dataclass(frozen=True)
class Taken:
    """Fields by their numbers. wanted: those that the call has, in schema order. spans: words of those of them without
    listed candidates. named: words that name a candidate, of those with candidates. presence: [F] probability.
    branches: those that are taken of unions; fields: all, as these branches have them.
    """

    wanted: list[int]
    spans: dict[int, Span | None]
    named: dict[int, Span]
    presence: np.ndarray
    branches: Branches
    fields: tuple[Field, ...]


class FieldWords:
    """The most probable words of the fields of one call.

    start: [F, T], end: [F, T, T] log-probabilities of first token, and of last token given the first. offsets: code
    points of the query's tokens.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        query: str,
        offsets: Sequence[tuple[int, int]],
        start: np.ndarray,
        end: np.ndarray,
    ):
        self.fields = fields
        self._query, self._offsets, self._start, self._end = query, offsets, start, end
        self._known: dict[int, list[Span]] = {}

    def of(self, number: int) -> list[Span]:
        """The best spans of a field."""
        if number not in self._known:
            self._known[number] = best_spans(
                self._start[number], self._end[number], self.fields[number], self._query, self._offsets
            )
        return self._known[number]

    def narrow(self, fields: Sequence[Field]) -> None:
        """Takes the fields as some branches of unions have them."""
        for i, field in enumerate(fields):
            if field is not self.fields[i]:
                self._known.pop(i, None)
        self.fields = fields

    def cost(self, numbers: Sequence[int]) -> PairCost:
        """What the spans of two of these fields cost together: overlap, and disorder of a range's ends."""
        ends = {(numbers.index(a), numbers.index(b)) for a, b in range_ends(tuple(self.fields)) if {a, b} <= {*numbers}}

        @cache
        def value(place: int, span: Span) -> Any:
            return valid_value(self._query[span.start : span.end], self.fields[numbers[place]])

        def of(i: int, span: Span, j: int, other: Span) -> float:
            nats = overlap_cost(i, span, j, other)
            if (j, i) in ends:
                i, span, j, other = j, other, i, span
            if (i, j) in ends and not in_order(value(i, span), value(j, other)):
                nats += DISORDER_COST
            return nats

        return of if ends else overlap_cost

    def free(self, number: int, others: Iterable[Span]) -> float:
        """Share of a field's first tokens that lie outside of other fields' words, at least `_LEAST_FREE`."""
        covered = {token for span in others for token in range(span.first, span.last + 1)}
        return max(_LEAST_FREE, 1.0 - float(np.exp(self._start[number][sorted(covered)].astype(np.float64)).sum()))


def take(
    words: FieldWords,
    presence: np.ndarray,
    present: Present = None,
    *,
    candidates: Mapping[int, np.ndarray] | None = None,
) -> Taken:
    """Decides for one call. presence: [F] probability by the head. present: exactly these fields are there.

    candidates: number of a field -> [C] log-probability of each of its candidates, for the branches of unions.
    The least probable field goes first, until all that are left are more likely there than not; branches are decided
    and words assigned anew each time. Only words of fields that are required or more probable count against a field.
    """
    whole = words.fields
    if present is not None:
        decided = decide_branches(whole, Presence.of_odds(told_odds(whole, present), candidates))
        fields = narrowed(whole, decided.taken)
        words.narrow(fields)
        wanted = [i for i, field in enumerate(fields) if field.name in present]
        return Taken(wanted, *_words_of(words, wanted), presence, decided.taken, fields)
    presence = np.array(presence, np.float64)
    doubted: set[int] = set()
    while True:
        with np.errstate(divide="ignore"):
            odds = np.log(presence) - np.log1p(-presence)
        decided = decide_branches(whole, Presence.of_odds(odds, candidates))
        fields = narrowed(whole, decided.taken)
        words.narrow(fields)
        likely = {i for i, field in enumerate(fields) if field.required or presence[i] > 0.5}
        likely = (likely - decided.absent) | decided.present
        wanted = [i for i in _with_required(fields, likely) if i not in decided.absent]
        spans, named = _words_of(words, wanted)
        found = {i: span for i, span in spans.items() if span is not None} | named
        posterior = {
            i: _posterior(float(presence[i]), words.free(i, _surer(i, fields, found, presence)))
            for i in likely
            if not fields[i].required and i not in doubted
        }
        # One that the others require comes back anyway.
        doubtful = [i for i in posterior if posterior[i] < 0.5 and i not in _with_required(fields, likely - {i})]
        if not doubtful:
            return Taken(wanted, spans, named, presence, decided.taken, fields)
        worst = min(doubtful, key=lambda i: posterior[i])
        presence[worst] = posterior[worst]
        doubted.add(worst)


def probability(logits: np.ndarray) -> np.ndarray:
    """The logistic function, in float64; of any logit, however large."""
    found: np.ndarray = 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))
    return found


def _with_required(fields: Sequence[Field], numbers: Iterable[int]) -> list[int]:
    names = with_required(fields, [fields[i].name for i in numbers])
    return [i for i, field in enumerate(fields) if field.name in names]


def _words_of(words: FieldWords, wanted: Sequence[int]) -> tuple[dict[int, Span | None], dict[int, Span]]:
    """The spans of fields without candidates, no two over the same words, and those that name candidates."""
    texts = [i for i in wanted if not words.fields[i].candidates]
    spans = dict(zip(texts, assign([words.of(i) for i in texts], words.cost(texts)), strict=True))
    listed = {i: words.of(i)[:1] for i in wanted if words.fields[i].candidates}
    return spans, {i: best[0] for i, best in listed.items() if best and best[0].understood}


def _surer(number: int, fields: Sequence[Field], found: Mapping[int, Span], presence: np.ndarray) -> list[Span]:
    """Words of the fields that are surer to be there than one."""
    return [
        span
        for i, span in found.items()
        if i != number and (fields[i].required or float(presence[i]) > float(presence[number]))
    ]


def _posterior(present: float, free: float) -> float:
    return present * free / (present * free + 1 - present)
