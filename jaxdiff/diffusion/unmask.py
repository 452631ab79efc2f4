"""One denoising step, in pure functions: propose tokens, select positions to reveal, select positions to mask again.

Shapes: B rows, N canvas positions, V canvas vocabulary. No function mixes rows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def allowed_logits(logits: Array, *, mask_id: int, bias: Array | None = None) -> Array:
    """[B, N, V] float32 logits without <MASK>, which is never proposed.

    bias: [B, N, V] added to the logits (-inf forbids a token; one token must stay allowed), or None.
    """
    logits = logits.astype(jnp.float32)
    if bias is not None:
        logits = logits + bias
    return logits.at[..., mask_id].set(-jnp.inf)


def sampling_scores(logits: Array, *, temperature: float = 0.0, keys: Array | None = None) -> Array:
    """[B, N, V] scores of which the highest is the token to propose.

    At temperature 0 the logits themselves; above, logits / temperature with Gumbel noise, whose highest is a sample of
    softmax(logits / temperature).

    logits: [B, N, V] float32, as of `allowed_logits`. keys: [B] random keys, one a row, needed if temperature > 0;
    noise depends on row key and position alone.
    """
    if temperature == 0:
        return logits
    if keys is None:
        raise ValueError(f"{temperature=} needs one random key a row")
    positions = jnp.arange(logits.shape[1])

    def noise(key: Array, position: Array) -> Array:
        return jax.random.gumbel(jax.random.fold_in(key, position), logits.shape[-1:])

    return logits / temperature + jax.vmap(jax.vmap(noise, (None, 0)), (0, None))(keys, positions)


def probability_of(logits: Array, tokens: Array) -> Array:
    """[B, N] float32 probability of the tokens [B, N] under the logits [B, N, V]."""
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return jnp.exp(chosen - jax.nn.logsumexp(logits, axis=-1))


def _rank(scores: Array) -> Array:
    """[B, N] int32: place of each position in the row's ascending order; the lower index first among equals."""
    order = jnp.argsort(scores, axis=-1, stable=True)
    return jnp.argsort(order, axis=-1, stable=True)


def select_most_confident(confidence: Array, masked: Array, count: Array) -> Array:
    """The `count` masked positions of highest confidence a row, or all if there are fewer: [B, N] bool.

    confidence: [B, N]. masked: [B, N] bool. count: [B] int32.
    """
    rank = _rank(jnp.where(masked, -confidence, jnp.inf))
    return masked & (rank < count[:, None])


def select_above(confidence: Array, masked: Array, threshold: float) -> Array:
    """The masked positions of at least this confidence, and the most confident one in any case: [B, N] bool."""
    one = jnp.ones(confidence.shape[0], jnp.int32)
    return (masked & (confidence >= threshold)) | select_most_confident(confidence, masked, one)


def select_least_confident(confidence: Array, candidates: Array, count: Array) -> Array:
    """The `count` candidates of lowest confidence a row, or all if there are fewer: [B, N] bool."""
    return select_most_confident(-confidence, candidates, count)
