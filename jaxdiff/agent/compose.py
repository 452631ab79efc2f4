"""Composing what the query does not say as it is written: one canvas a call, all denoised together.

A canvas holds the slots of a call's text fields: masks where the value is to be composed, words of the query where they
give it. No row sees another, and randomness belongs to what a call asks for, so that a call comes out the same alone
or among others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.assignment import Span
from jaxdiff.agent.filled import FillTrace
from jaxdiff.base.buckets import CALLS, TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.diffusion.features import Canvas
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.trunk import Encoding
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class Composition:
    """A call with fields to be composed.

    row: its row in the encoding. spans: number of each text field -> words of the query for it. fields: numbers of
    those that are composed.
    """

    row: int
    tool: Tool
    query: str
    spans: dict[int, Span | None]
    fields: list[int]


@dataclass(frozen=True)
class Composed:
    """Text and confidence of each composed field, by its number, and how they came about."""

    texts: dict[int, tuple[str, float]]
    trace: FillTrace


@dataclass(frozen=True)
class _Slots:
    """A call's canvas, unpadded: token, number of the field, and offset in its slot, of each position."""

    tokens: list[int]
    field: list[int]
    offset: list[int]

    def of(self, number: int) -> slice:
        """The positions of a field."""
        start = self.field.index(number)
        return slice(start, start + self.field.count(number))


def compose(
    base: FrozenBase,
    config: ReaderConfig,
    params: dict[str, Any],
    encoding: Encoding,
    calls: Sequence[Composition],
    denoising: DenoiseConfig,
    seed: int,
) -> list[Composed]:
    """Composes the fields of calls, no more than the largest bucket holds, in one batch.

    Raises InputError for a canvas beyond the largest bucket.
    """
    if not calls:
        return []
    rows, names = bucket(len(calls), CALLS, "calls"), {config.mask_id: "·", config.null_id: ""}
    slots = [_slots(base, config, call) for call in calls]
    sizes = [
        bucket(len(row.tokens), TOKENS, f"canvas of {call.tool.name!r}") for row, call in zip(slots, calls, strict=True)
    ]
    shape = (rows, max(sizes))
    canvas = Canvas(field=np.full(shape, -1, np.int32), offset=np.zeros(shape, np.int32), exists=np.zeros(shape, bool))
    tokens, content = np.full(shape, config.null_id, np.int32), np.zeros(rows, np.uint32)
    owner = np.zeros(rows, np.int32)
    for row, (here, call) in enumerate(zip(slots, calls, strict=True)):
        length = len(here.tokens)
        canvas.field[row, :length], canvas.offset[row, :length] = here.field, here.offset
        canvas.exists[row, :length], tokens[row, :length] = True, here.tokens
        owner[row], content[row] = call.row, zlib.crc32(f"{call.tool.name}\n{call.query}".encode())
    chosen = _take(encoding, owner)
    result = jax.device_get(
        _denoise(config, denoising, params, chosen, canvas, tokens, jax.random.key(seed), content, base.embedding)
    )
    found = []
    for row, (here, call) in enumerate(zip(slots, calls, strict=True)):
        texts = {i: _text(base, config, result, row, here.of(i)) for i in call.fields}
        owners = tuple(call.tool.fields[i].name for i in here.field)
        found.append(Composed(texts, FillTrace.of(base, result.trace, row, owners, names)))
    return found


def _slots(base: FrozenBase, config: ReaderConfig, call: Composition) -> _Slots:
    tokens: list[int] = []
    field: list[int] = []
    offset: list[int] = []
    for i, span in call.spans.items():
        size = slot_tokens(call.tool.fields[i], base.encode)
        if i in call.fields:
            content = [config.mask_id] * size
        else:
            known = [] if span is None else base.encode(" " + call.query[span.start : span.end])[:size]
            content = known + [config.null_id] * (size - len(known))
        tokens += content
        field += [i] * size
        offset += range(size)
    return _Slots(tokens, field, offset)


def _text(base: FrozenBase, config: ReaderConfig, result: DenoiseResult, row: int, slot: slice) -> tuple[str, float]:
    value = result.tokens[row, slot].tolist()
    length = value.index(config.null_id) if config.null_id in value else len(value)
    confidence = float(np.prod(np.asarray(result.confidence[row, slot][: length + 1], np.float64)))
    words = [token for token in value[:length] if token < base.config.vocab_size]
    return base.decode(words).strip(), min(1.0, confidence)


@jax.jit
def _take(encoding: Encoding, rows: Array) -> Encoding:
    chosen: Encoding = jax.tree.map(lambda x: x[rows], encoding)
    return chosen


@partial(jax.jit, static_argnums=(0, 1))
def _denoise(
    config: ReaderConfig,
    steps: DenoiseConfig,
    params: dict[str, Any],
    encoding: Encoding,
    canvas: Canvas,
    tokens: Array,
    key: Array,
    content: Array,
    embedding: Array,
) -> DenoiseResult:
    """content: [B] uint32, what a row's randomness depends on beside the key."""

    def predict_logits(tokens: Array, t: Array) -> Array:
        return reader.logits(params, config, encoding, canvas, tokens, t, embedding)

    def predict_unconditional(tokens: Array, t: Array) -> Array:
        unseen = reader.without_query(encoding, jnp.ones(tokens.shape[0], bool))
        return reader.logits(params, config, unseen, canvas, tokens, t, embedding)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, content)
    return denoise(
        predict_logits, tokens, canvas.value_mask, keys, mask_id=config.mask_id, config=steps,
        unconditional=predict_unconditional,
    )  # fmt: skip
