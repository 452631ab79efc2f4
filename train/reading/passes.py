"""Which rows are read through the base together: those of one tool, which share its prefix, with similar queries."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from jaxdiff.agent.prefix import PrefixReader, ToolPrefix
from jaxdiff.agent.prompting import QueryPrompt, query_prompt
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.rows import Row

# One pass reads at most this many rows; fewer sizes mean fewer programs to compile.
_ROWS = (1, 2, 3, 4, 5, 10)


@dataclass(frozen=True)
class Pass:
    """Rows to read at once: their numbers among all, and their prompts."""

    tool: Tool
    known: ToolPrefix
    numbers: tuple[int, ...]
    prompts: tuple[QueryPrompt, ...]

    @property
    def rows(self) -> int:
        """Padded number of rows."""
        return up(len(self.prompts), _ROWS)

    @property
    def longest(self) -> int:
        """Tokens of the longest query with what opens the answer."""
        return max(len(prompt.text) for prompt in self.prompts)


def passes(
    base: FrozenBase, rows: Sequence[Row], fits: Callable[[Tool, QueryPrompt], bool], done: Collection[int] = ()
) -> Iterator[Pass]:
    """All rows, tool by tool; those that do not fit a pass are left out.

    done: numbers of rows that need not be read; passes of such rows alone are left out, the others stay what they are,
    so that a row is always read in the same company.
    """
    reader = PrefixReader(base, keep=2)
    by_tool: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        by_tool.setdefault(json.dumps(row.tool), []).append(number)
    for group in by_tool.values():
        tool = parse_tools([rows[group[0]].tool])[0]
        prompts = [(number, query_prompt(base, rows[number].query)) for number in group]
        prompts = [(number, prompt) for number, prompt in prompts if fits(tool, prompt)]
        prompts.sort(key=lambda pair: len(pair[1].ids))
        for start in range(0, len(prompts), _ROWS[-1]):
            numbers, chosen = zip(*prompts[start : start + _ROWS[-1]], strict=True)
            if done and all(number in done for number in numbers):
                continue
            yield Pass(tool, reader.tool(tool), numbers, chosen)


def up(size: int, sizes: tuple[int, ...]) -> int:
    """The smallest of `sizes` that holds `size`."""
    return next(candidate for candidate in sizes if size <= candidate)
