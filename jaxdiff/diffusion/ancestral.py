"""One step of masked diffusion's own reverse process: positions are revealed at random, as the noise schedule has it.

Sahoo et al., "Simple and Effective Masked Diffusion Language Models", arXiv 2406.07524. With alpha_t = exp(-sigma(t)),
the posterior q(z_s | z_t, x), s < t, leaves a revealed token as it is; <MASK> becomes x with chance
(alpha_s - alpha_t) / (1 - alpha_t), else stays. The denoised x is the head's prediction.
Shapes: B rows, N canvas positions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdiff.diffusion.schedules import NoiseSchedule


def reveal_chance(schedule: NoiseSchedule, t: ArrayLike, s: ArrayLike) -> Array:
    """(alpha_s - alpha_t) / (1 - alpha_t), the chance that a position masked at t > 0 is revealed at s < t."""
    return 1 - schedule.move_chance(s) / schedule.move_chance(t)


def select_at_random(keys: Array, masked: Array, chance: Array) -> Array:
    """Each masked position with this chance: [B, N] bool.

    keys: [B] random keys, one a row; draws depend on row key and position alone. masked: [B, N] bool.
    """

    def draw(key: Array, position: Array) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, position))

    draws = jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(keys, jnp.arange(masked.shape[1]))
    return masked & (draws < chance)
