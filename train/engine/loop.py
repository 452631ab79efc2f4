"""A run: batches, steps, checkpoints, and what is said of it; resumed, stopped and refused where it must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from jaxdiff.errors import TrainingDiverged, TrainingStopped
from jaxdiff.sharding import leaf_name

from ..settings import TrainSettings
from .checkpoints import Checkpoints, DataPosition
from .feed import feed, place
from .interruption import Interruption
from .profile import Profile
from .sinks import sinks
from .state import TrainState
from .step import Step
from .watch import Log, Tick, Watch

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Run:
    """All that a run needs.

    state: before the first step, on its devices. step: see `make_step`. base: the frozen parameters that it reads.
    batch_of: step -> the rows that this process makes. batch_sharding: where rows go, None for the default device.
    flops: rows that this process makes -> floating-point operations; peak: what all devices can do in a second; None
    where not known.
    evaluate: parameters of the head -> figures, asked for every `settings.evaluate_every` steps.
    """

    settings: TrainSettings
    base_fingerprint: str
    state: TrainState
    step: Step
    base: Any
    batch_of: Callable[[int], Any]
    log: Log
    batch_sharding: NamedSharding | None = None
    flops: Callable[[Any], float] | None = None
    peak: float | None = None
    evaluate: Callable[[Any], Mapping[str, float]] | None = None
    tick: Tick | None = None


def run(plan: Run) -> tuple[TrainState, float]:
    """Goes through all steps from the newest checkpoint on; the last state, and the seconds that all steps took.

    Metrics of a step are read after the next one is dispatched. Raises TrainingStopped when asked to stop (the state is
    saved), TrainingDiverged for a loss that is not finite (the batch is kept, the state is not saved), WeightsError for
    checkpoints that cannot be read or written, HeadMismatch where the folder's base is another.
    """
    settings, clock = plan.settings, _Clock(time.monotonic())
    with Checkpoints(settings.out / CHECKPOINTS, plan.base_fingerprint) as checkpoints, Interruption() as stop:
        state = plan.state
        if checkpoints.latest_step() is not None:
            state, position = checkpoints.restore_newest(state, lambda line: plan.log(f"warning: {line}"))
            plan.log(f"resumed at step {position.step}")
            clock = _Clock(time.monotonic() - position.seconds)
        with closing(_watch(plan, int(state.step))) as watch:
            state = _steps(plan, state, checkpoints, stop, watch, clock)
    return state, clock.seconds()


@dataclass(frozen=True)
class _Clock:
    """started: when the run would have begun, had it never been interrupted."""

    started: float

    def seconds(self) -> float:
        return time.monotonic() - self.started


def _steps(
    plan: Run, state: TrainState, checkpoints: Checkpoints, stop: Interruption, watch: Watch, clock: _Clock
) -> TrainState:
    settings, first = plan.settings, int(state.step)
    pending: _Pending | None = None
    with Profile(settings.out / "profile" if settings.profile else None, first) as profile:
        batches = feed(plan.batch_of, first, settings.steps, workers=settings.workers)
        for done, batch in enumerate(batches, first + 1):
            profile.at(done - 1)
            placed = place(batch, settings.batch_size, plan.batch_sharding)
            state, metrics = plan.step(state, plan.base, placed)
            if pending is not None:
                pending.read(watch)
            pending = _Pending(settings, done, metrics, batch, _flops(plan, batch))
            asked, last = stop.asked(done), done == settings.steps
            if asked or last or done % settings.checkpoint_every == 0:
                # What is not a number must not become a checkpoint.
                pending.read(watch)
                pending = None
                checkpoints.save(state, DataPosition(settings.seed, done, clock.seconds()))
            if asked and not last:
                checkpoints.wait()
                raise TrainingStopped(done, "SIGTERM")
            if settings.evaluate_every and done % settings.evaluate_every == 0:
                _evaluate(plan, state, done, watch)
    return state


def _watch(plan: Run, first: int) -> Watch:
    settings, main = plan.settings, jax.process_index() == 0
    return Watch(
        settings.steps,
        settings.batch_size,
        plan.log if main else lambda _: None,
        sinks(settings.out, first, settings.tensorboard, settings.wandb, settings.to_dict()) if main else [],
        every=settings.log_every,
        peak=plan.peak,
        tick=plan.tick if main else None,
    )


def _flops(plan: Run, batch: Any) -> float:
    return 0.0 if plan.flops is None else plan.flops(batch) * jax.process_count()


def _evaluate(plan: Run, state: TrainState, step: int, watch: Watch) -> None:
    if plan.evaluate is None:
        return
    params, before = on_host(state.ema), time.monotonic()
    if jax.process_index() == 0:
        watch.note(step, plan.evaluate(params))
    watch.restart_clock(time.monotonic() - before)


def on_host(tree: Any) -> Any:
    """Arrays as NumPy arrays, whole, on every process."""
    if jax.process_count() == 1:
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


@dataclass(frozen=True)
class _Pending:
    """A step that was dispatched and not yet looked at."""

    settings: TrainSettings
    number: int
    metrics: Mapping[str, Array]
    batch: Any
    flops: float

    def read(self, watch: Watch) -> None:
        """Waits for the step's metrics. Raises TrainingDiverged."""
        found = {name: float(value) for name, value in jax.device_get(self.metrics).items()}
        bad = [f"{name} is {value}" for name, value in found.items() if not np.isfinite(value)]
        if bad:
            path = self.settings.out / f"bad_batch_{self.number}_{jax.process_index()}.npz"
            save_batch(path, self.batch)
            raise TrainingDiverged(self.number, bad[0], path)
        watch.add(self.number, found, self.flops)


def save_batch(path: Path, batch: Any) -> None:
    """All arrays of a batch by their path, for `numpy.load`."""
    leaves = jax.tree_util.tree_leaves_with_path(batch)
    named: dict[str, Any] = {leaf_name(where): np.asarray(leaf) for where, leaf in leaves}
    np.savez(path, **{name or "batch": leaf for name, leaf in named.items()})
