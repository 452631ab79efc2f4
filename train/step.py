"""One update of a head, as a pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax import Array

from jaxdiff.diffusion.batch import Batch

from .state import TrainState

Loss = Callable[[Any, Array, Batch], tuple[Array, dict[str, Array]]]
Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]


def make_step(loss: Loss, optimizer: optax.GradientTransformation, ema_decay: float = 0.999) -> Step:
    """A jitted update: (state, batch) -> (state, metrics). loss: (head parameters, key, batch) -> (loss, its parts).

    The state given is used up (donated). The base is not among the parameters: its features come with the batch.
    """

    @jax.jit(donate_argnums=0)
    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        (value, parts), gradient = jax.value_and_grad(loss, has_aux=True)(state.head, state.step_key(), batch)
        gradients = {"base": {}, "head": gradient}
        state = state.apply_gradients(optimizer, gradients, ema_decay=ema_decay)
        return state, {"loss": value, "gradient_norm": optax.tree.norm(gradient), **parts}

    return step
