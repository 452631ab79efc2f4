"""Training the reader."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.agent.reading import reader_config
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.loss import loss
from jaxdiff.diffusion.schedules import NoiseSchedule, schedule_by_name
from jaxdiff.sharding import batch_sharding, replicated

from ..engine.feed import host_rows, place
from ..reading.statistics import Moments, moments, set_statistics
from ..settings import TrainSettings
from .options import head_options
from .training import BatchSource, Evaluate, Show, Trained, train_head

STATISTICS_BATCHES = 16


def reader_loss(
    config: ReaderConfig, schedule: NoiseSchedule, dtype: Any, params: Any, key: Array, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The reader's loss in the form that `make_step` takes."""
    return loss(params, config, schedule, key, batch, dtype)


def configured_reader(settings: TrainSettings, base: BaseConfig) -> ReaderConfig:
    """The reader that the settings ask for. Raises ConfigError for an impossible one."""
    return reader_config(base, **head_options(settings.head_config, ReaderConfig))


def train_reader(
    settings: TrainSettings,
    base: BaseConfig,
    source: BatchSource,
    show: Show,
    evaluate: Evaluate | None = None,
) -> Trained:
    """Trains a reader, from the newest checkpoint in `settings.out` if there is one."""
    config = configured_reader(settings, base)
    params = set_statistics(reader.init(jax.random.key(settings.seed), config), config, _measured(settings, source))
    step_loss = partial(reader_loss, config, schedule_by_name("log_linear"), jnp.dtype(settings.head_dtype))
    return train_head(settings, source, config, params, step_loss, show, evaluate)


def _measured(settings: TrainSettings, source: BatchSource) -> list[dict[str, Moments]]:
    """Of batches of steps that are never reached, as many rows at once as a step reads; the same in every process."""
    rows = settings.batch_size // settings.microbatches
    sharding = None if source.mesh is None else batch_sharding(source.mesh)
    own = host_rows(rows, sharding)

    @partial(jax.jit, out_shardings=None if source.mesh is None else replicated(source.mesh))
    def measure(base: Any, batch: Any) -> dict[str, Moments]:
        seen: Batch = source.read(base, batch)
        assert seen.features.query is not None  # what a reader's rows are
        return moments(seen.features.query)

    batches = (source.rows.batch(settings.steps + i, own) for i in range(STATISTICS_BATCHES))
    return [jax.device_get(measure(source.base, place(batch, rows, sharding))) for batch in batches]
