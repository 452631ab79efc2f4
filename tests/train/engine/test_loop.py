"""The loop on a loss that can be followed by hand: resumed runs, the moving average, and what is printed."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import HeadMismatch
from jaxdiff_train.engine.loop import Run, on_host, run
from jaxdiff_train.engine.optimizer import make_optimizer
from jaxdiff_train.engine.state import TrainState
from jaxdiff_train.engine.step import make_step
from jaxdiff_train.settings import TrainSettings

STEPS = 8


def settings_in(folder, **changes) -> TrainSettings:
    values = dict(steps=STEPS, warmup=2, learning_rate=0.1, clip_norm=5.0, ema_decay=0.9, checkpoint_every=3, seed=4)
    return TrainSettings(folder, **(values | changes))


def start():
    return {"w": jnp.array([1.0, -2.0, 0.5]), "statistics_mean": jnp.array([3.0])}


def loss(params, key, batch):
    """Depends on step, key and data, so that a run that loses any of them ends elsewhere."""
    pull = jnp.sum((params["w"] - batch.mean()) ** 2) + jnp.sum(params["statistics_mean"] ** 2)
    return pull + jnp.dot(jax.random.normal(key, (3,)), params["w"]), {"seen": batch.mean()}


def batch_of(step: int):
    return np.array([step - 0.5, step + 0.5], np.float32)


def stopped_at(last: int):
    def batch(step: int):
        if step == last:
            raise KeyboardInterrupt
        return batch_of(step)

    return batch


def train(folder, batches=batch_of, log=lambda line: None, fingerprint="a", loss=loss, **changes):
    """The moving average at the end."""
    settings = settings_in(folder, **changes)
    optimizer = make_optimizer(settings.optimizer_config(), {"base": {}, "head": start()})
    state = TrainState.create(start(), optimizer, settings.seed, ema=True)
    step = make_step(loss, optimizer, read=lambda base, batch: base["shift"] + batch, ema_decay=settings.ema_decay)
    plan = Run(settings, fingerprint, state, step, {"shift": jnp.zeros(2)}, batches, log)
    state, _ = run(plan)
    return on_host(state.ema)


def plain_run(settings: TrainSettings):
    """The same run with optax alone; the parameters and their moving average."""
    rate = optax.warmup_cosine_decay_schedule(0.0, settings.learning_rate, settings.warmup, settings.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(settings.clip_norm), optax.adam(rate))
    w = start()["w"]
    state, average = optimizer.init(w), w
    for step in range(settings.steps):
        key = jax.random.fold_in(jax.random.key(settings.seed), step)
        gradient = jax.grad(lambda w, key=key, step=step: loss(start() | {"w": w}, key, batch_of(step))[0])(w)
        updates, state = optimizer.update(gradient, state)
        w = w + updates
        average = settings.ema_decay * average + (1 - settings.ema_decay) * w
    return average


def test_a_run_is_what_optax_does(tmp_path):
    trained = train(tmp_path)
    np.testing.assert_allclose(trained["w"], plain_run(settings_in(tmp_path)), rtol=1e-5)
    np.testing.assert_array_equal(trained["statistics_mean"], start()["statistics_mean"])


@pytest.mark.parametrize("stops", [[4], [7], [1], [4, 5, 7]])
def test_a_run_in_parts_is_bit_equal_to_one_in_one_go(tmp_path, stops):
    whole = train(tmp_path / "whole")
    lines = []
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", stopped_at(stop))
    parts = train(tmp_path / "parts", log=lines.append)
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, parts))
    kept = stops[-1] // 3 * 3
    assert (f"resumed at step {kept}" in lines) == (kept > 0)


def test_a_finished_run_is_not_trained_again(tmp_path):
    whole = train(tmp_path)
    again = train(tmp_path, stopped_at(0))
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, again))


def test_a_run_of_another_base_is_not_resumed(tmp_path):
    train(tmp_path)
    with pytest.raises(HeadMismatch):
        train(tmp_path, fingerprint="b")


def test_the_progress_line_has_the_mean_of_the_steps_since_the_last(tmp_path):
    lines = []
    train(tmp_path, log=lines.append, steps=52, checkpoint_every=1000)
    assert [line.split("  ")[0] for line in lines] == ["step 50/52", "step 52/52"]
    # Batches are the step's number on average: 0 to 49, then 50 and 51.
    assert [" seen 24.500 " in line for line in lines] == [True, False]
    assert [" seen 50.500 " in line for line in lines] == [False, True]
    assert all(re.search(r"gradient_norm .* examples/second .* s a step, 0:\d\d left$", line) for line in lines)
