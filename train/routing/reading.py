"""What the frozen base says of the router's rows, read once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.apart import ROWS, TOOL_TOKENS, normalised, read_queries, read_tools
from jaxdiff.agent.evidence import opening_taps
from jaxdiff.agent.prefix import PrefixReader, read
from jaxdiff.agent.prompting import QueryPrompt, example_ids, query_prompt
from jaxdiff.agent.routing_prompt import routing_ids, tool_text
from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.schema.tools import Tool

from ..reading.passes import up
from ..reading.row_store import Part, Progress, RowStore, new_store

# Longer queries are not trained on.
QUERY_TOKENS = 128
# A tool's queries stand side by side in one pass, each a stream of its own; few sizes mean few programs to compile.
_PAIR_SLOTS, _PAIR_STREAMS = (192, 384), 16
# Axis O has length 1.
TEXTS = {"tokens": Part("T"), "mean": Part("O"), "naming": Part("O"), "opening": Part("O")}
QUERIES = TEXTS | {"offsets": Part("T", 2, np.int32)}
PAIRS = {"opening": Part("O"), "hidden": Part("O")}


def query_store(
    base: FrozenBase, queries: Sequence[str], root: Path, name: str, progress: Progress | None = None
) -> RowStore:
    """States of queries; `rows` of the store are the queries. Those longer than `QUERY_TOKENS` are left out."""
    folder = root / f"{name}-{_key(base, [routing_ids(base), *queries])}"
    with new_store(folder, QUERIES) as writer:
        if writer is not None:
            prefix = read(base, routing_ids(base), None)
            prompts = [(number, query_prompt(base, query)) for number, query in enumerate(queries)]
            prompts = sorted((p for p in prompts if len(p[1].ids) <= QUERY_TOKENS), key=lambda p: len(p[1].ids))
            for start in range(0, len(prompts), ROWS[-1]):
                group = prompts[start : start + ROWS[-1]]
                if writer.saved.issuperset(number for number, _ in group):
                    continue
                states = read_queries(base, prefix, [prompt for _, prompt in group])
                for row, (number, prompt) in enumerate(group):
                    values = _row(states, row) | {"offsets": np.array(prompt.offsets, np.int32)}
                    writer.add(number, {"T": len(prompt.ids), "O": 1}, values)
                    writer.tell(progress, len(prompts))
    return RowStore(folder, QUERIES, queries)


def tool_store(
    base: FrozenBase, tools: Sequence[Tool], root: Path, name: str, progress: Progress | None = None
) -> RowStore:
    """States of tools; `rows` of the store are the tools."""
    folder = root / f"{name}-{_key(base, [tool_text(tool) for tool in tools])}"
    with new_store(folder, TEXTS) as writer:
        if writer is not None:
            for number, tool in enumerate(tools):
                if number in writer.saved:
                    continue
                (states,) = read_tools(base, [tool])
                length = min(len(base.encode(tool_text(tool))), TOOL_TOKENS)
                writer.add(number, {"T": length, "O": 1}, _row(states, 0))
                writer.tell(progress, len(tools))
    return RowStore(folder, TEXTS, tools)


def pair_store(
    base: FrozenBase, pairs: Sequence[tuple[Tool, str]], root: Path, name: str, progress: Progress | None = None
) -> RowStore:
    """States at the opening of the answer after example, tool and query; `rows` of the store are the pairs.

    Pairs with a query longer than the largest pass are left out.
    """
    texts = [example_ids(base), *(f"{tool.name}\n{json.dumps(tool.parameters)}\n{query}" for tool, query in pairs)]
    folder = root / f"{name}-{_key(base, texts)}"
    with new_store(folder, PAIRS) as writer:
        if writer is not None:
            for number, opening, hidden in _read_pairs(base, pairs, writer.saved):
                writer.add(number, {"O": 1}, {"opening": opening[None], "hidden": hidden[None]})
                writer.tell(progress, len(pairs))
    return RowStore(folder, PAIRS, pairs)


def _read_pairs(
    base: FrozenBase, pairs: Sequence[tuple[Tool, str]], saved: frozenset[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, states [E] and final state [D] of each pair, tool by tool; none of passes whose pairs are all saved."""
    reader = PrefixReader(base, keep=2)
    by_tool: dict[str, list[int]] = {}
    for number, (tool, _) in enumerate(pairs):
        by_tool.setdefault(tool.name, []).append(number)
    for numbers in by_tool.values():
        known = reader.tool(pairs[numbers[0]][0]).prefix
        for group in _groups([(number, query_prompt(base, pairs[number][1])) for number in numbers]):
            if saved.issuperset(number for number, _ in group):
                continue
            length = sum(len(prompt.text) for _, prompt in group)
            shape = 1, up(length, _PAIR_SLOTS)
            ids, stream, positions = np.zeros(shape, np.int32), np.full(shape, -2, np.int32), np.zeros(shape, np.int32)
            ends, start = np.zeros((1, _PAIR_STREAMS), np.int32), 0
            for place, (_, prompt) in enumerate(group):
                text = prompt.text
                own = slice(start, start + len(text))
                ids[0, own], stream[0, own] = text, place
                positions[0, own] = known.length + np.arange(len(text))
                start += len(text)
                ends[0, place] = start - 1
            found = _openings(base.module, base.params, known.cache, known.valid, ids, positions, stream, ends)
            openings, hidden = jax.device_get(found)
            for place, (number, _) in enumerate(group):
                yield number, openings[place], hidden[place]


def _groups(prompts: Sequence[tuple[int, QueryPrompt]]) -> Iterator[list[tuple[int, QueryPrompt]]]:
    """Prompts that fit into one pass; those that no pass holds are left out."""
    group: list[tuple[int, QueryPrompt]] = []
    length = 0
    for number, prompt in prompts:
        tokens = len(prompt.text)
        if tokens > _PAIR_SLOTS[-1]:
            continue
        if group and (length + tokens > _PAIR_SLOTS[-1] or len(group) == _PAIR_STREAMS):
            yield group
            group, length = [], 0
        group.append((number, prompt))
        length += tokens
    if group:
        yield group


@partial(jax.jit, static_argnums=0)
def _openings(
    module: SmolLM,
    params: Any,
    prefix: KVCache,
    prefix_valid: Array,
    ids: Array,
    positions: Array,
    stream: Array,
    ends: Array,
) -> tuple[Array, Array]:
    """[N, E] states and [N, D] final states at the ends of N streams."""
    valid = stream > -2
    mask = masks.after_prefix(masks.streams(stream, valid), valid, prefix_valid)
    output: Any = module.apply({"params": params}, ids, positions, mask, prefix=prefix, rows=ends)
    states = output.key_states[jnp.array(opening_taps(module.config)) - 1, 0]
    return normalised(jnp.moveaxis(states, 0, 1)), output.hidden[0, ends[0]].astype(jnp.float32)


def _row(states: Any, row: int) -> dict[str, np.ndarray]:
    return {
        "tokens": states.tokens[row],
        "mean": states.mean[row][None],
        "naming": states.naming[row][None],
        "opening": states.opening[row][None],
    }


def _key(base: FrozenBase, texts: Sequence[Any]) -> str:
    digest = hashlib.sha256(base.computation.encode())
    for text in texts:
        digest.update(repr(text).encode())
    return digest.hexdigest()[:16]
