"""Means and scales of the features, measured on training rows and kept with the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdiff.diffusion.features import Array, QueryFeatures
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.head import trunk_names
from jaxdiff.diffusion.reader.trunk import LOOKS, attention_and_claim, look_and_claim


@struct.dataclass
class Moments:
    """Of each of D features over the pairs that are not padded.

    count: [] float32. mean: [D]. squares: [D] sum of the squared distances from the mean.
    """

    count: Array
    mean: Array
    squares: Array


def moments(query: QueryFeatures) -> dict[str, Moments]:
    """By the name of what they are statistics of; a pure function, so that rows may lie on many devices."""
    pairs = query.field_mask[:, :, None] & query.token_mask[:, None]
    looks = dict(zip(("attention", "claim"), attention_and_claim(query), strict=True))
    for name in LOOKS:
        looks[name], looks[f"{name}_claim"] = look_and_claim(query, getattr(query, name))
    measured = {name: (value, pairs) for name, value in looks.items()} | {
        "token_states": (query.token_states, query.token_mask),
        "key_states": (query.key_states, query.field_mask),
        "candidate_attention": (query.candidate_attention, query.candidate_mask),
    }
    return {name: _moments(value.astype(jnp.float32), mask[..., None]) for name, (value, mask) in measured.items()}


def _moments(value: Array, mask: Array) -> Moments:
    axes, count = tuple(range(value.ndim - 1)), mask.sum().astype(jnp.float32)
    mean = jnp.where(mask, value, 0.0).sum(axes, keepdims=True) / jnp.maximum(count, 1)
    return Moments(count, mean.ravel(), jnp.where(mask, (value - mean) ** 2, 0.0).sum(axes))


def set_statistics(
    params: dict[str, Any], config: ReaderConfig, batches: Sequence[Mapping[str, Moments]]
) -> dict[str, Any]:
    """The reader's parameters with the statistics of some batches in place of zeros and ones."""
    measured: dict[str, Any] = {}
    for name in batches[0]:
        whole = _joined([batch[name] for batch in batches])
        if whole.count:
            measured[name] = {
                "statistics_mean": np.asarray(whole.mean, np.float32),
                # Nearly constant features would be blown up by what little they vary.
                "statistics_scale": np.maximum(np.sqrt(whole.squares / whole.count), 1e-2).astype(np.float32),
            }
    return params | {trunk: params[trunk] | measured for trunk in trunk_names(config)}


def _joined(parts: Sequence[Moments]) -> Moments:
    """Of all parts together (Chan, Golub and LeVeque 1983, eq. 1.5)."""
    counts = np.array([part.count for part in parts], np.float64)
    means, squares = (np.array([getattr(part, name) for part in parts], np.float64) for name in ("mean", "squares"))
    total = counts.sum()
    mean = (counts @ means) / max(total, 1.0)
    return Moments(total, mean, squares.sum(0) + counts @ (means - mean) ** 2)
