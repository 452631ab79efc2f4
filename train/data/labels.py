"""What a row asks of a head: spans, presence, candidates, and the tokens of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxdiff.agent.prompting import tokens_at
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.tools import Tool
from jaxdiff.schema.values import ValueNotUnderstood, parse_value, write_value

from .rows import Row

Encode = Callable[[str], Sequence[int]]
Slot = tuple[int, tuple[int, ...], int]
"""A value that may be composed: number of its field, its token ids without <NULL>, and tokens of the whole slot."""


@dataclass(frozen=True)
class RowLabels:
    """One row's `Labels`, unpadded (F fields).

    start, end, candidate, copied: [F] int32. presence: [F] bool. slots: of the values that may be composed.
    """

    start: np.ndarray
    end: np.ndarray
    presence: np.ndarray
    candidate: np.ndarray
    copied: np.ndarray
    slots: tuple[Slot, ...]

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
    for i, field in enumerate(tool.fields):
        if field.name not in row.arguments:
            continue
        value = row.arguments[field.name]
        presence[i] = True
        copied[i] = label_source(row, field)
        if field.name in row.spans:
            found = tokens_at(offsets, row.query, *row.spans[field.name])
            if found is not None and copied[i] == 1 and field.kind in (Kind.INTEGER, Kind.NUMBER):
                found = fewest_tokens(found, offsets, row.query, field, value)
            if found is not None:
                start[i], end[i] = found
        if field.candidates:
            candidate[i] = next((j for j, c in enumerate(field.candidates) if same_value(c, value)), -1)
            continue
        # A value follows its key after a space, as the words of the query follow one another.
        ids, size = tuple(encode(" " + write_value(value))), slot_tokens(field, encode)
        if len(ids) <= size:
            slots.append((i, ids, size))
    return RowLabels(start, end, presence, candidate, copied, tuple(slots))


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
        first = begin
    return first, last


def label_source(row: Row, field: Field) -> int:
    """Whether the span's words give the field's value (`Labels.copied`): 1 yes, 0 no, -1 absent or with candidates."""
    if field.name not in row.arguments or field.candidates:
        return -1
    if field.name not in row.spans:
        return 0
    start, end = row.spans[field.name]
    try:
        value = parse_value(row.query[start:end], field)
    except ValueNotUnderstood:
        return 0
    return int(same_value(value, row.arguments[field.name]))
