"""What training has in common for all kinds of heads: from first parameters, a loss and batches to a finished head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
from jax.sharding import Mesh

from jaxdiff.sharding import batch_sharding

from ..engine.feed import host_rows
from ..engine.loop import Run, on_host, run
from ..engine.optimizer import make_optimizer
from ..engine.placement import state_shardings
from ..engine.state import TrainState
from ..engine.step import Loss, Read, make_step
from ..engine.watch import Log, Tick
from ..settings import TrainSettings


class Rows(Protocol):
    """Batches drawn by seed and step."""

    def batch(self, step: int, rows: slice = ...) -> Any:
        """The batch of a step, or some of its rows."""


Evaluate = Callable[[Any, Any], Mapping[str, float]]
"""(configuration, parameters) of a head -> figures, for evaluation during training."""


@dataclass(frozen=True)
class Show:
    """Where a run tells what it does: lines, and each step's metrics for a progress bar."""

    log: Log
    tick: Tick | None = None


@dataclass(frozen=True)
class BatchSource:
    """Where a run's batches come from, and how the frozen base reads them.

    base: the frozen parameters that `read` needs, laid on the mesh. flops: of reading a batch; peak: what all
    devices can do in a second; None where not known.
    """

    fingerprint: str
    base: Any
    read: Read
    rows: Rows
    mesh: Mesh | None = None
    flops: Callable[[Any], float] | None = None
    peak: float | None = None


@dataclass(frozen=True)
class Trained:
    """A finished run: the head (the moving average of its parameters), and what it took."""

    config: Any
    params: dict[str, Any]
    steps: int
    seconds: float


def train_head(
    settings: TrainSettings,
    source: BatchSource,
    config: Any,
    params: dict[str, Any],
    loss: Loss,
    show: Show,
    evaluate: Evaluate | None = None,
) -> Trained:
    """Trains from `params`, or from the newest checkpoint in `settings.out`. Raises as `run`."""
    optimizer = make_optimizer(settings.optimizer_config(), {"base": {}, "head": params})
    state = TrainState.create(params, optimizer, settings.seed, ema=True)
    places, rows_sharding = None, None
    if source.mesh is not None:
        places, rows_sharding = state_shardings(source.mesh, state), batch_sharding(source.mesh)
        state = jax.device_put(state, places)
    else:
        # A state that is bound to no device comes out of the first step bound to one, and the step is compiled again.
        state = jax.device_put(state, jax.local_devices()[0])
    step = make_step(
        loss,
        optimizer,
        read=source.read,
        ema_decay=settings.ema_decay,
        microbatches=settings.microbatches,
        remat=settings.remat,
        state_shardings=places,
    )
    own = host_rows(settings.batch_size, rows_sharding)
    plan = Run(
        settings=settings,
        base_fingerprint=source.fingerprint,
        state=state,
        step=step,
        base=source.base,
        batch_of=partial(source.rows.batch, rows=own),
        log=show.log,
        tick=show.tick,
        batch_sharding=rows_sharding,
        flops=source.flops,
        peak=source.peak,
        evaluate=None if evaluate is None else partial(evaluate, config),
    )
    state, seconds = run(plan)
    return Trained(config, on_host(state.ema), settings.steps, seconds)
