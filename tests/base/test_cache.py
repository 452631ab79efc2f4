"""The cache's own operations; its use is tested with the module."""

import jax.numpy as jnp
import numpy as np

from jaxdiff.base.cache import KVCache
from jaxdiff.config import BaseConfig


def numbered(rows: int, slots: int, first: int = 0) -> KVCache:
    keys = np.arange(first, first + 2 * rows * slots * 3 * 4, dtype=np.float32).reshape(2, rows, slots, 3, 4)
    return KVCache(keys=jnp.asarray(keys), values=jnp.asarray(-keys))


def test_empty_has_the_shape_of_the_configuration():
    cache = KVCache.empty(BaseConfig.tiny(num_layers=3, rope_layers=(True,) * 3), batch=5, slots=7, dtype=jnp.bfloat16)
    assert cache.keys.shape == cache.values.shape == (3, 5, 7, 2, 8)
    assert cache.keys.dtype == cache.values.dtype == jnp.bfloat16
    assert cache.slots == 7
    assert not cache.keys.any() and not cache.values.any()


def test_pad_to_adds_zeros_behind():
    cache = numbered(2, 3, first=1)
    padded = cache.pad_to(5)
    for before, after in ((cache.keys, padded.keys), (cache.values, padded.values)):
        assert after.shape == (2, 2, 5, 3, 4)
        np.testing.assert_array_equal(after[:, :, :3], before)
        assert not after[:, :, 3:].any()


def test_repeat_copies_the_row():
    cache = numbered(1, 3)
    repeated = cache.repeat(4)
    for row in range(4):
        np.testing.assert_array_equal(repeated.keys[:, row], cache.keys[:, 0])
        np.testing.assert_array_equal(repeated.values[:, row], cache.values[:, 0])


def test_followed_by_keeps_the_order_of_slots():
    first, second = numbered(2, 3), numbered(2, 1, first=1000)
    joined = first.followed_by(second)
    assert joined.slots == 4
    np.testing.assert_array_equal(joined.keys[:, :, 2], first.keys[:, :, 2])
    np.testing.assert_array_equal(joined.values[:, :, 3], second.values[:, :, 0])
