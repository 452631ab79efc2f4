"""Autoregressive decoding by the frozen base: a prompt is read in blocks, then one token a step over a static KV cache.

The state of the loop comes back, so that a text can be continued: by more tokens (streaming), or by another prompt that
begins in the same way (a conversation), of which only what is new is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.base import masks
from jaxdiff.base.buckets import bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.base.sampling import GREEDY, Sampling, choose
from jaxdiff.errors import InputError

# Few sizes, since a program is compiled for each pair. Attention needs room for block times slots, so blocks are small.
BLOCKS = (16, 32, 64, 128, 256, 512)
SLOTS = (*BLOCKS, 1024, 2048, 4096, 8192)
NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Rules:
    """What a decoding program is compiled for.

    stop_ids: tokens that end a row; the first of them fills the rows that have ended. think: the ids of `<think>` and
    `</think>`, where the tokens between them are limited (`DecodingState.thoughts_left`).
    """

    sampling: Sampling = GREEDY
    stop_ids: tuple[int, ...] = ()
    think: tuple[int, int] | None = None


@struct.dataclass
class DecodingState:
    """Carry of the decoding loop: B texts in S slots.

    ids: [B, S] int32, the token in each slot.    valid: [B, S] bool, slots that hold a token of the row's text.
    end: [] int32, the first free slot. All rows have a token in slot end - 1; only this one is not in the cache yet.
    cache: keys and values of the slots before.   finished: [B] bool, rows that have chosen a stop token.
    key: of the randomness.
    thinking: [B] bool, `<think>` stands without `</think>`.   thoughts_left: [B] int32, tokens until that is forced.
    """

    ids: Array
    valid: Array
    end: Array
    cache: KVCache
    finished: Array
    key: Array
    thinking: Array
    thoughts_left: Array


def greedy(base: FrozenBase, ids: Any, valid: Any, max_new_tokens: int, stop_ids: Sequence[int] | None = None) -> Array:
    """The most probable token after each text, again and again: [B, max_new_tokens] int32.

    ids: [B, T] int32; valid: [B, T] bool, False for padding, usually on the right. stop_ids: tokens that end a row, by
    default the base's end-of-sequence ids; the first of them fills the row behind the one that ended it.
    Raises InputError for ids that cannot be read (`FrozenBase.check_ids`), a row without a token, max_new_tokens < 1.
    """
    if max_new_tokens < 1:
        raise InputError(f"{max_new_tokens=} must be >= 1")
    ids, valid = base.check_ids(ids, valid, room=max_new_tokens)
    texts = [row[real].tolist() for row, real in zip(ids, valid, strict=True)]
    rules = Rules(stop_ids=tuple(base.config.eos_token_ids if stop_ids is None else stop_ids))
    state = prefill(base, texts, room=max_new_tokens)
    start = int(state.end)
    state = advance(base, state, rules, max_new_tokens)
    written = jnp.arange(max_new_tokens) < state.end - start
    found = jax.lax.dynamic_slice_in_dim(state.ids, start, max_new_tokens, axis=1)
    return jnp.where(written[None], found, rules.stop_ids[0] if rules.stop_ids else 0)


def prefill(
    base: FrozenBase,
    texts: Sequence[Sequence[int]],
    *,
    room: int,
    seed: int = 0,
    thinking: bool = False,
    thinking_budget: int | None = None,
    known: DecodingState | None = None,
) -> DecodingState:
    """Reads B texts of token ids, so that `advance` can continue them.

    room: number of new tokens that there will be slots for at once. thinking: the texts end inside of `<think>`.
    thinking_budget: number of tokens after which `</think>` is forced, None for any number. known: the state of another
    text, for B = 1; it is used up, and where both begin with the same tokens, these are not read again.
    Raises InputError for a text without a token, and for more tokens than the largest bucket.
    """
    for row, text in enumerate(texts):
        if not text:
            raise InputError(f"row {row} holds no token to continue")
    end = max(map(len, texts))
    common = 0 if known is None else _common_length(known, texts[0])
    blocks = _blocks(end - 1 - common)
    if common + sum(blocks) > SLOTS[-1]:
        common -= common % BLOCKS[-1]
        blocks = _blocks(end - 1 - common)
    # Blocks are padded on the right; new tokens then take the slots of the padding.
    slots = bucket(max(end + room, common + sum(blocks)), SLOTS, f"a prompt of {end} tokens and {room} new ones")

    batch = len(texts)
    ids = np.zeros((batch, slots), np.int32)
    valid = np.zeros((batch, slots), bool)
    for row, text in enumerate(texts):
        # Every row's last token stands in the same slot, from which decoding goes on.
        ids[row, : len(text) - 1], ids[row, end - 1] = text[:-1], text[-1]
        valid[row, : len(text) - 1] = valid[row, end - 1] = True

    if known is not None and common:
        cache = _resized(known.cache, slots)
    else:
        cache = KVCache.empty(base.config, batch, slots, base.dtype)
    start = common
    for size in blocks:
        span = slice(start, start + size)
        readable = valid[:, span] & (np.arange(start, start + size) < end - 1)
        before = valid & (np.arange(slots) < start) if start else None
        cache = _read(base.module, base.params, cache, ids[:, span], readable, before, np.int32(start))
        start += size
    left = NO_LIMIT if thinking_budget is None else thinking_budget
    return DecodingState(
        ids=jnp.asarray(ids),
        valid=jnp.asarray(valid),
        end=jnp.int32(end),
        cache=cache,
        finished=jnp.asarray(np.zeros(batch, bool)),
        key=jax.random.key(seed),
        thinking=jnp.asarray(np.full(batch, thinking)),
        thoughts_left=jnp.asarray(np.full(batch, left, np.int32)),
    )


def advance(base: FrozenBase, state: DecodingState, rules: Rules, tokens: int) -> DecodingState:
    """Continues each text by so many tokens, or until all rows have ended. The given state is used up.

    The same text comes out whether it is written at once or in parts. Raises InputError where the tokens need more
    slots than the largest bucket.
    """
    until = int(state.end) + tokens
    if until > state.cache.slots:
        state = _grown(state, bucket(until, SLOTS, "tokens of prompt and answer"))
    return _advance(base.module, rules, base.params, state, np.int32(until))


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _read(
    module: SmolLM, params: dict[str, Any], cache: KVCache, ids: Array, valid: Array, before: Array | None, start: Array
) -> KVCache:
    """Writes keys and values of ids [B, T] into slots from `start` on.

    before: [B, S] bool, slots that hold the text before; None where there is none.
    """
    positions, mask = masks.positions(valid), masks.causal(valid)
    if before is not None:
        positions += jnp.sum(before, axis=1, keepdims=True, dtype=jnp.int32)
        mask = masks.after_prefix(mask, valid, before)
    prefix = None if before is None else cache
    output: Any = module.apply({"params": params}, ids, positions, mask, prefix=prefix)
    return jax.tree.map(
        lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), start, axis=2),
        cache,
        output.cache,
    )


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _advance(module: SmolLM, rules: Rules, params: dict[str, Any], state: DecodingState, until: Array) -> DecodingState:
    stops = jnp.array(rules.stop_ids, jnp.int32)

    def unfinished(state: DecodingState) -> Array:
        return (state.end < until) & ~jnp.all(state.finished)

    def step(state: DecodingState) -> DecodingState:
        slot = state.end - 1
        last = jax.lax.dynamic_slice_in_dim(state.ids, slot, 1, axis=1)
        positions = jnp.sum(state.valid, axis=1, keepdims=True, dtype=jnp.int32) - 1
        mask = masks.decoding(state.valid, slot)
        output: Any = module.apply({"params": params}, last, positions, mask, cache=state.cache, write_at=slot)
        logits: Any = module.apply({"params": params}, output.hidden[:, 0], method="unembed")
        key = jax.random.fold_in(state.key, state.end)
        chosen = choose(key, logits, state.ids, state.valid, rules.sampling)
        thinking, left = state.thinking, state.thoughts_left
        if rules.think is not None:
            opening, closing = rules.think
            chosen = jnp.where(thinking & (left <= 0), closing, chosen)
            left = jnp.where(thinking, left - 1, left)
            thinking = jnp.where(thinking, chosen != closing, chosen == opening)
        chosen = jnp.where(state.finished, rules.stop_ids[0] if rules.stop_ids else 0, chosen)
        return dataclasses.replace(
            state,
            ids=jax.lax.dynamic_update_slice_in_dim(state.ids, chosen[:, None], state.end, axis=1),
            valid=jax.lax.dynamic_update_slice_in_dim(state.valid, ~state.finished[:, None], state.end, axis=1),
            end=state.end + 1,
            cache=output.cache,
            finished=state.finished | jnp.any(chosen[:, None] == stops[None], axis=1),
            thinking=thinking,
            thoughts_left=left,
        )

    return jax.lax.while_loop(unfinished, step, state)


def _blocks(tokens: int) -> list[int]:
    """Sizes of the blocks in which so many tokens are read."""
    whole, rest = divmod(tokens, BLOCKS[-1])
    return [BLOCKS[-1]] * whole + ([bucket(rest, BLOCKS, "tokens")] if rest else [])


def _common_length(known: DecodingState, text: Sequence[int]) -> int:
    """How many of the first tokens of `text` stand in the cache of one known text; its last is read in any case."""
    before = np.asarray(known.ids)[0, : int(known.end) - 1]
    length = min(len(before), len(text) - 1)
    different = np.flatnonzero(before[:length] != np.asarray(text[:length], np.int32))
    return int(different[0]) if different.size else length


def _resized(cache: KVCache, slots: int) -> KVCache:
    if slots >= cache.slots:
        return cache.pad_to(slots)
    return jax.tree.map(lambda x: x[:, :, :slots], cache)


def _grown(state: DecodingState, slots: int) -> DecodingState:
    widths = [(0, 0), (0, slots - state.cache.slots)]
    return dataclasses.replace(
        state,
        ids=jnp.pad(state.ids, widths),
        valid=jnp.pad(state.valid, widths),
        cache=state.cache.pad_to(slots),
    )
