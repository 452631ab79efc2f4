"""Queries and tools read apart: what the router compares. A small base cannot pick from a list in its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.prefix import Prefix
from jaxdiff.agent.prompting import QueryPrompt
from jaxdiff.agent.routing_prompt import NAMING, tool_text
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.config import BaseConfig
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import TextStates
from jaxdiff.schema.tools import Tool

# Tokens of a tool's text that are read; the rest of a longer one is not compared.
TOOL_TOKENS = 192
# Texts in one pass.
ROWS = (1, 2, 4, 8, 16)
_TOKEN_SHARES = (8 / 30, 16 / 30, 24 / 30)
_END_SHARES = (8 / 30, 16 / 30, 24 / 30, 1.0)
_OPENING, _NAMING = 0, 1


def token_layers(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which tokens are looked at."""
    return _layers(config, _TOKEN_SHARES)


def end_layers(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which the ends of texts are looked at."""
    return _layers(config, _END_SHARES)


def router_config(base: BaseConfig, **changes: Any) -> RouterConfig:
    """The router for what is read here from a base, with `changes` to the network."""
    widths: dict[str, Any] = dict(
        token_states=len(token_layers(base)) * base.hidden_size,
        end_states=len(end_layers(base)) * base.hidden_size,
        hidden_state=base.hidden_size,
    )
    return RouterConfig(**(widths | changes))


def read_queries(base: FrozenBase, prefix: Prefix, prompts: Sequence[QueryPrompt]) -> TextStates:
    """States of up to `ROWS[-1]` queries after the routing prompt's fixed part, padded to common sizes.

    Raises InputError where a query is longer than the largest bucket.
    """
    naming = base.encode(NAMING)
    texts = [prompt.text for prompt in prompts]
    longest = max(map(len, texts)) + len(naming)
    base.check_length(prefix.length + longest)
    shape = bucket(len(prompts), ROWS, "queries"), bucket(longest, TOKENS, "tokens of the query")
    ids, stream, positions = np.zeros(shape, np.int32), np.full(shape, -2, np.int32), np.zeros(shape, np.int32)
    ends, queries = np.zeros((shape[0], 2), np.int32), np.zeros(shape, bool)
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        whole = text + naming
        ids[row, : len(whole)] = whole
        stream[row, : len(whole)] = [-1] * len(text) + [0] * len(naming)
        positions[row, : len(whole)] = np.arange(len(whole)) + prefix.length
        ends[row] = len(text) - 1, len(whole) - 1
        queries[row, : len(prompt.ids)] = True
    valid = stream > -2
    states = _read(base.module, base.params, ids, positions, stream, valid, ends, queries, prefix.cache, prefix.valid)
    return jax.tree.map(lambda x: np.asarray(x)[: len(prompts)], states)


def read_tools(base: FrozenBase, tools: Sequence[Tool]) -> list[TextStates]:
    """States of each tool's text, one row each."""
    found: list[TextStates] = []
    for start in range(0, len(tools), ROWS[-1] // 2):
        texts = [base.encode(tool_text(tool))[:TOOL_TOKENS] for tool in tools[start : start + ROWS[-1] // 2]]
        shape = bucket(len(texts), ROWS, "tools"), bucket(max(map(len, texts)), TOKENS, "tokens of a tool")
        ids, lengths = np.zeros(shape, np.int32), np.zeros(shape[0], np.int32)
        for row, text in enumerate(texts):
            ids[row, : len(text)], lengths[row] = text, len(text)
        numbers = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
        valid = numbers < lengths[:, None]
        stream = np.where(valid, -1, -2).astype(np.int32)
        ends = np.repeat(np.maximum(lengths - 1, 0)[:, None], 2, axis=1)
        # The first token of a text without anything before it takes in attention that has nowhere to go.
        compared = valid & (numbers > 0)
        states = _read(base.module, base.params, ids, numbers, stream, valid, ends, compared, None, None)
        states = jax.tree.map(np.asarray, states)
        found += [jax.tree.map(lambda x, row=row: x[row : row + 1], states) for row in range(len(texts))]
    return found


def normalised(raw: Array | np.ndarray) -> Array:
    """States [..., L, D] of L layers, each divided by its root mean square, joined to [..., L * D]."""
    states = jnp.asarray(raw, jnp.float32)
    states = states * jax.lax.rsqrt(jnp.mean(states * states, -1, keepdims=True) + 1e-6)
    return states.reshape(*states.shape[:-2], -1)


def _layers(config: BaseConfig, shares: Sequence[float]) -> tuple[int, ...]:
    return tuple(max(1, round(config.num_layers * share)) for share in shares)


@partial(jax.jit, static_argnums=0)
def _read(
    module: SmolLM,
    params: Any,
    ids: Array,
    positions: Array,
    stream: Array,
    valid: Array,
    ends: Array,
    compared: Array,
    prefix: KVCache | None,
    prefix_valid: Array | None,
) -> TextStates:
    config = module.config
    mask = masks.streams(stream, valid)
    if prefix is not None and prefix_valid is not None:
        mask = masks.after_prefix(mask, valid, prefix_valid)
    # A layer may be named by two shares of a base with few layers; what is read then comes twice.
    taps = tuple(dict.fromkeys(token_layers(config)))
    output: Any = module.apply({"params": params}, ids, positions, mask, prefix=prefix, taps=taps, rows=ends)
    tokens = output.taps[:, :, jnp.array([taps.index(layer) for layer in token_layers(config)])]
    counted = compared[..., None].astype(jnp.float32)
    joined = normalised(tokens) * counted
    count = jnp.maximum(counted.sum(1), 1)
    mean = (joined.sum(1) / count).reshape(ids.shape[0], len(token_layers(config)), -1)
    at_ends = normalised(jnp.moveaxis(output.key_states[jnp.array(end_layers(config)) - 1], 0, 2))
    opening = at_ends[:, _OPENING] if prefix is not None else jnp.zeros_like(at_ends[:, _OPENING])
    return TextStates(tokens=joined, mask=compared, mean=normalised(mean), naming=at_ends[:, _NAMING], opening=opening)
