"""What a source holds, counted: rows, tools, kinds of fields, how values are said, and how the rows fill batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.fields import Field
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.tools import Tool, parse_tools

from ..reading.batches import CANVAS, SIZES, lay_canvas, size_of
from .labels import RowLabels, label_row
from .rows import Dropped, Row

HISTOGRAM_STEP = 8
LISTED, AS_WRITTEN, OTHERWISE, NO_SPAN = "one of those listed", "as written", "otherwise than written", "no known span"


@dataclass(frozen=True)
class Packed:
    """The rows that are padded to one size (query tokens, fields).

    token_padding, field_padding, canvas_padding: share of the positions that hold nothing, in [0, 1].
    """

    size: tuple[int, int]
    rows: int
    token_padding: float
    field_padding: float
    canvas_padding: float


@dataclass(frozen=True)
class SourceStatistics:
    """Counts of one source.

    tools: distinct definitions. kinds: fields of the rows by kind. optional: how many optional fields the rows' tools
    have; present: how many of them the calls have. said: values by how the query says them. lengths: rows by the
    number of query tokens, rounded down to a multiple of `HISTOGRAM_STEP`. too_large: rows that no size holds.
    """

    rows: int
    grouped: int
    dropped: Dropped
    tools: int
    kinds: Counter[str]
    optional: int
    present: int
    said: Counter[str]
    lengths: Counter[int]
    packed: tuple[Packed, ...]
    too_large: int


def source_statistics(base: FrozenBase, rows: Sequence[Row], dropped: Dropped) -> SourceStatistics:
    """Counts of some rows; `base` is asked for tokens alone."""
    tools: dict[str, Tool] = {}
    kinds: Counter[str] = Counter()
    said: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    optional = present = too_large = 0
    by_size: dict[tuple[int, int], list[tuple[int, int, RowLabels]]] = {size: [] for size in SIZES}
    for row in rows:
        key = repr(row.tool)
        if key not in tools:
            (tools[key],) = parse_tools([row.tool])
        tool = tools[key]
        ids, offsets = base.encode_with_offsets(row.query)
        labels = label_row(row, tool, offsets, base.encode)
        kinds.update(field.kind.value for field in tool.fields)
        may_lack = [field.name for field in tool.fields if not field.required]
        values = flat_values(tool.fields, row.arguments)
        optional, present = optional + len(may_lack), present + sum(name in values for name in may_lack)
        said.update(
            how_said(field, int(labels.copied[i]), int(labels.start[i]))
            for i, field in enumerate(tool.fields)
            if labels.presence[i]
        )
        lengths[len(ids) // HISTOGRAM_STEP * HISTOGRAM_STEP] += 1
        size = size_of(len(ids), len(tool.fields))
        if size is None:
            too_large += 1
        else:
            by_size[size].append((len(ids), len(tool.fields), labels))
    return SourceStatistics(
        rows=len(rows),
        grouped=sum(row.group is not None for row in rows),
        dropped=dropped,
        tools=len(tools),
        kinds=kinds,
        optional=optional,
        present=present,
        said=said,
        lengths=lengths,
        packed=tuple(_packed(base, size, held) for size, held in by_size.items()),
        too_large=too_large,
    )


def how_said(field: Field, copied: int, start: int) -> str:
    """How the query says a value that the call has. copied, start: its labels."""
    if field.candidates:
        return LISTED
    return NO_SPAN if start < 0 else AS_WRITTEN if copied == 1 else OTHERWISE


def _packed(base: FrozenBase, size: tuple[int, int], held: Sequence[tuple[int, int, RowLabels]]) -> Packed:
    if not held:
        return Packed(size, 0, 0.0, 0.0, 0.0)
    labels = [labels for _, _, labels in held]
    canvas, _ = lay_canvas(labels, [range(len(label.slots)) for label in labels], base.config.null_id)
    count = len(held)
    return Packed(
        size,
        count,
        token_padding=1 - sum(tokens for tokens, _, _ in held) / (count * size[0]),
        field_padding=1 - sum(fields for _, fields, _ in held) / (count * size[1]),
        canvas_padding=1 - float(canvas.exists.sum()) / (count * CANVAS),
    )
