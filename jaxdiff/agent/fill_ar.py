"""Autoregressive fill by the frozen base under the scaffold: the yardstick for every other fill.

Field after field, each seeing those before it, as far as there is room for them. Keys and line ends are given, never
decoded.
"""

from __future__ import annotations

import numpy as np

from jaxdiff.agent.filled import Filling
from jaxdiff.agent.frozen_branches import settle
from jaxdiff.agent.frozen_context import KEY_TOKENS, append, free_slots, open_context, padded, read_keys
from jaxdiff.agent.frozen_values import Decision, asked_fields, decide, longest_value, value_width
from jaxdiff.agent.parts import parts_within
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
) -> Filling:
    """The present fields of a call, in schema order.

    known: the tool as read. present: exactly these fields are filled; by default the base decides by ` none` which
    optional ones the query leaves out, and so which branches are taken: where those do not agree with the fields one by
    one, all are decoded anew. Raises InputError for an unknown name, or text longer than the largest bucket.
    """
    prompt = query_prompt(base, query)
    ids = prompt.text
    fields = asked_fields(tool, present)
    newline = base.encode("\n")
    keys = {field.name: newline + key_ids(base, field) for field in fields}
    tables, width = field_tables(base, fields), value_width(base, fields)
    widest = bucket(max(map(len, keys.values()), default=1), KEY_TOKENS, "tokens of a field's name")
    # Behind what is kept of the last row, its padding must fit too.
    sizes = {field.name: len(keys[field.name]) + longest_value(base, field) for field in fields}
    decisions: dict[str, Decision] = {}
    # Where an answer with all fields may have no room, later parts are blind to those before.
    room = free_slots(base, known.prefix, ids) - widest - width
    for part in parts_within(fields, lambda field: sizes[field.name], room):
        context = open_context(base, known.prefix, ids, sum(sizes[field.name] for field in part) + widest + width)
        for i, field in enumerate(part):
            key = keys[field.name] if i else keys[field.name][len(newline) :]
            read = read_keys(base.module, base.params, context, *padded([key], 1, widest))
            (decision,) = decide(base, context, read, [field], tables, width, none_margin, told=present is not None)
            decisions[field.name] = decision
            if field is not part[-1]:
                context = append(context, decision.row.written, np.int32(decision.row.index))
    settled = settle(tool, decisions, present)
    if settled.names != {name for name, decision in decisions.items() if decision.present}:
        # Each field is decoded after the ones before it, which must be those of the call.
        return fill_ar(base, tool, known, query, none_margin=none_margin, present=settled.names)
    return settled.filling(query, "ar")
