"""Which tool: the one whose words are nearest to the query's; where words do not tell, the base's states do.

Query and tools are read apart. A base of the default's size cannot pick from a list in its prompt.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.lexical import words
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.config import BaseConfig
from jaxdiff.schema.tools import Tool

# Scores closer than this are a tie.
_TIE = 1e-6


def choose_tool(base: FrozenBase, tools: Sequence[Tool], query: str) -> Tool:
    """The tool nearest to the query: lexical overlap first, then cosine of mean states, then the order of the list."""
    if len(tools) == 1:
        return tools[0]
    scores = lexical_scores(tools, query)
    nearest = [tool for tool, score in zip(tools, scores, strict=True) if score >= max(scores) - _TIE]
    if len(nearest) == 1:
        return nearest[0]
    query_state = mean_state(base, query)
    similarity = [float(query_state @ mean_state(base, tool_text(tool))) for tool in nearest]
    return nearest[int(np.argmax(similarity))]


def lexical_scores(tools: Sequence[Tool], query: str) -> list[float]:
    """Sum of the inverse document frequencies (Spärck Jones, 1972) of the query's words that a tool's text has."""
    documents = [set(words(tool_text(tool))) for tool in tools]
    frequency = Counter(word for document in documents for word in document)
    asked = set(words(query))
    return [
        sum(math.log(1 + len(tools) / frequency[word]) for word in asked & document) / math.sqrt(1 + len(document))
        for document in documents
    ]


def tool_text(tool: Tool) -> str:
    """Name, description and parameters as words."""
    parts = [tool.name, tool.description]
    for field in tool.fields:
        parts += [field.name, field.description, *(str(value) for value in field.candidates)]
    return " ".join(parts)


def state_layers(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) whose states are compared."""
    return tuple(max(1, round(config.num_layers * share)) for share in (8 / 30, 16 / 30, 24 / 30))


@lru_cache(maxsize=4096)
def mean_state(base: FrozenBase, text: str) -> np.ndarray:
    """Unit vector: the mean over tokens of the states after a few layers, each layer normalised. Kept per text."""
    ids = base.encode(text)[: TOKENS[-1]] or base.encode(" ")
    slots = bucket(len(ids), TOKENS, "tokens of a tool")
    padded = np.zeros((1, slots), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(_mean_state(base.module, base.params, padded, np.arange(slots)[None] < len(ids)))


@partial(jax.jit, static_argnums=0)
def _mean_state(module: SmolLM, params: Any, ids: Array, valid: Array) -> Array:
    positions = jnp.arange(ids.shape[1], dtype=jnp.int32)[None]
    taps = state_layers(module.config)
    output: Any = module.apply({"params": params}, ids, positions, masks.causal(valid), taps=taps)
    states = jnp.where(valid[0][:, None, None], output.taps[0].astype(jnp.float32), 0.0)
    mean = states.sum(0) / valid.sum().astype(jnp.float32)
    mean = mean / jnp.linalg.norm(mean, axis=-1, keepdims=True)
    return mean.reshape(-1) / jnp.linalg.norm(mean)
