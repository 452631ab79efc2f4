"""Reading in every step: prompts go to the device as tokens, and the frozen base reads them there.

Nothing is kept on disk, so the base may be as large as the mesh holds. A row's example and tool are read first and its
query and keys after them, as when answering; only that here nobody shares a prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdiff.agent.evidence import read_block, telling_ids
from jaxdiff.agent.key_block import Block, Sizes, build_block
from jaxdiff.agent.prompting import QueryPrompt, ToolPrompt, example_ids, key_ids, query_prompt, tool_prompt
from jaxdiff.agent.query_features import QueryFacts, Words, facts_of, join
from jaxdiff.base import masks
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.base.quantised import embedding_of
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.features import Canvas, Features, Labels
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.drawing import ALL_ROWS, Drawing
from ..data.labels import label_row
from ..data.rows import Row
from ..engine.flops import forward_flops
from .batches import CANDIDATES, lay_canvas, pad_labels

FIELDS = 8
# Padded tokens of (example and tool, query and keys, query); rows of similar size go together.
SIZES = ((384, 128, 48), (384, 256, 80), (640, 128, 48), (640, 256, 80), (1024, 256, 80))


@struct.dataclass
class TokenBatch:
    """A batch before the base has read it (B rows, P tokens of example and tool).

    prefix_ids: [B, P] int32. prefix_valid: [B, P] bool. block: queries and keys, counted from slot P. telling: [B, W]
    int32 telling words, the same in each row. The rest: what the host knows.
    """

    prefix_ids: Any
    prefix_valid: Any
    telling: Any
    block: Block
    facts: QueryFacts
    canvas: Canvas
    labels: Labels


@dataclass(frozen=True)
class _Place:
    prompt: ToolPrompt
    offset: int
    length: int


@dataclass(frozen=True)
class _Laid:
    tool: Tool
    known: _Place
    query: str


class TokenRows:
    """The rows of a source with their prompts as tokens; what no size holds is left out."""

    def __init__(self, base: FrozenBase, rows: Sequence[Row], name: str):
        self.rows: list[Row] = []
        self.laid: list[_Laid] = []
        self.prompts: list[QueryPrompt] = []
        self.sizes: list[tuple[int, int, int]] = []
        example = len(example_ids(base))
        places: dict[str, tuple[Tool, _Place, int]] = {}
        for row in rows:
            key = repr(row.tool)
            if key not in places:
                (tool,) = parse_tools([row.tool])
                prompt = tool_prompt(base, tool)
                keys = sum(len(key_ids(base, field)) for field in tool.fields)
                places[key] = tool, _Place(prompt, example, example + len(prompt.ids)), keys
            tool, place, keys = places[key]
            asked = query_prompt(base, row.query)
            needed = place.length, len(asked.restated) + keys, len(asked.ids)
            size = next((size for size in SIZES if all(a <= b for a, b in zip(needed, size, strict=True))), None)
            if size is None or len(tool.fields) > FIELDS:
                continue
            self.rows.append(row)
            self.laid.append(_Laid(tool, place, row.query))
            self.prompts.append(asked)
            self.sizes.append(size)
        if not self.rows:
            raise InputError(f"no row of {name} is short enough to be read")

    def __len__(self) -> int:
        return len(self.rows)


class TokenBatches:
    """Endless batches of tokens; a row is drawn with a probability proportional to its source's weight."""

    def __init__(
        self, base: FrozenBase, sources: Sequence[TokenRows], weights: Sequence[float], batch_size: int, seed: int
    ):
        self._base, self._sources, self._count = base, sources, batch_size
        self._example = np.array(example_ids(base), np.int32)
        self._telling = telling_ids(base)
        self._labels = [
            [
                label_row(row, laid.tool, prompt.offsets, base.encode)
                for row, laid, prompt in zip(source.rows, source.laid, source.prompts, strict=True)
            ]
            for source in sources
        ]
        self._drawing = Drawing(sources, weights, SIZES, lambda source, row: source.sizes[row], seed)

    def rows(self) -> int:
        """Number of rows that are drawn from."""
        return self._drawing.rows()

    def batch(self, step: int, rows: slice = ALL_ROWS) -> TokenBatch:
        """The batch of a step, or some rows of it: the same for the same seed, whatever came before."""
        (before, slots, query), drawn, rng = self._drawing.draw(step, self._count)
        orders = [rng.permutation(len(self._labels[source][row].slots)).tolist() for source, row in drawn][rows]
        drawn = drawn[rows]
        laid = [self._sources[source].laid[row] for source, row in drawn]
        prompts = [self._sources[source].prompts[row] for source, row in drawn]
        labels = [self._labels[source][row] for source, row in drawn]
        ids, valid = np.zeros((len(drawn), before), np.int32), np.zeros((len(drawn), before), bool)
        for i, call in enumerate(laid):
            text = np.concatenate([self._example, np.array(call.known.prompt.ids, np.int32)])
            ids[i, : len(text)], valid[i, : len(text)] = text, True
        block = build_block(self._base, laid, prompts, Sizes(len(drawn), slots, query, FIELDS, CANDIDATES))
        canvas, tokens = lay_canvas(labels, orders, self._base.config.null_id)
        words = [Words.of(call.tool, call.query, prompt) for call, prompt in zip(laid, prompts, strict=True)]
        return TokenBatch(
            prefix_ids=ids,
            prefix_valid=valid,
            telling=np.repeat(self._telling[None], len(drawn), axis=0),
            block=block,
            facts=facts_of(words, len(drawn), FIELDS, query, CANDIDATES),
            canvas=canvas,
            labels=pad_labels(labels, FIELDS, query, CANDIDATES, tokens),
        )


def read_online(module: SmolLM) -> partial[Batch]:
    """(base parameters, batch of tokens) -> what the reader's loss takes; a pure function."""
    return partial(_read, module)


def _read(module: SmolLM, params: Any, batch: TokenBatch) -> Batch:
    positions = jnp.broadcast_to(jnp.arange(batch.prefix_ids.shape[1], dtype=jnp.int32)[None], batch.prefix_ids.shape)
    before: Any = module.apply({"params": params}, batch.prefix_ids, positions, masks.causal(batch.prefix_valid))
    evidence = read_block(module, params, before.cache, batch.prefix_valid, batch.block, batch.telling[0])
    query = join(batch.facts, jax.lax.stop_gradient(evidence))
    embedding = embedding_of(params["embed_tokens"], module.storage, module.dtype)
    return Batch(Features(canvas=batch.canvas, query=query, embedding=embedding), batch.labels)


def reading_flops(config: BaseConfig, batch: TokenBatch) -> float:
    """Operations of the base reading a batch, padding included; the head's own are not counted."""
    (rows, before), slots = batch.prefix_ids.shape, batch.block.ids.shape[1]
    return rows * (forward_flops(config, before, before) + forward_flops(config, slots, before + slots))
