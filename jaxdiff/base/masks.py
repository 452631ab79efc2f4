"""All attention masks in one place, and the positions that go with them.

True means: the row (query) may attend to the column (key). Columns are the slots of a prefix (if there is one), then
the slots of the block itself.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def positions(valid: Array) -> Array:
    """Positions [B, T] int32 of tokens valid [B, T] bool: valid tokens are counted, padding anywhere is passed over."""
    return jnp.maximum(jnp.cumsum(valid, axis=1, dtype=jnp.int32) - 1, 0)


def causal(valid: Array) -> Array:
    """Plain causal mask [B, T, T] over tokens valid [B, T] bool; padding is attended by nobody but itself.

    Three tokens and one of padding:

        x . . .
        x x . .
        x x x .
        . . . x
    """
    length = valid.shape[1]
    lower = jnp.tril(jnp.ones((length, length), bool))[None]
    return lower & valid[:, None, :] & valid[:, :, None] | _diagonal(length)


def streams(stream: Array, valid: Array) -> Array:
    """Independent streams after a shared text [B, T, T].

    stream: [B, T] int32, -1 for the text, else the stream's number. Two tokens of text, stream 0 of two tokens,
    stream 1 of one:

        x . . . .
        x x . . .
        x x x . .
        x x x x .
        x x . . x
    """
    same = (stream[:, None, :] == -1) | (stream[:, None, :] == stream[:, :, None])
    return causal(valid) & same | _diagonal(stream.shape[1])


def after_prefix(block: Array, valid: Array, prefix_valid: Array) -> Array:
    """Puts the columns of a prefix before a block's own mask: [B, T, P + T].

    block: [B, T, T]; valid: [B, T] bool, the block's tokens; prefix_valid: [B or 1, P] bool, all seen by every valid
    row.
    """
    rows, length, _ = block.shape
    prefix = jnp.broadcast_to(prefix_valid[:, None, :], (rows, length, prefix_valid.shape[1]))
    return jnp.concatenate([prefix & valid[:, :, None], block], -1)


def decoding(cache_valid: Array, index: Array) -> Array:
    """One new token at slot `index` of a cache [B, 1, S]: all valid slots [B, S] bool, and the token's own."""
    own = jnp.arange(cache_valid.shape[1]) == index
    return (cache_valid | own[None])[:, None]


def _diagonal(length: int) -> Array:
    # A row of padding must attend to something, else its softmax is not a number and spreads.
    return jnp.eye(length, dtype=bool)[None]
