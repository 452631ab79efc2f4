"""Batches prepared by a thread and by worker processes are the same, in the same order, wherever a run begins."""

import os
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxdiff.errors import ConfigError
from jaxdiff_train.engine.feed import feed, host_rows
from jaxdiff_train.reading.batches import Batches
from jaxdiff_train.settings import TrainSettings


def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(jax.tree.map(np.array_equal, a, b))


def whose(step):
    """The step, the process, and which platforms JAX may use there."""
    return np.array([step, os.getpid(), jax.config.jax_platforms == "cpu", jax.default_backend() == "cpu"])


def failing(step):
    if step == 2:
        raise ValueError("no batch for step 2")
    return np.array(step)


@pytest.fixture(scope="module")
def batches(tiny, store):
    return Batches(tiny, [store], [1.0], 3, seed=5)


def test_workers_make_the_batches_that_a_thread_makes(batches):
    batch_of = partial(batches.batch, rows=slice(1, 3))
    first, last = 3, 9
    by_thread = list(feed(batch_of, first, last))
    by_workers = list(feed(batch_of, first, last, workers=2))
    assert len(by_workers) == len(by_thread) == last - first
    assert all(map(same, by_workers, by_thread))
    assert all(same(batch, batch_of(step)) for step, batch in enumerate(by_thread, first))
    assert not same(by_workers[0], by_workers[1])
    dtypes = [[leaf.dtype for leaf in jax.tree.leaves(batch)] for batch in (by_workers[0], by_thread[0])]
    assert dtypes[0] == dtypes[1]


def test_workers_are_other_processes_without_accelerators(monkeypatch):
    # What a worker inherits would allow any platform.
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    told = np.array(list(feed(whose, 5, 9, workers=2)))
    assert told[:, 0].tolist() == [5, 6, 7, 8]
    assert len(set(told[:, 1].tolist())) == 2 and os.getpid() not in told[:, 1]
    assert told[:, 2:].all()


def test_a_batch_that_fails_fails_the_run_and_leaves_no_worker():
    with pytest.raises(ValueError, match="no batch for step 2"):
        list(feed(failing, 0, 4, workers=1))


def test_rows_that_the_devices_do_not_divide_are_named():
    two = SimpleNamespace(num_devices=2, mesh=SimpleNamespace(shape={"tensor": 1}))
    with pytest.raises(ConfigError, match=r"^a batch of 3 rows cannot be divided over 2 devices"):
        host_rows(3, two)
    with pytest.raises(ConfigError, match=r"^one of 4 parts of 3 rows cannot"):
        host_rows(3, two, "one of 4 parts")


def test_settings_of_workers(tmp_path):
    assert TrainSettings(tmp_path, workers=2).workers == 2
    with pytest.raises(ConfigError, match="workers=-1 must be an integer >= 0"):
        TrainSettings(tmp_path, workers=-1)
    with pytest.raises(ConfigError, match="workers=1 prepare stored rows"):
        TrainSettings(tmp_path, workers=1, reading="online")
