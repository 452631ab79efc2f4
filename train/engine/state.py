"""What training changes: one struct that a pure step maps to the next."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array


@struct.dataclass
class TrainState:
    """The head, its optimizer and the randomness; the frozen base stays outside.

    step: [] int32, number of updates done.
    head: parameters of the head.
    opt_state: state of the optimizer from `make_optimizer`.
    key: [2] uint32, key data of the run's random key; never changes.
    ema: exponential moving average of `head`, or None where none is kept.
    """

    step: Array
    head: Any
    opt_state: Any
    key: Array
    ema: Any = None

    @classmethod
    def create(
        cls, head: Any, optimizer: optax.GradientTransformation, seed: int, base: Any = None, ema: bool = False
    ) -> TrainState:
        """The state before the first step. base: the frozen parameters, or None where they get no gradients."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            head=head,
            opt_state=optimizer.init(_params(base, head)),
            key=jax.random.key_data(jax.random.key(seed)),
            ema=jax.tree.map(jnp.copy, head) if ema else None,
        )

    def step_key(self) -> Array:
        """The random key of this step: another for each, the same after a restart."""
        return jax.random.fold_in(jax.random.wrap_key_data(self.key), self.step)

    def apply_gradients(
        self, optimizer: optax.GradientTransformation, gradients: Any, base: Any = None, ema_decay: float = 0.999
    ) -> TrainState:
        """The state after one update. gradients: {"base": ..., "head": ...}, "base" being {} where `base` is None.

        The base is not returned: its update is zero by construction (see `make_optimizer`). The average's decay begins
        small, so that little is left in it of the random first parameters: min(ema_decay, (1 + n) / (10 + n)) after n
        updates, as `num_updates` of TensorFlow's ExponentialMovingAverage.
        """
        updates, opt_state = optimizer.update(gradients, self.opt_state, _params(base, self.head))
        head = optax.apply_updates(self.head, updates["head"])
        share = 1 - jnp.minimum(ema_decay, (1 + self.step) / (10 + self.step)).astype(jnp.float32)
        ema = None if self.ema is None else jax.tree.map(partial(_moved, share), self.ema, head)
        return dataclasses.replace(self, step=self.step + 1, head=head, opt_state=opt_state, ema=ema)


def _moved(share: Array, old: Array, new: Array) -> Array:
    """`old` moved towards `new` by a share; in this form, what does not change stays as it is to the last bit."""
    return old + share * (new - old)


def _params(base: Any, head: Any) -> dict[str, Any]:
    return {"base": {} if base is None else base, "head": head}
