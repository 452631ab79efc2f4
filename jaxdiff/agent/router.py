"""The trained router at work: which requests a query holds, the tool of each, and which mode answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.apart import TOOL_TOKENS, read_queries, read_tools
from jaxdiff.agent.lexical import LexicalIndex
from jaxdiff.agent.prefix import Prefix, read
from jaxdiff.agent.prompting import query_prompt
from jaxdiff.agent.routing_prompt import routing_ids, tool_text
from jaxdiff.base.buckets import PAIRS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.routing import head as routing
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import PairStates, TextStates, Vectors
from jaxdiff.routing.head import Calibration
from jaxdiff.schema.tools import Tool

# Of a longer list, only the tools whose words are nearest to the query's are read and compared.
MOST_READ = 64
# Tools this close to the nearest, in nats, are read beside it, so many in all.
CLOSE, MOST_CLOSE = 5.0, 3
# More requests than this in one query are not told apart.
MOST_REQUESTS = 8
_LISTED = (2, 4, 8, 16, 32, MOST_READ)
_KEPT_TOOLS = 4096
_BLANKS = " \t\n,;"


@dataclass(frozen=True, eq=False)
class Request:
    """A part of a query that one call serves.

    start, end: its code points in the query. tool: the nearest. opening: [E] states where its answer would begin.
    close: other tools that are nearly as near, with how much lower their logits are (below 0).
    """

    start: int
    end: int
    tool: Tool
    opening: np.ndarray
    close: tuple[tuple[Tool, float], ...] = ()


class Router:
    """A router and the base that it was trained for; tools that it has read are kept."""

    def __init__(self, base: FrozenBase, config: RouterConfig, params: dict[str, Any], calibration: Calibration):
        self.base, self.config, self.calibration = base, config, calibration
        self.params = jax.tree.map(jnp.asarray, params)
        self._examples: Prefix | None = None
        self._kept: OrderedDict[str, Vectors] = OrderedDict()
        self._words: tuple[tuple[Tool, ...], LexicalIndex] | None = None

    def requests(self, tools: Sequence[Tool], query: str, most: int = MOST_REQUESTS) -> tuple[Request, ...]:
        """The requests of a query, at most so many, and the nearest tool of each.

        Raises InputError for a query longer than the largest bucket.
        """
        whole = self.read([query])
        parts = self.parts(query, whole, most)
        states = whole if len(parts) == 1 else self.read([query[start:end] for start, end in parts])
        found = []
        for row, (start, end) in enumerate(parts):
            ranking = self.ranking(tools, query[start:end], _row(states, row))
            found.append(Request(start, end, ranking[0][0], np.asarray(states.opening[row]), self.close(ranking)))
        return tuple(found)

    def close(self, ranking: Sequence[tuple[Tool, float]]) -> tuple[tuple[Tool, float], ...]:
        """Of a ranking, what stands close behind its first tool: with it, these are read before one is chosen."""
        if not self.calibration.reading_weight:
            return ()
        (_, best), *rest = ranking[:MOST_CLOSE]
        return tuple((tool, score - best) for tool, score in rest if score >= best - CLOSE)

    def choose(self, requests: Sequence[Request], states: PairStates) -> list[int]:
        """Which pair of each request is its choice: the comparison's word, and that of what has been read, together.

        states: of all pairs of a request and a tool, each request's `tool` and then its `close` ones.
        """
        fit = self._tool_logits(states)["fit"].astype(np.float64)
        chosen, first = [], 0
        for request in requests:
            compared = np.array([0.0, *(difference for _, difference in request.close)])
            read = fit[first : first + len(compared)]
            chosen.append(first + int(np.argmax(compared + self.calibration.reading_weight * read)))
            first += len(compared)
        return chosen

    def tool_probabilities(self, states: PairStates, mechanism: str | None = None) -> np.ndarray:
        """[B] calibrated probabilities that each request's tool serves it. mechanism: the calibration's by default."""
        chosen = mechanism or self.calibration.mechanism
        return self.calibration.tool[chosen].probability(self._tool_logits(states)[chosen])

    def _tool_logits(self, states: PairStates) -> dict[str, np.ndarray]:
        """[B] logits of each mechanism; a query's pairs are padded, so that few numbers of them are compiled for."""
        count = len(states.opening)
        more = next((size for size in PAIRS if count <= size), count) - count
        padded = jax.tree.map(lambda x: np.concatenate([x, np.repeat(x[:1], more, axis=0)]), states)
        found = _tool_logits(self.config, self.params, padded)
        return {name: np.asarray(logits)[:count] for name, logits in found.items()}

    def think_probability(self, opening: np.ndarray) -> float:
        """Calibrated probability that an answer in text wants thinking first. opening: [E], see `Request`."""
        logits = np.asarray(_think_logits(self.config, self.params, opening[None]))
        return float(self.calibration.think.probability(logits)[0])

    def read(self, queries: Sequence[str]) -> TextStates:
        """States of queries. Raises InputError for a query longer than the largest bucket."""
        if self._examples is None:
            self._examples = read(self.base, routing_ids(self.base), None)
        return read_queries(self.base, self._examples, [query_prompt(self.base, query) for query in queries])

    def parts(self, query: str, states: TextStates, most: int = MOST_REQUESTS) -> list[tuple[int, int]]:
        """Where each request of a query starts and ends, in code points. states: of the query alone."""
        offsets = query_prompt(self.base, query).offsets
        logits = np.asarray(_boundary_logits(self.config, self.params, _row(states, 0)))[0, : len(offsets)]
        cut = self.calibration.boundary
        probability = cut.probability(logits)
        # The first token begins a request anyway.
        likely = 1 + np.argsort(-probability[1:])[: most - 1]
        found = [i for i in likely if probability[i] >= cut.threshold]
        starts = sorted({0, *(offsets[i][0] for i in found)})
        if len(starts) == 1:
            return [(0, len(query))]
        parts = [_trimmed(query, start, end) for start, end in zip(starts, [*starts[1:], len(query)], strict=True)]
        return [part for part in parts if part[0] < part[1]] or [(0, len(query))]

    def ranking(self, tools: Sequence[Tool], query: str, states: TextStates) -> list[tuple[Tool, float]]:
        """Tools with their logits, the nearest first; of a long list, those compared. states: of the query."""
        lexical = self._lexical(tools).scores(query)
        listed = np.argsort(-lexical.sum(-1), kind="stable")[:MOST_READ]
        slots = bucket(len(listed), _LISTED, "tools")
        vectors = self._vectors([tools[i] for i in listed], slots)
        words = np.zeros((1, slots, lexical.shape[1]), np.float32)
        words[0, : len(listed)] = lexical[listed]
        scores = np.asarray(_scores(self.config, self.params, states, vectors, words))[0, : len(listed)]
        order = np.argsort(-scores, kind="stable")
        return [(tools[listed[i]], float(scores[i])) for i in order]

    def _lexical(self, tools: Sequence[Tool]) -> LexicalIndex:
        if self._words is None or self._words[0] != tuple(tools):
            self._words = tuple(tools), LexicalIndex(tools)
        return self._words[1]

    def _vectors(self, tools: Sequence[Tool], slots: int) -> Vectors:
        """Vectors of tools, read where they are not known yet, stacked and padded to `slots` rows."""
        kept = self._kept
        texts = [tool_text(tool) for tool in tools]
        missing = {text: tool for text, tool in zip(texts, tools, strict=True) if text not in kept}
        for text, states in zip(missing, read_tools(self.base, list(missing.values())), strict=True):
            kept[text] = jax.tree.map(np.asarray, _tool_vectors(self.config, self.params, _padded(states)))
        for text in texts:
            kept.move_to_end(text)
        rows = [kept[text] for text in texts]
        rows += [jax.tree.map(np.zeros_like, rows[0])] * (slots - len(rows))
        while len(kept) > _KEPT_TOOLS:
            kept.popitem(last=False)
        return jax.tree.map(lambda *each: np.concatenate(each), *rows)


