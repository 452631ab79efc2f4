"""The last part of a filling prompt, laid out for one pass: the query, and all keys side by side after it.

One block holds the query, the opening of the answer, and one stream `name:` per field. All streams begin at the same
position and see the query but not one another, so that order and number of fields do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flax import struct

from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.prompting import MAX_CANDIDATES, QueryPrompt, candidate_text, key_ids
from jaxdiff.base.buckets import CANDIDATES, FIELDS, TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.features import Array
from jaxdiff.schema.tools import Tool

# Tokens of a candidate whose attention is looked at.
CANDIDATE_TOKENS = 8


@struct.dataclass
class Block:
    """One query and its keys, padded (B rows, T slots, Q query tokens, F fields, C candidates).

    ids, positions, stream: [B, T] int32. valid: [B, T] bool. keys: [B, F] int32, slot of each field's colon.
    query_ids: [B, Q] int32; the query's tokens stand in the first slots. query_valid: [B, Q]. field_valid: [B, F].
    candidate_slots: [B, F, C, CANDIDATE_TOKENS] int32 slots of the prefix. candidate_first: [B, F, C] int32, first
    token.
    """

    ids: Array
    positions: Array
    stream: Array
    valid: Array
    keys: Array
    query_ids: Array
    query_valid: Array
    field_valid: Array
    candidate_slots: Array
    candidate_first: Array


@dataclass(frozen=True)
class Sizes:
    """Padded sizes of a block: slots, query tokens, fields, candidates."""

    slots: int
    query: int
    fields: int
    candidates: int


def sizes_of(tool: Tool, prompt: QueryPrompt, keys: Sequence[list[int]]) -> Sizes:
    """The bucket of one query. Raises InputError where the query is longer than the largest one."""
    length = len(prompt.ids) + len(prompt.ending) + sum(map(len, keys))
    most = max((len(field.candidates) for field in tool.fields), default=0)
    return Sizes(
        slots=bucket(length, TOKENS, "tokens of the query and its keys"),
        query=bucket(len(prompt.ids), TOKENS, "tokens of the query"),
        fields=bucket(len(tool.fields), FIELDS, f"fields of {tool.name!r}"),
        candidates=bucket(min(most, MAX_CANDIDATES), CANDIDATES, "candidates"),
    )


def build_block(
    base: FrozenBase, tool: Tool, known: ToolPrefix, prompts: Sequence[QueryPrompt], sizes: Sizes, rows: int
) -> Block:
    """Lays out queries of one tool, padded to `rows` rows of `sizes`."""
    fields, keys = tool.fields, [key_ids(base, field) for field in tool.fields]
    shape = (rows, sizes.slots)
    block = Block(
        ids=np.zeros(shape, np.int32),
        positions=np.zeros(shape, np.int32),
        stream=np.full(shape, -2, np.int32),
        valid=np.zeros(shape, bool),
        keys=np.zeros((rows, sizes.fields), np.int32),
        query_ids=np.zeros((rows, sizes.query), np.int32),
        query_valid=np.zeros((rows, sizes.query), bool),
        field_valid=np.zeros((rows, sizes.fields), bool),
        candidate_slots=np.zeros((rows, sizes.fields, sizes.candidates, CANDIDATE_TOKENS), np.int32),
        candidate_first=np.zeros((rows, sizes.fields, sizes.candidates), np.int32),
    )
    for row, prompt in enumerate(prompts):
        text = prompt.ids + prompt.ending
        ids, stream = list(text), [-1] * len(text)
        positions = list(range(len(text)))
        for i, key in enumerate(keys):
            ids += key
            stream += [i] * len(key)
            positions += range(len(text), len(text) + len(key))
            block.keys[row, i] = len(ids) - 1
        block.ids[row, : len(ids)], block.stream[row, : len(ids)] = ids, stream
        block.positions[row, : len(ids)] = np.array(positions) + known.prefix.length
        block.valid[row, : len(ids)] = True
        block.query_ids[row, : len(prompt.ids)] = prompt.ids
        block.query_valid[row, : len(prompt.ids)] = True
        block.field_valid[row, : len(fields)] = True
    for i, field in enumerate(fields):
        ranges = known.prompt.candidates.get(field.name, [])[: sizes.candidates]
        for j, (first, last) in enumerate(ranges):
            # A short candidate repeats its last token, which a maximum does not mind.
            slots = np.minimum(np.arange(first, first + CANDIDATE_TOKENS), last)
            block.candidate_slots[:, i, j] = slots + known.offset
            block.candidate_first[:, i, j] = base.encode(" " + candidate_text(field.candidates[j]))[0]
    return block
