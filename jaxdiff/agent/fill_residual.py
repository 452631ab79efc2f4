"""Filling by the `residual` head: every value is composed on the JSON scaffold, in a few denoising steps.

Fields with listed candidates are decided before, on whole candidates: each position alone would mix two of them. The
rest is denoised beside them. An optional field whose first token is <NULL> is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.asked import Asked, Present
from jaxdiff.agent.canvas_reading import CanvasReading, canvas_of, read_query_canvas, written_ids
from jaxdiff.agent.filled import FilledField, Filling, FillTrace
from jaxdiff.base.buckets import FIELDS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion import residual
from jaxdiff.diffusion.block_order import block_numbers
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.diffusion.features import Canvas, Features
from jaxdiff.diffusion.head_files import LoadedHead
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.schema.budget import CANDIDATE_TOKENS
from jaxdiff.schema.tools import Tool

# Listed values of a field, and one more for its absence.
OPTIONS = (3, 8, 32, 128, 512, 2048)


@dataclass(frozen=True, eq=False)
class ResidualHead:
    """A residual head and the base that it was trained for, ready to fill."""

    base: FrozenBase
    config: ResidualConfig
    params: dict[str, Any]

    @classmethod
    def from_loaded(cls, base: FrozenBase, loaded: LoadedHead) -> ResidualHead:
        """Puts a head from disk on the device."""
        return cls(base, ResidualConfig.from_dict(loaded.config), jax.tree.map(jnp.asarray, loaded.params))

    def read(self, asked: Sequence[Asked]) -> list[CanvasReading]:
        """What the base says at each call's canvas, one call after the other: every tool has a canvas of its own.

        Raises InputError where a query is longer than the largest bucket.
        """
        readings = [read_query_canvas(self.base, call) for call in asked]
        jax.block_until_ready([reading.states for reading in readings])
        return readings

    def features(self, reading: CanvasReading, canvas: Canvas) -> Features:
        """What the head reads of a call."""
        whole = Features(canvas=canvas, canvas_states=reading.states, embedding=self.base.embedding)
        if not self.config.prompt_attention:
            return whole
        return replace(whole, prompt_states=reading.prompt_states, prompt_mask=reading.prompt_mask)

    def fill(
        self,
        readings: Sequence[CanvasReading],
        denoising: DenoiseConfig,
        *,
        seed: int = 0,
        present: Sequence[Present] | None = None,
    ) -> list[Filling]:
        """Fills each call, one after the other; present: of each call."""
        told = [None] * len(readings) if present is None else present
        return [
            fill_residual(self, reading, denoising, seed=seed, present=fields)
            for reading, fields in zip(readings, told, strict=True)
        ]


@struct.dataclass
class Options:
    """What fields with listed candidates may hold (G such fields, C options each, W tokens, all padded).

    tokens: [G, C, W] int32, the whole slot: a candidate with <NULL> behind it, or <NULL> alone for an absent field; -1
    behind the slot. start: [G] int32, the slot's first position. exists: [G, C] bool.
    """

    tokens: np.ndarray
    start: np.ndarray
    exists: np.ndarray


def fill_residual(
    head: ResidualHead,
    reading: CanvasReading,
    denoising: DenoiseConfig,
    *,
    seed: int = 0,
    present: Present = None,
) -> Filling:
    """Fills the fields of one call from what was read of the query.

    present: exactly these fields are filled; None: the head decides. Raises ConfigError for a sampler that the head
    cannot serve.
    """
    denoising.check_head(prompt_dropout=head.config.prompt_dropout, time_conditioning=True)
    tool = reading.tool
    if not tool.fields:
        return Filling({})
    base, template, size = head.base, reading.template, reading.states.shape[1]
    null_id, mask_id = head.config.null_id, head.config.mask_id
    slots = [list(segment.value_positions) for segment in template.segments]
    wanted = [i for i, field in enumerate(tool.fields) if present is None or field.name in present]
    certain = [i for i in wanted if tool.fields[i].required or present is not None]
    listed = [i for i in wanted if tool.fields[i].candidates]
    composed = [i for i in wanted if i not in listed]

    tokens, filled_first = np.full((1, size), null_id, np.int32), np.zeros((1, size), bool)
    tokens[0, : len(template.tokens)] = template.tokens
    for i, slot in enumerate(slots):
        if i not in wanted:
            tokens[0, slot] = null_id
        filled_first[0, slot[0]] = i in composed and i in certain
    options = _options(head, tool, slots, listed, certain)
    result, scores = jax.device_get(
        _denoise(
            head.config, denoising, head.params, head.features(reading, canvas_of(template, size)), tokens,
            filled_first, options, jax.random.key(seed),
        )
    )  # fmt: skip

    filled: dict[str, FilledField] = {}
    absence = 1.0
    for i in wanted:
        field = tool.fields[i]
        if i in listed:
            probability = _softmax(scores[listed.index(i)].astype(np.float64))
            best = int(np.argmax(probability))
            if best < len(field.candidates):
                filled[field.name] = FilledField(field.candidates[best], float(probability[best]), "candidate")
            else:
                absence *= float(probability[best])
            continue
        value, certainty = result.tokens[0, slots[i]].tolist(), result.confidence[0, slots[i]].astype(np.float64)
        length = value.index(null_id) if null_id in value else len(value)
        confidence = min(1.0, float(np.prod(certainty[: length + 1])))
        if length or i in certain:
            filled[field.name] = FilledField(base.decode(value[:length]), confidence, "compose")
        else:
            absence *= confidence
    trace = None
    if composed:
        owners = [(position, tool.fields[i].name) for i in wanted for position in slots[i]]
        places = [position for position, _ in owners]
        names = ("revealed", "tokens", "confidence")
        values = replace(result.trace, **{name: getattr(result.trace, name)[:, :, places] for name in names})
        trace = FillTrace.of(base, values, 0, tuple(name for _, name in owners), {mask_id: "·", null_id: ""})
    return Filling(filled, absence, trace)


def _options(
    head: ResidualHead, tool: Tool, slots: list[list[int]], listed: list[int], certain: list[int]
) -> Options | None:
    if not listed:
        return None
    null_id = head.config.null_id
    most = max(len(tool.fields[i].candidates) for i in listed)
    fields = bucket(len(listed), FIELDS, f"fields with listed values of {tool.name!r}")
    shape = (fields, bucket(most + 1, OPTIONS, "listed values of a field"))
    options = Options(
        tokens=np.full((*shape, CANDIDATE_TOKENS), -1, np.int32),
        start=np.zeros(fields, np.int32),
        exists=np.zeros(shape, bool),
    )
    for row, i in enumerate(listed):
        slot = slots[i]
        values = [written_ids(head.base, value)[: len(slot)] for value in tool.fields[i].candidates]
        if i not in certain:
            values.append([])
        for column, ids in enumerate(values):
            options.tokens[row, column, : len(slot)] = ids + [null_id] * (len(slot) - len(ids))
        options.start[row], options.exists[row, : len(values)] = slot[0], True
    return options


def _softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max())
    return odds / odds.sum()


@partial(jax.jit, static_argnums=(0, 1))
def _denoise(
    config: ResidualConfig,
    steps: DenoiseConfig,
    params: dict[str, Any],
    features: Features,
    tokens: Array,
    filled_first: Array,
    options: Options | None,
    key: Array,
) -> tuple[DenoiseResult, Array | None]:
    """The filled canvas, and the log-probability [G, C] of each option at the fully masked state.

    filled_first: [1, N] bool, positions that may not take <NULL>: the first of a value that must be there.
    """

    def predict_from(features: Features, tokens: Array, t: Array) -> Array:
        logits = residual.predict(params, config, features, tokens, t).logits
        null = jnp.where(filled_first, -jnp.inf, logits[..., config.null_id])
        return logits.at[..., config.null_id].set(null)

    def predict_logits(tokens: Array, t: Array) -> Array:
        return predict_from(features, tokens, t)

    def predict_unconditional(tokens: Array, t: Array) -> Array:
        return predict_from(residual.without_query(features, jnp.ones(1, bool)), tokens, t)

    tokens, scores = jnp.asarray(tokens), None
    if options is not None:
        scores = _score(predict_logits(tokens, jnp.ones(1)), options, config.mask_id)
        tokens = tokens.at[0].set(_placed(tokens[0], scores, options))
    result = denoise(
        predict_logits, tokens, features.canvas.value_mask, key, mask_id=config.mask_id,
        null_id=config.null_id, config=steps, unconditional=predict_unconditional,
        block=block_numbers(jnp.asarray(features.canvas.field)),
    )  # fmt: skip
    return result, scores


def _positions(options: Options) -> Any:
    """[G, W] int32, canvas positions of the options' tokens."""
    return options.start[:, None] + jnp.arange(options.tokens.shape[-1], dtype=jnp.int32)[None]


def _score(logits: Array, options: Options, mask_id: int) -> Array:
    """[G, C] float32: summed log-probability of an option's tokens, -inf for padding. logits: [1, N, V]."""
    logits = logits[0].at[:, mask_id].set(-jnp.inf)
    positions = jnp.minimum(_positions(options), logits.shape[0] - 1)[:, None]
    logprob = logits[positions, jnp.maximum(options.tokens, 0)] - jax.nn.logsumexp(logits, axis=-1)[positions]
    total = jnp.where(options.tokens >= 0, logprob, 0.0).sum(-1)
    return jnp.where(options.exists, total, -jnp.inf)


def _placed(tokens: Array, scores: Array, options: Options) -> Array:
    """The canvas [N] with the best option of each field in its slot."""
    best = scores.argmax(-1)
    chosen = jnp.take_along_axis(options.tokens, best[:, None, None], axis=1)[:, 0]
    # Places behind the canvas are dropped.
    positions = jnp.where(chosen >= 0, _positions(options), tokens.shape[0])
    return tokens.at[positions].set(chosen, mode="drop")
