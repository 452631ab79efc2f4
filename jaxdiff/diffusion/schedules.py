"""Noise schedules of masked diffusion: how much of a canvas is masked at time t in [0, 1].

A token is masked at time t with chance 1 - exp(-sigma(t)), where sigma is the total noise (Sahoo et al., "Simple and
Effective Masked Diffusion Language Models", arXiv 2406.07524). Schedules are frozen and hashable, so that they may be
static arguments of jitted functions; their methods are pure and take any shape.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxdiff.errors import ConfigError

# log(move chance) has no value where nothing is masked; importance sampling starts at this total noise.
SMALLEST_NOISE = 1e-3


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


class NoiseSchedule(ABC):
    """A total noise sigma(t), increasing in t, with its derivative and its inverse."""

    @abstractmethod
    def total_noise(self, t: ArrayLike) -> Array:
        """sigma(t)."""

    @abstractmethod
    def rate_noise(self, t: ArrayLike) -> Array:
        """d sigma / dt."""

    @abstractmethod
    def time_of(self, total_noise: ArrayLike) -> Array:
        """The t at which `total_noise(t)` has this value."""

    def move_chance(self, t: ArrayLike) -> Array:
        """1 - exp(-sigma(t)): the chance that a token is masked at time t."""
        return -jnp.expm1(-self.total_noise(t))

    def nelbo_weight(self, t: ArrayLike) -> Array:
        """sigma'(t) / (exp(sigma(t)) - 1): weight of the cross-entropy in MDLM's NELBO (arXiv 2406.07524)."""
        return self.rate_noise(t) / jnp.expm1(self.total_noise(t))

    def importance_time(self, u: ArrayLike) -> Array:
        """Time such that log(move chance) is uniform for a uniform u in [0, 1]; so the NELBO weight becomes constant.

        This is the importance-sampling transformation of MDLM, which gives it for the linear and the log-linear
        schedule; the same derivation holds for any schedule with an inverse.
        """
        lowest = jnp.maximum(self.total_noise(0.0), SMALLEST_NOISE)
        log_chance_0 = jnp.log(-jnp.expm1(-lowest))
        log_chance_1 = jnp.log(self.move_chance(1.0))
        u = jnp.asarray(u, jnp.float32)
        log_chance = u * log_chance_1 + (1 - u) * log_chance_0
        return jnp.clip(self.time_of(-jnp.log1p(-jnp.exp(log_chance))), 0.0, 1.0)


@dataclass(frozen=True)
class LogLinear(NoiseSchedule):
    """sigma(t) = -log(1 - (1 - eps) t): the masked share grows linearly, up to 1 - eps."""

    eps: float = 1e-3

    def __post_init__(self) -> None:
        _check(0 < self.eps < 1, f"{self.eps=} must lie between 0 and 1")

    def total_noise(self, t: ArrayLike) -> Array:
        return -jnp.log1p(-(1 - self.eps) * jnp.asarray(t, jnp.float32))

    def rate_noise(self, t: ArrayLike) -> Array:
        return (1 - self.eps) / (1 - (1 - self.eps) * jnp.asarray(t, jnp.float32))

    def time_of(self, total_noise: ArrayLike) -> Array:
        return -jnp.expm1(-jnp.asarray(total_noise, jnp.float32)) / (1 - self.eps)


@dataclass(frozen=True)
class Cosine(NoiseSchedule):
    """sigma(t) = -log(eps + (1 - eps) cos(pi t / 2)): few masks early."""

    eps: float = 1e-3

    def __post_init__(self) -> None:
        _check(0 < self.eps < 1, f"{self.eps=} must lie between 0 and 1")

    def total_noise(self, t: ArrayLike) -> Array:
        return -jnp.log(self.eps + (1 - self.eps) * jnp.cos(jnp.asarray(t, jnp.float32) * (jnp.pi / 2)))

    def rate_noise(self, t: ArrayLike) -> Array:
        angle = jnp.asarray(t, jnp.float32) * (jnp.pi / 2)
        kept = self.eps + (1 - self.eps) * jnp.cos(angle)
        return (jnp.pi / 2) * (1 - self.eps) * jnp.sin(angle) / kept

    def time_of(self, total_noise: ArrayLike) -> Array:
        kept = jnp.exp(-jnp.asarray(total_noise, jnp.float32))
        return jnp.arccos(jnp.clip((kept - self.eps) / (1 - self.eps), 0.0, 1.0)) * (2 / jnp.pi)


@dataclass(frozen=True)
class CosineSquared(NoiseSchedule):
    """sigma(t) = -log(eps + (1 - eps) cos(pi t / 2)^2): flat at both ends."""

    eps: float = 1e-3

    def __post_init__(self) -> None:
        _check(0 < self.eps < 1, f"{self.eps=} must lie between 0 and 1")

    def total_noise(self, t: ArrayLike) -> Array:
        return -jnp.log(self.eps + (1 - self.eps) * jnp.cos(jnp.asarray(t, jnp.float32) * (jnp.pi / 2)) ** 2)

    def rate_noise(self, t: ArrayLike) -> Array:
        t = jnp.asarray(t, jnp.float32)
        kept = self.eps + (1 - self.eps) * jnp.cos(t * (jnp.pi / 2)) ** 2
        return (jnp.pi / 2) * (1 - self.eps) * jnp.sin(t * jnp.pi) / kept

    def time_of(self, total_noise: ArrayLike) -> Array:
        kept = jnp.exp(-jnp.asarray(total_noise, jnp.float32))
        return jnp.arccos(jnp.sqrt(jnp.clip((kept - self.eps) / (1 - self.eps), 0.0, 1.0))) * (2 / jnp.pi)


@dataclass(frozen=True)
class Linear(NoiseSchedule):
    """sigma(t) = sigma_min + t (sigma_max - sigma_min)."""

    sigma_min: float = 0.0
    sigma_max: float = 10.0

    def __post_init__(self) -> None:
        _check(0 <= self.sigma_min < self.sigma_max, f"{self.sigma_min=} must be >= 0 and below {self.sigma_max=}")

    def total_noise(self, t: ArrayLike) -> Array:
        return self.sigma_min + jnp.asarray(t, jnp.float32) * (self.sigma_max - self.sigma_min)

    def rate_noise(self, t: ArrayLike) -> Array:
        return jnp.full_like(jnp.asarray(t, jnp.float32), self.sigma_max - self.sigma_min)

    def time_of(self, total_noise: ArrayLike) -> Array:
        return (jnp.asarray(total_noise, jnp.float32) - self.sigma_min) / (self.sigma_max - self.sigma_min)


@dataclass(frozen=True)
class Geometric(NoiseSchedule):
    """sigma(t) = sigma_min^(1 - t) sigma_max^t.

    The usual sigma_max = 1 masks 1 - 1/e = 63% at t = 1, a state that answering, which starts fully masked, never
    sees. With 20 (as in SEDD, arXiv 2310.16834) a token stays with chance 2e-9, nothing in float32.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 20.0

    def __post_init__(self) -> None:
        _check(0 < self.sigma_min < self.sigma_max, f"{self.sigma_min=} must be > 0 and below {self.sigma_max=}")

    def total_noise(self, t: ArrayLike) -> Array:
        t = jnp.asarray(t, jnp.float32)
        return jnp.exp((1 - t) * jnp.log(self.sigma_min) + t * jnp.log(self.sigma_max))

    def rate_noise(self, t: ArrayLike) -> Array:
        return self.total_noise(t) * jnp.log(self.sigma_max / self.sigma_min)

    def time_of(self, total_noise: ArrayLike) -> Array:
        ratio = jnp.asarray(total_noise, jnp.float32) / self.sigma_min
        return jnp.log(ratio) / jnp.log(self.sigma_max / self.sigma_min)


SCHEDULES: dict[str, type[NoiseSchedule]] = {
    "log_linear": LogLinear,
    "cosine": Cosine,
    "cosine_squared": CosineSquared,
    "linear": Linear,
    "geometric": Geometric,
}


def schedule_by_name(name: str, **settings: Any) -> NoiseSchedule:
    """The schedule called `name`, with its settings. Raises ConfigError for an unknown name or setting."""
    if name not in SCHEDULES:
        raise ConfigError(f"unknown noise schedule {name!r}; known: {', '.join(SCHEDULES)}")
    try:
        return SCHEDULES[name](**settings)
    except TypeError as error:
        raise ConfigError(f"noise schedule {name!r}: {error}") from error
