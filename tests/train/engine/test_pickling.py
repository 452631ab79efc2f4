"""Batches can be handed to another process: small, and equal there."""

import pickle

import jax
import numpy as np

from jaxdiff_train.reading.batches import Batches


def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(jax.tree.map(np.array_equal, a, b))


def test_copies_of_batches_are_small_and_equal(tiny, store):
    batches = Batches(tiny, [store], [1.0], 3, seed=5)
    copied = pickle.dumps(batches)
    assert len(copied) < 0.5 * sum(path.stat().st_size for path in store.folder.iterdir())
    again = pickle.loads(copied)
    assert all(same(again.batch(step), batches.batch(step)) for step in range(4))
