"""Which tool: query and tools are read apart and compared.

Unit vectors of whole texts are compared by cosine; every query token also with the nearest token of the tool (late
interaction: Khattab and Zaharia, arXiv 2004.12832), weighted by what the token says; and lexical scores are added.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import TextStates, Vectors

# Cosines lie in [-1, 1]: so much are they worth before training.
_INITIAL_WEIGHTS = (6.0, 4.0, 2.0, 8.0)
_INITIAL_LEXICAL = 0.1


class NameScorer(nn.Module):
    """Vectors of queries and of tools, and their scores."""

    config: RouterConfig

    def setup(self) -> None:
        c = self.config

        def dense(width: int) -> nn.Dense:
            return nn.Dense(width, use_bias=False)

        self.query_mean, self.tool_mean = dense(c.width), dense(c.width)
        self.query_naming, self.tool_naming = dense(c.width), dense(c.width)
        self.query_opening, self.tool_opening = dense(c.width), dense(c.width)
        self.query_tokens, self.tool_tokens = dense(c.token_width), dense(c.token_width)
        self.token_weight = nn.Dense(1)
        self.weights = self.param("weights", lambda _: jnp.array(_INITIAL_WEIGHTS))
        self.lexical_weights = self.param("lexical_weights", lambda _: jnp.full(c.lexical, _INITIAL_LEXICAL))
        self.drop = nn.Dropout(c.dropout)

    def query(self, states: TextStates, train: bool = False) -> Vectors:
        """Vectors of queries."""
        weight = jax.nn.softplus(self.token_weight(states.tokens)[..., 0]) * states.mask.astype(jnp.float32)
        return Vectors(
            mean=_unit(self.query_mean(self.drop(states.mean, deterministic=not train))),
            naming=_unit(self.query_naming(self.drop(states.naming, deterministic=not train))),
            opening=_unit(self.query_opening(self.drop(states.opening, deterministic=not train))),
            tokens=_unit(self.query_tokens(states.tokens)),
            weight=weight / jnp.maximum(weight.sum(-1, keepdims=True), 1e-6),
        )

    def tool(self, states: TextStates, train: bool = False) -> Vectors:
        """Vectors of tools; `weight` is 1 for tokens that can be met."""
        return Vectors(
            mean=_unit(self.tool_mean(self.drop(states.mean, deterministic=not train))),
            naming=_unit(self.tool_naming(self.drop(states.naming, deterministic=not train))),
            opening=_unit(self.tool_opening(self.drop(states.naming, deterministic=not train))),
            tokens=_unit(self.tool_tokens(states.tokens)),
            weight=states.mask.astype(jnp.float32),
        )

    def scores(self, queries: Vectors, tools: Vectors, lexical: Array) -> Array:
        """[B, N] logits of N tools for B queries. lexical: [B, N, lexical]."""
        w = self.weights
        near = jnp.einsum("qad,tbd->qtab", queries.tokens, tools.tokens)
        nearest = jnp.where(tools.weight[None, :, None] > 0, near, -1.0).max(-1)
        return (
            w[0] * queries.mean @ tools.mean.T
            + w[1] * queries.naming @ tools.naming.T
            + w[2] * queries.opening @ tools.opening.T
            + w[3] * jnp.einsum("qta,qa->qt", nearest, queries.weight)
            + lexical @ self.lexical_weights
        )

    def __call__(self, queries: TextStates, tools: TextStates, lexical: Array, train: bool = False) -> Array:
        """[B, N] logits, from states."""
        return self.scores(self.query(queries, train), self.tool(tools, train), lexical)


def _unit(x: Array) -> Array:
    return x * jax.lax.rsqrt(jnp.sum(x * x, -1, keepdims=True) + 1e-6)
