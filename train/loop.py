"""A training run of the reader: features, batches, steps, checkpoints, and the finished head."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from jaxdiff.agent.reading import reader_config
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.loss import loss
from jaxdiff.diffusion.schedules import NoiseSchedule, schedule_by_name

from .batches import Batches
from .checkpoints import Checkpoints, DataPosition
from .optimizer import make_optimizer
from .settings import TrainSettings
from .state import TrainState
from .statistics import set_statistics
from .step import make_step

STATISTICS_BATCHES = 16
LOG_EVERY = 50
Log = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A finished run: the head (the moving average of its parameters), and what it took."""

    config: Any
    params: dict[str, Any]
    steps: int
    seconds: float


def reader_loss(
    config: ReaderConfig, schedule: NoiseSchedule, params: Any, key: Array, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The reader's loss in the form that `make_step` takes."""
    return loss(params, config, schedule, key, batch)


def train_reader(settings: TrainSettings, base: FrozenBase, batches: Batches, log: Log) -> Trained:
    """Trains a reader, from the newest checkpoint in `settings.out` if there is one."""
    config = reader_config(base.config)
    params = reader.init(jax.random.key(settings.seed), config)
    queries = [batches.batch(settings.steps + i).features.query for i in range(STATISTICS_BATCHES)]
    params = set_statistics(params, [query for query in queries if query is not None])
    step_loss = partial(reader_loss, config, schedule_by_name("log_linear"))
    return run(settings, base.fingerprint, config, params, step_loss, batches.batch, log)


def run(
    settings: TrainSettings,
    fingerprint: str,
    config: Any,
    params: dict[str, Any],
    step_loss: Callable[..., tuple[Array, dict[str, Array]]],
    batch_of: Callable[[int], Batch],
    log: Log,
) -> Trained:
    """Steps with checkpoints and a progress line. Metrics of a step are read after the next one is dispatched."""
    optimizer = make_optimizer(settings.optimizer(), {"base": {}, "head": params})
    state = TrainState.create(params, optimizer, settings.seed, ema=True)
    step = make_step(step_loss, optimizer, ema_decay=settings.ema_decay)
    started, meter = time.monotonic(), _Meter(settings.steps, log)
    with Checkpoints(Path(settings.out) / "checkpoints", fingerprint) as checkpoints:
        if checkpoints.latest_step() is not None:
            state, position = checkpoints.restore(state)
            log(f"resumed at step {position.step}")
        pending: dict[str, Array] | None = None
        for number in range(int(state.step), settings.steps):
            state, metrics = step(state, batch_of(number))
            if pending is not None:
                meter.add(number, pending)
            pending = metrics
            if (number + 1) % settings.checkpoint_every == 0 or number + 1 == settings.steps:
                checkpoints.save(state, DataPosition(seed=settings.seed, step=number + 1))
        if pending is not None:
            meter.add(settings.steps, pending)
    return Trained(config, jax.device_get(state.ema), settings.steps, time.monotonic() - started)


class _Meter:
    """Prints the mean of each metric over the last steps, and the pace."""

    def __init__(self, steps: int, log: Log):
        self._steps, self._log = steps, log
        self._metrics: list[dict[str, float]] = []
        self._last = time.monotonic()

    def add(self, step: int, metrics: dict[str, Array]) -> None:
        self._metrics.append({name: float(value) for name, value in metrics.items()})
        if step % LOG_EVERY and step != self._steps:
            return
        now = time.monotonic()
        pace = (now - self._last) / len(self._metrics)
        words = [f"{name} {np.mean([m[name] for m in self._metrics]):.3f}" for name in self._metrics[0]]
        self._log(f"step {step}/{self._steps}  {'  '.join(words)}  {pace:.2f} s a step")
        self._metrics, self._last = [], now