def _padded(states: TextStates) -> TextStates:
    room = TOOL_TOKENS - states.mask.shape[1]
    return states.replace(  # type: ignore[attr-defined]
        tokens=np.pad(states.tokens, [(0, 0), (0, room), (0, 0)]), mask=np.pad(states.mask, [(0, 0), (0, room)])
    )


def _row(states: TextStates, row: int) -> TextStates:
    return jax.tree.map(lambda x: x[row : row + 1], states)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same range without blanks, and without the marks that part it from what stands beside it."""
    # A point before a word belongs to it: ".5", ".env".
    while start < end and (text[start] in _BLANKS or (text[start] in ".:" and text[start + 1 : end][:1] in _BLANKS)):
        start += 1
    while start < end and text[end - 1] in _BLANKS:
        end -= 1
    return start, end


@partial(jax.jit, static_argnums=0)
def _tool_vectors(config: RouterConfig, params: dict[str, Any], states: TextStates) -> Vectors:
    return routing.tool_vectors(params, config, states)


@partial(jax.jit, static_argnums=0)
def _scores(config: RouterConfig, params: dict[str, Any], states: TextStates, tools: Vectors, lexical: Array) -> Array:
    return routing.name_scores(params, config, routing.query_vectors(params, config, states), tools, lexical)


@partial(jax.jit, static_argnums=0)
def _tool_logits(config: RouterConfig, params: dict[str, Any], pairs: PairStates) -> dict[str, Array]:
    return routing.tool_logits(params, config, pairs)


@partial(jax.jit, static_argnums=0)
def _think_logits(config: RouterConfig, params: dict[str, Any], opening: Array) -> Array:
    return routing.think_logits(params, config, opening)


@partial(jax.jit, static_argnums=0)
def _boundary_logits(config: RouterConfig, params: dict[str, Any], states: TextStates) -> Array:
    return routing.boundary_logits(params, config, states)
