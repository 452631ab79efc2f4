"""Trace credit: tokens that were the best guess for several steps are trusted sooner.

CreditDecoding (Wang et al., arXiv 2510.06133), the credit decoding of dInfer (arXiv 2510.08666). With p the prediction
at a position, at every step:

    C_v <- decay * C_v + (p_v ** power if v is the most probable token, else 0)
    fused logit of v = logit of v + weight * log(1 + C_v)

Only the most probable token of each step ever earns credit. So one token and what is left of its credit are kept for
each step, [S, B, N] instead of [B, N, V], and nothing is lost: C_v is the sum over the entries of v.
Shapes: S steps, B rows, N canvas positions, V canvas vocabulary.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array


@struct.dataclass
class Credit:
    """What each step's most probable token earned.

    tokens: [S, B, N] int32. amount: [S, B, N] float32, what is left of it; 0 for steps to come.
    """

    tokens: Array
    amount: Array

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Credit:
        """Before the first step. shape: (S, B, N)."""
        return cls(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32))


def earn(credit: Credit, step: Array, logits: Array, masked: Array, *, decay: float, power: float) -> Credit:
    """Credit after a step. logits: [B, N, V] float32. masked: [B, N] bool, positions whose best token earns some."""
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    probability = jnp.exp(logits.max(axis=-1) - jax.nn.logsumexp(logits, axis=-1))
    return Credit(
        tokens=credit.tokens.at[step].set(best),
        amount=(decay * credit.amount).at[step].set(jnp.where(masked, probability**power, 0.0)),
    )


def fuse(credit: Credit, logits: Array, weight: float) -> Array:
    """Logits [B, N, V] with credit."""
    same = credit.tokens[:, None] == credit.tokens[None]
    whole = jnp.where(same, credit.amount[None], 0.0).sum(axis=1)
    at = jnp.arange(logits.shape[0])[None, :, None], jnp.arange(logits.shape[1])[None, None], credit.tokens
    # Entries of one token have the same whole, so that it does not matter which of them is set last.
    return logits.at[at].set(logits[at] + weight * jnp.log1p(whole))
