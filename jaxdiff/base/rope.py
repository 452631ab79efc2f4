"""Rotary position embedding: frequencies of every supported kind, and the rotation itself.

Su et al., arXiv 2104.09864; YaRN: Peng et al., arXiv 2309.00071, section 3; llama3: the piecewise rule of the Llama 3.1
release. The halves convention is used: dimension i is rotated together with i + head_dim / 2.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.config import RopeConfig
from jaxdiff.errors import ConfigError


def inverse_frequencies(rope: RopeConfig, head_dim: int, max_positions: int) -> tuple[np.ndarray, float]:
    """Returns inverse frequencies [head_dim / 2] float32 and the factor by which sine and cosine are scaled.

    Raises ConfigError where a length extension lacks the original length.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float64) / head_dim
    plain = 1.0 / rope.theta**exponents
    if rope.kind in ("default", "dynamic"):
        return plain.astype(np.float32), 1.0
    if rope.kind == "linear":
        return (plain / rope.factor).astype(np.float32), 1.0
    if rope.kind == "yarn":
        original = rope.original_max_positions or max_positions
        return _yarn(rope, head_dim, original, plain).astype(np.float32), _yarn_attention_factor(rope)
    if rope.original_max_positions is None:
        raise ConfigError("rope type 'llama3' needs original_max_positions")
    return _llama3(rope, rope.original_max_positions, plain).astype(np.float32), 1.0


def _yarn(rope: RopeConfig, head_dim: int, original: int, plain: np.ndarray) -> np.ndarray:
    def dimension_of(rotations: float) -> float:
        return head_dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = dimension_of(rope.beta_fast), dimension_of(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    # A ramp of no width would divide by zero.
    width = max(high - low, 0.001)
    interpolated_share = np.clip((np.arange(head_dim // 2) - low) / width, 0, 1)
    return plain / rope.factor * interpolated_share + plain * (1 - interpolated_share)


def _yarn_attention_factor(rope: RopeConfig) -> float:
    def mscale(weight: float) -> float:
        return 1.0 if rope.factor <= 1 else 0.1 * weight * math.log(rope.factor) + 1.0

    if rope.attention_factor is not None:
        return rope.attention_factor
    if rope.mscale and rope.mscale_all_dim:
        return mscale(rope.mscale) / mscale(rope.mscale_all_dim)
    return mscale(1.0)


def _llama3(rope: RopeConfig, original: int, plain: np.ndarray) -> np.ndarray:
    wavelength = 2 * math.pi / plain
    smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    smooth = np.clip(smooth, 0, 1)
    return (1 - smooth) * plain / rope.factor + smooth * plain


def rotation(rope: RopeConfig, head_dim: int, max_positions: int, positions: Array) -> tuple[Array, Array]:
    """Cosine and sine, each [B, T, head_dim / 2] float32, for positions [B, T] int32."""
    frequencies, scale = inverse_frequencies(rope, head_dim, max_positions)
    angles = positions[:, :, None].astype(jnp.float32) * frequencies[None, None]
    return jnp.cos(angles) * scale, jnp.sin(angles) * scale


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Rotates x [B, T, heads, head_dim] by cos, sin [B, T, head_dim / 2]; in float32, returned in x's dtype."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    cos, sin = cos[:, :, None], sin[:, :, None]
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1).astype(x.dtype)
