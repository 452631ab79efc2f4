"""One row as the model sees it: the prompt, the canvas with its slots, the labels, and the call that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxdiff.agent.items_apart import join_items
from jaxdiff.agent.prompting import example_ids, key_ids, query_prompt, tool_prompt
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.errors import FillError
from jaxdiff.schema.merge import merge
from jaxdiff.schema.tools import parse_tools

from .labels import label_row
from .rows import Row
from .statistics import how_said


@dataclass(frozen=True)
class SeenField:
    """What is asked for a field.

    key: the text behind which the base is read. words: those of the query that say the value, "" where not known.
    tokens: (first, last) of them among the query's. candidate: of the listed ones, as JSON value, or None. said: how
    the query says it, "" for an absent field. slot: text of the canvas slot, without <NULL>; None where the value is
    not composed. size: tokens of the slot.
    """

    name: str
    kind: str
    required: bool
    key: str
    present: bool
    words: str
    tokens: tuple[int, int] | None
    candidate: Any
    copied: int
    said: str
    slot: str | None
    size: int


@dataclass(frozen=True)
class Inspection:
    """A row, decoded.

    prompt: its parts in order, by name, as text. query_tokens: number of them. arguments: what `merge` makes of the
    labels; problem: why it makes nothing, or "".
    """

    row: Row
    prompt: Mapping[str, str]
    query_tokens: int
    fields: tuple[SeenField, ...]
    arguments: dict[str, Any] | None
    problem: str


def inspect_row(base: FrozenBase, row: Row) -> Inspection:
    """Everything is decoded from the token ids and labels that training takes; `base` is asked for tokens alone."""
    (tool,) = parse_tools([row.tool])
    known, asked = tool_prompt(base, tool), query_prompt(base, row.query)
    labels = label_row(row, tool, asked.offsets, base.encode)
    slots = {owner: (base.decode(list(ids)), size) for owner, ids, size in labels.slots}
    fields, texts = [], {}
    for i, field in enumerate(tool.fields):
        first, last = int(labels.start[i]), int(labels.end[i])
        places = [(first, last), *((a, b) for owner, a, b in labels.further if owner == i)] if first >= 0 else []
        parts = [row.query[asked.offsets[a][0] : asked.offsets[b][1]].strip() for a, b in places]
        words = " … ".join(parts)
        chosen = int(labels.candidate[i])
        candidate = field.candidates[chosen] if chosen >= 0 else None
        slot, size = slots.get(i, (None, 0))
        present = bool(labels.presence[i])
        if present and field.candidates:
            if chosen >= 0:
                texts[field.name] = candidate
        elif present and labels.copied[i] == 1:
            texts[field.name] = join_items(parts, field) if len(parts) > 1 else words
        elif present and slot is not None:
            texts[field.name] = slot.removeprefix(" ")
        seen = SeenField(
            name=field.name,
            kind=field.kind.value,
            required=field.required,
            key=base.decode(key_ids(base, field)),
            present=present,
            words=words,
            tokens=(first, last) if first >= 0 else None,
            candidate=candidate,
            copied=int(labels.copied[i]),
            said=how_said(field, int(labels.copied[i]), first) if present else "",
            slot=slot,
            size=size,
        )
        fields.append(seen)
    prompt = {
        "example": base.decode(example_ids(base)),
        "tool": base.decode(known.ids),
        "query": base.decode(asked.restated),
    }
    arguments, problem = None, ""
    try:
        arguments = merge(tool, texts).arguments
    except FillError as error:
        problem = str(error)
    return Inspection(row, prompt, len(asked.ids), tuple(fields), arguments, problem)
