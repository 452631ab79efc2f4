"""Filling by a trained head: spans of the query where the value is said, denoising where it must be composed.

The frozen base reads the query once; the head's encoding, computed once, says which fields are present, which
candidate is meant, where in the query each value stands, and whether those words give the value. What they do not give
is composed on a canvas in a few denoising steps, beside the values that are already known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.assignment import Span, assign, best_spans, understood
from jaxdiff.agent.filled import FilledField, Filling, FillTrace
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.reading import Reading, read_query
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.diffusion.features import Canvas, QueryFeatures
from jaxdiff.diffusion.head_files import LoadedHead
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.trunk import Encoding
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.fields import Field
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True, eq=False)
class ReaderHead:
    """A reader and the base that it was trained for, ready to fill."""

    base: FrozenBase
    config: ReaderConfig
    params: dict[str, Any]

    @classmethod
    def from_loaded(cls, base: FrozenBase, loaded: LoadedHead) -> ReaderHead:
        """Puts a head from disk on the device."""
        return cls(base, ReaderConfig.from_dict(loaded.config), jax.tree.map(jnp.asarray, loaded.params))

    def encode(self, query: QueryFeatures) -> Encoding:
        """The encoding of a query (or a batch)."""
        return _encode(self.config, self.params, query)

    def read(self, tool: Tool, known: ToolPrefix, query: str) -> Reading:
        """What the base says at the keys. Raises InputError where the query is longer than the largest bucket."""
        reading = read_query(self.base, tool, known, query)
        jax.block_until_ready(reading.features)
        return reading

    def fill(
        self,
        tool: Tool,
        query: str,
        reading: Reading,
        denoising: DenoiseConfig,
        *,
        seed: int = 0,
        present: Collection[str] | None = None,
    ) -> Filling:
        """Fills the fields of one call. present: exactly these fields are filled; None: the head decides."""
        offsets = reading.prompt.offsets
        return fill_diffusion(self, tool, query, offsets, reading.features, denoising, seed=seed, present=present)


def fill_diffusion(
    head: ReaderHead,
    tool: Tool,
    query: str,
    offsets: Sequence[tuple[int, int]],
    features: QueryFeatures,
    config: DenoiseConfig,
    *,
    seed: int = 0,
    present: Collection[str] | None = None,
) -> Filling:
    """Fills the fields of one call from what was read of the query (one row).

    offsets: code points of the query's tokens. present: exactly these fields are filled; None: the head decides.
    """
    if not tool.fields:
        return Filling({})
    encoding = head.encode(features)
    seen = jax.device_get(
        {name: getattr(encoding, name)[0] for name in ("span_start", "span_end", "presence", "copied", "candidates")}
    )
    presence = 1 / (1 + np.exp(-seen["presence"].astype(np.float64)))
    wanted = [i for i, field in enumerate(tool.fields) if _is_wanted(field, float(presence[i]), present)]
    texts = [i for i in wanted if not tool.fields[i].candidates]
    possible = [best_spans(seen["span_start"][i], seen["span_end"][i], tool.fields[i], query, offsets) for i in texts]
    spans = dict(zip(texts, assign(possible), strict=True))
    copied = 1 / (1 + np.exp(-seen["copied"].astype(np.float64)))
    composed_fields = [i for i in texts if copied[i] < 0.5 or (s := spans[i]) is None or not s.understood]
    composed, trace = _compose(head, tool, query, spans, composed_fields, encoding, config, seed)

    filled: dict[str, FilledField] = {}
    for i in wanted:
        field = tool.fields[i]
        certainty = 1.0 if field.required or present is not None else float(presence[i])
        if field.candidates:
            logprob = seen["candidates"][i]
            best = int(np.argmax(logprob[: len(field.candidates)]))
            filled[field.name] = FilledField(
                field.candidates[best], float(np.exp(logprob[best])) * certainty, "candidate"
            )
            continue
        span = spans[i]
        # Composed words that are no value give way to the query's own, if those are one.
        if i in composed and (understood(composed[i][0], field) or span is None or not span.understood):
            text, confidence = composed[i]
            if text or field.required:
                filled[field.name] = FilledField(text, confidence * certainty, "compose")
        elif span is not None:
            source = (span.start, span.end)
            confidence = min(1.0, float(np.exp(span.score))) * certainty
            filled[field.name] = FilledField(query[span.start : span.end], confidence, "copy", source)
    absent = [presence[i] for i in range(len(tool.fields)) if i not in wanted and present is None]
    return Filling(filled, absence=float(np.prod(1 - np.array(absent))), trace=trace)


def _is_wanted(field: Field, presence: float, present: Collection[str] | None) -> bool:
    if present is not None:
        return field.name in present
    return field.required or presence > 0.5


def _compose(
    head: ReaderHead,
    tool: Tool,
    query: str,
    spans: dict[int, Span | None],
    composed: Sequence[int],
    encoding: Encoding,
    config: DenoiseConfig,
    seed: int,
) -> tuple[dict[int, tuple[str, float]], FillTrace | None]:
    """Text and confidence of each composed field. Copied values stand on the canvas as given."""
    if not composed:
        return {}, None
    base, null_id, mask_id = head.base, head.config.null_id, head.config.mask_id
    ids: list[int] = []
    owner: list[int] = []
    offset: list[int] = []
    slots: dict[int, slice] = {}
    for i, span in spans.items():
        size = slot_tokens(tool.fields[i], base.encode)
        if i in composed:
            content = [mask_id] * size
        elif span is not None:
            known = base.encode(" " + query[span.start : span.end])[:size]
            content = known + [null_id] * (size - len(known))
        slots[i] = slice(len(ids), len(ids) + size)
        ids += content
        owner += [i] * size
        offset += range(size)
    size = bucket(len(ids), TOKENS, f"canvas of {tool.name!r}")
    padding = size - len(ids)
    canvas = Canvas(
        field=np.array([owner + [-1] * padding], np.int32),
        offset=np.array([offset + [0] * padding], np.int32),
        exists=np.array([[True] * len(ids) + [False] * padding]),
    )
    tokens = np.array([ids + [null_id] * padding], np.int32)
    key = jax.random.key(seed)
    result = jax.device_get(_denoise(head.config, config, head.params, encoding, canvas, tokens, key, base.embedding))
    texts = {}
    for i in composed:
        value = result.tokens[0, slots[i]].tolist()
        length = value.index(null_id) if null_id in value else len(value)
        confidence = float(np.prod(result.confidence[0, slots[i]][: length + 1].astype(np.float64)))
        words = [token for token in value[:length] if token < base.config.vocab_size]
        texts[i] = (base.decode(words).strip(), min(1.0, confidence))
    names = tuple(tool.fields[i].name for i in owner)
    return texts, FillTrace.of(base, result.trace, names, {mask_id: "·", null_id: ""})


@partial(jax.jit, static_argnums=0)
def _encode(config: ReaderConfig, params: dict[str, Any], query: QueryFeatures) -> Encoding:
    return reader.encode(params, config, query)


@partial(jax.jit, static_argnums=(0, 1))
def _denoise(
    config: ReaderConfig,
    steps: DenoiseConfig,
    params: dict[str, Any],
    encoding: Encoding,
    canvas: Canvas,
    tokens: Array,
    key: Array,
    embedding: Array,
) -> DenoiseResult:
    def predict_logits(tokens: Array, t: Array) -> Array:
        return reader.logits(params, config, encoding, canvas, tokens, t, embedding)

    return denoise(predict_logits, tokens, canvas.value_mask, key, mask_id=config.mask_id, config=steps)
