"""One update of a head, as a pure function of state, frozen base and batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxdiff.errors import ConfigError

from .state import TrainState

Loss = Callable[[Any, Array, Any], tuple[Array, dict[str, Array]]]
"""(head parameters, key, what was read) -> (loss, its parts)."""
Read = Callable[[Any, Any], Any]
"""(parameters of the frozen base, batch of the pipeline) -> what the loss takes."""
Step = Callable[[TrainState, Any, Any], tuple[TrainState, dict[str, Array]]]

# What a backward pass keeps of a forward one; the rest is computed again (jax.checkpoint).
REMAT = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    read: Read,
    ema_decay: float = 0.999,
    microbatches: int = 1,
    remat: str = "none",
    state_shardings: Any = None,
) -> Step:
    """A jitted update: (state, base parameters, batch) -> (state, metrics), the state given used up (donated).

    No gradient reaches the base, nor what is read of it. microbatches: parts of a batch whose gradients are averaged
    (accumulated) before the update, each with its own random key; the metrics are their means. remat: one of `REMAT`.
    state_shardings: a tree of shardings like the state, where it lies on a mesh. Raises ConfigError for an unknown
    `remat`.
    """
    if remat not in REMAT:
        raise ConfigError(f"{remat=} must be one of {', '.join(REMAT)}")
    computed = loss if remat == "none" else jax.checkpoint(loss, policy=REMAT[remat])

    def gradients(head: Any, base: Any, key: Array, batch: Any) -> tuple[tuple[Array, dict[str, Array]], Any]:
        seen = jax.lax.stop_gradient(read(base, batch))
        return jax.value_and_grad(computed, has_aux=True)(head, key, seen)

    def accumulated(head: Any, base: Any, key: Array, batch: Any) -> tuple[tuple[Array, dict[str, Array]], Any]:
        parts = jax.tree.map(partial(_divide, microbatches), batch)

        def add(total: Any, numbered: tuple[Array, Any]) -> tuple[Any, None]:
            number, part = numbered
            found = gradients(head, base, jax.random.fold_in(key, number), part)
            return jax.tree.map(jnp.add, total, found), None

        shapes = jax.eval_shape(gradients, head, base, key, jax.tree.map(lambda x: x[0], parts))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, (jnp.arange(microbatches), parts))
        return jax.tree.map(lambda x: x / microbatches, total)

    # The state keeps its place; what else leaves the step is small and goes where XLA likes.
    @partial(jax.jit, donate_argnums=0, out_shardings=None if state_shardings is None else (state_shardings, None))
    def step(state: TrainState, base: Any, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        by = gradients if microbatches == 1 else accumulated
        (value, parts), gradient = by(state.head, base, state.step_key(), batch)
        state = state.apply_gradients(optimizer, {"base": {}, "head": gradient}, ema_decay=ema_decay)
        return state, {"loss": value, "gradient_norm": optax.tree.norm(gradient), **parts}

    return step


def _divide(parts: int, x: Array) -> Array:
    """[B, ...] -> [parts, B / parts, ...], neighbouring rows in different parts: those of a device stay on it."""
    if x.shape[0] % parts:
        raise ConfigError(f"a batch of {x.shape[0]} rows cannot be divided into {parts} microbatches")
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
