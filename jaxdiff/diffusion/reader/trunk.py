"""From what the base says at the keys to spans, presence and candidates.

The base's attention from a field's key to a query token already points at the value; a small network over the
attention of all layers and heads, its neighbours, and how it differs from the other fields' (they compete for the
words), turns that into a start, an end given the start (Seo et al., arXiv 1611.01603), and, pooled, into one vector a
field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.diffusion.reader.config import MAX_SPAN, ReaderConfig

NOTHING = -1e9
# Log-attention outside the query.
FAR = -12.0
# What is looked at beside the keys' own attention: features of the same shape, each a part of its own.
LOOKS = ("name_attention", "definition_attention")


@struct.dataclass
class Encoding:
    """What the trunk makes of a query; the canvas reads it at every denoising step.

    tokens: [B, F, T, H] query tokens as seen by each field. fields: [B, F, H]. token_mask: [B, T] bool. token_ids: [B,
    T] int32. field_kind: [B, F] int32. span_start: [B, F, T], span_end: [B, F, T, T] log-probabilities. owner: [B, F +
    1, T] log-probability that a token belongs to no field (index 0) or to field f (f + 1). presence, copied: [B, F]
    logits. candidates: [B, F, C] log-probabilities.
    """

    tokens: Array
    fields: Array
    token_mask: Array
    token_ids: Array
    field_kind: Array
    span_start: Array
    span_end: Array
    owner: Array
    presence: Array
    copied: Array
    candidates: Array


def averaged(encodings: Sequence[Encoding]) -> Encoding:
    """What several trunks say together: the mean of their probabilities, of presence and copying of their logits.

    States are those of the first.
    """
    if len(encodings) == 1:
        return encodings[0]

    def said(name: str) -> Array:
        return jnp.stack([getattr(encoding, name) for encoding in encodings])

    count = jnp.log(jnp.float32(len(encodings)))
    means = {
        name: jax.nn.logsumexp(said(name), 0) - count for name in ("span_start", "span_end", "owner", "candidates")
    }
    return replace(encodings[0], presence=said("presence").mean(0), copied=said("copied").mean(0), **means)


class Standardize(nn.Module):
    """(x - mean) / scale with statistics of the training rows; they are set once and never trained."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        mean = self.param("statistics_mean", nn.initializers.zeros, (x.shape[-1],))
        scale = self.param("statistics_scale", nn.initializers.ones, (x.shape[-1],))
        # Without this the gradient would run through all features for nothing.
        mean, scale = jax.lax.stop_gradient((mean, scale))
        mean, scale = (value.reshape((1,) * (x.ndim - 1) + (-1,)) for value in (mean, scale))
        return jnp.clip((x.astype(jnp.float32) - mean) / scale, -6, 6)


class Neighbours(nn.Module):
    """Residual convolution over the tokens, width 5, as one product (faster than a convolution on a CPU)."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        length = x.shape[-2]
        around = jnp.pad(jnp.where(mask, x, 0.0), ((0, 0), (0, 0), (2, 2), (0, 0)))
        window = jnp.concatenate([around[:, :, i : i + length] for i in range(5)], -1)
        return x + nn.gelu(nn.Dense(self.hidden, dtype=self.dtype, name="conv")(window))


class Context(nn.Module):
    """Residual bidirectional attention over the query's tokens [B, T, H]: the frozen base sees none that follow."""

    hidden: int
    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, token_mask: Array) -> Array:
        mask = token_mask[:, None, None, :] | jnp.eye(x.shape[1], dtype=bool)[None, None]
        attention = nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype, force_fp32_for_softmax=True)
        x = x + attention(nn.LayerNorm(dtype=self.dtype)(x), mask=mask)
        wide = nn.gelu(nn.Dense(2 * self.hidden, dtype=self.dtype)(nn.LayerNorm(dtype=self.dtype)(x)))
        return x + nn.Dense(self.hidden, dtype=self.dtype)(wide)


