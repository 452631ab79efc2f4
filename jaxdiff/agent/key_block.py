"""The last part of filling prompts, laid out for one pass: the queries, and all keys of each side by side after it.

A row holds one call's query, the opening of the answer, the query restated, and one stream `name:` per field. All
streams of a row begin at the same position and see the query but not one another, so that order and number of fields
do not matter. Rows may belong to different tools: each counts its positions from the end of its own prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flax import struct

from jaxdiff.agent.asked import Placed
from jaxdiff.agent.prompting import MAX_CANDIDATES, QueryPrompt, candidate_text, key_ids
from jaxdiff.base.buckets import CALLS, CANDIDATES, FIELDS, PROMPT_TOKENS, TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.features import Array

# Tokens of a candidate whose attention is looked at.
CANDIDATE_TOKENS = 8


@struct.dataclass
class Block:
    """Queries and their keys, padded (B rows, T slots, Q query tokens, F fields, C candidates).

    ids, positions, stream: [B, T] int32. valid: [B, T] bool. keys: [B, F] int32, slot of each field's colon. names:
    [B, F] int32, first slot of its name. definitions: [B, F, 2] int32, first and last slot of the prefix with the
    line that defines the field. opening: [B] int32, slot of the last token before the answer. copy: [B] int32, slot
    of the query's second copy. query_ids: [B, Q] int32; the query's tokens stand in the first slots. query_valid:
    [B, Q]. field_valid: [B, F]. candidate_slots: [B, F, C, CANDIDATE_TOKENS] int32 slots of the prefix.
    candidate_first: [B, F, C] int32, first token.
    """

    ids: Array
    positions: Array
    stream: Array
    valid: Array
    keys: Array
    names: Array
    definitions: Array
    opening: Array
    copy: Array
    query_ids: Array
    query_valid: Array
    field_valid: Array
    candidate_slots: Array
    candidate_first: Array


@dataclass(frozen=True)
class Sizes:
    """Padded sizes of a block: rows, slots, query tokens, fields, candidates."""

    rows: int
    slots: int
    query: int
    fields: int
    candidates: int


def sizes_of(base: FrozenBase, asked: Sequence[Placed], prompts: Sequence[QueryPrompt]) -> Sizes:
    """The buckets that hold all calls. Raises InputError where a query is longer than the largest one."""
    slots, query, fields, candidates = 0, 0, 0, 0
    for call, prompt in zip(asked, prompts, strict=True):
        tool = call.tool
        length = len(prompt.restated) + sum(len(key_ids(base, field)) for field in tool.fields)
        most = max((len(field.candidates) for field in tool.fields), default=0)
        query = max(query, bucket(len(prompt.ids), TOKENS, "tokens of the query"))
        slots = max(slots, bucket(length, PROMPT_TOKENS, "tokens of the query, read twice, and its keys"))
        fields = max(fields, bucket(len(tool.fields), FIELDS, f"fields of {tool.name!r}"))
        candidates = max(candidates, bucket(min(most, MAX_CANDIDATES), CANDIDATES, "candidates"))
    return Sizes(bucket(len(asked), CALLS, "calls"), slots, query, fields, candidates)


def build_block(base: FrozenBase, asked: Sequence[Placed], prompts: Sequence[QueryPrompt], sizes: Sizes) -> Block:
    """Lays out calls, one a row; prompts: those of their queries."""
    rows, shape = sizes.rows, (sizes.rows, sizes.slots)
    block = Block(
        ids=np.zeros(shape, np.int32),
        positions=np.zeros(shape, np.int32),
        stream=np.full(shape, -2, np.int32),
        valid=np.zeros(shape, bool),
        keys=np.zeros((rows, sizes.fields), np.int32),
        names=np.zeros((rows, sizes.fields), np.int32),
        definitions=np.full((rows, sizes.fields, 2), (0, -1), np.int32),
        opening=np.zeros(rows, np.int32),
        copy=np.zeros(rows, np.int32),
        query_ids=np.zeros((rows, sizes.query), np.int32),
        query_valid=np.zeros((rows, sizes.query), bool),
        field_valid=np.zeros((rows, sizes.fields), bool),
        candidate_slots=np.zeros((rows, sizes.fields, sizes.candidates, CANDIDATE_TOKENS), np.int32),
        candidate_first=np.zeros((rows, sizes.fields, sizes.candidates), np.int32),
    )
    distinct = {(id(call.tool), id(call.known)): call for call in asked}
    layouts = {key: _lay_out(base, call, sizes) for key, call in distinct.items()}
    for row, (call, prompt) in enumerate(zip(asked, prompts, strict=True)):
        layout, text = layouts[id(call.tool), id(call.known)], prompt.restated
        ids, stream = list(text), [-1] * len(text)
        positions = list(range(len(text)))
        for i, key in enumerate(layout.keys):
            ids += key
            stream += [i] * len(key)
            positions += range(len(text), len(text) + len(key))
            block.keys[row, i], block.names[row, i] = len(ids) - 1, len(ids) - len(key)
        block.ids[row, : len(ids)], block.stream[row, : len(ids)] = ids, stream
        block.positions[row, : len(ids)] = np.array(positions) + call.known.length
        block.valid[row, : len(ids)] = True
        block.opening[row] = len(prompt.text) - 1
        block.copy[row] = prompt.copy
        block.query_ids[row, : len(prompt.ids)] = prompt.ids
        block.query_valid[row, : len(prompt.ids)] = True
        block.field_valid[row, : len(layout.keys)] = True
        block.definitions[row, : len(layout.keys)] = layout.definitions
        block.candidate_slots[row], block.candidate_first[row] = layout.candidate_slots, layout.candidate_first
    return block


@dataclass(frozen=True)
class _Layout:
    """What all rows of a tool have in common: tokens of its keys, its row of a block's definitions and candidates."""

    keys: list[list[int]]
    definitions: np.ndarray
    candidate_slots: np.ndarray
    candidate_first: np.ndarray


def _lay_out(base: FrozenBase, call: Placed, sizes: Sizes) -> _Layout:
    fields, known = call.tool.fields, call.known
    slots = np.zeros((sizes.fields, sizes.candidates, CANDIDATE_TOKENS), np.int32)
    first_token = np.zeros((sizes.fields, sizes.candidates), np.int32)
    for i, field in enumerate(fields):
        ranges = known.prompt.candidates.get(field.name, [])[: sizes.candidates]
        for j, (first, last) in enumerate(ranges):
            # A short candidate repeats its last token, which a maximum does not mind.
            slots[i, j] = np.minimum(np.arange(first, first + CANDIDATE_TOKENS), last) + known.offset
            first_token[i, j] = base.encode(" " + candidate_text(field.candidates[j]))[0]
    definitions = np.array([known.prompt.definitions[field.name] for field in fields], np.int32).reshape(-1, 2)
    return _Layout([key_ids(base, field) for field in fields], definitions + known.offset, slots, first_token)
