"""Batches for the reader: padded to one of a few sizes, drawn as a pure function of seed and step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from jaxdiff.agent.evidence import FLOOR, Evidence
from jaxdiff.agent.query_features import facts_of, join
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.features import Canvas, Features, Labels, QueryFeatures

from ..data.drawing import ALL_ROWS, Drawing
from ..data.labels import RowLabels, label_row
from .features import FeatureStore
from .teacher import KEPT, TeacherStore, taught_positions

# Rows of similar size (query tokens, fields) go together; larger ones are not trained on.
SIZES = tuple((tokens, fields) for tokens in (32, 48, 80) for fields in (5, 8))
CANDIDATES, CANVAS = 12, 48


class Batches:
    """Endless batches over several stores; a row is drawn with a probability proportional to its store's weight.

    teachers: for each store what the base itself would write, where the head is to learn from that too.
    """

    def __init__(
        self,
        base: FrozenBase,
        stores: Sequence[FeatureStore],
        weights: Sequence[float],
        batch_size: int,
        seed: int,
        teachers: Sequence[TeacherStore] | None = None,
    ):
        self._null_id, self._stores, self._size = base.config.null_id, stores, batch_size
        self._teachers = teachers
        self._labels = [label_store(base, store) for store in stores]
        self._drawing = Drawing(stores, weights, SIZES, _size_of, seed)

    def rows(self) -> int:
        """Number of rows that are drawn from."""
        return self._drawing.rows()

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """The batch of a step, or some rows of it: the same for the same seed, whatever came before."""
        (tokens_padded, fields), drawn, rng = self._drawing.draw(step, self._size)
        orders = [rng.permutation(len(self._labels[store][row].slots)).tolist() for store, row in drawn][rows]
        stores = [(self._stores[store], row) for store, row in drawn[rows]]
        labels = [self._labels[store][row] for store, row in drawn[rows]]
        query = pad_queries(stores, fields, tokens_padded, CANDIDATES)
        canvas, tokens = lay_canvas(labels, orders, self._null_id)
        asked = pad_labels(labels, fields, tokens_padded, CANDIDATES, tokens)
        if self._teachers is not None:
            taught = [(self._teachers[store], row) for store, row in drawn[rows]]
            ids, logprob = _lay_teaching(labels, orders, taught)
            asked = dataclasses.replace(asked, teacher_ids=ids, teacher_logprob=logprob)
        return Batch(Features(canvas=canvas, query=query), asked)


def _size_of(store: FeatureStore, row: int) -> tuple[int, int] | None:
    return size_of(int(store.sizes["T"][row]), int(store.sizes["F"][row]))


def size_of(tokens: int, fields: int) -> tuple[int, int] | None:
    """The smallest of `SIZES` that holds a row, None where none does."""
    return next((size for size in SIZES if tokens <= size[0] and fields <= size[1]), None)


def label_store(base: FrozenBase, store: FeatureStore) -> list[RowLabels]:
    """Labels of all rows of a store."""
    return [label_row(row, store.tool(i), store.words(i).offsets, base.encode) for i, row in enumerate(store.rows)]


def pad_queries(rows: Sequence[tuple[FeatureStore, int]], fields: int, tokens: int, candidates: int) -> QueryFeatures:
    """Features of some stored rows, padded; candidates beyond `candidates` are cut."""
    count = len(rows)
    limits = {"F": fields, "T": tokens, "C": candidates}
    widths = rows[0][0].widths

    def padded(part: str, axes: str, fill: float = 0.0) -> np.ndarray:
        out = np.full((count, *(limits[a] for a in axes), widths[part]), fill, np.float16)
        for i, (store, row) in enumerate(rows):
            value = store.part(part, row)
            value = value[tuple(slice(limits[a]) for a in axes)]
            out[i][tuple(slice(n) for n in value.shape[:-1])] = value
        return out

    facts = facts_of([store.words(row) for store, row in rows], count, fields, tokens, candidates)
    evidence = Evidence(
        key_attention=padded("key_attention", "FT", FLOOR),
        name_attention=padded("name_attention", "FT", FLOOR),
        definition_attention=padded("definition_attention", "FT", FLOOR),
        token_logprob=padded("token_logprob", "FT", FLOOR)[..., 0],
        token_states=padded("token_states", "T"),
        key_states=padded("key_states", "F"),
        key_logprob=padded("key_logprob", "F"),
        candidate_attention=padded("candidate_attention", "FC", FLOOR),
        candidate_logprob=padded("candidate_logprob", "FC", FLOOR)[..., 0].astype(np.float32),
        opening_states=None,
        opening_hidden=None,
    )
    return join(facts, evidence)


def pad_labels(labels: Sequence[RowLabels], fields: int, query: int, candidates: int, tokens: np.ndarray) -> Labels:
    """Labels of some rows, padded; a candidate that was cut counts as unknown. query: number of its tokens."""

    def padded(name: str, fill: int, dtype: type) -> np.ndarray:
        out: np.ndarray = np.full((len(labels), fields), fill, dtype)
        for i, label in enumerate(labels):
            value = getattr(label, name)
            out[i, : len(value)] = value
        return out

    candidate = padded("candidate", -1, np.int32)
    further = np.full((len(labels), query), -1, np.int32)
    for i, label in enumerate(labels):
        for field, first, last in label.further:
            further[i, first : last + 1] = field
    return Labels(
        tokens=tokens,
        start=padded("start", -1, np.int32),
        end=padded("end", -1, np.int32),
        presence=padded("presence", 0, bool),
        candidate=np.where(candidate < candidates, candidate, -1),
        copied=padded("copied", -1, np.int32),
        further=further,
    )


def slot_places(label: RowLabels, order: Sequence[int]) -> list[tuple[int, int]]:
    """(number of the slot, its first position) in the given order; where room is short, copied values are left out."""
    kept, room = set(), CANVAS
    for k in sorted(order, key=label.slot_copied):
        if label.slots[k][2] <= room:
            kept.add(k)
            room -= label.slots[k][2]
    chosen = [k for k in order if k in kept]
    ends = np.cumsum([label.slots[k][2] for k in chosen]).tolist()
    return list(zip(chosen, [0, *ends], strict=False))


def _lay_teaching(
    labels: Sequence[RowLabels], orders: Sequence[Sequence[int]], taught: Sequence[tuple[TeacherStore, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """What the base would write at each position of `lay_canvas`: ids and log-probabilities [B, N, KEPT]."""
    shape = (len(labels), CANVAS, KEPT)
    ids, logprob = np.zeros(shape, np.int32), np.full(shape, -np.inf, np.float32)
    for i, (label, order, (store, row)) in enumerate(zip(labels, orders, taught, strict=True)):
        known = store.part("ids", row), store.part("logprob", row).astype(np.float32)
        starts = np.cumsum([0, *map(taught_positions, label.slots)])
        if len(known[0]) != starts[-1]:
            # The row was too long to be read with its values.
            continue
        for k, place in slot_places(label, order):
            here, there = slice(starts[k], starts[k + 1]), slice(place, place + starts[k + 1] - starts[k])
            ids[i, there], logprob[i, there] = known[0][here], known[1][here]
    return ids, logprob


def lay_canvas(labels: Sequence[RowLabels], orders: Sequence[Sequence[int]], null_id: int) -> tuple[Canvas, np.ndarray]:
    """Slots of each row in its order, as many as fit; values that must be composed have the first claim."""
    shape = (len(labels), CANVAS)
    field, offset = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
    tokens = np.full(shape, null_id, np.int32)
    for i, (label, order) in enumerate(zip(labels, orders, strict=True)):
        for k, place in slot_places(label, order):
            owner, ids, size = label.slots[k]
            field[i, place : place + size], offset[i, place : place + size] = owner, np.arange(size)
            tokens[i, place : place + len(ids)] = ids
    return Canvas(field=field, offset=offset, exists=field >= 0), tokens


def to_float32(query: QueryFeatures) -> QueryFeatures:
    """Stored features as the base computes them."""
    return jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float16 else x, query)
