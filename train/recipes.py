"""How a head of each kind is made: what is read of the base, what a batch is, the run, and how its fill is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.schema.tools import Tool

from .batches import Batches
from .evaluate import Fill, fill_by
from .features import extract
from .loop import Trained, train_reader
from .residual_data import CanvasBatches, extract_canvases
from .residual_run import train_residual
from .row_store import Progress, RowStore
from .rows import Row
from .validate import stored_fill


@dataclass(frozen=True)
class Recipe:
    """The steps of a training run, for one kind of head.

    extract: (base, rows, folder, name, progress) -> what the base says of the rows, read or found.
    batches: (base, stores, weights, batch size, seed) -> batches.
    train: (settings, base, batches, log) -> a finished run.
    head: (base, config, params) -> the head, ready to fill.
    fill: (head, rows, folder, progress) -> how it fills the rows.
    """

    extract: Callable[[FrozenBase, Sequence[Row], Path, str, Progress], RowStore]
    batches: Callable[..., Any]
    train: Callable[..., Trained]
    head: Callable[[FrozenBase, Any, dict[str, Any]], Any]
    fill: Callable[[Any, Sequence[tuple[Row, Tool | None]], Path, Progress], Fill]


def _fill_by_reading(
    head: ResidualHead, rows: Sequence[tuple[Row, Tool | None]], _features: Path, _progress: Progress
) -> Fill:
    return fill_by(head, head.base, DenoiseConfig())


RECIPES = {
    "reader": Recipe(extract, Batches, train_reader, ReaderHead, stored_fill),
    "residual": Recipe(extract_canvases, CanvasBatches, train_residual, ResidualHead, _fill_by_reading),
}
