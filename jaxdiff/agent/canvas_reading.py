"""Reads a tool's fully masked JSON scaffold behind a query: the states that the `residual` head denoises from.

The base reads the scaffold once. Its states at the canvas stay as they are while values are revealed, so that a
denoising step costs the head alone. All fields of the tool stand on the canvas, in training and in answering; one that
the call does not have is all <NULL>.
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
from jax import Array

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.prompting import QueryPrompt, query_prompt
from jaxdiff.base import masks
from jaxdiff.base.buckets import TOKENS, bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.diffusion.features import Canvas
from jaxdiff.schema.template import SchemaTemplate, build_template
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import write_value


@struct.dataclass
class CanvasBlock:
    """Queries of one tool, each followed by the tool's canvas (B rows, Q prompt slots, N canvas positions, padded).

    prompt_ids: [B, Q] int32. prompt_valid: [B, Q] bool. canvas_ids: [1, N] int32, the ids that the base reads.
    canvas_valid: [1, N] bool.
    """

    prompt_ids: np.ndarray
    prompt_valid: np.ndarray
    canvas_ids: np.ndarray
    canvas_valid: np.ndarray


@dataclass(frozen=True)
class CanvasReading:
    """A query that has been read with its canvas.

    template: the tool's canvas, unpadded. states: [1, N, D] float32, the base's states at the canvas, N padded.
    prompt_states: [1, Q, D] float32, those of the query; prompt_mask: [1, Q] bool, which of them are tokens.
    """

    tool: Tool
    template: SchemaTemplate
    states: Array
    prompt_states: Array
    prompt_mask: np.ndarray


def canvas_template(base: FrozenBase, tool: Tool) -> SchemaTemplate:
    """The scaffold of a call that has every field of the tool."""
    return build_template(tool, [field.name for field in tool.fields], base.encode, base.config.mask_id)


def written_ids(base: FrozenBase, value: Any) -> list[int]:
    """Tokens of a JSON value in its slot."""
    return base.encode(write_value(value))


def canvas_of(template: SchemaTemplate, size: int) -> Canvas:
    """The layout of a template's canvas, one row padded to `size`; a field's number is that of its segment."""
    field, offset = np.full((1, size), -1, np.int32), np.zeros((1, size), np.int32)
    for number, segment in enumerate(template.segments):
        positions = list(segment.value_positions)
        field[0, positions], offset[0, positions] = number, np.arange(len(positions))
    return Canvas(field=field, offset=offset, exists=np.arange(size)[None] < len(template.tokens))


def build_canvas_block(
    base: FrozenBase,
    template: SchemaTemplate,
    prompts: Sequence[QueryPrompt],
    *,
    rows: int,
    prompt_slots: int,
    canvas_slots: int,
) -> CanvasBlock:
    """Lays out queries of one tool, padded to `rows` rows.

    A mask that the base has no embedding for is read as its end of text.
    """
    prompt_ids, prompt_valid = np.zeros((rows, prompt_slots), np.int32), np.zeros((rows, prompt_slots), bool)
    for row, prompt in enumerate(prompts):
        text = prompt.text
        prompt_ids[row, : len(text)], prompt_valid[row, : len(text)] = text, True
    stand_in = base.config.eos_token_ids[0] if base.config.eos_token_ids else 0
    canvas_ids = np.full((1, canvas_slots), stand_in, np.int32)
    for position, token in enumerate(template.tokens):
        canvas_ids[0, position] = token if token < base.config.vocab_size else stand_in
    canvas_valid = np.arange(canvas_slots)[None] < len(template.tokens)
    return CanvasBlock(prompt_ids, prompt_valid, canvas_ids, canvas_valid)


def read_canvas(
    module: SmolLM, params: Any, prefix: KVCache, prefix_valid: Any, start: Any, block: CanvasBlock
) -> Array:
    """As `read_block`: the states at the canvas alone."""
    states: Array = read_block(module, params, prefix, prefix_valid, start, block)[1]
    return states


@partial(jax.jit, static_argnums=0)
def read_block(
    module: SmolLM, params: Any, prefix: KVCache, prefix_valid: Array, start: Array, block: CanvasBlock
) -> tuple[Array, Array]:
    """One pass of the base over a block after a prefix of `start` tokens.

    States [B, Q, D] float32 at the prompt and [B, N, D] float32 at the canvas.
    """
    rows, prompt_slots = block.prompt_ids.shape

    def behind(prompt: Any, canvas: Any) -> Array:
        return jnp.concatenate([prompt, jnp.broadcast_to(canvas, (rows, canvas.shape[1]))], axis=1)

    ids, valid = behind(block.prompt_ids, block.canvas_ids), behind(block.prompt_valid, block.canvas_valid)
    mask = masks.after_prefix(masks.causal(valid), valid, prefix_valid)
    output: Any = module.apply({"params": params}, ids, start + masks.positions(valid), mask, prefix=prefix)
    states = output.hidden.astype(jnp.float32)
    return states[:, :prompt_slots], states[:, prompt_slots:]


def read_query_canvas(base: FrozenBase, call: Asked) -> CanvasReading:
    """Reads a call's query and canvas.

    Raises InputError where either is longer than the largest bucket, or all are than what the base can read.
    """
    tool, prefix = call.tool, call.known.prefix
    template, prompt = canvas_template(base, tool), query_prompt(base, call.query)
    length = len(prompt.text)
    prompt_slots = bucket(length, TOKENS, "tokens of the query")
    canvas_slots = bucket(len(template.tokens), TOKENS, f"canvas of {tool.name!r}")
    base.check_length(prefix.length + length + len(template.tokens))
    block = build_canvas_block(
        base, template, [prompt], rows=1, prompt_slots=prompt_slots, canvas_slots=canvas_slots
    )  # fmt: skip
    asked, states = read_block(base.module, base.params, prefix.cache, prefix.valid, np.int32(prefix.length), block)
    return CanvasReading(tool, template, states, asked, block.prompt_valid)
