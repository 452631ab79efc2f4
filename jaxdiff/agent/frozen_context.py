"""A text that the frozen base has read, keys read after it, and what was written added to it."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.prefix import Prefix
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import BaseOutput, SmolLM

# Tokens of a key with what precedes it.
KEY_TOKENS = (4, 8, 16, 32, 64, 128)
# Coarse, since every program is compiled for each of them.
CONTEXT_SLOTS = (256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)


@struct.dataclass
class Context:
    """A text that has been read, with free slots behind it.

    cache: one row of S slots. valid: [1, S] bool. end: [] int32, the next slot. length: [] int32, the next position.
    """

    cache: KVCache
    valid: Array
    end: Array
    length: Array


@struct.dataclass
class Keys:
    """F keys of at most K tokens, each read after the context and apart from the others.

    cache: F rows of K slots. valid: [F, K] bool. logprob: [F, V] float32, of the first token of the value.
    """

    cache: KVCache
    valid: Array
    logprob: Array


@struct.dataclass
class Written:
    """Rows of a key and a value.

    cache: R rows of K + W slots. valid: [R, K + W] bool, slots of tokens. tokens: [R, W] int32 and count: [R] int32,
    the value. logprob: [R] float32, of the value with its end.
    """

    cache: KVCache
    valid: Array
    logprob: Array
    tokens: Array
    count: Array


def open_context(base: FrozenBase, before: Prefix, ids: list[int], room: int) -> Context:
    """Reads `ids` after a prefix and leaves at least `room` slots.

    Raises InputError beyond the largest bucket or what the base can read.
    """
    width = bucket(len(ids), TOKENS, "tokens of the query")
    base.check_length(before.length + len(ids) + room)
    slots = bucket(before.cache.slots + width + room, CONTEXT_SLOTS, "tokens of tool, query and answer")
    block, valid = padded([ids], 1, width)
    return _open(base.module, base.params, before.cache, before.valid, np.int32(before.length), block, valid, slots)


def free_slots(base: FrozenBase, before: Prefix, ids: list[int]) -> int:
    """The most slots that `open_context` can leave, for as many tokens as the base can read."""
    slots = CONTEXT_SLOTS[-1] - before.cache.slots - bucket(len(ids), TOKENS, "tokens of the query")
    return min(slots, base.config.max_positions - before.length - len(ids))


def padded(rows: list[list[int]], count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids [count, width] int32 and which of them are tokens, bool."""
    ids, valid = np.zeros((count, width), np.int32), np.zeros((count, width), bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], valid[i, : len(row)] = row, True
    return ids, valid


@partial(jax.jit, static_argnums=(0, 7))
def _open(
    module: SmolLM,
    params: Any,
    before: KVCache,
    before_valid: Array,
    start: Array,
    ids: Array,
    valid: Array,
    slots: int,
) -> Context:
    positions = start + jnp.arange(ids.shape[1], dtype=jnp.int32)[None]
    mask = masks.after_prefix(masks.causal(valid), valid, before_valid)
    read = read_after(module, params, ids, positions, mask, prefix=before).cache
    count = valid.sum(dtype=jnp.int32)
    cache = before.followed_by(read)
    return Context(
        cache=cache.pad_to(slots),
        valid=jnp.concatenate([before_valid, valid, jnp.zeros((1, slots - cache.slots), bool)], axis=1),
        end=before.slots + count,
        length=start + count,
    )


@partial(jax.jit, static_argnums=0)
def read_keys(module: SmolLM, params: Any, context: Context, ids: Array, valid: Array) -> Keys:
    """Reads keys ids, valid [F, K] side by side after the context."""
    positions = context.length + jnp.arange(ids.shape[1], dtype=jnp.int32)[None]
    mask = masks.after_prefix(masks.causal(valid), valid, context.valid)
    positions = jnp.broadcast_to(positions, ids.shape)
    output = read_after(module, params, ids, positions, mask, prefix=context.cache)
    last = jnp.maximum(valid.sum(axis=1, dtype=jnp.int32) - 1, 0)
    hidden = jnp.take_along_axis(output.hidden, last[:, None, None], axis=1)[:, 0]
    return Keys(output.cache, valid, next_logprob(module, params, hidden))


@partial(jax.jit, donate_argnums=0)
def append(context: Context, written: Written, row: Array) -> Context:
    """The context with the tokens of one row behind it."""
    valid = jax.lax.dynamic_index_in_dim(written.valid, row, keepdims=False)
    # The tokens first, in their order; what is behind them will be written over.
    order = jnp.argsort(~valid, stable=True)
    count = valid.sum(dtype=jnp.int32)

    def put(old: Array, new: Array) -> Array:
        new = jax.lax.dynamic_slice_in_dim(new, row, 1, axis=1)[:, :, order]
        return jax.lax.dynamic_update_slice_in_dim(old, new, context.end, axis=2)

    slots = jnp.arange(context.valid.shape[1], dtype=jnp.int32)[None]
    return Context(
        cache=jax.tree.map(put, context.cache, written.cache),
        valid=context.valid | ((slots >= context.end) & (slots < context.end + count)),
        end=context.end + count,
        length=context.length + count,
    )


def read_after(module: SmolLM, params: Any, *block: Array, **into: Any) -> BaseOutput:
    """One pass of the base; see `SmolLM.__call__`."""
    output: Any = module.apply({"params": params}, *block, **into)
    return output


def next_logprob(module: SmolLM, params: Any, hidden: Array) -> Array:
    """[..., V] float32 of the token that follows states [..., D]."""
    logits: Any = module.apply({"params": params}, hidden, method="unembed")
    return jax.nn.log_softmax(logits, axis=-1)
