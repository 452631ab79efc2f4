"""The frozen base's own distribution of each value token, the value before it given: what distillation learns from.

The query is read once, as for the base's own fills, and behind each key its value, all side by side. What the base
would write next is kept at each token and behind the last one, where it ends the value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.prompting import QueryPrompt, key_ids
from jaxdiff.agent.value_tokens import value_tokens
from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.schema.tools import Tool

from ..data.labels import Slot
from .features import FeatureStore, store_key
from .passes import passes, up
from .row_store import Part, Progress, RowStore, new_store

# Tokens that are kept of each distribution.
KEPT = 8
_SLOTS = (64, 96, 128, 192, 256, 384)
_PLACES = (16, 32, 64, 96, 192, 384)
# P: a row's value tokens and ends, slot by slot in the order of its labels.
STORED = {"ids": Part("P", KEPT, np.int32), "logprob": Part("P", KEPT)}


class TeacherStore(RowStore):
    """What the base would write at the value tokens of rows; `part` gives ids and logprob [P, KEPT]."""

    def __init__(self, folder: Path, rows: Sequence[Any]):
        super().__init__(folder, STORED, rows)


def taught_positions(slot: Slot) -> int:
    """Positions of a slot that the base has a distribution for: its tokens, and its end where there is room for it."""
    _, ids, size = slot
    return min(len(ids) + 1, size)


def extract_teacher(
    base: FrozenBase,
    store: FeatureStore,
    slots: Sequence[Sequence[Slot]],
    root: Path,
    name: str,
    progress: Progress | None = None,
) -> TeacherStore:
    """The distributions for the rows of `store`, read from the base where they are not under `root` yet.

    slots: of each row of the store, as in its labels. Rows too long for a pass have no positions.
    """
    digest = hashlib.sha256(repr((store_key(base, store.rows), KEPT, slots)).encode()).hexdigest()[:16]
    folder = root / f"{name}-teacher-{digest}"
    with new_store(folder, STORED) as writer:
        if writer is not None:
            for number, ids, logprob in _read_rows(base, store, slots, writer.saved):
                writer.add(number, {"P": len(ids)}, {"ids": ids, "logprob": logprob})
                writer.tell(progress, len(store))
            nothing = {"ids": np.zeros((0, KEPT), np.int32), "logprob": np.zeros((0, KEPT), np.float32)}
            for number in sorted({*range(len(store))} - {*writer.rows}):
                writer.add(number, {"P": 0}, nothing)
    return TeacherStore(folder, store.rows)


def _read_rows(
    base: FrozenBase, store: FeatureStore, slots: Sequence[Sequence[Slot]], saved: Collection[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, ids and log-probabilities of each row, tool by tool; none of passes whose rows are all saved."""
    ending = value_tokens(base).ending
    longest: dict[str, int] = {}
    for number, row in enumerate(store.rows):
        count = sum(len(ids) for _, ids, _ in slots[number])
        longest[row.tool["name"]] = max(longest.get(row.tool["name"], 0), count)

    def values(tool: Tool) -> int:
        """The most tokens that keys and values of a row of the tool take."""
        return longest[tool.name] + sum(len(key_ids(base, field)) for field in tool.fields)

    def fits(tool: Tool, prompt: QueryPrompt) -> bool:
        return len(prompt.text) + values(tool) <= _SLOTS[-1]

    for group in passes(base, store.rows, fits, saved):
        laid = [
            _lay_out(base, group.tool, prompt, slots[number])
            for number, prompt in zip(group.numbers, group.prompts, strict=True)
        ]
        width = up(max(len(row[0]) for row in laid), _SLOTS)
        places = up(max(max(len(row[3]) for row in laid), 1), _PLACES)
        ids, positions = np.zeros((group.rows, width), np.int32), np.zeros((group.rows, width), np.int32)
        stream, valid = np.full((group.rows, width), -2, np.int32), np.zeros((group.rows, width), bool)
        asked = np.zeros((group.rows, places), np.int32)
        for i, (tokens, streams, where, taught) in enumerate(laid):
            ids[i, : len(tokens)], stream[i, : len(tokens)] = tokens, streams
            positions[i, : len(tokens)] = np.array(where) + group.known.length
            valid[i, : len(tokens)], asked[i, : len(taught)] = True, taught
        prefix = group.known.prefix
        top, logprob = jax.device_get(
            _teach(base.module, base.params, prefix.cache, prefix.valid, ids, positions, stream, valid, asked, ending,
                   base.config.null_id)
        )  # fmt: skip
        for i, number in enumerate(group.numbers):
            count = len(laid[i][3])
            yield number, top[i, :count], logprob[i, :count]


def _lay_out(
    base: FrozenBase, tool: Tool, prompt: QueryPrompt, slots: Sequence[Slot]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Tokens, streams and positions of a row, and the places whose next token is asked for."""
    tokens = prompt.text
    streams, positions = [-1] * len(tokens), list(range(len(tokens)))
    asked: list[int] = []
    opening = len(tokens)
    for number, slot in enumerate(slots):
        field, ids, _ = slot
        key = key_ids(base, tool.fields[field])
        colon = len(tokens) + len(key) - 1
        text = key + list(ids)
        tokens, streams = tokens + text, streams + [number] * len(text)
        positions += range(opening, opening + len(text))
        asked += range(colon, colon + taught_positions(slot))
    return tokens, streams, positions, asked


@partial(jax.jit, static_argnums=(0, 10))
def _teach(
    module: SmolLM,
    params: Any,
    prefix: KVCache,
    prefix_valid: Array,
    ids: Array,
    positions: Array,
    stream: Array,
    valid: Array,
    asked: Array,
    ending: Array,
    null_id: int,
) -> tuple[Array, Array]:
    """Ids and log-probabilities [B, P, KEPT] of what follows the places `asked` [B, P]; <NULL> stands for any end."""
    mask = masks.after_prefix(masks.streams(stream, valid), valid, prefix_valid)
    output: Any = module.apply({"params": params}, ids, positions, mask, prefix=prefix)
    hidden = jnp.take_along_axis(output.hidden, asked[..., None], axis=1)
    logits: Any = module.apply({"params": params}, hidden, method="unembed")
    logprob = jax.nn.log_softmax(logits.astype(jnp.float32), -1)
    end = jax.nn.logsumexp(jnp.where(ending, logprob, -jnp.inf), -1, keepdims=True)
    best, top = jax.lax.top_k(jnp.where(ending, -jnp.inf, logprob), KEPT - 1)
    top = jnp.concatenate([jnp.full_like(top[..., :1], null_id), top], -1)
    best = jnp.concatenate([end, best], -1)
    # What was cut shares its probability among what is kept.
    return top.astype(jnp.int32), best - jax.nn.logsumexp(best, -1, keepdims=True)
