"""A random router for the tiny base, and one that is told how to divide queries and what to think of them."""

import dataclasses
from collections.abc import Sequence
from functools import cache

import numpy as np

from jaxdiff.agent.apart import router_config
from jaxdiff.agent.router import Router
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.routing.head import MECHANISMS, Calibration, Cut
from tests.routing.random_router import random_params


def calibration(mechanism: str = "fit", tool: float = 0.5, think: float = 0.5, boundary: float = 0.5) -> Calibration:
    """Thresholds, of probabilities that are not sure of anything."""
    cuts = {name: Cut(0.5, 0.0, tool) for name in MECHANISMS}
    return Calibration(mechanism, cuts, Cut(0.5, 0.0, think), Cut(0.5, 0.0, boundary))


def random_router(base: FrozenBase, seed: int = 0, calibrated: Calibration | None = None) -> Router:
    config = router_config(base.config, width=8, token_width=6, hidden=8)
    return Router(base, config, random_params(config, seed), calibrated or calibration())


common_router = cache(random_router)


class ToldRouter(Router):
    """Divides queries before each of some words; probabilities are told, by the mechanism; scores of tools are random.

    All for one base share what they have read.
    """

    def __init__(self, base: FrozenBase, marks: Sequence[str] = (), **told: float | Sequence[float]):
        self._common = router = common_router(base)
        super().__init__(base, router.config, router.params, calibration(boundary=1.0))
        self.marks, self.told = marks, told

    def read(self, queries):
        return self._common.read(queries)

    def ranking(self, tools, query, states):
        return self._common.ranking(tools, query, states)

    def parts(self, query, states, most=8):
        starts = sorted({0, *(query.index(mark) for mark in self.marks if mark in query)})
        return list(zip(starts, [*starts[1:], len(query)], strict=True))

    def tool_probabilities(self, states, mechanism=None):
        told = self.told[mechanism or self.calibration.mechanism]
        return np.broadcast_to(np.asarray(told, np.float64), len(states.query)).copy()

    def think_probability(self, opening):
        return float(self.told.get("think", 0.25))

    def calibrated(self, **changes) -> "ToldRouter":
        self.calibration = dataclasses.replace(self.calibration, **changes)
        return self
