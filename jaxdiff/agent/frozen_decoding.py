"""Programs of the frozen base that write values: keys read after a context, rows scored, rows decoded.

A row is one value after one key. All rows share the context, which is read once; what they write stays their own until
one of them is added to it.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.prefix import Prefix
from jaxdiff.agent.value_tables import ValueTables
from jaxdiff.agent.value_tokens import ValueTokens
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import BaseOutput, SmolLM

ROWS = (1, 2, 4, 8, 16, 32, 64)
# Tokens of a key with what precedes it, of a given value, of a decoded value.
KEY_TOKENS = (4, 8, 16, 32, 64, 128)
GIVEN_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DECODED_TOKENS = (24, 48, 96, 256)
# Coarse, since every program is compiled for each of them.
CONTEXT_SLOTS = (256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144)


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


@struct.dataclass
class DecodingRows:
    """What is asked of R rows, each [R].

    owner: int32, the row's key. table: int32, the row of `ValueTables.classes` that its value is held to. start: int32,
    its first state. budget: int32, most tokens. floor: float32, a row whose log-probability falls below is given up.
    refused: int32, a first token that may not be taken, or -1. active: bool, False for padding.
    """

    owner: Array
    table: Array
    start: Array
    budget: Array
    floor: Array
    refused: Array
    active: Array


def open_context(base: FrozenBase, before: Prefix, ids: list[int], room: int) -> Context:
    """Reads `ids` after a prefix and leaves at least `room` slots. Raises InputError beyond the largest bucket."""
    width = bucket(len(ids), TOKENS, "tokens of the query")
    slots = bucket(before.cache.slots + width + room, CONTEXT_SLOTS, "tokens of tool, query and answer")
    block, valid = padded([ids], 1, width)
    return _open(base.module, base.params, before.cache, before.valid, np.int32(before.length), block, valid, slots)


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
    read = _read(module, params, ids, positions, mask, prefix=before).cache
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
    output = _read(module, params, ids, positions, mask, prefix=context.cache)
    last = jnp.maximum(valid.sum(axis=1, dtype=jnp.int32) - 1, 0)
    hidden = jnp.take_along_axis(output.hidden, last[:, None, None], axis=1)[:, 0]
    return Keys(output.cache, valid, _logprob(module, params, hidden))


@partial(jax.jit, static_argnums=0)
def score_rows(
    module: SmolLM, params: Any, context: Context, keys: Keys, owner: Array, ids: Array, valid: Array, ending: Array
) -> Written:
    """Log-probabilities of given values ids, valid [R, W] (at least one token each), each after the key `owner` [R]."""
    width, slots = ids.shape[1], keys.cache.slots
    count = valid.sum(axis=1, dtype=jnp.int32)
    cache, key_valid, length = _rows_of(context, keys, owner, width)
    positions = length[:, None] + jnp.arange(width, dtype=jnp.int32)[None]
    mask = masks.after_prefix(masks.causal(valid), valid, key_valid)
    mask = masks.after_prefix(mask, valid, context.valid)
    output = _read(module, params, ids, positions, mask, prefix=context.cache, cache=cache, write_at=slots)
    logprob = _logprob(module, params, output.hidden)
    before = jnp.concatenate([keys.logprob[owner][:, None], logprob[:, :-1]], axis=1)
    tokens = jnp.take_along_axis(before, ids[..., None], axis=2)[..., 0]
    last = jnp.take_along_axis(logprob, jnp.maximum(count - 1, 0)[:, None, None], axis=1)[:, 0]
    total = jnp.where(valid, tokens, 0.0).sum(axis=1) + _ending(last, ending)
    return Written(output.cache, jnp.concatenate([key_valid, valid], axis=1), total, ids, count)


@struct.dataclass
class _Decoding:
    """The loop's carry for R rows and W value slots; `token` [R] was chosen and not yet read."""

    step: Array
    cache: KVCache
    read: Array
    tokens: Array
    count: Array
    token: Array
    state: Array
    on_none: Array
    logprob: Array
    done: Array


