"""Calibration of a router on suites, talk and joined queries that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.routing import head as routing
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.head import MECHANISMS, Calibration, Cut, Params

from .data import RoutingData, begin_tokens, openings, pair_states
from .run import padded_texts

_GRID = np.linspace(0.02, 0.98, 97)
_TOKENS = 128


def calibrate(config: RouterConfig, params: Params, data: RoutingData) -> tuple[Calibration, dict[str, Any]]:
    """Probabilities and thresholds, and the figures that they rest on, in percent.

    Scale and shift maximise the likelihood (Platt, 1999) with both answers equally likely; each threshold maximises the
    mean of the shares of right answers of either kind, that of boundaries the share of queries with the right number of
    requests.
    """
    # A query beside a wrong tool is not asked about: it is the nearest tool that is read.
    pairs = [
        i
        for i, pair in enumerate(data.pairs)
        if data.is_held(data.rows[pair.query], pair.query) and (pair.served or not data.rows[pair.query].calls)
    ]
    served = np.array([data.pairs[i].served for i in pairs])
    logits = jax.device_get(routing.tool_logits(params, config, pair_states(data, pairs)))
    by_mechanism = {name: _two_way(logits[name], served) for name in MECHANISMS}
    mechanism = max(MECHANISMS, key=lambda name: by_mechanism[name][1])

    talk = [i for i, row in enumerate(data.rows) if row.suite is None and data.is_held(row, i)]
    think = np.array([data.rows[i].mode == "think" for i in talk])
    talk_logits = np.asarray(routing.think_logits(params, config, jnp.asarray(openings(data.queries, talk))))
    think_cut, think_right = _two_way(talk_logits, think)

    boundary_threshold, boundary_right, held_queries = _boundaries(config, params, data)
    figures = {
        "pairs": len(pairs),
        "tool_right": {name: round(100 * found[1], 1) for name, found in by_mechanism.items()},
        "talk": len(talk),
        "think_right": round(100 * think_right, 1),
        "queries": held_queries,
        "number_of_requests_right": round(100 * boundary_right, 1),
    }
    found = Calibration(
        mechanism=mechanism,
        tool={name: cut for name, (cut, _) in by_mechanism.items()},
        think=think_cut,
        boundary=Cut(threshold=boundary_threshold),
    )
    return found, figures


def _two_way(logits: np.ndarray, truth: np.ndarray) -> tuple[Cut, float]:
    """The cut, and the mean share of right answers there; the plain cut where only one answer is ever right."""
    if truth.all() or not truth.any():
        return Cut(), float(np.mean((np.asarray(logits) >= 0) == truth)) if truth.size else 0.0
    scale, shift = platt(np.asarray(logits, np.float64), truth)
    probability = Cut(scale, shift).probability(logits)
    right = [((probability >= t)[truth].mean() + (probability < t)[~truth].mean()) / 2 for t in _GRID]
    # In the middle of the thresholds that are equally good.
    best = np.flatnonzero(np.isclose(right, max(right)))
    return Cut(scale, shift, round(float(_GRID[best[len(best) // 2]]), 2)), float(max(right))


def platt(logits: np.ndarray, truth: np.ndarray, rounds: int = 50) -> tuple[float, float]:
    """Scale and shift of the logits with the largest likelihood, both answers weighing the same, by Newton's method.

    Targets are smoothed as Platt (1999) does, so that separable logits keep finite probabilities.
    """
    positive, negative = int(truth.sum()), int((~truth).sum())
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weight = np.where(truth, 0.5 / max(positive, 1), 0.5 / max(negative, 1))
    # Steps are bounded, so logits are brought to one unit first.
    unit = max(float(np.std(logits)), 1e-6)
    inputs = np.stack([logits / unit, np.ones_like(logits)], 1)
    found = np.array([1.0, 0.0])
    for _ in range(rounds):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        gradient = inputs.T @ (weight * (probability - target))
        curvature = inputs.T @ (inputs * (weight * probability * (1 - probability))[:, None])
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        found = found - step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-9))
    return round(float(found[0] / unit), 4), round(float(found[1]), 4)


def _boundaries(config: RouterConfig, params: Params, data: RoutingData) -> tuple[float, float, int]:
    """Threshold, share of queries with the right number of requests, number of queries."""
    single = [i for i, row in enumerate(data.rows) if row.calls and data.is_held(row, i)]
    many = [i for i, row in enumerate(data.joins) if row.suite in data.held_suites]
    probabilities: list[np.ndarray] = []
    numbers: list[int] = []
    for store, chosen, rows in ((data.queries, single, data.rows), (data.join_states, many, data.joins)):
        for i in chosen:
            states = padded_texts(store, [i], _TOKENS)
            logits = np.asarray(routing.boundary_logits(params, config, states), np.float64)[0]
            length = len(store.part("offsets", i))
            # The first token always begins a request.
            probabilities.append(1 / (1 + np.exp(-logits[1:length])))
            numbers.append(len(begin_tokens(store.part("offsets", i), rows[i].starts)))
    right = [_share_right(probabilities, numbers, threshold) for threshold in _GRID]
    best = np.flatnonzero(np.isclose(right, max(right)))
    return round(float(_GRID[best[len(best) // 2]]), 2), float(max(right)), len(numbers)


def _share_right(probabilities: Sequence[np.ndarray], numbers: Sequence[int], threshold: float) -> float:
    found = [int((probability >= threshold).sum()) for probability in probabilities]
    return float(np.mean([a == b for a, b in zip(found, numbers, strict=True)]))
