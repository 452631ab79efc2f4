"""Composing what is not copied: masked diffusion over the value positions, reading the encoded query.

Bidirectional attention over all value positions of a call, cross-attention from each position to the query as its own
field sees it, and two ways to name a token: the frozen tied embedding, or a query token (a pointer that knows the
field's span: the k-th position of a slot looks k tokens behind the span's start).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

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
    """See the module's docstring."""

    config: ReaderConfig

    @nn.compact
    def __call__(self, encoding: Encoding, canvas: Canvas, inputs: Array, t: Array) -> Mixture:
        """inputs: [B, N, D] embeddings of the standing tokens; t: [B] noise time, 1 where all is masked."""
        c = self.config
        owner = jnp.maximum(canvas.field, 0)
        exists = canvas.exists & canvas.value_mask
        offset = jnp.clip(canvas.offset, 0, MAX_SPAN - 1)

        x = nn.Dense(c.hidden, name="token")(inputs)
        x += _pick(encoding.fields, owner)
        x += nn.Embed(MAX_SPAN, c.hidden, name="offset")(offset)
        x += nn.Embed(c.kinds, c.hidden, name="kind")(jnp.take_along_axis(encoding.field_kind, owner, axis=1))
        x += nn.Dense(c.hidden, name="time")(t[:, None])[:, None]

        seen = encoding.tokens
        for i in range(c.canvas_layers):
            x += _SlotAttention(c, name=f"slots_{i}")(nn.LayerNorm(name=f"slots_norm_{i}")(x), exists)
            x += _QueryAttention(c, name=f"query_{i}")(
                nn.LayerNorm(name=f"query_norm_{i}")(x), seen, owner, encoding.token_mask
            )
            y = nn.gelu(nn.Dense(2 * c.hidden, name=f"wide_{i}")(nn.LayerNorm(name=f"wide_norm_{i}")(x)))
            x += nn.Dense(c.hidden, name=f"narrow_{i}")(y)
        x = nn.LayerNorm(name="norm")(x)
        return Mixture(
            copy_gate=nn.Dense(1, name="gate")(x)[..., 0],
            query=nn.Dense(c.embedding, name="vocabulary")(x),
            pointer=self._pointer(x, encoding, owner, offset),
        )

    def _pointer(self, x: Array, encoding: Encoding, owner: Array, offset: Array) -> Array:
        width = self.config.hidden
        seen = _pick(encoding.tokens, owner)
        score = jnp.einsum("bnh,bnth->bnt", nn.Dense(width, name="pointer")(x), seen) / jnp.sqrt(width)
        start = _pick(encoding.span_start, owner)
        source = jnp.arange(start.shape[-1])[None, None] - offset[..., None]
        shifted = jnp.take_along_axis(start, jnp.clip(source, 0, start.shape[-1] - 1), axis=-1)
        shifted = jnp.maximum(jnp.where(source >= 0, shifted, NOTHING), -10)
        score += self.param("shift", nn.initializers.ones, ()) * shifted
        return jax.nn.log_softmax(jnp.where(encoding.token_mask[:, None], score, NOTHING), -1)


class _SlotAttention(nn.Module):
    """Bidirectional self-attention over all value positions."""

    config: ReaderConfig

    @nn.compact
    def __call__(self, x: Array, exists: Array) -> Array:
        mask = exists[:, None, None, :] & exists[:, None, :, None] | jnp.eye(x.shape[1], dtype=bool)[None, None]
        return nn.MultiHeadDotProductAttention(self.config.canvas_heads, name="attention")(x, mask=mask)


class _QueryAttention(nn.Module):
    """Attention from each position to the query tokens as its own field sees them (seen: [B, F, T, H])."""

    config: ReaderConfig

    @nn.compact
    def __call__(self, x: Array, seen: Array, owner: Array, token_mask: Array) -> Array:
        heads, width = self.config.canvas_heads, self.config.hidden // self.config.canvas_heads
        q = nn.DenseGeneral((heads, width), name="query")(x)
        k = _pick(nn.DenseGeneral((heads, width), name="key")(seen), owner)
        v = _pick(nn.DenseGeneral((heads, width), name="value")(seen), owner)
        score = jnp.einsum("bnhd,bnthd->bnht", q, k) / jnp.sqrt(width)
        weight = jax.nn.softmax(jnp.where(token_mask[:, None, None], score, NOTHING), -1)
        return nn.DenseGeneral(self.config.hidden, axis=(-2, -1), name="out")(jnp.einsum("bnht,bnthd->bnhd", weight, v))


def _pick(values: Array, owner: Array) -> Array:
    """values [B, F, ...] of the field that owns each position [B, N] -> [B, N, ...].

    A product with one-hot rows: the gradient of an index is a scatter, which a CPU does an element at a time.
    """
    chosen = jax.nn.one_hot(owner, values.shape[1], dtype=values.dtype)
    flat = values.reshape(*values.shape[:2], -1)
    return jnp.einsum("bnf,bfx->bnx", chosen, flat).reshape(*owner.shape, *values.shape[2:])
