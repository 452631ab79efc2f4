"""Where several tools are close: how much what has been read of each weighs beside the comparison of names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.agent.router import Request, Router
from jaxdiff.routing.features import PairStates
from jaxdiff.schema.tools import Tool

from ..reading.features import progress_line
from .data import RoutingData, openings
from .reading import pair_store
from .run import padded_texts

WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
# Tools that a held-out query is compared with: of its suite, and of all held-out suites.
FEW = 4
_TOKENS = 128


@dataclass(frozen=True)
class _Case:
    query: int
    gold: str
    request: Request


def choose_reading_weight(router: Router, data: RoutingData, root: Path) -> tuple[float, dict[str, Any]]:
    """The weight with the most right names on held-out suites, and percent right by weight."""
    reading = replace(router.calibration, reading_weight=1.0)
    ranker = Router(router.base, router.config, router.params, reading)
    cases = _cases(ranker, data)
    if not cases:
        return 0.0, {}
    pairs = [(tool, case) for case in cases for tool in _tools(case.request)]
    asked = list({(tool, data.queries.rows[case.query]): None for tool, case in pairs})
    store = pair_store(router.base, asked, root, "router-close", progress_line("close tools"))
    places = {pair: place for place, pair in enumerate(store.rows)}
    # Queries with a pair that was too long to be read are left out.
    cases = [case for case in cases if all((t, data.queries.rows[case.query]) in places for t in _tools(case.request))]
    pairs = [(tool, case) for case in cases for tool in _tools(case.request)]
    rows = [places[tool, data.queries.rows[case.query]] for tool, case in pairs]
    states = PairStates(
        opening=np.stack([store.part("opening", row)[0] for row in rows]).astype(np.float32),
        hidden=np.stack([store.part("hidden", row)[0] for row in rows]).astype(np.float32),
        query=openings(data.queries, [case.query for _, case in pairs]),
    )
    right = {}
    for weight in WEIGHTS:
        chooser = Router(router.base, router.config, router.params, replace(reading, reading_weight=weight))
        chosen = chooser.choose([case.request for case in cases], states)
        right[weight] = float(np.mean([pairs[i][0].name == case.gold for i, case in zip(chosen, cases, strict=True)]))
    best = max(WEIGHTS, key=lambda weight: right[weight])
    return best, {f"{weight:g}": round(100 * value, 1) for weight, value in right.items()}


def _cases(router: Router, data: RoutingData) -> list[_Case]:
    rng = random.Random(0)
    held = [name for name in data.shelf.tools if data.shelf.suites[name] in data.held_suites]
    cases = []
    for i, row in enumerate(data.rows):
        if not (row.calls and data.is_held(row, i)):
            continue
        gold, states = row.calls[0][0], padded_texts(data.queries, [i], _TOKENS)
        near = [name for name in data.shelf.of_suite(row.suite) if name != gold]
        for names in ([gold, *rng.sample(near, min(FEW - 1, len(near)))], held):
            ranking = router.ranking([data.shelf.tools[name] for name in sorted(names)], row.query, states)
            request = Request(0, len(row.query), ranking[0][0], openings(data.queries, [i])[0], router.close(ranking))
            cases.append(_Case(i, gold, request))
    return cases


def _tools(request: Request) -> Sequence[Tool]:
    return (request.tool, *(tool for tool, _ in request.close))
