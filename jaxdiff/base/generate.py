"""Autoregressive decoding by the frozen base: one prefill, then one token a step over a static KV cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import BaseOutput, SmolLM
from jaxdiff.errors import InputError


@struct.dataclass
class DecodingState:
    """Carry of the decoding loop; S = T + M slots, T of the prompt and M for new tokens.

    step: [] int32, number of tokens chosen so far.     tokens: [B, M] int32, those tokens, the padding id behind.
    finished: [B] bool, rows that have chosen a stop token.
    cache: keys and values of S slots.                  cache_valid: [B, S] bool, slots that hold a token.
    """

    step: Array
    tokens: Array
    finished: Array
    cache: KVCache
    cache_valid: Array


def greedy(base: FrozenBase, ids: Any, valid: Any, max_new_tokens: int, stop_ids: Sequence[int] | None = None) -> Array:
    """The most probable token after each text, again and again: [B, max_new_tokens] int32.

    ids: [B, T] int32; valid: [B, T] bool, False for padding, usually on the right. stop_ids: tokens that end a row, by
    default the base's end-of-sequence ids; the first of them fills the row behind the one that ended it.
    Raises InputError for ids that cannot be read (`FrozenBase.check_ids`), a row without a token, max_new_tokens < 1.
    """
    if max_new_tokens < 1:
        raise InputError(f"{max_new_tokens=} must be >= 1")
    ids, valid = base.check_ids(ids, valid, room=max_new_tokens)
    if not valid.any(axis=1).all():
        raise InputError(f"row {int(np.argmin(valid.any(axis=1)))} holds no token to continue")
    stops = tuple(base.config.eos_token_ids if stop_ids is None else stop_ids)
    return _greedy(base.module, base.params, ids, valid, max_new_tokens, stops)


@partial(jax.jit, static_argnums=(0, 4, 5))
def _greedy(
    module: SmolLM, params: dict[str, Any], ids: Array, valid: Array, max_new_tokens: int, stop_ids: tuple[int, ...]
) -> Array:
    batch, length = ids.shape
    lengths = jnp.sum(valid, axis=1, dtype=jnp.int32)
    stops = jnp.array(stop_ids, jnp.int32)

    def read(*block: Array, **into: Any) -> BaseOutput:
        output: Any = module.apply({"params": params}, *block, **into)
        return output

    def most_probable(hidden: Array) -> Array:
        logits: Any = module.apply({"params": params}, hidden, method="unembed")
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def choose(state: DecodingState, chosen: Array) -> DecodingState:
        padding = stops[0] if stop_ids else jnp.int32(0)
        chosen = jnp.where(state.finished, padding, chosen)
        return dataclasses.replace(
            state,
            step=state.step + 1,
            tokens=jax.lax.dynamic_update_slice(state.tokens, chosen[:, None], (0, state.step)),
            finished=state.finished | jnp.any(chosen[:, None] == stops[None], axis=1),
        )

    def unfinished(state: DecodingState) -> Array:
        return (state.step < max_new_tokens) & ~jnp.all(state.finished)

    def step(state: DecodingState) -> DecodingState:
        slot = length + state.step - 1
        last = jax.lax.dynamic_slice(state.tokens, (0, state.step - 1), (batch, 1))
        positions = (lengths + state.step - 1)[:, None]
        mask = masks.decoding(state.cache_valid, slot)
        output = read(last, positions, mask, cache=state.cache, write_at=slot)
        state = dataclasses.replace(state, cache=output.cache, cache_valid=mask[:, 0])
        return choose(state, most_probable(output.hidden[:, 0]))

    prompt = read(ids, masks.positions(valid), masks.causal(valid))
    last = length - 1 - jnp.argmax(valid[:, ::-1], axis=1)
    hidden = jnp.take_along_axis(prompt.hidden, last[:, None, None], axis=1)[:, 0]
    state = DecodingState(
        step=jnp.int32(0),
        tokens=jnp.full((batch, max_new_tokens), stop_ids[0] if stop_ids else 0, jnp.int32),
        finished=jnp.zeros(batch, bool),
        cache=prompt.cache.pad_to(length + max_new_tokens),
        cache_valid=jnp.pad(valid, [(0, 0), (0, max_new_tokens)]),
    )
    return jax.lax.while_loop(unfinished, step, choose(state, most_probable(hidden))).tokens
