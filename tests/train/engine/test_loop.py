"""The loop on a loss that can be followed by hand: resumed runs, the moving average, and what is printed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import HeadMismatch, TrainingDiverged, TrainingStopped
from jaxdiff_train.engine.curve import draw_curve
from jaxdiff_train.engine.loop import Run, on_host, run
from jaxdiff_train.engine.optimizer import OptimizerConfig, make_optimizer
from jaxdiff_train.engine.sinks import read_metrics
from jaxdiff_train.engine.state import TrainState
from jaxdiff_train.engine.step import make_step
from jaxdiff_train.settings import TrainSettings

ROOT = Path(__file__).parents[3]
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


def plan_of(folder, batches=batch_of, log=lambda line: None, fingerprint="a", loss=loss, **changes):
    settings = settings_in(folder, **changes)
    optimizer = make_optimizer(settings.optimizer_config(), {"base": {}, "head": start()})
    state = TrainState.create(start(), optimizer, settings.seed, ema=True)
    step = make_step(loss, optimizer, read=lambda base, batch: base["shift"] + batch, ema_decay=settings.ema_decay)
    return Run(settings, fingerprint, state, step, {"shift": jnp.zeros(2)}, batches, log)


def train(*given, **named):
    """The moving average at the end."""
    state, _ = run(plan_of(*given, **named))
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
        decay = min(settings.ema_decay, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * w
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


def test_seconds_of_a_run_in_parts_add_up(tmp_path):
    def slow(step):
        time.sleep(0.2)
        return stopped_at(7)(step)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, slow)
    # Six steps were safe; the others take no time to speak of.
    _, seconds = run(plan_of(tmp_path))
    assert seconds > 6 * 0.2
    _, again = run(plan_of(tmp_path))
    assert seconds - 1 < again < seconds + 1


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


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_its_batch(tmp_path):
    def broken(step):
        return batch_of(step) if step != 5 else np.array([1.0, np.nan], np.float32)

    with pytest.raises(TrainingDiverged, match=r"step 6: .* is nan; its batch is in .*bad_batch_6_0.npz") as stopped:
        train(tmp_path, broken)
    kept = np.load(stopped.value.path)["batch"]
    np.testing.assert_array_equal(kept, broken(5))
    # The state that was spoilt is not among the checkpoints, and the run goes on from before it.
    lines = []
    mended = train(tmp_path, log=lines.append)
    assert "resumed at step 3" in lines
    assert jax.tree.all(jax.tree.map(np.array_equal, mended, train(tmp_path / "whole")))


def test_a_run_asked_to_stop_saves_its_state_and_goes_on_from_there(tmp_path):
    def asked(step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
            # The handler runs on the main thread, between two of its instructions.
            time.sleep(0.5)
        return batch_of(step)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingStopped, match="by SIGTERM; the same command goes on") as stopped:
        train(tmp_path / "parts", asked)
    assert signal.getsignal(signal.SIGTERM) is before
    lines = []
    parts = train(tmp_path / "parts", log=lines.append)
    assert f"resumed at step {stopped.value.step}" in lines and 1 <= stopped.value.step < STEPS
    assert jax.tree.all(jax.tree.map(np.array_equal, parts, train(tmp_path / "whole")))


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train.engine import test_loop

def batches(step):
    if step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return test_loop.batch_of(step)

test_loop.train(Path(sys.argv[1]), batches, steps=20, checkpoint_every=5)
"""


def test_twenty_steps_are_ten_then_a_kill_then_ten(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "parts"), "17"]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == -signal.SIGKILL
    lines = []
    parts = train(tmp_path / "parts", log=lines.append, steps=20, checkpoint_every=5)
    assert re.fullmatch(r"resumed at step (5|10|15)", lines[0])
    assert jax.tree.all(jax.tree.map(np.array_equal, parts, train(tmp_path / "whole", steps=20, checkpoint_every=5)))


def test_the_metrics_file_has_every_step_once_after_a_stop(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stopped_at(5), log_every=1)
    train(tmp_path, log_every=1)
    assert [entry["step"] for entry in read_metrics(tmp_path)] == list(range(1, STEPS + 1))
    assert draw_curve(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_accumulated_gradients_are_those_of_the_whole_batch():
    """Where the loss is a mean over rows and draws nothing, parts of a batch give the update of the whole."""

    def mean(params, key, batch):
        return jnp.mean((batch @ params["w"]) ** 2), {}

    batch = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    found = []
    for options in ({}, {"microbatches": 4}, {"remat": "full"}, {"remat": "dots", "microbatches": 2}):
        optimizer = make_optimizer(OptimizerConfig(steps=9, warmup=0), {"base": {}, "head": start()})
        state = TrainState.create(start(), optimizer, 0)
        state, metrics = make_step(mean, optimizer, read=lambda base, rows: rows, **options)(state, {}, batch)
        found.append((state.head["w"], metrics["loss"], metrics["gradient_norm"]))
    for other in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), other, found[0])


def test_every_microbatch_has_its_own_key():
    def noise(params, key, batch):
        return jnp.sum(params["w"]), {"drawn": jax.random.uniform(key) ** 2}

    optimizer = make_optimizer(OptimizerConfig(steps=9, warmup=0), {"base": {}, "head": start()})
    state = TrainState.create(start(), optimizer, 0)
    keys = [jax.random.fold_in(state.step_key(), part) for part in range(2)]
    expected = np.mean([float(jax.random.uniform(key)) ** 2 for key in keys])
    step = make_step(noise, optimizer, read=lambda base, rows: rows, microbatches=2)
    assert float(step(state, {}, np.zeros((4, 1), np.float32))[1]["drawn"]) == pytest.approx(expected)
