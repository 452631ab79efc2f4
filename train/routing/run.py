"""Training of the router: four small networks and two decision rows, each on its own rows, all in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxdiff.agent.lexical import LexicalIndex
from jaxdiff.routing.boundaries import Boundaries
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import TextStates
from jaxdiff.routing.head import Params, init
from jaxdiff.routing.modes import Talk, ToolFit, decision_log_prob
from jaxdiff.routing.names import NameScorer

from ..reading.row_store import RowStore

Log = Callable[[str], None]
Batch = dict[str, Any]
# A batch's tools: for each query its own and some of the same suite, then others.
_QUERIES, _SAME_SUITE, _TOOLS = 24, 3, 96
_LOG_EVERY = 100


@dataclass(frozen=True)
class Named:
    """Queries with their tools.

    numbers: rows of `queries` that are drawn; gold: of each the row of its tool. listed: rows of `tools` that queries
    are compared with; suite_of: their suites.
    """

    queries: RowStore
    tools: RowStore
    numbers: list[int]
    gold: list[int]
    listed: list[int]
    suite_of: dict[int, str]


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rate of one part."""

    steps: int
    learning_rate: float
    weight_decay: float


SCHEDULES = {
    "names": Schedule(500, 2e-3, 0.05),
    "fit": Schedule(1200, 1e-3, 0.1),
    "decision": Schedule(800, 1e-2, 0.0),
    "talk": Schedule(400, 1e-3, 0.1),
    "boundaries": Schedule(600, 2e-3, 0.05),
}


def train_router(
    config: RouterConfig, batches: dict[str, Callable[[random.Random], Batch]], seed: int, log: Log, scale: float = 1.0
) -> Params:
    """Trains each part of a router. batches: by part, what draws a batch. scale: of the numbers of steps."""
    params = init(jax.random.key(seed), config)
    for part, loss in _losses(config).items():
        schedule = SCHEDULES[part]
        steps = max(1, round(scale * schedule.steps))
        rng = random.Random(f"{seed}:{part}")
        drawn = (batches[part](rng) for _ in range(steps))
        params[part] = _fit(part, params[part], loss, drawn, schedule, steps, seed, log)
    return params


def name_batch(named: Named, rng: random.Random) -> Batch:
    """Queries, tools (theirs, some of the same suites, some others), lexical scores, and which tool is right."""
    drawn = rng.sample(range(len(named.numbers)), min(_QUERIES, len(named.numbers)))
    near: set[int] = set()
    for i in drawn:
        gold = named.gold[i]
        same = [tool for tool in named.listed if named.suite_of[tool] == named.suite_of[gold] and tool != gold]
        near |= {gold, *rng.sample(same, min(_SAME_SUITE, len(same)))}
    count = min(_TOOLS, len(named.listed))
    far = [tool for tool in named.listed if tool not in near]
    tools = (sorted(near) + rng.sample(far, max(0, count - len(near))))[:count]
    drawn = ([i for i in drawn if named.gold[i] in tools] * _QUERIES)[:_QUERIES]
    numbers = [named.numbers[i] for i in drawn]
    index = LexicalIndex([named.tools.rows[i] for i in tools])
    return {
        "queries": padded_texts(named.queries, numbers),
        "tools": padded_texts(named.tools, tools),
        "lexical": np.stack([index.scores(named.queries.rows[i]) for i in numbers]),
        "gold": np.array([tools.index(named.gold[i]) for i in drawn], np.int32),
    }


def padded_texts(store: RowStore, rows: Sequence[int], tokens: int | None = None) -> TextStates:
    """States of some rows of a store, padded to `tokens`, by default to a few sizes."""
    longest = max(int(store.sizes["T"][row]) for row in rows)
    tokens = tokens or next(size for size in (32, 64, 128, 192) if longest <= size)
    states = np.zeros((len(rows), tokens, store.widths["tokens"]), np.float32)
    mask = np.zeros((len(rows), tokens), bool)
    for i, row in enumerate(rows):
        found = store.part("tokens", row)
        states[i, : len(found)], mask[i, : len(found)] = found, found.any(-1)
    parts = {name: np.stack([store.part(name, row)[0] for row in rows]).astype(np.float32) for name in _WHOLE}
    return TextStates(tokens=states, mask=mask, **parts)


_WHOLE = ("mean", "naming", "opening")


def _losses(config: RouterConfig) -> dict[str, Callable[[Any, Batch, Array], Array]]:
    def names(params: Any, batch: Batch, key: Array) -> Array:
        scores: Any = NameScorer(config).apply(
            {"params": params}, batch["queries"], batch["tools"], batch["lexical"], train=True, rngs={"dropout": key}
        )
        return optax.softmax_cross_entropy_with_integer_labels(scores, batch["gold"]).mean()

    def fit(params: Any, batch: Batch, key: Array) -> Array:
        logits: Any = ToolFit(config).apply({"params": params}, batch["pairs"], train=True, rngs={"dropout": key})
        return optax.sigmoid_binary_cross_entropy(logits, batch["served"]).mean()

    def decision(params: Any, batch: Batch, key: Array) -> Array:
        both = decision_log_prob(params["rows"], batch["pairs"].hidden, batch["vocabulary"])
        return -jnp.take_along_axis(both, batch["served"].astype(jnp.int32)[:, None], axis=1).mean()

    def talk(params: Any, batch: Batch, key: Array) -> Array:
        logits: Any = Talk(config).apply({"params": params}, batch["opening"], train=True, rngs={"dropout": key})
        return optax.sigmoid_binary_cross_entropy(logits, batch["think"]).mean()

    def boundaries(params: Any, batch: Batch, key: Array) -> Array:
        states = batch["queries"]
        logits: Any = Boundaries(config).apply(
            {"params": params}, states.tokens, states.mask, train=True, rngs={"dropout": key}
        )
        losses = optax.sigmoid_binary_cross_entropy(logits, batch["begins"]) * states.mask
        return losses.sum() / states.mask.sum()

    return {"names": names, "fit": fit, "decision": decision, "talk": talk, "boundaries": boundaries}


def _fit(
    part: str,
    params: Any,
    loss: Callable[[Any, Batch, Array], Array],
    batches: Iterator[Batch],
    schedule: Schedule,
    steps: int,
    seed: int,
    log: Log,
) -> Any:
    rate = optax.warmup_cosine_decay_schedule(0.0, schedule.learning_rate, max(1, steps // 10), steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=schedule.weight_decay))

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params: Any, state: Any, batch: Batch, key: Array) -> tuple[Any, Any, Array]:
        value, gradients = jax.value_and_grad(loss)(params, batch, key)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    state, losses = optimizer.init(params), []
    for step, batch in enumerate(batches):
        params, state, value = update(params, state, batch, jax.random.key(seed * steps + step))
        losses.append(value)
        if (step + 1) % _LOG_EVERY == 0 or step + 1 == steps:
            recent = float(np.mean([float(value) for value in losses[-_LOG_EVERY:]]))
            log(f"{part}: step {step + 1}/{steps}  loss {recent:.4f}")
    return params
