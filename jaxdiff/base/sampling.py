"""Choosing the next token from its logits: the usual filters, in the order in which `transformers` applies them."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    if k >= logits.shape[-1]:
        return logits
    order = _order(logits)
    kth = _largest(lambda least: jnp.sum(order >= least, axis=-1, keepdims=True) >= k, logits.shape[0])
    return jnp.where(order < kth, -jnp.inf, logits)


def keep_top_p(logits: Array, p: float) -> Array:
    """-inf for the least probable of logits [B, V] that together have a probability of at most 1 - p.

    The most probable token always stays. Of equal logits those with the smallest ids are left out first.
    """
    order = _order(logits)
    probabilities = jax.nn.softmax(logits, axis=-1)
    outside = jnp.float32(1 - p)

    def below(least: Array) -> Array:
        return jnp.sum(jnp.where(order < least, probabilities, 0), axis=-1, keepdims=True)

    most = jnp.max(order, axis=-1, keepdims=True)
    least = jnp.minimum(_largest(lambda least: below(least) <= outside, logits.shape[0]), most)
    # Of the equals at the edge as many go as there is room for, but never the last of the most probable.
    equal = order == least
    count = jnp.cumsum(equal, axis=-1, dtype=jnp.int32)
    each = jnp.max(jnp.where(equal, probabilities, 0), axis=-1, keepdims=True)
    room = below(least) + count.astype(jnp.float32) * each <= outside
    last = (count == count[:, -1:]) & (least == most)
    return jnp.where((order < least) | equal & room & ~last, -jnp.inf, logits)


def keep_min_p(logits: Array, p: float) -> Array:
    """-inf for logits [B, V] of tokens less probable than p times the most probable one."""
    probabilities = jax.nn.softmax(logits, axis=-1)
    most = jnp.max(probabilities, axis=-1, keepdims=True)
    return jnp.where(probabilities < jnp.float32(p) * most, -jnp.inf, logits)


def _order(logits: Array) -> Array:
    """[B, V] uint32 that compare as the float32 logits do."""
    # Both zeros have one place.
    bits = jax.lax.bitcast_convert_type(jnp.where(logits == 0, 0.0, logits), jnp.uint32)
    sign = jnp.uint32(1 << 31)
    return jnp.where(bits >= sign, ~bits, bits | sign)


def _largest(holds: Callable[[Array], Array], rows: int) -> Array:
    """[rows, 1] the largest uint32 for which `holds`, which is true up to some number and false from there on.

    Found bit by bit: a CPU sorts a vocabulary ten times slower.
    """

    def bit(number: Array, found: Array) -> Array:
        tried = found | (jnp.uint32(1 << 31) >> number.astype(jnp.uint32))
        return jnp.where(holds(tried), tried, found)

    return jax.lax.fori_loop(0, 32, bit, jnp.zeros((rows, 1), jnp.uint32))
