"""Which tool, by the base itself: whole names scored after a prompt that lists the tools, for bases that can.

All names stand side by side after the prompt, each a stream of its own, so one pass scores them, however many, and
no name is generated that was not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.lexical import LexicalIndex
from jaxdiff.agent.prompting import TURN_END, TURN_START
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.schema.tools import Tool

MAX_DESCRIPTION = 160
MOST_LISTED = 32
# What ends a name: else one that another begins with would have the better chance.
_END = ":"


def list_ranking(base: FrozenBase, tools: Sequence[Tool], query: str) -> list[tuple[Tool, float]]:
    """Tools with the log-probability of their whole names after the list and the query, the most probable first.

    Of a longer list, the `MOST_LISTED` tools with the nearest words are listed. Raises InputError where list and query
    are longer than the largest bucket.
    """
    if len(tools) > MOST_LISTED:
        nearest = np.argsort(-LexicalIndex(tools).scores(query).sum(-1), kind="stable")[:MOST_LISTED]
        tools = [tools[i] for i in sorted(nearest)]
    text = _prompt(base, tools, query)
    names = [base.encode(f" {tool.name}{_END}") for tool in tools]
    length = len(text) + sum(map(len, names))
    base.check_length(len(text) + max(map(len, names)))
    slots = bucket(length, TOKENS, "tokens of the list of tools and the query")
    ids, stream = np.zeros((1, slots), np.int32), np.full((1, slots), -2, np.int32)
    positions = np.zeros((1, slots), np.int32)
    ids[0, : len(text)], stream[0, : len(text)], positions[0, : len(text)] = text, -1, np.arange(len(text))
    # Slot by slot of the names: the slot, and that of the token before it.
    scored = bucket(length - len(text), TOKENS, "tokens of the names")
    places, before, owner = np.zeros((1, scored), np.int32), np.zeros((1, scored), np.int32), np.full(scored, -1)
    start = len(text)
    for number, name in enumerate(names):
        end = start + len(name)
        ids[0, start:end], stream[0, start:end] = name, number
        positions[0, start:end] = np.arange(len(text), len(text) + len(name))
        own = slice(start - len(text), end - len(text))
        places[0, own], owner[own] = np.arange(start, end), number
        # The first token of a name follows the text, whatever stands between them in the block.
        before[0, own] = [len(text) - 1, *range(start, end - 1)]
        start = end
    found = np.asarray(_token_log_probs(base.module, base.params, ids, stream, positions, places, before))[0]
    scores = [float(found[owner == number].sum()) for number in range(len(tools))]
    order = np.argsort(-np.array(scores), kind="stable")
    return [(tools[i], scores[i]) for i in order]


def _prompt(base: FrozenBase, tools: Sequence[Tool], query: str) -> list[int]:
    listed = "\n".join(f"- {tool.name}: {tool.description[:MAX_DESCRIPTION]}" for tool in tools)
    ids: list[int] = []
    for role, text in (("system", f"Name the function that serves the request.\n{listed}"), ("user", query)):
        ids += base.special(TURN_START) + base.encode(f"{role}\n{text}") + base.special(TURN_END) + base.encode("\n")
    return ids + base.special(TURN_START) + base.encode("assistant\nfunction")


@partial(jax.jit, static_argnums=0)
def _token_log_probs(
    module: SmolLM, params: Any, ids: Array, stream: Array, positions: Array, places: Array, before: Array
) -> Array:
    """[1, K] log-probability of the token at each of `places` after the one at `before`."""
    valid = stream > -2
    output: Any = module.apply({"params": params}, ids, positions, masks.streams(stream, valid))
    hidden = jnp.take_along_axis(output.hidden, before[..., None], axis=1)
    logits: Any = module.apply({"params": params}, hidden, method="unembed")
    tokens = jnp.take_along_axis(ids, places, axis=1)
    return jnp.take_along_axis(jax.nn.log_softmax(logits, axis=-1), tokens[..., None], axis=2)[..., 0]
