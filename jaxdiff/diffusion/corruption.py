"""The forward process: value tokens of a canvas are replaced by <MASK>, scaffold tokens never.

Shapes: B rows, N canvas positions.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError

# The NELBO weight grows like 1 / t; no row is drawn closer to t = 0 (MDLM's sampling_eps).
SMALLEST_TIME = 1e-3


def forward_corrupt(
    schedule: NoiseSchedule, key: Array, tokens: Array, value_mask: Array, t: Array, mask_id: int
) -> Array:
    """Sample q(z_t | x): each value position becomes <MASK> independently with chance 1 - exp(-sigma(t)).

    tokens: [B, N] int32. value_mask: [B, N] bool, positions that may be masked. t: [B] float32. Returns [B, N] int32.
    """
    moved = jax.random.uniform(key, tokens.shape) < schedule.move_chance(t)[:, None]
    return jnp.where(moved & value_mask, mask_id, tokens)


def sample_times(key: Array, batch: int, *, antithetic: bool = True, fully_masked_share: float = 0.5) -> Array:
    """Draw a time per row: [batch] float32 in (0, 1].

    ceil(fully_masked_share * batch) rows, at random places, get t = 1 exactly: answering starts there, and a time that
    is only reached in a limit is never trained. The other times are uniform; `antithetic` spreads them evenly over
    the batch (one in each of equal intervals), which lowers the variance of the loss.
    Raises ConfigError if the share is not in [0, 1].
    """
    if not 0 <= fully_masked_share <= 1:
        raise ConfigError(f"{fully_masked_share=} must lie in [0, 1]")
    # Rounded first, so that 0.1 * 30 = 3.0000000000000004 does not count as more than 3.
    fully_masked = math.ceil(round(fully_masked_share * batch, 6))
    drawn = batch - fully_masked
    draw_key, place_key = jax.random.split(key)
    u = jax.random.uniform(draw_key, (drawn,))
    if antithetic:
        u = (u + jnp.arange(drawn, dtype=jnp.float32)) / max(drawn, 1)
    t = jnp.concatenate([jnp.ones(fully_masked), SMALLEST_TIME + (1 - SMALLEST_TIME) * u])
    return jax.random.permutation(place_key, t)


def corrupt_batch(
    schedule: NoiseSchedule,
    key: Array,
    tokens: Array,
    value_mask: Array,
    mask_id: int,
    *,
    antithetic: bool = True,
    fully_masked_share: float = 0.5,
) -> tuple[Array, Array]:
    """Draw times and corrupt a training batch: ([B, N] int32 corrupted tokens, [B] float32 times).

    Rows at t = 1 are masked without exception, though most schedules leave a share eps unmasked there: it is the
    state in which answering starts.
    """
    time_key, mask_key = jax.random.split(key)
    t = sample_times(time_key, tokens.shape[0], antithetic=antithetic, fully_masked_share=fully_masked_share)
    corrupted = forward_corrupt(schedule, mask_key, tokens, value_mask, t, mask_id)
    return jnp.where((t == 1.0)[:, None] & value_mask, mask_id, corrupted), t
