"""The router's data: rows, what the base says of them, and batches; some suites are held out to calibrate on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.routing.features import PairStates
from jaxdiff.schema.tools import Tool

from ..data.packs import TRAIN_PACKS
from ..reading.features import progress_line
from ..reading.row_store import RowStore
from .reading import pair_store, query_store, tool_store
from .rows import (
    TALK_TRAIN,
    RoutingRow,
    Shelf,
    declined_rows,
    joined_rows,
    read_shelf,
    single_rows,
    talk_rows,
)
from .run import Batch, Named, name_batch, padded_texts

PER_TOOL = 4
PAIRED_PER_TOOL = 2
JOINED = 800
# One suite in so many, and one talk row in so many, is not trained on.
HELD_OUT = 8
_BATCH = {"pairs": 128, "talk": 64, "boundaries": 24}


@dataclass(frozen=True)
class Pair:
    """A query read after a tool. query: its row in the store of queries. served: the tool is the right one."""

    tool: Tool
    query: int
    served: bool


@dataclass(frozen=True)
class RoutingData:
    """Rows and what the base says of them. held: whether a row (a pair, a join) is held out."""

    shelf: Shelf
    rows: list[RoutingRow]
    queries: RowStore
    tools: RowStore
    pairs: list[Pair]
    pair_states: RowStore
    joins: list[RoutingRow]
    join_states: RowStore
    held_suites: frozenset[str]
    vocabulary: np.ndarray

    def is_held(self, row: RoutingRow, number: int) -> bool:
        """Whether a row belongs to a held-out suite; of rows without a suite, one in `HELD_OUT` by number."""
        return row.suite in self.held_suites if row.suite is not None else number % HELD_OUT == 0


def read_data(base: FrozenBase, root: Path, seed: int) -> RoutingData:
    """Expands packs and talk, and reads them through the base, or finds what has been read under `root`."""
    rng = random.Random(seed)
    shelf = read_shelf(TRAIN_PACKS)
    singles = single_rows(TRAIN_PACKS, shelf, PER_TOOL, seed)
    wanted = singles + declined_rows(TRAIN_PACKS) + talk_rows(TALK_TRAIN)
    names = list(shelf.tools)
    queries = query_store(base, [row.query for row in wanted], root, "router-queries", progress_line("queries"))
    places = {query: place for place, query in enumerate(queries.rows)}
    rows_of = {row.query: row for row in wanted}
    rows = [rows_of[query] for query in queries.rows]
    tools = tool_store(base, list(shelf.tools.values()), root, "router-tools", progress_line("tools"))
    pairs = [
        Pair(shelf.tools[name], places[row.query], bool(row.calls) and name == row.calls[0][0])
        for row in _paired(wanted)
        if row.query in places
        for name in _paired_tools(row, shelf, names, rng)
    ]
    states = pair_store(
        base, [(pair.tool, queries.rows[pair.query]) for pair in pairs], root, "router-pairs", progress_line("pairs")
    )
    # Row by row, for a query that several packs decline may stand beside one tool more than once.
    pair_of = {(pair.tool, queries.rows[pair.query]): pair for pair in pairs}
    kept = [pair_of[row] for row in states.rows]
    joins = joined_rows(single_rows(TRAIN_PACKS, shelf, 2 * PER_TOOL, seed + 1), JOINED, seed)
    joined = query_store(base, [row.query for row in joins], root, "router-joined", progress_line("joined queries"))
    of_query = {row.query: row for row in joins}
    suites = sorted(set(shelf.suites.values()))
    held = frozenset(rng.sample(suites, len(suites) // HELD_OUT))
    vocabulary = _vocabulary(base, np.stack([states.part("hidden", row)[0] for row in range(len(states))]))
    return RoutingData(
        shelf, rows, queries, tools, kept, states, [of_query[query] for query in joined.rows], joined, held, vocabulary
    )


def batches(data: RoutingData) -> dict[str, Callable[[random.Random], Batch]]:
    """By part of the router, what draws a training batch."""
    trained = [i for i, row in enumerate(data.rows) if not data.is_held(row, i)]
    tool_names = [tool.name for tool in data.tools.rows]
    named_rows = [i for i in trained if data.rows[i].calls]
    tools = [i for i, name in enumerate(tool_names) if data.shelf.suites[name] not in data.held_suites]
    named = named_queries(data, named_rows, tools)
    pairs = [i for i, pair in enumerate(data.pairs) if not data.is_held(data.rows[pair.query], pair.query)]
    served = [i for i in pairs if data.pairs[i].served]
    refused = [i for i in pairs if not data.pairs[i].served]
    talk = {mode: [i for i in trained if data.rows[i].mode == mode] for mode in ("chat", "think")}
    joins = [i for i, row in enumerate(data.joins) if row.suite not in data.held_suites]

    def pair_batch(rng: random.Random) -> Batch:
        half = _BATCH["pairs"] // 2
        chosen = rng.choices(served, k=half) + rng.choices(refused, k=half)
        return {
            "pairs": pair_states(data, chosen),
            "served": np.array([data.pairs[i].served for i in chosen], np.float32),
            "vocabulary": data.vocabulary[chosen],
        }

    def talk_batch(rng: random.Random) -> Batch:
        half = _BATCH["talk"] // 2
        chosen = rng.choices(talk["chat"], k=half) + rng.choices(talk["think"], k=half)
        think = np.array([data.rows[i].mode == "think" for i in chosen], np.float32)
        return {"opening": openings(data.queries, chosen), "think": think}

    def boundary_batch(rng: random.Random) -> Batch:
        half = _BATCH["boundaries"] // 2
        many, one = rng.sample(joins, half), rng.sample(named_rows, half)
        states = [padded_texts(data.join_states, many, 128), padded_texts(data.queries, one, 128)]
        begins = np.zeros((2 * half, 128), np.float32)
        for row, i in enumerate(many):
            begins[row, begin_tokens(data.join_states.part("offsets", i), data.joins[i].starts)] = 1
        return {"queries": _stacked(states), "begins": begins}

    return {
        "names": partial(name_batch, named), "fit": pair_batch, "decision": pair_batch, "talk": talk_batch,
        "boundaries": boundary_batch,
    }  # fmt: skip


def named_queries(data: RoutingData, rows: Sequence[int], tools: Sequence[int]) -> Named:
    """The queries of `rows` beside the tools of `tools`, by number in their stores."""
    place = {data.tools.rows[i].name: i for i in tools}
    return Named(
        queries=data.queries,
        tools=data.tools,
        numbers=list(rows),
        gold=[place[data.rows[i].calls[0][0]] for i in rows],
        listed=list(tools),
        suite_of={i: data.shelf.suites[data.tools.rows[i].name] for i in tools},
    )


def pair_states(data: RoutingData, chosen: Sequence[int]) -> PairStates:
    """States of some pairs."""
    return PairStates(
        opening=np.stack([data.pair_states.part("opening", i)[0] for i in chosen]).astype(np.float32),
        hidden=np.stack([data.pair_states.part("hidden", i)[0] for i in chosen]).astype(np.float32),
        query=openings(data.queries, [data.pairs[i].query for i in chosen]),
    )


def openings(store: RowStore, rows: Sequence[int]) -> np.ndarray:
    """[rows, E] float32 states where the answers to some queries would begin."""
    return np.stack([store.part("opening", row)[0] for row in rows]).astype(np.float32)


def begin_tokens(offsets: np.ndarray, starts: Sequence[int]) -> list[int]:
    """The first token of each request but the first; a token may begin with the blank before its word."""
    return [int(np.argmax(offsets[:, 1] > start)) for start in starts[1:] if (offsets[:, 1] > start).any()]


def _stacked(states: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *each: np.concatenate(each), *states)


def _paired(rows: Sequence[RoutingRow]) -> list[RoutingRow]:
    """All rows that no tool serves, and some of each tool."""
    count: dict[str, int] = {}
    chosen = []
    for row in rows:
        if row.calls:
            name = row.calls[0][0]
            count[name] = count.get(name, 0) + 1
            if count[name] > PAIRED_PER_TOOL:
                continue
        chosen.append(row)
    return chosen


def _paired_tools(row: RoutingRow, shelf: Shelf, names: Sequence[str], rng: random.Random) -> list[str]:
    """A query's own tool, one of its suite, and for some queries any other."""
    own = [row.calls[0][0]] if row.calls else []
    near = [name for name in shelf.of_suite(row.suite) if name not in own]
    far = [name for name in names if name not in own and name not in near]
    others = rng.sample(near, 1) if near else []
    if not others or (own and rng.random() < 0.5):
        others.append(rng.choice(far))
    return own + others


def _vocabulary(base: FrozenBase, hidden: np.ndarray) -> np.ndarray:
    """[N] log-sum-exp of the base's own logits."""
    found = [
        np.asarray(_log_sum(base, hidden[start : start + 64].astype(np.float32))) for start in range(0, len(hidden), 64)
    ]
    return np.concatenate(found)


def _log_sum(base: FrozenBase, hidden: np.ndarray) -> Any:
    logits: Any = base.module.apply({"params": base.params}, hidden, method="unembed")
    return jax.nn.logsumexp(logits, axis=-1)
