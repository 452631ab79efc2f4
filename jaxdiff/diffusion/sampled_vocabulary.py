"""A part of the vocabulary that stands for the whole, so that training need not score every token.

Sampled softmax with a uniform proposal (Jean et al., arXiv 1412.2007). Answering always scores the whole vocabulary.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array


@struct.dataclass
class VocabularySample:
    """M entries, each once.

    ids: [M] int32, -1 for filler. log_weight: [M] float32, logarithm of how many tokens the entry stands for; add it to
    the entry's score before the log-sum-exp. 0 for known tokens, -inf for filler.
    """

    ids: Array
    log_weight: Array


def sample_vocabulary(key: Array, known: Array, vocab_size: int, draws: int) -> VocabularySample:
    """All `known` tokens and up to `draws` others, drawn uniformly, which share the weight of all the rest.

    The weighted sum over the sample is an unbiased estimate of the sum over the vocabulary.
    known: int32 ids of any shape, negative ones stand for none. Returns M = min(known.size + draws, vocab_size).
    """
    # Out of bounds at the upper end is dropped; a negative index would count from the end.
    places = jnp.where(known < 0, vocab_size, known).ravel()
    is_known = jnp.zeros(vocab_size, bool).at[places].set(True, mode="drop")
    drawn = jnp.zeros(vocab_size, bool).at[jax.random.randint(key, (draws,), 0, vocab_size)].set(True) & ~is_known
    (ids,) = jnp.nonzero(is_known | drawn, size=min(known.size + draws, vocab_size), fill_value=-1)
    others = (vocab_size - is_known.sum()).astype(jnp.float32)
    share = jnp.log(others) - jnp.log(jnp.maximum(drawn.sum(), 1).astype(jnp.float32))
    log_weight = jnp.where(is_known[ids], 0.0, share)
    return VocabularySample(ids=ids.astype(jnp.int32), log_weight=jnp.where(ids < 0, -jnp.inf, log_weight))
