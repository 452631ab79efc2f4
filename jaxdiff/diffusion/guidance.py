"""Classifier-free guidance: away from what a head would say without the query.

Ho & Salimans, arXiv 2207.12598; of discrete masked diffusion Schiff et al., arXiv 2412.10193, and Nie et al., arXiv
2410.18514; among plausible tokens alone (Li et al., arXiv 2210.15097). Shapes: B rows, N canvas positions, V canvas
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.errors import ConfigError

# In place of -inf, which has no finite difference.
_FORBIDDEN = -1e9
# A token with less than this share of the most probable one's probability is not lifted: a rare word that the query
# makes a thousand times likelier is a rare word still.
PLAUSIBLE = 0.1
# How far the others lie below, in their own order: a constraint may leave nothing else.
_BELOW = 1e4
PredictLogits = Callable[[Array, Array], Array]
"""(tokens [B, N] int32, t [B] float32) -> logits [B, N, V]."""


def guide(conditional: Array, unconditional: Array, weight: float) -> Array:
    """Logits [B, N, V] of (1 + w) log p_conditional - w log p_unconditional among the plausible tokens of a position.

    Plausible are those whose p_conditional is at least `PLAUSIBLE` of the position's highest; all others lie far below
    them. A token that the conditional logits forbid (-inf) stays forbidden; a plausible one that the unconditional
    ones alone forbid becomes all but certain.
    """
    conditional = jax.nn.log_softmax(conditional.astype(jnp.float32), -1)
    unconditional = jnp.maximum(jax.nn.log_softmax(unconditional.astype(jnp.float32), -1), _FORBIDDEN)
    guided = conditional + weight * (conditional - unconditional)
    plausible = conditional >= conditional.max(-1, keepdims=True) + np.log(PLAUSIBLE)
    return jnp.where(plausible, guided, conditional - _BELOW)


def guided(
    conditional: PredictLogits, unconditional: PredictLogits | None, weight: float, mask_id: int
) -> PredictLogits:
    """A predictor that guides at every step, and never to the mask; at weight 0 `conditional` itself.

    Raises ConfigError where a weight above 0 has no unconditional predictor.
    """
    if weight == 0:
        return conditional
    if unconditional is None:
        raise ConfigError(f"guidance={weight} needs an unconditional predictor")

    def guide_both(tokens: Array, t: Array) -> Array:
        told, untold = (predict(tokens, t).at[..., mask_id].set(-jnp.inf) for predict in (conditional, unconditional))
        return guide(told, untold, weight)

    return guide_both
