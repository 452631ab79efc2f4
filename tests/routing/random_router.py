"""Random parameters, states and vectors of a tiny router."""

import jax
import numpy as np

from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.features import PairStates, TextStates
from jaxdiff.routing.head import init

CONFIG = RouterConfig.tiny()


def random_params(config: RouterConfig = CONFIG, seed: int = 0):
    """Parameters of the usual size, none of them zero."""
    rng = np.random.default_rng(seed)

    def random(shape):
        scale = shape.shape[-2] ** -0.5 if len(shape.shape) > 1 else 0.7
        return rng.normal(0, scale, shape.shape).astype(np.float32)

    return jax.tree.map(random, jax.eval_shape(lambda: init(jax.random.key(0), config)))


def random_texts(rows: int, tokens: int, seed: int = 1, config: RouterConfig = CONFIG) -> TextStates:
    """Texts of various length, the first as long as all; what lies outside their masks is zero."""
    rng = np.random.default_rng(seed)
    lengths = np.concatenate([[tokens], rng.integers(1, tokens + 1, rows - 1)])
    mask = np.arange(tokens)[None] < lengths[:, None]

    def normal(*shape):
        return rng.normal(0, 1, shape).astype(np.float32)

    return TextStates(
        tokens=normal(rows, tokens, config.token_states) * mask[..., None],
        mask=mask,
        mean=normal(rows, config.token_states),
        naming=normal(rows, config.end_states),
        opening=normal(rows, config.end_states),
    )


def random_pairs(rows: int, seed: int = 2, config: RouterConfig = CONFIG) -> PairStates:
    rng = np.random.default_rng(seed)
    widths = (config.end_states, config.hidden_state, config.end_states)
    return PairStates(*(rng.normal(0, 1, (rows, width)).astype(np.float32) for width in widths))
