"""One pass of the frozen base over queries and their keys: attention, probabilities and states, all on the device."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from jaxdiff.agent.key_block import Block
from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM, Watched
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.features import Array

# Attention far below this tells nothing more, and float16 must hold it.
FLOOR = -20.0
TELLING_WORDS = (" none", " true", " false", " not", " no")


def token_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which query tokens are looked at: a third and two thirds of the way."""
    return tuple(max(1, round(config.num_layers * share)) for share in (1 / 3, 2 / 3))


def key_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which keys are looked at."""
    return tuple(max(1, round(config.num_layers * share)) for share in (16 / 30, 24 / 30, 1.0))


def opening_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which the opening of the answer is looked at."""
    return tuple(max(1, round(config.num_layers * share)) for share in (10 / 30, 16 / 30, 24 / 30, 1.0))


def telling_ids(base: FrozenBase) -> np.ndarray:
    """[W] int32 first tokens of the telling words."""
    return np.array([base.encode(word)[0] for word in TELLING_WORDS], np.int32)


@struct.dataclass
class Evidence:
    """What the device computes of a block, all float32; most names are those of `QueryFeatures`.

    opening_states: [B, 4, D] raw states of the last token before the answer, after `opening_taps`. opening_hidden:
    [B, D] its state after the final norm.
    """

    key_attention: Array
    name_attention: Array
    definition_attention: Array
    token_logprob: Array
    token_states: Array
    key_states: Array
    key_logprob: Array
    candidate_attention: Array
    candidate_logprob: Array
    opening_states: Array
    opening_hidden: Array


# What of it is [B, F, ...], about each field by itself.
EVIDENCE_OF_FIELDS = (
    "key_attention", "name_attention", "definition_attention", "token_logprob", "key_states", "key_logprob",
    "candidate_attention", "candidate_logprob",
)  # fmt: skip


@partial(jax.jit, static_argnums=0)
def read_block(
    module: SmolLM, params: Any, prefix: KVCache, prefix_valid: Array, block: Block, telling: Array
) -> Evidence:
    """One pass of the base over a block of B rows, each after its own prefix or all after one.

    A query's token stands for both of its copies: attention to it is the sum of both; its states, and where it looks
    itself, are those of the second copy, which has seen the whole query.

    prefix: B rows, or one that all share; prefix_valid: [B or 1, P] bool. telling: [W] int32 ids whose log-probability
    is reported.
    """
    config = module.config
    tapped = sorted({*token_taps(config), *opening_taps(config)})
    mask = masks.after_prefix(masks.streams(block.stream, block.valid), block.valid, prefix_valid)
    output: Any = module.apply(
        {"params": params}, block.ids, block.positions, mask, prefix=prefix, taps=tuple(tapped), rows=block.keys,
        watched=_watched(block, prefix.slots),
    )  # fmt: skip
    rows, fields = block.keys.shape
    slots, query = prefix.slots, block.query_ids.shape[1]
    attention = jnp.maximum(output.key_attention, FLOOR)
    # Where the second copy stands differs from row to row. Found by products with one-hot rows: with a gather, the
    # program of a mesh of two axes hangs on CPU devices.
    copy = jax.nn.one_hot(block.copy[:, None] + jnp.arange(query)[None], block.ids.shape[1], dtype=attention.dtype)

    def at_copy(looks: Array) -> Array:
        """[B, F, LH, T] of the block's slots as [B, F, LH, Q] of the second copy's."""
        return jnp.einsum("bfht,bqt->bfhq", looks, copy, precision=lax.Precision.HIGHEST)

    def to_query(looks: Array) -> Array:
        """[B, F, LH, P + T] as [B, F, Q, LH]."""
        return jnp.logaddexp(looks[..., slots : slots + query], at_copy(looks[..., slots:])).swapaxes(2, 3)

    candidates = block.candidate_slots.reshape(rows, fields, 1, -1)
    to_candidates = jnp.take_along_axis(attention, candidates, axis=3)
    to_candidates = to_candidates.reshape(rows, fields, -1, *block.candidate_slots.shape[2:])
    to_candidates = jnp.concatenate([to_candidates.max(-1), to_candidates[..., 0]], axis=2).swapaxes(2, 3)

    at_keys = jnp.take_along_axis(output.hidden, block.keys[..., None], axis=1)
    logits: Any = module.apply({"params": params}, at_keys, method="unembed")
    logprob = jax.nn.log_softmax(logits, axis=-1)
    logprob = jnp.maximum(logprob, FLOOR)
    by_token = jnp.take_along_axis(logprob, jnp.broadcast_to(block.query_ids[:, None], (rows, fields, query)), axis=2)
    by_candidate = jnp.take_along_axis(logprob, block.candidate_first, axis=2)

    key_layers = np.array(key_taps(config)) - 1
    key_states = jnp.moveaxis(output.key_states[key_layers], 0, 2).reshape(rows, fields, -1)
    tapped_states = output.taps[:, :, np.searchsorted(tapped, token_taps(config))]
    token_states = jnp.einsum(
        "bqt,btld->bqld", copy.astype(tapped_states.dtype), tapped_states, precision=lax.Precision.HIGHEST
    )
    opening = block.opening[:, None, None]
    opening_states = jnp.take_along_axis(output.taps, opening[..., None], axis=1)[:, 0]
    evidence = Evidence(
        key_attention=to_query(attention),
        name_attention=to_query(_floored_log(output.mean_attention)),
        definition_attention=at_copy(_floored_log(output.slot_attention)).swapaxes(2, 3),
        token_logprob=by_token,
        token_states=token_states.reshape(rows, query, -1),
        key_states=key_states,
        key_logprob=logprob[..., telling],
        candidate_attention=to_candidates,
        candidate_logprob=by_candidate,
        opening_states=opening_states[:, np.searchsorted(tapped, opening_taps(config))],
        opening_hidden=jnp.take_along_axis(output.hidden, opening, axis=1)[:, 0],
    )
    return jax.tree.map(lambda x: x.astype(jnp.float32), evidence)


def _floored_log(probability: Array) -> Array:
    return jnp.maximum(jnp.log(probability), FLOOR)


def _watched(block: Block, prefix_slots: int) -> Watched:
    """The tokens of each field's name, their mean, and the line of the prefix that defines the field."""
    slot = jnp.arange(block.ids.shape[1])[None, None]
    names, keys = block.names[..., None], block.keys[..., None]
    # A name that the base reads as one token with its colon stands for itself.
    named = (slot >= names) & (slot < jnp.maximum(keys, names + 1)) & block.field_valid[..., None]
    means = named.astype(jnp.float32)
    means /= jnp.maximum(means.sum(-1, keepdims=True), 1.0)
    slot = jnp.arange(prefix_slots + block.ids.shape[1])[None, None]
    lines = (slot >= block.definitions[..., :1]) & (slot <= block.definitions[..., 1:])
    return Watched(means, lines.astype(jnp.float32))
