"""The router's parts together: parameters, and pure functions of parameters, configuration and states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.errors import ConfigError
from jaxdiff.routing.boundaries import Boundaries
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import PairStates, TextStates, Vectors
from jaxdiff.routing.modes import Talk, ToolFit, decision_logit
from jaxdiff.routing.names import NameScorer

Params = dict[str, Any]
MECHANISMS = ("fit", "decision")


@dataclass(frozen=True)
class Cut:
    """From a logit to a probability (Platt, 1999), and the probability from which on the answer is yes."""

    scale: float = 1.0
    shift: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(f"{name}={value!r} must be a finite number")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold={self.threshold} must be in [0, 1]")

    def probability(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of logits."""
        # The logistic function, in a form that does not overflow.
        return (1 + np.tanh((self.scale * np.asarray(logits, np.float64) + self.shift) / 2)) / 2


@dataclass(frozen=True)
class Calibration:
    """How the router's logits decide, chosen on tools and talk that it was not trained on.

    mechanism: which of `MECHANISMS` says whether a tool serves the query. tool: the cut of each of them. think: whether
    to think before an answer in text. boundary: whether another request begins. reading_weight: of the "fit" logit
    beside the logit of the name, where several tools are close; 0 reads the nearest alone.
    """

    mechanism: str = "fit"
    tool: Mapping[str, Cut] = field(default_factory=lambda: {name: Cut() for name in MECHANISMS})
    think: Cut = Cut()
    boundary: Cut = Cut()
    reading_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.mechanism not in MECHANISMS or set(self.tool) != set(MECHANISMS):
            raise ConfigError(f"mechanism {self.mechanism!r} of {sorted(self.tool)}: needed {', '.join(MECHANISMS)}")
        if not isinstance(self.reading_weight, int | float) or not math.isfinite(self.reading_weight):
            raise ConfigError(f"reading_weight={self.reading_weight!r} must be a finite number")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Inverse of `to_dict`. Raises ConfigError for missing and unknown keys and impossible values."""
        try:
            if unknown := sorted(values.keys() - {known.name for known in dataclasses.fields(cls)}):
                raise ConfigError(f"not a router's calibration: unknown {unknown[0]!r}")
            return cls(
                mechanism=values["mechanism"],
                tool={name: Cut(**cut) for name, cut in values["tool"].items()},
                think=Cut(**values["think"]),
                boundary=Cut(**values["boundary"]),
                reading_weight=values["reading_weight"],
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"not a router's calibration: {type(error).__name__}: {error}") from error


@partial(jax.jit, static_argnums=1)
def init(key: Array, config: RouterConfig) -> Params:
    """Random parameters: a nested dict of float32 arrays."""
    names, fit, talk, boundaries = jax.random.split(key, 4)
    zeros = jnp.zeros
    text = TextStates(
        tokens=zeros((1, 1, config.token_states)),
        mask=jnp.ones((1, 1), bool),
        mean=zeros((1, config.token_states)),
        naming=zeros((1, config.end_states)),
        opening=zeros((1, config.end_states)),
    )
    pairs = PairStates(zeros((1, config.end_states)), zeros((1, config.hidden_state)), zeros((1, config.end_states)))
    return {
        "names": NameScorer(config).init(names, text, text, zeros((1, 1, config.lexical)))["params"],
        "fit": ToolFit(config).init(fit, pairs)["params"],
        "decision": {"rows": zeros((2, config.hidden_state))},
        "talk": Talk(config).init(talk, pairs.query)["params"],
        "boundaries": Boundaries(config).init(boundaries, text.tokens, text.mask)["params"],
    }


def query_vectors(params: Params, config: RouterConfig, states: TextStates) -> Vectors:
    """What is compared of queries."""
    found: Any = NameScorer(config).apply({"params": params["names"]}, states, method="query")
    return found


def tool_vectors(params: Params, config: RouterConfig, states: TextStates) -> Vectors:
    """What is compared of tools, and kept."""
    found: Any = NameScorer(config).apply({"params": params["names"]}, states, method="tool")
    return found


def name_scores(params: Params, config: RouterConfig, queries: Vectors, tools: Vectors, lexical: Array) -> Array:
    """[B, N] logits of N tools for B queries. lexical: [B, N, lexical]."""
    found: Any = NameScorer(config).apply({"params": params["names"]}, queries, tools, lexical, method="scores")
    return found


def tool_logits(params: Params, config: RouterConfig, pairs: PairStates) -> dict[str, Array]:
    """[B] logits that the nearest tool serves the query, by mechanism."""
    fit: Any = ToolFit(config).apply({"params": params["fit"]}, pairs)
    return {"fit": fit, "decision": decision_logit(params["decision"]["rows"], pairs.hidden)}


def think_logits(params: Params, config: RouterConfig, opening: Array) -> Array:
    """[B] logits that an answer in text wants thinking first. opening: [B, E]."""
    found: Any = Talk(config).apply({"params": params["talk"]}, opening)
    return found


def boundary_logits(params: Params, config: RouterConfig, states: TextStates) -> Array:
    """[B, T] logits that another request begins at a token."""
    found: Any = Boundaries(config).apply({"params": params["boundaries"]}, states.tokens, states.mask)
    return found
