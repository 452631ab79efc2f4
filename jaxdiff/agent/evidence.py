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
from jaxdiff.base.module import SmolLM
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.features import Array

# Attention far below this tells nothing more, and float16 must hold it.
FLOOR = -20.0
TELLING_WORDS = (" none", " true", " false", " not", " no")


def token_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which query tokens are looked at: a third and two thirds of the way."""
    return tuple(round(config.num_layers * share) for share in (1 / 3, 2 / 3))


def key_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which keys are looked at."""
    return tuple(round(config.num_layers * share) for share in (16 / 30, 24 / 30, 1.0))


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
    "key_attention", "token_logprob", "key_states", "key_logprob", "candidate_attention", "candidate_logprob",
)  # fmt: skip


@partial(jax.jit, static_argnums=0)
def read_block(
    module: SmolLM, params: Any, prefix: KVCache, prefix_valid: Array, block: Block, telling: Array
) -> Evidence:
    """One pass of the base over a block of B rows, each after its own prefix or all after one.

    A query's token stands for both of its copies: attention to it is the sum of both, and its states are those of the
    second copy, which has seen the whole query.

    prefix: B rows, or one that all share; prefix_valid: [B or 1, P] bool. telling: [W] int32 ids whose log-probability
    is reported.
    """
    config = module.config
    tapped = sorted({*token_taps(config), *opening_taps(config)})
    mask = masks.after_prefix(masks.streams(block.stream, block.valid), block.valid, prefix_valid)
    output: Any = module.apply(
        {"params": params}, block.ids, block.positions, mask, prefix=prefix, taps=tuple(tapped), rows=block.keys
    )
    rows, fields = block.keys.shape
    slots, query = prefix.slots, block.query_ids.shape[1]
    attention = jnp.maximum(output.key_attention, FLOOR)
    # Where the second copy stands differs from row to row. Found by products with one-hot rows: with a gather, the
    # program of a mesh of two axes hangs on CPU devices.
    copy = jax.nn.one_hot(block.copy[:, None] + jnp.arange(query)[None], block.ids.shape[1], dtype=attention.dtype)
    in_copy = jnp.einsum("bfht,bqt->bfhq", attention[..., slots:], copy, precision=lax.Precision.HIGHEST)
    to_query = jnp.logaddexp(attention[..., slots : slots + query], in_copy).swapaxes(2, 3)

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
        key_attention=to_query,
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
