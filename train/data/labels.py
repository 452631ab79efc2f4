"""What a row asks of a head: spans, presence, candidates, and the tokens of its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jaxdiff.agent.items_apart import join_items
from jaxdiff.agent.prompting import tokens_at
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Field, Kind, escape_pointer
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import ValueNotUnderstood, parse_value, write_value

from .rows import Row
from .spans import Span, find_items, find_spans

Encode = Callable[[str], Sequence[int]]
Slot = tuple[int, tuple[int, ...], int]
"""A value that may be composed: number of its field, its token ids without <NULL>, and tokens of the whole slot."""


@dataclass(frozen=True)
class RowLabels:
    """One row's `Labels`, unpadded (F fields).

    start, end, candidate, copied: [F] int32. presence: [F] bool. slots: of the values that may be composed. further:
    (number of the field, first token, last token) of each item of a list that is said apart from the first.
    """

    start: np.ndarray
    end: np.ndarray
    presence: np.ndarray
    candidate: np.ndarray
    copied: np.ndarray
    slots: tuple[Slot, ...]
    further: tuple[tuple[int, int, int], ...] = ()

    def slot_copied(self, slot: int) -> int:
        """`copied` of the field that a slot belongs to."""
        return int(self.copied[self.slots[slot][0]])


def label_row(row: Row, tool: Tool, offsets: Sequence[tuple[int, int]], encode: Encode) -> RowLabels:
    """Labels of a row whose query has tokens at `offsets`. Values longer than their slot are not composed."""
    count = len(tool.fields)
    start, end = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    candidate, copied = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    presence = np.zeros(count, bool)
    slots = []
    further: list[tuple[int, int, int]] = []
    values, spans = flat_values(tool.fields, row.arguments), field_spans(row, tool)
    apart = places_apart(row.query, tool, values, spans, offsets)
    for i, field in enumerate(tool.fields):
        if field.name not in values:
            continue
        value, span = values[field.name], spans.get(field.name)
        presence[i] = True
        copied[i] = -1 if field.candidates else label_source(row.query, span, field, value)
        if span is not None:
            found = tokens_at(offsets, row.query, *span)
            if found is not None and copied[i] == 1 and field.kind in (Kind.INTEGER, Kind.NUMBER):
                found = fewest_tokens(found, offsets, row.query, field, value)
            if found is not None:
                start[i], end[i] = found
        elif (places := apart.get(field.name)) is not None:
            copied[i] = int(same_value(join_items([row.query[slice(*words)] for words, _ in places], field), value))
            start[i], end[i] = places[0][1]
            further += [(i, *tokens) for _, tokens in places[1:]]
        if field.candidates:
            candidate[i] = next((j for j, c in enumerate(field.candidates) if same_value(c, value)), -1)
            continue
        # A value follows its key after a space, as the words of the query follow one another.
        ids, size = tuple(encode(" " + write_value(value))), slot_tokens(field, encode)
        if len(ids) <= size:
            slots.append((i, ids, size))
    return RowLabels(start, end, presence, candidate, copied, tuple(slots), tuple(further))


def fewest_tokens(
    tokens: tuple[int, int], offsets: Sequence[tuple[int, int]], query: str, field: Field, value: object
) -> tuple[int, int]:
    """The tokens without the words at the end, then at the start, that the value does not need.

    Where a number is said with its unit or with words around ("42.2 km", "lot number 77"), data do not agree on whether
    those belong to it. "two days" stays, where hours are asked for.
    """
    first, last = tokens

    def says(first: int, last: int) -> bool:
        try:
            return same_value(parse_value(query[offsets[first][0] : offsets[last][1]], field), value)
        except ValueNotUnderstood:
            return False

    # A word begins with the token that holds its space.
    begins = [i for i in range(first + 1, last + 1) if query[offsets[i][0]].isspace()]
    for begin in reversed(begins):
        if not says(first, begin - 1):
            break
        last = begin - 1
    for begin in begins:
        if begin > last or not says(begin, last):
            break
        # A space that is a token of its own, as before digits, belongs to no value.
        first = begin + query[slice(*offsets[begin])].isspace()
    return first, last


def label_source(query: str, span: Span | None, field: Field, value: object) -> int:
    """Whether the span's words give the field's value: 1 yes, 0 no (`Labels.copied`)."""
    if span is None:
        return 0
    try:
        return int(same_value(parse_value(query[slice(*span)], field), value))
    except ValueNotUnderstood:
        return 0


def field_spans(row: Row, tool: Tool) -> dict[str, Span]:
    """Where the value of each field is said. Of a nested one it is looked for in the words for what it is a part of."""
    values = flat_values(tool.fields, row.arguments)
    spans = {name: row.spans[name] for name in values if name in row.spans}
    inside: dict[str, dict[str, object]] = {}
    for field in tool.fields:
        outer = next((name for name in row.spans if field.pointer.startswith(f"/{escape_pointer(name)}/")), None)
        if field.name in values and outer is not None:
            inside.setdefault(outer, {})[field.name] = values[field.name]
    for outer, parts in inside.items():
        start, end = row.spans[outer]
        found = find_spans(row.query[start:end], parts)
        spans |= {name: (start + first, start + last) for name, (first, last) in found.items()}
    return spans


def places_apart(
    query: str, tool: Tool, values: Mapping[str, object], spans: Mapping[str, Span], offsets: Sequence[tuple[int, int]]
) -> dict[str, list[tuple[Span, tuple[int, int]]]]:
    """field -> words and tokens (first, last) of each item, in the order of the query, where a list is said apart.

    values: of the fields that the call has. spans: of those of them that are said in one place.
    """
    found: dict[str, list[tuple[Span, tuple[int, int]]]] = {}
    for field in tool.fields:
        value = values.get(field.name)
        if field.kind is not Kind.ARRAY or not isinstance(value, list) or field.name in spans:
            continue
        words = find_items(query, value, list(spans.values()))
        known = [(span, tokens) for span in words if (tokens := tokens_at(offsets, query, *span)) is not None]
        if words and len(known) == len(words):
            found[field.name] = known
    return found
