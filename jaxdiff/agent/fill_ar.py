"""Autoregressive fill by the frozen base under the scaffold: the yardstick for every other fill.

Field after field, each seeing those before it. Keys and line ends are given, never decoded.
"""

from __future__ import annotations

import numpy as np

from jaxdiff.agent.filled import FilledField
from jaxdiff.agent.frozen_context import KEY_TOKENS, append, open_context, padded, read_keys
from jaxdiff.agent.frozen_values import asked_fields, decide, longest_value, value_width
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.prompting import key_ids, query_prompt
from jaxdiff.agent.value_tables import field_tables
from jaxdiff.base.buckets import bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool

# By how much ` none` must beat the best value, in nats; chosen on rows of the training packs (benchmarks/RESULTS.md).
NONE_MARGIN = -8.0


def fill_ar(
    base: FrozenBase,
    tool: Tool,
    known: ToolPrefix,
    query: str,
    *,
    none_margin: float = NONE_MARGIN,
    present: frozenset[str] | None = None,
) -> dict[str, FilledField]:
    """The present fields of a call, in schema order.

    known: the tool as read. present: exactly these fields are filled; by default the base decides by ` none` which
    optional ones the query leaves out. Raises InputError for an unknown name, or text longer than the largest bucket.
    """
    prompt = query_prompt(base, query)
    fields = asked_fields(tool, present)
    newline = base.encode("\n")
    keys = [(newline if i else []) + key_ids(base, field) for i, field in enumerate(fields)]
    tables, width = field_tables(base, fields), value_width(base, fields)
    widest = bucket(max(map(len, keys), default=1), KEY_TOKENS, "tokens of a field's name")
    longest = sum(len(key) + longest_value(base, field) for key, field in zip(keys, fields, strict=True))
    # Behind what is kept of the last row, its padding must fit too.
    context = open_context(base, known.prefix, prompt.ids + prompt.ending, longest + widest + width)
    filled: dict[str, FilledField] = {}
    for field, key in zip(fields, keys, strict=True):
        ids, valid = padded([key], 1, widest)
        read = read_keys(base.module, base.params, context, ids, valid)
        (decision,) = decide(base, context, read, [field], tables, width, none_margin, told=present is not None)
        if decision.present:
            filled[field.name] = decision.filled(query, "ar")
        if field is not fields[-1]:
            context = append(context, decision.row.written, np.int32(decision.row.index))
    return filled