class AcrossFields(nn.Module):
    """Residual mixing of each field with mean and maximum over all fields (axis 1), so that order does not matter."""

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        count = jnp.maximum(mask.any(axis=tuple(range(2, mask.ndim))).sum(1), 1).reshape(-1, *(1,) * (x.ndim - 1))
        mean = jnp.where(mask, x, 0.0).sum(1, keepdims=True) / count.astype(x.dtype)
        mean = jnp.broadcast_to(mean, x.shape)
        highest = jnp.where(mask, jnp.where(mask, x, -1e4).max(1, keepdims=True), 0.0)
        mixed = nn.Dense(self.hidden, dtype=self.dtype, name="mix")(jnp.concatenate([x, mean, highest], -1))
        return x + nn.gelu(mixed)


class Contest(nn.Module):
    """[B, F, T] what a start gains or loses once every field has seen where the others would begin and what they own.

    A step of what the assignment does afterwards for all fields at once, learned: of two fields that want the same
    words, the one that has no others keeps them.
    """

    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, start: Array, owner: Array, inside: Array) -> Array:
        """x: [B, F, T, H]. start: [B, F, T] scores. owner: [B, F + 1, T] as in `Encoding`. inside: [B, F, T] bool."""
        begins = jnp.where(inside, jax.nn.softmax(start, -1), 0.0)
        rival = highest_of_others(begins)
        nobody, own = jnp.exp(owner[:, :1]), jnp.where(inside, jnp.exp(owner[:, 1:]), 0.0)
        others = jnp.maximum(1 - nobody - own, 0.0)
        own_best, rival_best = (jnp.broadcast_to(p.max(-1, keepdims=True), p.shape) for p in (begins, rival))
        seen = [begins, rival, own, others, own_best, rival_best]
        for p in (own, others):
            seen += [jnp.pad(p[..., :-1], ((0, 0), (0, 0), (1, 0))), jnp.pad(p[..., 1:], ((0, 0), (0, 0), (0, 1)))]
        logs = jnp.log(jnp.stack(seen, -1) + 1e-4)
        inner = nn.Dense(self.hidden, dtype=self.dtype, name="seen")(jnp.concatenate([x, logs.astype(x.dtype)], -1))
        gain: Array = nn.Dense(1, dtype=self.dtype, name="gain")(nn.gelu(inner))[..., 0].astype(jnp.float32)
        return jnp.where(inside, gain, 0.0)


def highest_of_others(x: Array) -> Array:
    """[B, F, T] of each field the highest x >= 0 of all other fields, 0 where there is no other."""
    first = jnp.argmax(x, 1, keepdims=True)
    is_first = jnp.arange(x.shape[1])[None, :, None] == first
    highest, second = x.max(1, keepdims=True), jnp.where(is_first, 0.0, x).max(1, keepdims=True)
    return jnp.where(is_first, second, highest)


def attention_and_claim(query: QueryFeatures) -> tuple[Array, Array]:
    """[B, F, T, A + 1] log-attention and token log-probability, and by how much they exceed the other fields' mean."""
    return look_and_claim(query, jnp.concatenate([query.key_attention, query.token_logprob[..., None]], -1))


def look_and_claim(query: QueryFeatures, look: Array) -> tuple[Array, Array]:
    """[B, F, T, A] log-probabilities between fields and tokens, and by how much they exceed the other fields' mean."""
    own = look.astype(jnp.float32)
    real = (query.token_mask[:, None] & query.field_mask[:, :, None])[..., None]
    own = jnp.where(real, own, FAR)
    probability = jnp.where(query.field_mask[:, :, None, None], jnp.exp(own), 0.0)
    others = jnp.maximum(query.field_mask.sum(1) - 1, 1)[:, None, None, None]
    rivals = (probability.sum(1, keepdims=True) - probability) / others.astype(jnp.float32)
    rivals = jnp.log(rivals + 1e-9)
    return own, own - rivals


