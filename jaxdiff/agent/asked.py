"""What is asked of the base and of a head: one call of a tool, for a query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.schema.tools import Tool

Present = Collection[str] | None
"""Names of exactly the fields that a call has, or None where the head decides."""


@dataclass(frozen=True)
class Asked:
    """One call to be filled: the tool, its prefix that has been read (`PrefixReader.tool`), and the query."""

    tool: Tool
    known: ToolPrefix
    query: str
