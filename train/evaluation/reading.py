"""How well a reader finds values, before any of them is parsed or composed: starts, spans, presence, candidates."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from jaxdiff.agent.fill_diffusion import ReaderHead, logprob_of_all
from jaxdiff.agent.presence import FieldWords, probability, take
from jaxdiff.base.buckets import CANDIDATES, FIELDS, TOKENS, bucket
from jaxdiff.diffusion.reader.trunk import Encoding
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.values import valid_value

from ..data.labels import RowLabels
from ..reading.batches import label_store, pad_queries, to_float32
from ..reading.features import FeatureStore
from .evaluate import Report

_TOGETHER = 16


def reading_report(head: ReaderHead, store: FeatureStore) -> Report:
    """Counts over the fields of stored rows.

    start: the most probable first token of a value, where the row tells the right one. span: first and last token after
    the assignment, for fields without candidates that the head takes up; start_taken: the first alone. presence: of
    optional fields, as decided together. choice: the candidate that the words of the best span name, else the most
    probable, where the call has the field; by kind too.
    """
    report, labels = Report(), label_store(head.base, store)
    for first in range(0, len(store), _TOGETHER):
        numbers = list(range(first, min(first + _TOGETHER, len(store))))
        padded = [(store, number) for number in numbers + numbers[-1:] * (_TOGETHER - len(numbers))]
        encoding = jax.device_get(head.encode(to_float32(pad_queries(padded, *padded_sizes(store, numbers)))))
        for row, number in enumerate(numbers):
            _count(report, store, number, labels[number], jax.tree.map(lambda x, row=row: x[row], encoding))
    return report


def padded_sizes(store: FeatureStore, rows: Sequence[int]) -> tuple[int, int, int]:
    """Fields, tokens and candidates that hold all of some stored rows."""
    fields, tokens, candidates = (max(int(store.sizes[axis][row]) for row in rows) for axis in "FTC")
    return (
        bucket(fields, FIELDS, "fields"),
        bucket(tokens, TOKENS, "tokens of the query"),
        bucket(candidates, CANDIDATES, "candidates"),
    )


def _count(report: Report, store: FeatureStore, number: int, gold: RowLabels, said: Encoding) -> None:
    fields, query = store.tool(number).fields, store.rows[number].query
    offsets = store.words(number).offsets
    start, end = np.asarray(said.span_start), np.asarray(said.span_end)
    words = FieldWords(fields, query, offsets, start, end)
    listed = logprob_of_all(np.asarray(said.candidates), fields)
    taken = take(words, probability(np.asarray(said.presence)), candidates=listed)
    for i, span in taken.spans.items():
        if gold.start[i] >= 0 and span is not None:
            report.count("span", (span.first, span.last) == (gold.start[i], gold.end[i]))
            report.count("start_taken", bool(span.first == gold.start[i]))
    for i, field in enumerate(fields):
        if not field.required:
            report.count("presence", bool((i in taken.wanted) == gold.presence[i]))
        if gold.start[i] >= 0:
            report.count("start", bool(np.argmax(start[i]) == gold.start[i]))
        if gold.candidate[i] >= 0:
            best = words.of(i)[:1]
            if best and best[0].understood:
                chosen = valid_value(query[best[0].start : best[0].end], field)
            else:
                chosen = field.candidates[int(np.argmax(listed[i]))]
            right = same_value(chosen, field.candidates[gold.candidate[i]])
            report.count("choice", right)
            report.count(f"choice_{field.kind}", right)