@partial(jax.jit, static_argnums=(0, 7))
def decode_rows(
    module: SmolLM,
    params: Any,
    context: Context,
    keys: Keys,
    rows: DecodingRows,
    tokens: ValueTokens,
    tables: ValueTables,
    width: int,
) -> Written:
    """Values of at most `width` tokens decoded greedily, all rows together.

    Each is a text of its table that its budget holds whole. It ends where the ending tokens together are at least as
    probable as the best token that may follow, where none may, or with a token that closes it. ` none` is never
    written. A row that was given up has a log-probability below its floor.
    """
    slots, count = keys.cache.slots, rows.owner.shape[0]
    cache, key_valid, length = _rows_of(context, keys, rows.owner, width)
    carry = _Decoding(
        step=jnp.int32(0),
        cache=cache,
        read=jnp.concatenate([key_valid, jnp.zeros((count, width), bool)], axis=1),
        tokens=jnp.zeros((count, width), jnp.int32),
        count=jnp.zeros(count, jnp.int32),
        token=jnp.zeros(count, jnp.int32),
        state=rows.start,
        on_none=jnp.ones(count, bool),
        logprob=jnp.zeros(count, jnp.float32),
        done=~rows.active,
    )

    def body(carry: _Decoding) -> _Decoding:
        index = slots + carry.step
        read = carry.read | (~carry.done[:, None] & (jnp.arange(slots + width)[None] == index))
        mask = masks.after_prefix(masks.decoding(carry.read, index), jnp.ones((count, 1), bool), context.valid)
        ids, positions = carry.token[:, None], (length + carry.step)[:, None]
        output = _read(module, params, ids, positions, mask, prefix=context.cache, cache=carry.cache, write_at=index)
        carry = dataclasses.replace(carry, step=carry.step + 1, cache=output.cache, read=read)
        return _choose(carry, _logprob(module, params, output.hidden[:, 0]), rows, tokens, tables, jnp.int32(-1))

    carry = _choose(carry, keys.logprob[rows.owner], rows, tokens, tables, rows.refused)
    carry = jax.lax.while_loop(lambda carry: ~carry.done.all(), body, carry)
    return Written(carry.cache, carry.read, carry.logprob, carry.tokens, carry.count)


def _choose(
    carry: _Decoding, logprob: Array, rows: DecodingRows, tokens: ValueTokens, tables: ValueTables, refused: Array
) -> _Decoding:
    """Takes the next token of every row that is not done, or ends it; logprob: [R, V]."""
    vocabulary = jnp.arange(logprob.shape[1], dtype=jnp.int32)[None]
    following = tables.transitions[carry.state]
    # What a token leaves of the budget must do for the way to an end.
    left = rows.budget - carry.count - 1
    possible = (following >= 0) & (tables.missing[following] <= left[:, None])
    fits = jnp.take_along_axis(possible, tables.classes[rows.table], axis=1)
    step, last = jnp.minimum(carry.count, tokens.none.size - 1), tokens.none.size - 1
    completes_none = (carry.on_none & (carry.count == last))[:, None] & (vocabulary == tokens.none[-1])
    allowed = fits & ~completes_none & (vocabulary != refused.reshape(-1, 1))
    scores = jnp.where(allowed, logprob, -jnp.inf)
    token = scores.argmax(axis=1).astype(jnp.int32)
    best, ending = scores.max(axis=1), _ending(logprob, tokens.ending)
    ends = (best == -jnp.inf) | ((tables.missing[carry.state] == 0) & (ending >= best))
    takes = ~carry.done & ~ends
    total = carry.logprob + jnp.where(carry.done, 0.0, jnp.where(ends, ending, best))
    here = takes[:, None] & (jnp.arange(carry.tokens.shape[1])[None] == carry.count[:, None])
    after = tables.transitions[carry.state, tables.classes[rows.table, token]]
    return dataclasses.replace(
        carry,
        tokens=jnp.where(here, token[:, None], carry.tokens),
        count=carry.count + takes.astype(jnp.int32),
        token=jnp.where(takes, token, carry.token),
        state=jnp.where(takes, after, carry.state),
        on_none=carry.on_none & (token == tokens.none[step]),
        logprob=total,
        done=carry.done | ends | tokens.closing[token] | (total < rows.floor),
    )


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


def _rows_of(context: Context, keys: Keys, owner: Array, width: int) -> tuple[KVCache, Array, Array]:
    """Each row's copy of its key with `width` free slots; the key's slots that are tokens; the next position [R]."""
    cache = jax.tree.map(lambda x: x[:, owner], keys.cache).pad_to(keys.cache.slots + width)
    valid = keys.valid[owner]
    return cache, valid, context.length + valid.sum(axis=1, dtype=jnp.int32)


def _read(module: SmolLM, params: Any, *block: Array, **into: Any) -> BaseOutput:
    output: Any = module.apply({"params": params}, *block, **into)
    return output


def _logprob(module: SmolLM, params: Any, hidden: Array) -> Array:
    logits: Any = module.apply({"params": params}, hidden, method="unembed")
    return jax.nn.log_softmax(logits, axis=-1)


def _ending(logprob: Array, ending: Array) -> Array:
    """Log-probability [R] that one of the ending tokens follows; logprob: [R, V]."""
    return jax.nn.logsumexp(jnp.where(ending[None], logprob, -jnp.inf), axis=-1)
