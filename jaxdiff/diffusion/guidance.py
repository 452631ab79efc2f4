"""Classifier-free guidance: away from what a head would say without the query.

Ho & Salimans, arXiv 2207.12598; of discrete masked diffusion Schiff et al., arXiv 2412.10193, and Nie et al., arXiv
2410.18514. Shapes: B rows, N canvas positions, V canvas vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxdiff.errors import ConfigError

# In place of -inf, which has no finite difference.
_FORBIDDEN = -1e9
PredictLogits = Callable[[Array, Array], Array]
"""(tokens [B, N] int32, t [B] float32) -> logits [B, N, V]."""


def guide(conditional: Array, unconditional: Array, weight: float) -> Array:
    """Logits [B, N, V] of (1 + w) log p_conditional - w log p_unconditional, up to a constant a position.

    Logits in place of log p change each position by a constant, which the softmax takes out again. A token that the
    conditional logits forbid (-inf) stays forbidden; one that the unconditional ones alone forbid becomes all but
    certain.
    """
    conditional = conditional.astype(jnp.float32)
    unconditional = jnp.maximum(unconditional.astype(jnp.float32), _FORBIDDEN)
    guided = conditional + weight * (conditional - unconditional)
    return jnp.where(jnp.isneginf(conditional), -jnp.inf, guided)


def guided(conditional: PredictLogits, unconditional: PredictLogits | None, weight: float) -> PredictLogits:
    """A predictor that guides at every step; at weight 0 `conditional` itself.

    Raises ConfigError where a weight above 0 has no unconditional predictor.
    """
    if weight == 0:
        return conditional
    if unconditional is None:
        raise ConfigError(f"guidance={weight} needs an unconditional predictor")

    def predict(tokens: Array, t: Array) -> Array:
        return guide(conditional(tokens, t), unconditional(tokens, t), weight)

    return predict
