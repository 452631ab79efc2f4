"""Training state and its checkpoints: a resumed run is the uninterrupted run, and only on the same base."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.errors import HeadMismatch, InputError, WeightsError
from jaxdiff_train.engine.checkpoints import Checkpoints, DataPosition
from jaxdiff_train.engine.optimizer import OptimizerConfig, make_optimizer
from jaxdiff_train.engine.state import TrainState

ROOT = Path(__file__).parents[3]
BASE = {"kernel": jnp.linspace(-1, 1, 12).reshape(3, 4)}
OPTIMIZER = make_optimizer(
    OptimizerConfig(learning_rate=0.05, steps=20, warmup=2),
    {"base": BASE, "head": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}},
)


def fresh(width=2, ema=True):
    head = {"kernel": jnp.ones((4, width)) / 3, "bias": jnp.zeros(width)}
    return TrainState.create(head, OPTIMIZER, seed=5, base=BASE, ema=ema)


def loss(params, key):
    inputs = jax.random.normal(key, (6, 3))
    outputs = inputs @ params["base"]["kernel"] @ params["head"]["kernel"] + params["head"]["bias"][None]
    return jnp.mean((outputs - jnp.sin(inputs[:, :2])) ** 2)


@jax.jit
def update(state):
    gradients = jax.grad(loss)({"base": BASE, "head": state.head}, state.step_key())
    return state.apply_gradients(OPTIMIZER, gradients, BASE, ema_decay=0.9)


def run(state, steps):
    for _ in range(steps):
        state = update(state)
    return state


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert one.dtype == other.dtype
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("ema", [True, False])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, ema):
    whole = run(fresh(ema=ema), 9)
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(run(fresh(ema=ema), 4), DataPosition(seed=5, step=3))
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        state, position = checkpoints.restore(fresh(ema=ema))
    assert position == DataPosition(seed=5, step=3)
    assert int(state.step) == 4
    assert_same(run(state, 5), whole)


def test_training_moves_the_head_and_its_average():
    state, start = run(fresh(), 9), fresh()
    key = jax.random.key(99)
    assert loss({"base": BASE, "head": state.head}, key) < loss({"base": BASE, "head": start.head}, key)
    average = start.head
    now = fresh()
    for number in range(9):
        now, decay = update(now), min(0.9, (1 + number) / (10 + number))
        average = jax.tree.map(lambda old, new, decay=decay: decay * old + (1 - decay) * new, average, now.head)
    for one, other in zip(jax.tree.leaves(state.ema), jax.tree.leaves(average), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert fresh(ema=False).ema is None


def test_every_step_has_its_own_key():
    state = fresh()
    keys = {
        tuple(np.asarray(jax.random.key_data(state.replace(step=jnp.int32(step)).step_key()))) for step in range(20)
    }
    assert len(keys) == 20


def test_a_head_alone_trains_without_base_parameters():
    optimizer = make_optimizer(OptimizerConfig(warmup=0), {"base": {}, "head": {"kernel": jnp.ones((4, 2))}})
    state = TrainState.create({"kernel": jnp.ones((4, 2))}, optimizer, seed=0)
    after = state.apply_gradients(optimizer, {"base": {}, "head": {"kernel": jnp.ones((4, 2))}})
    assert np.all(np.asarray(after.head["kernel"]) < 1)


def test_another_base_is_refused(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(fresh(), DataPosition(0))
    with Checkpoints(tmp_path, "base-b") as checkpoints, pytest.raises(HeadMismatch, match=r"base-a.*base-b"):
        checkpoints.restore(fresh())


def test_another_head_is_refused(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(fresh(), DataPosition(0))
        with pytest.raises(WeightsError, match=r"another head.*head\.bias is float32\[2\], here float32\[3\]"):
            checkpoints.restore(fresh(width=3))
        with pytest.raises(WeightsError, match=r"another head.*ema\.bias is float32\[2\], here absent"):
            checkpoints.restore(fresh(ema=False))


def test_only_the_newest_two_are_kept(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        state = fresh()
        for step in range(4):
            checkpoints.save(state, DataPosition(0, step))
            state = update(state)
        assert checkpoints.latest_step() == 3
        assert checkpoints.restore(fresh(), step=2)[1].step == 2
        for step in (1, 7):
            with pytest.raises(WeightsError, match=f"no checkpoint of step {step}"):
                checkpoints.restore(fresh(), step=step)


def test_a_folder_that_is_ahead_is_not_written_into(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(run(fresh(), 2), DataPosition(0))
        for state in (fresh(), run(fresh(), 2)):
            with pytest.raises(InputError, match="already holds step 2"):
                checkpoints.save(state, DataPosition(0))


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    with Checkpoints(tmp_path / "new", "base-a") as checkpoints:
        assert checkpoints.latest_step() is None
        with pytest.raises(WeightsError, match="no checkpoint in"):
            checkpoints.restore(fresh())


KILLED = """
import os, signal, sys
import jax.numpy as jnp
from tests.train.engine.test_checkpoints import fresh, run
from jaxdiff_train.engine.checkpoints import Checkpoints, DataPosition

