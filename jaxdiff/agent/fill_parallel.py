"""Parallel fill by the frozen base: every field its own stream after the prompt, blind to the others."""

from __future__ import annotations

from jaxdiff.agent.filled import Filling
from jaxdiff.agent.frozen_branches import settle
from jaxdiff.agent.frozen_context import KEY_TOKENS, open_context, padded, read_keys
from jaxdiff.agent.frozen_decoding import ROWS
from jaxdiff.agent.frozen_values import asked_fields, decide, value_width
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.prompting import key_ids, query_prompt
from jaxdiff.agent.value_tables import field_tables
from jaxdiff.base.buckets import FIELDS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool

# Keys that are read side by side.
KEYS = (*ROWS, *(size for size in FIELDS if size > ROWS[-1]))
# By how much ` none` must beat the best value, in nats; chosen on rows of the training packs (benchmarks/RESULTS.md).
NONE_MARGIN = -12.0


def fill_parallel(
    base: FrozenBase,
    tool: Tool,
    known: ToolPrefix,
    query: str,
    *,
    none_margin: float = NONE_MARGIN,
    present: frozenset[str] | None = None,
) -> Filling:
    """The present fields of a call, in schema order; all values are decoded together in one loop.

    known: the tool as read. present: exactly these fields are filled; by default the base decides by ` none` which
    optional ones the query leaves out, and so which branches are taken: where those require a field that was to be left
    out, all are decoded anew. Raises InputError for an unknown name, or text longer than the largest bucket.
    """
    prompt = query_prompt(base, query)
    fields = asked_fields(tool, present)
    context = open_context(base, known.prefix, prompt.text, room=0)
    if not fields:
        return Filling({})
    keys = [key_ids(base, field) for field in fields]
    count = bucket(len(keys), KEYS, f"fields of {tool.name!r}")
    ids, valid = padded(keys, count, bucket(max(map(len, keys)), KEY_TOKENS, "tokens of a field's name"))
    read = read_keys(base.module, base.params, context, ids, valid)
    tables, width = field_tables(base, fields), value_width(base, fields)
    decisions = decide(base, context, read, fields, tables, width, none_margin, told=present is not None)
    settled = settle(tool, {field.name: found for field, found in zip(fields, decisions, strict=True)}, present)
    if not settled.complete:
        return fill_parallel(base, tool, known, query, none_margin=none_margin, present=settled.names)
    return settled.filling(query, "parallel")
