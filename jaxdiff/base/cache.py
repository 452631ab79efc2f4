"""Keys and values that a prompt leaves behind."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jaxdiff.config import BaseConfig


@struct.dataclass
class KVCache:
    """Rotated keys and values of all layers.

    keys, values: [L, B, S, KV, head_dim]. Which of the S slots hold a real token is the mask's business, not the
    cache's: rows of different length share one write index, and padding slots are simply never attended.
    """

    keys: Array
    values: Array

    @property
    def slots(self) -> int:
        """Number of slots S."""
        return self.keys.shape[2]

    @classmethod
    def empty(cls, config: BaseConfig, batch: int, slots: int, dtype: jnp.dtype) -> KVCache:
        """A cache of zeros for `batch` rows of `slots` tokens."""
        shape = (config.num_layers, batch, slots, config.num_kv_heads, config.head_dim)
        return cls(keys=jnp.zeros(shape, dtype), values=jnp.zeros(shape, dtype))

    def pad_to(self, slots: int) -> KVCache:
        """The same cache with zeros behind, `slots` in all."""
        widths = [(0, 0), (0, 0), (0, slots - self.slots), (0, 0), (0, 0)]
        return jax.tree.map(lambda x: jnp.pad(x, widths), self)

    def repeat(self, batch: int) -> KVCache:
        """A cache of one row, repeated for `batch` rows."""
        return jax.tree.map(lambda x: jnp.repeat(x, batch, axis=1), self)

    def followed_by(self, other: KVCache) -> KVCache:
        """This cache's slots, then the other's; both have the same number of rows."""
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=2), self, other)
