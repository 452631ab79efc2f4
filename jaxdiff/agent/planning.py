"""What will answer: which mode, and for a call which requests of the query, of which tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxdiff.agent.apart import normalised
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.directive import Directive
from jaxdiff.agent.listing import list_ranking
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.reading import Reading, read_calls
from jaxdiff.agent.router import Request, Router
from jaxdiff.agent.selection import choose_tool
from jaxdiff.agent.timing import Timer
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.routing.features import PairStates
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class PlannedCall:
    """A call to be filled. start: where its part of the query begins. reading: what the base says, if already read."""

    asked: Asked
    start: int
    reading: Reading | None


@dataclass(frozen=True)
class Plan:
    """calls: in the order of the query; none in other modes. modes: probability of each, None where nothing chose."""

    mode: str
    calls: tuple[PlannedCall, ...]
    modes: dict[str, float] | None


class Planner:
    """Plans by a trained router, or without one: then every query that may be answered by a call is, by one."""

    def __init__(self, base: FrozenBase, router: Router | None):
        self.base, self.router = base, router
        self._prefixes = PrefixReader(base)

    def plan(
        self,
        query: str,
        tools: Sequence[Tool],
        allowed: Directive,
        timer: Timer,
        *,
        names: str = "apart",
        decide_by: str | None = None,
    ) -> Plan:
        """What answers a query. names, decide_by: see `Options`.

        Raises InputError for a query or a tool longer than the largest bucket.
        """
        candidates = [tool for tool in tools if allowed.name in (None, tool.name)]
        if self.router is None:
            if "tool" in allowed.modes:
                with timer("choose"):
                    tool = self._untrained(candidates, query, names)
                return Plan("tool", (self.call(tool, query, timer),), None)
            return Plan(allowed.modes[0], (), None)
        if "tool" not in allowed.modes:
            if allowed.mode is not None:
                return Plan(allowed.mode, (), None)
            with timer("choose"):
                think = self._think(self.router, query)
            return Plan(self._text_mode(self.router, think), (), {"chat": 1 - think, "think": think})
        return self._route(self.router, query, candidates, allowed, timer, names, decide_by)

    def _route(
        self,
        router: Router,
        query: str,
        tools: Sequence[Tool],
        allowed: Directive,
        timer: Timer,
        names: str,
        decide_by: str | None,
    ) -> Plan:
        with timer("choose"):
            requests = router.requests(tools, query)
            if names == "list" and len(tools) > 1:
                requests = tuple(
                    replace(one, tool=list_ranking(self.base, tools, query[one.start : one.end])[0][0], close=())
                    for one in requests
                )
        pairs = [(one, tool) for one in requests for tool in (one.tool, *(tool for tool, _ in one.close))]
        with timer("prefix"):
            asked = [self._asked(tool, query[one.start : one.end]) for one, tool in pairs]
        with timer("read"):
            readings = read_calls(self.base, asked)
            states = pair_states([one for one, _ in pairs], readings)
            chosen = router.choose(requests, states)
            probabilities = router.tool_probabilities(states, decide_by)[chosen]
        threshold = router.calibration.tool[decide_by or router.calibration.mechanism].threshold
        best = int(np.argmax(probabilities))
        served = [i for i, probability in enumerate(probabilities) if probability >= threshold]
        tool = float(probabilities[best])
        if allowed.modes == ("tool",):
            served = served or [best]
            modes = None
        else:
            alone = len(requests) == 1
            think = router.think_probability(requests[0].opening) if alone else self._think(router, query)
            modes = {"chat": (1 - tool) * (1 - think), "think": (1 - tool) * think, "tool": tool}
            if not served:
                return Plan(self._text_mode(router, think), (), modes)
        calls = tuple(PlannedCall(asked[chosen[i]], requests[i].start, readings[chosen[i]]) for i in served)
        return Plan("tool", calls, modes)

    def _untrained(self, tools: Sequence[Tool], query: str, names: str) -> Tool:
        if names == "list" and len(tools) > 1:
            return list_ranking(self.base, tools, query)[0][0]
        return choose_tool(self.base, tools, query)

    def _text_mode(self, router: Router, think: float) -> str:
        return "think" if think >= router.calibration.think.threshold else "chat"

    def _think(self, router: Router, query: str) -> float:
        return router.think_probability(np.asarray(router.read([query]).opening[0]))

    def call(self, tool: Tool, query: str, timer: Timer) -> PlannedCall:
        """The call of a tool that is given. Raises InputError for a tool longer than the largest bucket."""
        with timer("prefix"):
            return PlannedCall(self._asked(tool, query), 0, None)

    def _asked(self, tool: Tool, query: str) -> Asked:
        known = self._prefixes.tool(tool)
        jax.block_until_ready(known.prefix.cache)
        return Asked(tool, known, query)


def pair_states(requests: Sequence[Request], readings: Sequence[Reading]) -> PairStates:
    """What tells whether each request's tool serves it."""
    return PairStates(
        opening=np.asarray(normalised(np.stack([reading.opening for reading in readings]))),
        hidden=np.stack([reading.opening_hidden for reading in readings]),
        query=np.stack([request.opening for request in requests]),
    )
