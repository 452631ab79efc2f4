"""Data for the `residual` head: the base's states at each row's canvas, read once and kept, and the canvas filled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxdiff.agent.canvas_reading import build_canvas_block, canvas_of, canvas_template, read_canvas, written_ids
from jaxdiff.agent.prompting import QueryPrompt, example_ids, query_prompt, tool_prompt
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.features import Canvas, Features, Labels
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.drawing import ALL_ROWS, Drawing
from ..data.rows import Row
from .passes import passes, up
from .row_store import Part, Progress, RowStore, new_store

# Few sizes mean few programs to compile; longer prompts and canvases are not trained on.
PROMPT_SLOTS = (64, 128, 256)
CANVAS_SLOTS = (64, 128, 192, 256)
STORED = {"states": Part("N")}


class CanvasStore(RowStore):
    """The base's states of each row at its canvas (N positions)."""

    def __init__(self, folder: Path, rows: Sequence[Row]):
        super().__init__(folder, STORED, rows)


def extract_canvases(
    base: FrozenBase, rows: Sequence[Row], root: Path, name: str, progress: Progress | None = None
) -> CanvasStore:
    """The store of `rows` under `root`, read from the base where it is not there yet.

    Rows too long for a pass are left out. A row takes 2 N D bytes.
    """
    folder = root / f"{name}-canvas-{_store_key(base, rows)}"
    with new_store(folder, STORED) as writer:
        if writer is not None:
            for group in passes(base, rows, partial(_fits, base), writer.saved):
                template, prefix = canvas_template(base, group.tool), group.known.prefix
                length = len(template.tokens)
                block = build_canvas_block(
                    base, template, group.prompts, rows=group.rows, prompt_slots=up(group.longest, PROMPT_SLOTS),
                    canvas_slots=up(length, CANVAS_SLOTS),
                )  # fmt: skip
                start = np.int32(prefix.length)
                states = jax.device_get(read_canvas(base.module, base.params, prefix.cache, prefix.valid, start, block))
                for number, value in zip(group.numbers, states, strict=False):
                    writer.add(number, {"N": length}, {"states": value})
                    writer.tell(progress, len(rows))
    return CanvasStore(folder, rows)


def _fits(base: FrozenBase, tool: Tool, prompt: QueryPrompt) -> bool:
    return len(prompt.text) <= PROMPT_SLOTS[-1] and len(canvas_template(base, tool).tokens) <= CANVAS_SLOTS[-1]


def _store_key(base: FrozenBase, rows: Sequence[Row]) -> str:
    """What a store depends on: the base with its type, the prompt's fixed part, tools with their text and canvases,
    queries."""
    digest = hashlib.sha256(base.computation.encode())
    digest.update(repr((example_ids(base), query_prompt(base, "").text, PROMPT_SLOTS, CANVAS_SLOTS)).encode())
    canvases: dict[str, tuple[list[int], tuple[int, ...]]] = {}
    for row in rows:
        tool = json.dumps(row.tool)
        if tool not in canvases:
            (parsed,) = parse_tools([row.tool])
            canvases[tool] = tool_prompt(base, parsed).ids, canvas_template(base, parsed).tokens
        digest.update(repr((tool, canvases[tool], row.query)).encode())
    return digest.hexdigest()[:16]


def label_canvas(base: FrozenBase, row: Row, tool: Tool) -> tuple[Canvas, np.ndarray]:
    """Layout (one row, unpadded) and tokens [N] of the filled canvas; what an absent field has is all <NULL>.

    The slot of a value that is too long for it stays masked and counts as scaffold.
    """
    template, null_id = canvas_template(base, tool), base.config.null_id
    canvas = canvas_of(template, len(template.tokens))
    given = flat_values(tool.fields, row.arguments)
    values: dict[str, list[int]] = {}
    too_long: list[int] = []
    for number, (field, segment) in enumerate(zip(tool.fields, template.segments, strict=True)):
        value, room = given.get(field.name), len(segment.value_positions)
        if field.name not in given:
            values[field.name] = []
            continue
        if field.candidates:
            value = next((candidate for candidate in field.candidates if same_value(candidate, value)), value)
        ids = written_ids(base, value)
        if field.candidates:
            # Candidates are compared as far as their slot goes.
            ids = ids[:room]
        if len(ids) <= room:
            values[field.name] = ids
        else:
            too_long.append(number)
    asked_for = np.where(np.isin(canvas.field, too_long), -1, canvas.field)
    return replace(canvas, field=asked_for), np.array(template.fill(values, null_id), np.int32)


class CanvasBatches:
    """Endless batches over several stores; a row is drawn with a probability proportional to its store's weight."""

    def __init__(
        self, base: FrozenBase, stores: Sequence[CanvasStore], weights: Sequence[float], batch_size: int, seed: int
    ):
        self._config, self._stores, self._size = base.config, stores, batch_size
        self._labels = [
            [label_canvas(base, row, store.tool(i)) for i, row in enumerate(store.rows)] for store in stores
        ]
        self._drawing = Drawing(
            stores, weights, CANVAS_SLOTS, lambda store, row: up(int(store.sizes["N"][row]), CANVAS_SLOTS), seed
        )

    def rows(self) -> int:
        """Number of rows that are drawn from."""
        return self._drawing.rows()

    def batch(self, step: int, rows: slice = ALL_ROWS) -> Batch:
        """The batch of a step, or some rows of it: the same for the same seed, whatever came before."""
        size, drawn, _ = self._drawing.draw(step, self._size)
        drawn = drawn[rows]
        shape, null_id = (len(drawn), size), self._config.null_id
        field, offset = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
        exists, tokens = np.zeros(shape, bool), np.full(shape, null_id, np.int32)
        states = np.zeros((*shape, self._config.hidden_size), np.float16)
        for i, (store, row) in enumerate(drawn):
            canvas, filled = self._labels[store][row]
            length = len(filled)
            field[i, :length], offset[i, :length], exists[i, :length] = canvas.field[0], canvas.offset[0], True
            tokens[i, :length], states[i, :length] = filled, self._stores[store].part("states", row)
        canvas = Canvas(field=field, offset=offset, exists=exists)
        features = Features(canvas=canvas, canvas_states=states)
        # Nothing but the canvas is asked for: no field has a span, presence or candidate to be found.
        nothing = np.zeros((len(drawn), 0), np.int32)
        labels = Labels(
            tokens=tokens, start=nothing, end=nothing, presence=nothing > 0, candidate=nothing, copied=nothing
        )
        return Batch(features, labels)
