"""Composing what is not copied: masked diffusion over the value positions, reading the encoded query.

Bidirectional attention over the value positions of a call (all, or each value and those before it), cross-attention
from each position to the query as its own field sees it, and two ways to name a token: the frozen tied embedding, or a
query token (a pointer that knows the field's span: the k-th position of a slot looks k tokens behind the span's start).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxdiff.diffusion.block_order import block_numbers
from jaxdiff.diffusion.features import Canvas
from jaxdiff.diffusion.reader.config import MAX_SPAN, ReaderConfig
from jaxdiff.diffusion.reader.trunk import NOTHING, Encoding


@struct.dataclass
class Mixture:
    """The distribution of each canvas position, before it is spread over the vocabulary.

    copy_gate: [B, N] logit of copying. query: [B, N, D] to be compared with embedding rows. pointer: [B, N, T]
    log-probability of copying each query token.
    """

    copy_gate: Array
    query: Array
    pointer: Array


class Composer(nn.Module):
    """See the module's docstring. dtype: of the network's states; parameters and what comes out are float32."""

    config: ReaderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, encoding: Encoding, canvas: Canvas, inputs: Array, t: Array) -> Mixture:
        """inputs: [B, N, D] embeddings of the standing tokens; t: [B] noise time, 1 where all is masked."""
        c = self.config
        owner = jnp.maximum(canvas.field, 0)
        exists = canvas.exists & canvas.value_mask

        dense = partial(nn.Dense, dtype=self.dtype)
        norm = partial(nn.LayerNorm, dtype=self.dtype)
        embed = partial(nn.Embed, dtype=self.dtype)

        x = dense(c.hidden, name="token")(inputs)
        x += _pick(encoding.fields.astype(self.dtype), owner)
        # Slots that grow beyond the longest span that was trained on share its last place.
        x += embed(MAX_SPAN, c.hidden, name="offset")(jnp.clip(canvas.offset, 0, MAX_SPAN - 1))
        x += embed(c.kinds, c.hidden, name="kind")(jnp.take_along_axis(encoding.field_kind, owner, axis=1))
        if c.time_conditioning:
            x += dense(c.hidden, name="time")(t[:, None])[:, None]

        mask = _slot_mask(canvas, exists, block_causal=c.canvas_attention == "block_causal")
        seen = encoding.tokens.astype(self.dtype)
        for i in range(c.canvas_layers):
            x += _SlotAttention(c, self.dtype, name=f"slots_{i}")(norm(name=f"slots_norm_{i}")(x), mask)
            x += _QueryAttention(c, self.dtype, name=f"query_{i}")(
                norm(name=f"query_norm_{i}")(x), seen, owner, encoding.token_mask
            )
            y = nn.gelu(dense(2 * c.hidden, name=f"wide_{i}")(norm(name=f"wide_norm_{i}")(x)))
            x += dense(c.hidden, name=f"narrow_{i}")(y)
        x = norm(name="norm")(x)
        gate = dense(1, name="gate")(x)[..., 0].astype(jnp.float32)
        return Mixture(
            # Nothing can be copied from a query without tokens.
            copy_gate=jnp.where(encoding.token_mask.any(-1)[:, None] & ("copying" not in c.without), gate, NOTHING),
            query=dense(c.embedding, name="vocabulary")(x).astype(jnp.float32),
            pointer=self._pointer(x, encoding, owner, canvas.offset),
        )

    def _pointer(self, x: Array, encoding: Encoding, owner: Array, offset: Array) -> Array:
        width = self.config.hidden
        seen = _pick(encoding.tokens.astype(self.dtype), owner)
        asked = nn.Dense(width, dtype=self.dtype, name="pointer")(x)
        score = jnp.einsum("bnh,bnth->bnt", asked, seen, preferred_element_type=jnp.float32) / jnp.sqrt(width)
        start = _pick(encoding.span_start, owner)
        source = jnp.arange(start.shape[-1])[None, None] - offset[..., None]
        shifted = jnp.take_along_axis(start, jnp.clip(source, 0, start.shape[-1] - 1), axis=-1)
        shifted = jnp.maximum(jnp.where(source >= 0, shifted, NOTHING), -10)
        score += self.param("shift", nn.initializers.ones, ()) * shifted
        return jax.nn.log_softmax(jnp.where(encoding.token_mask[:, None], score, NOTHING), -1)


class _SlotAttention(nn.Module):
    """Self-attention over the value positions. mask: [B, 1, N, N]."""

    config: ReaderConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        heads = self.config.canvas_heads
        attention = nn.MultiHeadDotProductAttention(
            heads, dtype=self.dtype, force_fp32_for_softmax=True, name="attention"
        )
        return attention(x, mask=mask)


def _slot_mask(canvas: Canvas, exists: Array, *, block_causal: bool) -> Array:
    """[B, 1, N, N] whether a position (axis 2) sees another; itself always, so that no row is empty.

    Three values of two positions each, full and block-causal:

        x x x x x x      x x . . . .
        x x x x x x      x x . . . .
        x x x x x x      x x x x . .
        x x x x x x      x x x x . .
        x x x x x x      x x x x x x
        x x x x x x      x x x x x x
    """
    mask = exists[:, None, None, :] & exists[:, None, :, None]
    if block_causal:
        block = block_numbers(canvas.field)
        mask &= block[:, None, None, :] <= block[:, None, :, None]
    return mask | jnp.eye(exists.shape[1], dtype=bool)[None, None]


class _QueryAttention(nn.Module):
    """Attention from each position to the query tokens as its own field sees them (seen: [B, F, T, H])."""

    config: ReaderConfig
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, seen: Array, owner: Array, token_mask: Array) -> Array:
        heads, width = self.config.canvas_heads, self.config.hidden // self.config.canvas_heads
        project = partial(nn.DenseGeneral, (heads, width), dtype=self.dtype)
        q = project(name="query")(x)
        k = _pick(project(name="key")(seen), owner)
        v = _pick(project(name="value")(seen), owner)
        score = jnp.einsum("bnhd,bnthd->bnht", q, k, preferred_element_type=jnp.float32) / jnp.sqrt(width)
        weight = jax.nn.softmax(jnp.where(token_mask[:, None, None], score, NOTHING), -1).astype(self.dtype)
        out = nn.DenseGeneral(self.config.hidden, axis=(-2, -1), dtype=self.dtype, name="out")
        return out(jnp.einsum("bnht,bnthd->bnhd", weight, v))


def _pick(values: Array, owner: Array) -> Array:
    """values [B, F, ...] of the field that owns each position [B, N] -> [B, N, ...].

    A product with one-hot rows: the gradient of an index is a scatter, which a CPU does an element at a time.
    """
    chosen = jax.nn.one_hot(owner, values.shape[1], dtype=values.dtype)
    flat = values.reshape(*values.shape[:2], -1)
    return jnp.einsum("bnf,bfx->bnx", chosen, flat).reshape(*owner.shape, *values.shape[2:])
