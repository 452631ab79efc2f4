"""How a head of each kind is made: what is read of the base, what a batch is, the run, and how its fill is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.schema.tools import Tool

from ..data.rows import Row
from ..evaluation.evaluate import Fill, fill_by
from ..evaluation.validate import found_figures, stored_fill
from ..reading.batches import Batches
from ..reading.canvases import CanvasBatches, extract_canvases
from ..reading.features import extract
from ..reading.row_store import Progress, RowStore
from ..settings import TrainSettings
from .reader import configured_reader, train_reader
from .residual import configured_residual, train_residual
from .training import Trained


@dataclass(frozen=True)
class Recipe:
    """The steps of a training run, for one kind of head.

    configured: (settings, base's configuration) -> its configuration.
    extract: (base, rows, folder, name, progress) -> what the base says of the rows, read or found.
    batches: (base, stores, weights, batch size, seed) -> batches.
    train: (settings, base's configuration, source of batches, log, evaluation) -> a finished run.
    head: (base, config, params) -> the head, ready to fill.
    fill: (head, rows, folder, progress) -> how it fills the rows.
    found: (head, rows, folder) -> figures of what it finds before values are made of it; None for a head without spans.
    """

    configured: Callable[[TrainSettings, BaseConfig], Any]
    extract: Callable[[FrozenBase, Sequence[Row], Path, str, Progress], RowStore]
    batches: Callable[..., Any]
    train: Callable[..., Trained]
    head: Callable[[FrozenBase, Any, dict[str, Any]], Any]
    fill: Callable[[Any, Sequence[tuple[Row, Tool | None]], Path, Progress | None], Fill]
    found: Callable[[Any, Sequence[tuple[Row, Tool | None]], Path], dict[str, float]] | None = None


def _fill_by_reading(
    head: ResidualHead, rows: Sequence[tuple[Row, Tool | None]], _features: Path, _progress: Progress | None
) -> Fill:
    return fill_by(head, head.base, DenoiseConfig())


RECIPES = {
    "reader": Recipe(configured_reader, extract, Batches, train_reader, ReaderHead, stored_fill, found_figures),
    "residual": Recipe(
        configured_residual, extract_canvases, CanvasBatches, train_residual, ResidualHead, _fill_by_reading
    ),
}
