"""Losses of the canvas: cross-entropy on masked value positions, plain or weighted to the NELBO.

Shapes: B rows, N canvas positions, V canvas vocabulary.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.schedules import NoiseSchedule


def token_cross_entropy(logits: Array, tokens: Array) -> Array:
    """-log softmax(logits)[tokens]: [B, N] float32 from logits [B, N, V] and tokens [B, N] int32."""
    logits = logits.astype(jnp.float32)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def masked_positions(corrupted: Array, value_mask: Array, mask_id: int) -> Array:
    """[B, N] bool: the value positions that are masked, which alone are predicted."""
    return value_mask & (corrupted == mask_id)


def masked_mean(token_losses: Array, corrupted: Array, value_mask: Array, mask_id: int) -> Array:
    """Mean of token losses [B, N] over the masked value positions of the batch, a scalar; 0 where nothing is masked."""
    predicted = masked_positions(corrupted, value_mask, mask_id)
    return jnp.where(predicted, token_losses, 0.0).sum() / _at_least_one(predicted)


def nelbo_mean(
    token_losses: Array, corrupted: Array, value_mask: Array, mask_id: int, schedule: NoiseSchedule, t: Array
) -> Array:
    """Estimate of the negative evidence lower bound, nats per value token, a scalar.

    Each masked position counts sigma'(t) / (exp(sigma(t)) - 1) times (MDLM, arXiv 2406.07524). An unbiased estimate if
    t is uniform; rows added at t = 1 tilt it. token_losses: [B, N] cross-entropies. t: [B] float32.
    """
    predicted = masked_positions(corrupted, value_mask, mask_id)
    weighted = jnp.where(predicted, token_losses, 0.0).sum(axis=1) * schedule.nelbo_weight(t)
    return weighted.sum() / _at_least_one(value_mask)


def masked_cross_entropy(logits: Array, tokens: Array, corrupted: Array, value_mask: Array, mask_id: int) -> Array:
    """Mean cross-entropy over the masked value positions of the batch, a scalar; 0 where nothing is masked.

    The auxiliary loss of D3PM (Austin et al., arXiv 2107.03006) for an absorbing state.
    logits: [B, N, V]. tokens, corrupted: [B, N] int32. value_mask: [B, N] bool.
    """
    return masked_mean(token_cross_entropy(logits, tokens), corrupted, value_mask, mask_id)


def nelbo(
    logits: Array, tokens: Array, corrupted: Array, value_mask: Array, mask_id: int, schedule: NoiseSchedule, t: Array
) -> Array:
    """`nelbo_mean` of the cross-entropy of `logits`."""
    return nelbo_mean(token_cross_entropy(logits, tokens), corrupted, value_mask, mask_id, schedule, t)


def _at_least_one(mask: Array) -> Array:
    """float32 scalar, number of true entries, 1 where there are none."""
    return jnp.maximum(mask.sum(dtype=jnp.float32), 1.0)