checkpoints = Checkpoints(sys.argv[1], "base-a")
checkpoints.save(run(fresh(), 3), DataPosition(0, 3))
checkpoints.wait()
checkpoints.save(run(fresh(), 4), DataPosition(0, 4))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_write_that_is_killed_leaves_the_previous_checkpoint(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        restored, position = checkpoints.restore_newest(fresh(), pytest.fail)
        # The second may have come to its end, as it is small.
        assert position.step in (3, 4)
        assert_same(restored, run(fresh(), position.step))
        checkpoints.save(run(fresh(), 5), DataPosition(0, 5))
        checkpoints.wait()
        assert checkpoints.latest_step() == 5
    assert {path.name for path in tmp_path.iterdir()} == {str(position.step), "5"} | (
        {"3"} if position.step == 4 else set()
    )


def corrupt(checkpoint):
    """Cuts the largest file to half."""
    largest = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_a_damaged_newest_checkpoint_is_set_aside_for_the_one_before(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        for steps in (2, 3):
            checkpoints.save(run(fresh(), steps), DataPosition(0, steps))
    corrupt(tmp_path / "3")
    warnings = []
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        state, position = checkpoints.restore_newest(fresh(), warnings.append)
        assert position.step == 2
        assert_same(state, run(fresh(), 2))
        checkpoints.save(run(fresh(), 3), DataPosition(0, 3))
    (line,) = warnings
    assert re.search(r"checkpoint .*/3 is damaged: .*; going back to step 2", line)
    assert {path.name for path in tmp_path.iterdir()} == {"2", "3", "damaged-3"}


def test_where_all_are_damaged_the_newest_is_named_and_nothing_is_moved(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        for steps in (2, 3):
            checkpoints.save(run(fresh(), steps), DataPosition(0, steps))
    for steps in (2, 3):
        corrupt(tmp_path / str(steps))
    with Checkpoints(tmp_path, "base-a") as checkpoints, pytest.raises(WeightsError, match=r"/2 is damaged"):
        checkpoints.restore_newest(fresh(), lambda line: None)
    assert {path.name for path in tmp_path.iterdir()} == {"2", "3"}


def test_a_full_disk_is_one_line_and_earlier_checkpoints_stay(tmp_path, monkeypatch):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(run(fresh(), 2), DataPosition(0, 2))
        checkpoints.wait()
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
        with pytest.raises(
            WeightsError, match=r"cannot write a checkpoint to .*: 0 MB free.*earlier .* are kept"
        ) as found:
            checkpoints.save(run(fresh(), 3), DataPosition(0, 3))
        assert "\n" not in str(found.value)
        assert_same(checkpoints.restore(fresh())[0], run(fresh(), 2))


def test_a_damaged_checkpoint_is_named(tmp_path):
    with Checkpoints(tmp_path, "base-a") as checkpoints:
        checkpoints.save(fresh(), DataPosition(0))
    for part in ("state", "position", "base"):
        shutil.rmtree(tmp_path / "0" / part)
        with (
            Checkpoints(tmp_path, "base-a") as checkpoints,
            pytest.raises(WeightsError, match=r"checkpoint .*/0 is damaged"),
        ):
            checkpoints.restore(fresh())
