"""Steps of the reader on the tiny base: what is trained changes, what is measured does not, nothing compiles twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.reading import reader_config
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.schedules import schedule_by_name
from jaxdiff_train.engine.optimizer import OptimizerConfig, make_optimizer
from jaxdiff_train.engine.state import TrainState
from jaxdiff_train.engine.step import make_step
from jaxdiff_train.heads.reader import reader_loss
from jaxdiff_train.reading.batches import Batches
from jaxdiff_train.reading.statistics import moments, set_statistics
from jaxdiff_train.reading.stored import attach_embedding, frozen_part

STEPS = 4


def leaves(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.array(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.fixture(scope="module")
def run(tiny, store):
    """Initial parameters, states after each step, metrics, and how often the loss was traced."""
    config = reader_config(tiny.config, hidden=16)
    sizes = [Batches(tiny, [store], [1.0], count, seed=0) for count in (2, 3)]
    params = reader.init(jax.random.key(0), config)
    params = set_statistics(params, config, [moments(sizes[0].batch(step).features.query) for step in range(3)])
    traces = []

    def loss(params, key, batch):
        traces.append(batch.labels.presence.shape)
        return reader_loss(config, schedule_by_name("log_linear"), jnp.float32, params, key, batch)

    optimizer = make_optimizer(OptimizerConfig(steps=100, warmup=0), {"base": {}, "head": params})
    first = leaves(params)
    state = TrainState.create(params, optimizer, 0, ema=True)
    empty = leaves(state.opt_state)
    step = make_step(loss, optimizer, read=attach_embedding, ema_decay=0.998)
    metrics = []
    for number in range(STEPS):
        state, measured = step(state, frozen_part(tiny), sizes[number % 2].batch(number))
        metrics.append(jax.device_get(measured))
    return first, state, empty, metrics, traces


def test_measured_statistics_stay_bit_equal_and_everything_else_is_trained(run):
    first, state, *_ = run
    after, average = leaves(state.head), leaves(state.ema)
    measured = {name for name in first if "statistics_" in name}
    assert len(measured) == 18
    for name in measured:
        assert np.array_equal(after[name], first[name]), name
        assert np.array_equal(average[name], first[name]), name
    # A bias that adds the same to all scores has no gradient.
    trained = {name for name in set(first) - measured if "bias" not in name}
    assert not [name for name in trained if np.array_equal(after[name], first[name])]


def test_measured_statistics_own_no_optimizer_state(run):
    _, _, optimizer_state, *_ = run
    assert not [name for name in optimizer_state if "statistics_" in name]
    assert [name for name in optimizer_state if "kernel" in name]


def test_each_batch_size_is_traced_once(run):
    *_, traces = run
    assert sorted(shape[0] for shape in traces) == [2, 3]


def test_metrics_are_the_parts_and_their_sum(run):
    *_, metrics, _ = run
    for measured in metrics:
        beside = ("loss", "gradient_norm", "accuracy")
        parts = {name: value for name, value in measured.items() if name not in beside}
        assert 0 <= measured["accuracy"] <= 1
        assert {"start", "end", "presence", "candidate", "copied", "canvas", "owner"} <= set(parts)
        np.testing.assert_allclose(measured["loss"], sum(parts.values()), rtol=1e-5)
        assert np.isfinite(measured["gradient_norm"]) and measured["gradient_norm"] > 0
