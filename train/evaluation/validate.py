"""Validation of a head on rows expanded from packs: calls are filled as for a user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdiff.agent.fill_diffusion import ReaderHead, fill_diffusion
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.reading import CallFeatures
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.packs import VALIDATION_PACKS, expand_packs
from ..data.rows import Row, supported
from ..reading.batches import pad_queries, to_float32
from ..reading.features import FeatureStore, Progress, extract
from .evaluate import Fill, evaluate
from .reading import padded_sizes, reading_report

PER_TOOL, SEED = 5, 2


def validation_rows(path: Path = VALIDATION_PACKS) -> list[tuple[Row, Tool | None]]:
    """Five rows of each tool of the validation packs; tools that the scaffold does not support come as None."""
    rows = expand_packs(path, PER_TOOL, SEED)
    return [(row, parse_tools([row.tool])[0] if supported(row.tool) else None) for row in rows]


def stored_fill(
    head: ReaderHead, rows: Sequence[tuple[Row, Tool | None]], features: Path, progress: Progress | None = None
) -> Fill:
    """Fills `rows` by a reader. features: folder in which what the base says of them is kept."""
    store = _store(head, rows, features, progress)
    places = {row.id: i for i, row in enumerate(store.rows)}
    config = DenoiseConfig()

    def fill(_: int, row: Row, tool: Tool, present: frozenset[str] | None) -> Filling:
        if row.id not in places:
            return Filling({})
        place = places[row.id]
        query = to_float32(pad_queries([(store, place)], *padded_sizes(store, [place])))
        offsets = list(store.words(place).offsets)
        call = CallFeatures(tool, row.query, offsets, query)
        (filling,) = fill_diffusion(head, [call], config, present=[present])
        return filling

    return fill


def found_figures(head: ReaderHead, rows: Sequence[tuple[Row, Tool | None]], features: Path) -> dict[str, float]:
    """Percent right of what a reader finds in the rows (see `reading_report`)."""
    return reading_report(head, _store(head, rows, features, None)).figures()


def _store(
    head: ReaderHead, rows: Sequence[tuple[Row, Tool | None]], features: Path, progress: Progress | None
) -> FeatureStore:
    return extract(head.base, [row for row, tool in rows if tool is not None], features, "validation", progress)


def figures(rows: Sequence[tuple[Row, Tool | None]], fill: Fill) -> dict[str, Any]:
    """What a head's card says of its accuracy."""
    return {
        "rows": f"{len(rows)} rows expanded from the validation packs, {PER_TOOL} a tool, seed {SEED}",
        "percent_right": evaluate(rows, fill).figures(),
        "percent_right_told_presence": evaluate(rows, fill, told_presence=True).figures(),
    }
