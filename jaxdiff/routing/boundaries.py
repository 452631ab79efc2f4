"""How many calls: where in a query another request begins."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jaxdiff.routing.config import RouterConfig

# Tokens on either side that a convolution sees.
_REACH = 3


class Boundaries(nn.Module):
    """[B, T] logits that a request other than the one before begins at a token of a query.

    The base reads from left to right; two convolutions let each token see what follows.
    """

    config: RouterConfig

    @nn.compact
    def __call__(self, tokens: Array, mask: Array, train: bool = False) -> Array:
        c = self.config
        kept = mask[..., None].astype(jnp.float32)
        x = nn.Dropout(c.dropout, deterministic=not train)(tokens) * kept
        x = nn.gelu(nn.Dense(c.hidden)(x)) * kept
        for _ in range(2):
            x = x + nn.gelu(nn.Conv(c.hidden, (2 * _REACH + 1,))(x)) * kept
        return nn.Dense(1)(x)[..., 0]
