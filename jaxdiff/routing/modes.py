"""Which mode: whether the nearest tool serves the query, and if not, whether to think before answering."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import PairStates

# Rows of the decision tokens.
ANSWER, USE_TOOL = 0, 1


class ToolFit(nn.Module):
    """[B] logit that the nearest tool serves the query."""

    config: RouterConfig

    @nn.compact
    def __call__(self, pairs: PairStates, train: bool = False) -> Array:
        c = self.config
        drop = nn.Dropout(c.dropout, deterministic=not train)
        joined = jnp.concatenate([drop(pairs.opening), drop(pairs.query)], -1)
        hidden = nn.gelu(nn.Dense(c.hidden)(joined))
        return nn.Dense(1)(nn.Dropout(0.2, deterministic=not train)(hidden))[..., 0]


class Talk(nn.Module):
    """[B] logit that an answer in text wants thinking first. query: [B, E] states at the opening of the answer."""

    config: RouterConfig

    @nn.compact
    def __call__(self, query: Array, train: bool = False) -> Array:
        drop = nn.Dropout(self.config.dropout, deterministic=not train)
        hidden = nn.gelu(nn.Dense(self.config.hidden)(drop(query)))
        return nn.Dense(1)(hidden)[..., 0]


def decision_logit(rows: Array, hidden: Array) -> Array:
    """[B] logit of <|use_tool|> against <|answer|> at the first answer position (after arXiv 2412.01130).

    rows: [2, D], two output rows beside the base's own; hidden: [B, D], states after the base's final norm. Beside each
    other the two need no normalisation over the vocabulary; while training they stand in it (`decision_log_prob`).
    """
    scores = hidden @ rows.T
    return scores[..., USE_TOOL] - scores[..., ANSWER]


def decision_log_prob(rows: Array, hidden: Array, vocabulary: Array) -> Array:
    """[B, 2] log-probabilities of both decision tokens among all tokens.

    vocabulary: [B] log-sum-exp of the base's own logits at that position.
    """
    scores = hidden @ rows.T
    return scores - jnp.logaddexp(jax.nn.logsumexp(scores, -1), vocabulary)[..., None]
