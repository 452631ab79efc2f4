"""Choosing the next token from its logits: the usual filters, in the order in which `transformers` applies them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.errors import InputError

# Below it, logits divided by the temperature leave float32.
MIN_TEMPERATURE = 1e-5


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; hashable, so that a program is compiled for the filters that are on.

    temperature: 0 takes the most probable token, after the repetition penalty; the other filters then change nothing.
    top_k: 0 is off. top_p (nucleus, arXiv 1904.09751): 1 is off. min_p (arXiv 2407.01082): 0 is off.
    repetition_penalty (CTRL, arXiv 1909.05858): 1 is off. Raises InputError for a value that is impossible.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            wanted = int if field.name == "top_k" else (int, float)
            if isinstance(value, bool) or not isinstance(value, wanted) or not math.isfinite(value):
                kind = "an integer" if wanted is int else "a finite number"
                raise InputError(f"{field.name}={value!r} must be {kind}")
        possible = {
            f"temperature={self.temperature} must be 0 or >= {MIN_TEMPERATURE}": (
                self.temperature == 0 or self.temperature >= MIN_TEMPERATURE
            ),
            f"top_k={self.top_k} must be >= 0": self.top_k >= 0,
            f"top_p={self.top_p} must be in (0, 1]": 0 < self.top_p <= 1,
            f"min_p={self.min_p} must be in [0, 1]": 0 <= self.min_p <= 1,
            f"repetition_penalty={self.repetition_penalty} must be > 0": self.repetition_penalty > 0,
        }
        for message, holds in possible.items():
            if not holds:
                raise InputError(message)


GREEDY = Sampling()


def choose(key: Array, logits: Array, ids: Array, valid: Array, sampling: Sampling) -> Array:
    """One token per row [B] int32, from logits [B, V].

    key: of the randomness. ids: [B, S] int32, the text so far; valid: [B, S] bool, which of them are tokens.
    """
    if sampling.repetition_penalty != 1:
        logits = penalize_repetition(logits, ids, valid, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = filter_logits(logits, sampling)
    return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


def filter_logits(logits: Array, sampling: Sampling) -> Array:
    """Logits [B, V] over the temperature, with -inf where top-k, top-p or min-p leave a token out."""
    if sampling.temperature not in (0, 1):
        logits = logits / jnp.float32(sampling.temperature)
    if sampling.top_k:
        logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p < 1:
        logits = keep_top_p(logits, sampling.top_p)
    if sampling.min_p:
        logits = keep_min_p(logits, sampling.min_p)
    return logits


def penalize_repetition(logits: Array, ids: Array, valid: Array, penalty: float) -> Array:
    """Divides positive logits [B, V] of tokens that occur in ids [B, S] by the penalty and multiplies negative ones.

    valid: [B, S] bool, False for padding, which counts as no token.
    """
    rows = jnp.arange(logits.shape[0], dtype=jnp.int32)[:, None]
    seen = jnp.zeros(logits.shape, bool).at[rows, ids].max(valid, mode="drop")
    changed = jnp.where(logits < 0, logits * jnp.float32(penalty), logits / jnp.float32(penalty))
    return jnp.where(seen, changed, logits)


def keep_top_k(logits: Array, k: int) -> Array:
    """-inf for all logits [B, V] below the k-th largest; equals of the k-th stay."""
    kth = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][:, -1:]
    return jnp.where(logits < kth, -jnp.inf, logits)


def keep_top_p(logits: Array, p: float) -> Array:
    """-inf for the least probable of logits [B, V] that together have a probability of at most 1 - p.

    The most probable token always stays. Of equal logits those with the smallest ids are left out first.
    """
    ascending = jnp.argsort(logits, axis=-1, stable=True)
    probabilities = jax.nn.softmax(jnp.take_along_axis(logits, ascending, axis=-1), axis=-1)
    dropped = jnp.cumsum(probabilities, axis=-1) <= jnp.float32(1 - p)
    dropped = dropped.at[:, -1].set(False)
    rows = jnp.arange(logits.shape[0], dtype=jnp.int32)[:, None]
    dropped = jnp.zeros_like(dropped).at[rows, ascending].set(dropped, unique_indices=True)
    return jnp.where(dropped, -jnp.inf, logits)


def keep_min_p(logits: Array, p: float) -> Array:
    """-inf for logits [B, V] of tokens less probable than p times the most probable one."""
    probabilities = jax.nn.softmax(logits, axis=-1)
    most = jnp.max(probabilities, axis=-1, keepdims=True)
    return jnp.where(probabilities < jnp.float32(p) * most, -jnp.inf, logits)
