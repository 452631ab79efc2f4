"""Means and scales of the features, measured on training rows and kept with the head."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.diffusion.reader.trunk import attention_and_claim


def set_statistics(params: dict[str, Any], batches: list[QueryFeatures]) -> dict[str, Any]:
    """The reader's parameters with the statistics of some batches in place of zeros and ones."""
    values: dict[str, list[np.ndarray]] = {}

    def add(name: str, value: Any, mask: Any) -> None:
        values.setdefault(name, []).append(np.asarray(value, np.float32)[np.asarray(mask)])

    for query in batches:
        pairs = query.field_mask[:, :, None] & query.token_mask[:, None]
        own, claim = jax.jit(attention_and_claim)(query)
        add("attention", own, pairs)
        add("claim", claim, pairs)
        add("token_states", query.token_states, query.token_mask)
        add("key_states", query.key_states, query.field_mask)
        add("candidate_attention", query.candidate_attention, query.candidate_mask)
    trunk = dict(params["trunk"])
    for name, parts in values.items():
        joined = np.concatenate(parts)
        if len(joined):
            trunk[name] = {
                "statistics_mean": joined.mean(0),
                # Nearly constant features would be blown up by what little they vary.
                "statistics_scale": np.maximum(joined.std(0), 1e-2),
            }
    return params | {"trunk": trunk}