class Trunk(nn.Module):
    """See the module's docstring.

    dtype: of the network's states; parameters, probabilities and what comes out are float32.
    """

    config: ReaderConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, query: QueryFeatures, train: bool = False) -> Encoding:
        c = self.config
        fields = query.key_attention.shape[1]
        hide = [
            nn.Dropout(c.feature_dropout, broadcast_dims=axes, deterministic=not train) for axes in ((1, 2), (1,), ())
        ]
        drop = nn.Dropout(c.dropout, deterministic=not train)
        mask = (query.token_mask[:, None] & query.field_mask[:, :, None])[..., None]

        evidence = self._evidence(query)
        facts = jnp.concatenate([query.key_logprob.astype(jnp.float32) / 5, query.field_facts], -1)
        states = self._part("key_states", Standardize(name="key_states")(query.key_states))
        key = hide[2](jnp.concatenate([states, facts, self._strongest(evidence, mask)], -1))
        seen = hide[0](jnp.concatenate([evidence, *self._looks(query), self._facts(query, fields)], -1))
        words = hide[1](self._part("token_states", Standardize(name="token_states")(query.token_states)))

        h = self._dense(c.hidden, name="seen")(seen)
        h += self._dense(c.hidden, use_bias=False, name="key")(key)[:, :, None]
        words = self._dense(c.hidden, use_bias=False, name="words")(words)
        for i in range(c.context_layers):
            words = Context(c.hidden, c.canvas_heads, self.dtype, name=f"context_{i}")(words, query.token_mask)
        h += words[:, None]
        h = drop(nn.gelu(h))
        h = self._unless("convolution", Neighbours(c.hidden, self.dtype, name="near"), h, mask)
        h = self._unless("mixing", AcrossFields(c.hidden, self.dtype, name="rivals"), h, mask)
        h = self._unless("convolution", Neighbours(c.hidden, self.dtype, name="near_again"), h, mask)

        inside = mask[..., 0]
        start = self._score("start_seen", seen) + self._score("start", h)
        owner = self._owner(h, inside)
        start = jnp.where(inside, start, NOTHING)
        if "contest" not in c.without:
            start += Contest(c.hidden // 2, self.dtype, name="contest")(h, start, owner, inside)
        end = self._end(h, inside)

        weight = jax.nn.softmax(start, -1)
        owned = jnp.exp(owner[:, 1:])
        pooled = jnp.einsum("bft,bfth->bfh", weight, h)
        exists = query.field_mask[..., None]
        # A query without tokens has no highest of anything.
        some = inside.any(-1)
        highest = jnp.where(some[..., None], jnp.where(mask, h, -1e4).max(2), 0.0)
        scores = [jnp.where(some, start.max(-1), 0.0) / 10, owned.max(-1), (weight * owned).sum(-1)]
        v = jnp.concatenate([pooled, highest, jnp.stack(scores, -1), key], -1)
        v = nn.gelu(self._dense(c.hidden, name="field")(v))
        v = jnp.where(exists, v, 0.0)
        v = drop(self._unless("mixing", AcrossFields(c.hidden, self.dtype, name="fields"), v, exists))
        return Encoding(
            tokens=h,
            fields=v,
            token_mask=query.token_mask,
            token_ids=query.token_ids,
            field_kind=query.field_kind,
            span_start=jax.nn.log_softmax(start, -1),
            span_end=end,
            owner=owner,
            presence=self._score("presence", v),
            copied=self._score("copied", jnp.concatenate([v, pooled], -1)),
            candidates=self._candidates(query, v, train),
        )

    def _part(self, part: str, x: Array) -> Array:
        """x, or zeros where the part is left out."""
        return jnp.zeros_like(x) if part in self.config.without else x

    def _unless(self, part: str, layer: nn.Module, x: Array, mask: Array) -> Array:
        """The layer of x, or x itself where the part is left out."""
        changed: Array = x if part in self.config.without else layer(x, mask)
        return changed

    def _dense(self, size: int, **options: Any) -> nn.Dense:
        return nn.Dense(size, dtype=self.dtype, **options)

    def _score(self, name: str, x: Array) -> Array:
        """One number for each vector of x [..., H], in float32: probabilities are made of it."""
        score: Array = nn.Dense(1, dtype=self.dtype, name=name)(x)[..., 0].astype(jnp.float32)
        return score

    def _evidence(self, query: QueryFeatures) -> Array:
        """[B, F, T, 4 (A + 1)]: attention and token probability, both neighbours', and the claim on the token."""
        own, claim = attention_and_claim(query)
        before = jnp.pad(own[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)), constant_values=FAR)
        after = jnp.pad(own[:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=FAR)
        standard = Standardize(name="attention")
        near = [self._part("neighbours", standard(x)) for x in (before, after)]
        rivals = self._part("competition", Standardize(name="claim")(claim))
        return jnp.concatenate([self._part("attention", standard(own)), *near, rivals], axis=-1)

    def _looks(self, query: QueryFeatures) -> list[Array]:
        """[B, F, T, A] each: what the names look at and what looks at the definitions, and the claims on them."""
        found = []
        for name in LOOKS:
            look, claim = look_and_claim(query, getattr(query, name))
            rivals = self._part("competition", Standardize(name=f"{name}_claim")(claim))
            found += [self._part(name, values) for values in (Standardize(name=name)(look), rivals)]
        return found

    def _strongest(self, evidence: Array, mask: Array) -> Array:
        """[B, F, 2 (A + 1)]: the strongest attention to any token, and the strongest claim against the other fields."""
        width = evidence.shape[-1] // 4
        highest = jnp.where(mask, evidence, -6).max(2)
        return jnp.concatenate([highest[..., :width], highest[..., 3 * width :]], -1)

    def _facts(self, query: QueryFeatures, fields: int) -> Array:
        """[B, F, T, S + M] of each token by itself, and with the field."""
        shape = jnp.repeat(query.token_shape[:, None], fields, axis=1)
        facts = jnp.concatenate([shape, query.token_matches], -1).astype(jnp.float32)
        return self._part("word_facts", facts)

    def _owner(self, h: Array, inside: Array) -> Array:
        claims = jnp.where(inside, self._score("owner", h), NOTHING)
        nobody = self.param("nobody", nn.initializers.zeros, ())
        nobody = jnp.broadcast_to(nobody, (claims.shape[0], 1, claims.shape[2]))
        return jax.nn.log_softmax(jnp.concatenate([nobody, claims], 1), 1)

    def _end(self, h: Array, inside: Array) -> Array:
        """[B, F, T (start), T (end)]: a pair's affinity, the end's own score, the words between, and the length."""
        width = self.config.hidden // 2
        first, last = self._dense(width, name="end_first")(h), self._dense(width, name="end_last")(h)
        pair = jnp.einsum("bfih,bfjh->bfij", first, last, preferred_element_type=jnp.float32) / jnp.sqrt(width)
        own = self._score("end", h)
        between = jnp.cumsum(jnp.where(inside, self._score("between", h), 0.0), -1)
        length = (jnp.arange(h.shape[2])[None] - jnp.arange(h.shape[2])[:, None])[None, None]
        table = self.param("length", nn.initializers.zeros, (MAX_SPAN,))
        score = (
            pair + own[:, :, None] + between[:, :, None] - between[..., None] + table[jnp.clip(length, 0, MAX_SPAN - 1)]
        )
        possible = (length >= 0) & (length < MAX_SPAN) & inside[:, :, None]
        return jax.nn.log_softmax(jnp.where(possible, score, NOTHING), -1)

    def _candidates(self, query: QueryFeatures, v: Array, train: bool) -> Array:
        c = self.config
        attention = Standardize(name="candidate_attention")(query.candidate_attention)
        facts = query.candidate_facts.astype(jnp.float32) / jnp.array([[[[5.0, 5.0, 1.0, 1.0]]]])
        seen = jnp.concatenate([attention, facts], -1)
        seen = nn.Dropout(c.feature_dropout, broadcast_dims=(1, 2), deterministic=not train)(seen)
        inner = self._dense(c.hidden // 2, name="candidate_seen")(seen)
        inner += self._dense(c.hidden // 2, use_bias=False, name="candidate_field")(v)[:, :, None]
        score = self._score("candidate_linear", seen) + self._score("candidate", nn.gelu(inner))
        return jax.nn.log_softmax(jnp.where(query.candidate_mask, score, NOTHING), -1)
