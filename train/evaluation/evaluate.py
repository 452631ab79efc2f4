"""Accuracy of a fill on rows: whole calls and fields, by the very path that answers users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.heads import Head
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import FillError
from jaxdiff.schema.equality import same_call, same_value
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.tools import Tool

from ..data.labels import field_spans
from ..data.rows import Row

Fill = Callable[[int, Row, Tool, frozenset[str] | None], Filling]
"""(number of the row, row, its tool, fields that are present or None) -> what was read for each field."""


def fill_by(head: Head, base: FrozenBase, denoising: DenoiseConfig) -> Fill:
    """Fills as for a user: every query is read through the base."""
    prefixes = PrefixReader(base)

    def fill(_: int, row: Row, tool: Tool, present: frozenset[str] | None) -> Filling:
        readings = head.read([Asked(tool, prefixes.tool(tool), row.query)])
        (filling,) = head.fill(readings, denoising, present=[present])
        return filling

    return fill


@dataclass
class Report:
    """Counts of right and of all, by name. `share` gives percent.

    whole_call: same keys and values. present: optional fields rightly present or absent. Fields count where the gold
    call has them, by kind, `=` said as written and `~` said otherwise.
    """

    right: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[Row, dict[str, Any] | str]] = field(default_factory=list)

    def count(self, name: str, right: bool) -> None:
        """One more case."""
        self.all[name] += 1
        self.right[name] += right

    def share(self, name: str) -> float:
        """Percent right; 0 where there was no case."""
        return 100 * self.right[name] / max(self.all[name], 1)

    def figures(self) -> dict[str, float]:
        """All shares, to one decimal."""
        return {name: round(self.share(name), 1) for name in sorted(self.all)}


def evaluate(rows: Sequence[tuple[Row, Tool | None]], fill: Fill, *, told_presence: bool = False) -> Report:
    """Fills every row and compares; unsupported schemas (no tool) and calls that cannot be made are wrong."""
    report = Report()
    for number, (row, tool) in enumerate(rows):
        if tool is None:
            report.count("whole_call", False)
            report.wrong.append((row, "unsupported schema"))
            continue
        present = frozenset(flat_values(tool.fields, row.arguments)) if told_presence else None
        try:
            call: dict[str, Any] | str = fill(number, row, tool, present).merge(tool).arguments
        except FillError as error:
            call = str(error)
        right = isinstance(call, dict) and same_call(call, row.arguments)
        report.count("whole_call", right)
        if not right:
            report.wrong.append((row, call))
        _count_fields(report, row, tool, call if isinstance(call, dict) else {})
    return report


def _count_fields(report: Report, row: Row, tool: Tool, call: dict[str, Any]) -> None:
    gold, made, spans = flat_values(tool.fields, row.arguments), flat_values(tool.fields, call), field_spans(row, tool)
    for entry in tool.fields:
        name = entry.name
        if not entry.required:
            report.count("present", (name in made) == (name in gold))
        if name not in gold:
            continue
        right = name in made and same_value(made[name], gold[name])
        report.count("field", right)
        said = row.query[slice(*spans[name])] if name in spans else ""
        as_written = str(gold[name]) == said
        report.count(f"{entry.kind}{'=' if as_written else '~'}", right)
