"""SmolLM3 in Flax Linen: stacked layers under one scan, some of them without rotary embedding (NoPE, arXiv 2501.18795).

Grouped-query attention (arXiv 2305.13245), RMSNorm (arXiv 1910.07467), SwiGLU (arXiv 2002.05202), tied embeddings.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array
from jax.sharding import Mesh

from jaxdiff.base.cache import KVCache
from jaxdiff.base.quantised import Int8Embed, dense
from jaxdiff.base.rope import rotate, rotation
from jaxdiff.config import BaseConfig
from jaxdiff.sharding import divide_rows


@struct.dataclass
class BaseOutput:
    """What one pass of the base leaves behind.

    hidden: [B, T, D] states after the final norm.
    cache: keys and values of this block (or the given cache with this block written into it).
    taps: [B, T, K, D] states after the K layers that were asked for, or None.
    key_attention: [B, F, L * H, S] float32, log-attention of all layers and heads from the F rows asked for, or None.
    key_states: [L, B, F, D] states of those rows after every layer, or None.
    mean_attention: [B, G, L * H, P + S] float32, probability that the rows of each of G means look at a slot.
    slot_attention: [B, G, L * H, T] float32, probability that a row of the block looks into each of G sets of slots.
    The last two are None where nothing is `watched`.
    """

    hidden: Array
    cache: KVCache
    taps: Array | None = None
    key_attention: Array | None = None
    key_states: Array | None = None
    mean_attention: Array | None = None
    slot_attention: Array | None = None


@struct.dataclass
class Watched:
    """Whose attention is reported beside that of single rows.

    means: [B, G, T] float32, weights of the block's rows. sets: [B, G, P + S] float32, 1 for the slots of each set.
    """

    means: Array
    sets: Array


class RMSNorm(nn.Module):
    """x / rms(x) * scale of states [B, T, D], the mean taken in float32."""

    epsilon: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon)
        return scale.astype(self.dtype)[None, None] * x.astype(self.dtype)


class Attention(nn.Module):
    """Grouped-query attention over an optional prefix and the block itself."""

    config: BaseConfig
    dtype: Any
    storage: str

    @nn.compact
    def __call__(
        self,
        x: Array,
        cos: Array,
        sin: Array,
        use_rope: Array,
        mask: Array,
        prefix: KVCache | None,
        cache: KVCache | None,
        write_at: Array | int,
        rows: Array | None,
        watched: Watched | None,
    ) -> tuple[Array, KVCache, Array | None, tuple[Array, Array] | None]:
        """Mixed states [B, T, D], keys and values [B, S, KV, head_dim], log-attention [B, F, H, P + S] of `rows`, and
        of what is `watched` the attention of means [B, G, H, P + S] and to sets [B, G, H, T].

        x: [B, T, D] after the norm. use_rope: scalar bool. prefix, cache: this layer's. The rest: see `SmolLM`.
        """
        c = self.config
        batch, length, _ = x.shape
        groups = c.num_heads // c.num_kv_heads

        def project(name: str, heads: int) -> Array:
            projected = dense(self.storage, heads * c.head_dim, self.dtype, name)(x)
            return projected.reshape(batch, length, heads, c.head_dim)

        q, k, v = project("q_proj", c.num_heads), project("k_proj", c.num_kv_heads), project("v_proj", c.num_kv_heads)
        if all(c.rope_layers):
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        else:
            q = jnp.where(use_rope, rotate(q, cos, sin), q)
            k = jnp.where(use_rope, rotate(k, cos, sin), k)
        if cache is not None:
            k = jax.lax.dynamic_update_slice(cache.keys, k.astype(cache.keys.dtype), (0, write_at, 0, 0))
            v = jax.lax.dynamic_update_slice(cache.values, v.astype(cache.values.dtype), (0, write_at, 0, 0))

        q = q.reshape(batch, length, c.num_kv_heads, groups, c.head_dim)
        scores = jnp.einsum("btkgd,bskd->bkgts", q, k.astype(self.dtype))
        if prefix is not None:
            # One shared prefix for all rows is read once, not copied for each.
            shared = prefix.keys.shape[0] == 1 and batch > 1
            prefix_k, prefix_v = prefix.keys.astype(self.dtype), prefix.values.astype(self.dtype)
            if shared:
                before = jnp.einsum("btkgd,skd->bkgts", q, prefix_k[0])
            else:
                before = jnp.einsum("btkgd,bskd->bkgts", q, prefix_k)
            scores = jnp.concatenate([before, scores], axis=-1)
        scores = scores.astype(jnp.float32) / jnp.sqrt(jnp.float32(c.head_dim))
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
        probability = jax.nn.softmax(scores, axis=-1)
        weights = probability.astype(self.dtype)
        if prefix is None:
            mixed = jnp.einsum("bkgts,bskd->btkgd", weights, v.astype(self.dtype))
        else:
            split = prefix.keys.shape[1]
            mixed = jnp.einsum("bkgts,bskd->btkgd", weights[..., split:], v.astype(self.dtype))
            if shared:
                mixed += jnp.einsum("bkgts,skd->btkgd", weights[..., :split], prefix_v[0])
            else:
                mixed += jnp.einsum("bkgts,bskd->btkgd", weights[..., :split], prefix_v)
        mixed = mixed.reshape(batch, length, c.num_heads * c.head_dim)

        row_attention = None
        if rows is not None:
            asked = jnp.take_along_axis(scores, rows[:, None, None, :, None], axis=3)
            asked = jax.nn.log_softmax(asked, axis=-1)
            row_attention = asked.reshape(batch, c.num_heads, rows.shape[1], -1).swapaxes(1, 2)
        looks = None
        if watched is not None:
            of_means = jnp.einsum("bkgts,bmt->bmkgs", probability, watched.means)
            to_sets = jnp.einsum("bkgts,bms->bmkgt", probability, watched.sets)
            heads = (*watched.means.shape[:2], c.num_heads, -1)
            looks = of_means.reshape(heads), to_sets.reshape(heads)
        out = dense(self.storage, c.hidden_size, self.dtype, "o_proj")(mixed)
        return out, KVCache(k, v), row_attention, looks


class MLP(nn.Module):
    """SwiGLU."""

    config: BaseConfig
    dtype: Any
    storage: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        def project(name: str, size: int, states: Array) -> Array:
            return dense(self.storage, size, self.dtype, name)(states)

        inner = self.config.intermediate_size
        gated = nn.silu(project("gate_proj", inner, x)) * project("up_proj", inner, x)
        return project("down_proj", self.config.hidden_size, gated)


class Block(nn.Module):
    """One decoder layer, in the shape that a scan wants: carry in, carry and per-layer outputs out."""

    config: BaseConfig
    dtype: Any
    storage: str
    mesh: Mesh | None

    @nn.compact
    def __call__(
        self,
        carry: tuple[Array, Array | None],
        layer: tuple[Array, Array, KVCache | None, KVCache | None],
        cos: Array,
        sin: Array,
        mask: Array,
        write_at: Array | int,
        rows: Array | None,
        watched: Watched | None,
    ) -> tuple[tuple[Array, Array | None], tuple[KVCache, Array | None, Array | None, tuple[Array, Array] | None]]:
        """carry: states [B, T, D], taps [K + 1, B, T, D]. layer: rotary flag, slot of the tap, prefix, cache."""
        x, taps = carry
        use_rope, tap_slot, prefix, cache = layer
        c = self.config
        h = RMSNorm(c.rms_norm_eps, self.dtype, name="input_layernorm")(x)
        attention = Attention(c, self.dtype, self.storage, name="self_attn")
        mixed, kv, row_attention, looks = attention(h, cos, sin, use_rope, mask, prefix, cache, write_at, rows, watched)
        x = divide_rows(x + mixed, self.mesh)
        h = RMSNorm(c.rms_norm_eps, self.dtype, name="post_attention_layernorm")(x)
        x = divide_rows(x + MLP(c, self.dtype, self.storage, name="mlp")(h), self.mesh)
        if taps is not None:
            taps = jax.lax.dynamic_update_index_in_dim(taps, x, tap_slot, axis=0)
        row_states = None if rows is None else jnp.take_along_axis(x, rows[..., None], axis=1)
        return (x, taps), (kv, row_attention, row_states, looks)


class SmolLM(nn.Module):
    """The frozen language model. Parameters: see `convert`; layers are stacked along their first axis.

    storage: how the matrices are held, one of `card.STORAGES`. mesh: over which the rows of a batch are divided, None
    where they are not.
    """

    config: BaseConfig
    dtype: Any = jnp.float32
    storage: str = "float"
    mesh: Mesh | None = None

    def setup(self) -> None:
        c = self.config
        embed = Int8Embed if self.storage == "int8" else nn.Embed
        self.embed_tokens = embed(c.vocab_size, c.hidden_size, dtype=self.dtype)
        scanned = nn.scan(
            Block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, *[nn.broadcast] * 6),
            length=c.num_layers,
        )
        self.layers = scanned(c, self.dtype, self.storage, self.mesh)
        self.norm = RMSNorm(c.rms_norm_eps, self.dtype)
        if not c.tie_embeddings:
            self.lm_head = dense(self.storage, c.vocab_size, self.dtype)

    def __call__(
        self,
        ids: Array,
        positions: Array,
        mask: Array,
        *,
        prefix: KVCache | None = None,
        cache: KVCache | None = None,
        write_at: Array | int = 0,
        taps: tuple[int, ...] = (),
        rows: Array | None = None,
        watched: Watched | None = None,
    ) -> BaseOutput:
        """Reads a block of tokens.

        ids, positions: [B, T] int32. mask: [B, T, P + S] bool (see `masks`), P slots of the prefix, then S of the
        block: S = T without `cache`, else the cache's slots. prefix: read-only, one row (shared) or B rows. cache:
        written at slot `write_at`. taps: numbers of layers (from 1) whose states are returned. rows: [B, F] int32
        indices in the block. watched: whose attention is reported beside.
        """
        c = self.config
        cos, sin = rotation(c.rope, c.head_dim, c.max_positions, positions)
        x = divide_rows(self.embed_tokens(ids), self.mesh)
        slots = {number: i for i, number in enumerate(taps)}
        # Layers that were not asked for write into one spare slot behind the taps.
        tap_slots = jnp.array([slots.get(i + 1, len(taps)) for i in range(c.num_layers)], jnp.int32)
        buffer = divide_rows(jnp.zeros((len(taps) + 1, *x.shape), x.dtype), self.mesh, axis=1) if taps else None
        layer = (jnp.array(c.rope_layers), tap_slots, prefix, cache)
        (x, buffer), (kv, attention, states, looks) = self.layers(
            (x, buffer), layer, cos, sin, mask, write_at, rows, watched
        )

        def all_heads(found: Array) -> Array:
            """[L, B, F, H, S] as [B, F, L * H, S]."""
            moved = jnp.moveaxis(found, 0, 2)
            return moved.reshape(*moved.shape[:2], c.num_layers * c.num_heads, -1)

        of_means, to_sets = (None, None) if looks is None else map(all_heads, looks)
        return BaseOutput(
            hidden=self.norm(x),
            cache=kv,
            taps=None if buffer is None else jnp.moveaxis(buffer[:-1], 0, 2),
            key_attention=None if attention is None else all_heads(attention),
            key_states=states,
            mean_attention=of_means,
            slot_attention=to_sets,
        )

    def unembed(self, hidden: Array) -> Array:
        """Logits [..., V] float32 of states after the final norm [..., D]."""
        logits = self.embed_tokens.attend(hidden) if self.config.tie_embeddings else self.lm_head(hidden)
        return logits.astype(jnp.float32)

    def logits(self, ids: Array, positions: Array, mask: Array) -> Array:
        """[B, T, V] float32 of a whole block; also the method that `init` calls, since it reaches every parameter."""
        return self.unembed(self(ids, positions, mask).hidden)
