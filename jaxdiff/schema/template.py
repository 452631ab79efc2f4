"""The JSON scaffold of a call: fixed text in tokens, and between it one slot of mask tokens for each value.

Text and slots are tokenised apart, so that no token spans both. The quotes of strings belong to the scaffold; a slot
holds raw text. The template's own text is therefore exact JSON only for values without characters to escape: the
arguments of a call are made by `merge`, which types and escapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from jaxdiff.errors import InputError
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.tools import Tool

Encode = Callable[[str], Sequence[int]]
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class TemplateStyle:
    """How the JSON is laid out: on one line or indented, bare or in a Markdown code fence."""

    indent: int | None = None
    code_fence: bool = False


@dataclass(frozen=True)
class FieldSegment:
    """Where a field stands among the template's tokens.

    start: first token of the text that leads to its value.
    end: one past its last value position.
    value_positions: the positions of its slot, ascending.
    """

    name: str
    start: int
    end: int
    value_positions: tuple[int, ...]


@dataclass(frozen=True)
class SchemaTemplate:
    """Tokens with `mask_id` at the value positions, and one segment a field in schema order."""

    tokens: tuple[int, ...]
    segments: tuple[FieldSegment, ...]
    mask_id: int

    def fill(self, values: Mapping[str, Sequence[int]], null_id: int) -> tuple[int, ...]:
        """The tokens with values in their slots and <NULL> behind each. Raises InputError for a value that is too long.

        values: name -> token ids; fields that are left out stay masked.
        """
        filled = list(self.tokens)
        for segment in self.segments:
            if segment.name not in values:
                continue
            ids, room = list(values[segment.name]), len(segment.value_positions)
            if len(ids) > room:
                raise InputError(f"the value of {segment.name!r} has {len(ids)} tokens, its slot {room}")
            for position, token in zip(segment.value_positions, ids + [null_id] * (room - len(ids)), strict=True):
                filled[position] = token
        return tuple(filled)

    def value_texts(self, ids: Sequence[int], decode: Decode, null_id: int) -> dict[str, str]:
        """Text in each slot of a filled canvas, up to its first <NULL> or mask."""
        return {segment.name: decode(self._value(segment, ids, null_id)) for segment in self.segments}

    def text(self, ids: Sequence[int], decode: Decode, null_id: int) -> str:
        """The whole filled canvas as text."""
        kept: list[int] = []
        end = 0
        for segment in self.segments:
            kept += [*ids[end : segment.value_positions[0]], *self._value(segment, ids, null_id)]
            end = segment.end
        return decode([*kept, *ids[end:]])

    def _value(self, segment: FieldSegment, ids: Sequence[int], null_id: int) -> list[int]:
        value: list[int] = []
        for position in segment.value_positions:
            if ids[position] in (null_id, self.mask_id):
                break
            value.append(ids[position])
        return value


def build_template(
    tool: Tool, present: Collection[str], encode: Encode, mask_id: int, style: TemplateStyle | None = None
) -> SchemaTemplate:
    """The scaffold of a call to `tool` with the fields named in `present`, in schema order.

    encode: text -> token ids without special tokens. Raises InputError for unknown names.
    """
    style = style or TemplateStyle()
    known = {field.name for field in tool.fields}
    if unknown := [name for name in present if name not in known]:
        raise InputError(f"tool {tool.name!r} has no field {unknown[0]!r}")
    fields = [field for field in tool.fields if field.name in present]
    newline = "" if style.indent is None or not fields else "\n"
    separator = (", " if style.indent is None else ",\n") if fields else ""
    margin = " " * (style.indent or 0) if newline else ""

    tokens: list[int] = []
    segments: list[FieldSegment] = []
    text = ("```json\n" if style.code_fence else "") + "{" + newline
    for index, field in enumerate(fields):
        quote = _quote(field)
        text += f"{separator if index else ''}{margin}{json.dumps(field.name, ensure_ascii=False)}: {quote}"
        start = len(tokens)
        tokens += encode(text)
        positions = tuple(range(len(tokens), len(tokens) + slot_tokens(field, encode)))
        tokens += [mask_id] * len(positions)
        segments.append(FieldSegment(field.name, start, len(tokens), positions))
        text = quote
    tokens += encode(text + newline + "}" + ("\n```" if style.code_fence else ""))
    return SchemaTemplate(tuple(tokens), tuple(segments), mask_id)


def _quote(field: Field) -> str:
    """Quotes stand in the scaffold where every value of the field is a string."""
    strings = field.kind is Kind.STRING or (
        field.kind is Kind.ENUM and all(isinstance(c, str) for c in field.candidates)
    )
    return '"' if strings else ""
