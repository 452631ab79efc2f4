"""Programs of the frozen base that write values: rows scored, rows decoded.

A row is one value after one key. All rows share the context, which is read once; what they write stays their own until
one of them is added to it.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxdiff.agent.frozen_context import Context, Keys, Written, next_logprob, read_after
from jaxdiff.agent.value_tables import ValueTables
from jaxdiff.agent.value_tokens import ValueTokens
from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.module import SmolLM

ROWS = (1, 2, 4, 8, 16, 32, 64)
# Tokens of a given value, of a decoded value.
GIVEN_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DECODED_TOKENS = (24, 48, 96, 256)


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
    output = read_after(module, params, ids, positions, mask, prefix=context.cache, cache=cache, write_at=slots)
    logprob = next_logprob(module, params, output.hidden)
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
        output = read_after(
            module, params, ids, positions, mask, prefix=context.cache, cache=carry.cache, write_at=index
        )
        carry = dataclasses.replace(carry, step=carry.step + 1, cache=output.cache, read=read)
        return _choose(carry, next_logprob(module, params, output.hidden[:, 0]), rows, tokens, tables, jnp.int32(-1))

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


def _rows_of(context: Context, keys: Keys, owner: Array, width: int) -> tuple[KVCache, Array, Array]:
    """Each row's copy of its key with `width` free slots; the key's slots that are tokens; the next position [R]."""
    cache = jax.tree.map(lambda x: x[:, owner], keys.cache).pad_to(keys.cache.slots + width)
    valid = keys.valid[owner]
    return cache, valid, context.length + valid.sum(axis=1, dtype=jnp.int32)


def _ending(logprob: Array, ending: Array) -> Array:
    """Log-probability [R] that one of the ending tokens follows; logprob: [R, V]."""
    return jax.nn.logsumexp(jnp.where(ending[None], logprob, -jnp.inf), axis=-1)
