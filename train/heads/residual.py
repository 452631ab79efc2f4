"""Training the residual head."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import Array

from jaxdiff.config import BaseConfig
from jaxdiff.diffusion import residual
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.diffusion.schedules import NoiseSchedule, schedule_by_name
from jaxdiff.errors import ConfigError

from ..settings import TrainSettings
from .options import head_options
from .training import BatchSource, Evaluate, Show, Trained, train_head

# Scoring the whole vocabulary at every canvas position would be most of a training step.
SAMPLED_VOCABULARY = 1024


def residual_loss(
    config: ResidualConfig, schedule: NoiseSchedule, params: Any, key: Array, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """The residual head's loss in the form that `make_step` takes."""
    return residual.loss(params, config, schedule, key, batch)


def configured_residual(settings: TrainSettings, base: BaseConfig) -> ResidualConfig:
    """The head that the settings ask for, its vocabulary sampled in training. Raises ConfigError for an impossible
    one."""
    sampled = SAMPLED_VOCABULARY if base.vocab_size > 2 * SAMPLED_VOCABULARY else None
    options = {"sampled_vocabulary": sampled} | head_options(settings.head_config, ResidualConfig)
    if options.get("prompt_attention"):
        raise ConfigError("head_config: prompt_attention=true is for converted heads; training reads no prompt for it")
    return ResidualConfig.for_base(base, **options)


def train_residual(
    settings: TrainSettings,
    base: BaseConfig,
    source: BatchSource,
    show: Show,
    evaluate: Evaluate | None = None,
    config: ResidualConfig | None = None,
) -> Trained:
    """Trains a residual head, from the newest checkpoint in `settings.out` if there is one.

    config: None for what the settings ask for.
    """
    config = config or configured_residual(settings, base)
    params = residual.init(jax.random.key(settings.seed), config)
    step_loss = partial(residual_loss, config, schedule_by_name("log_linear"))
    return train_head(settings, source, config, params, step_loss, show, evaluate)
