"""What is asked of the base and of a head: one call of a tool, for a query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.prompting import ToolPrompt
from jaxdiff.schema.tools import Tool

Present = Collection[str] | None
"""Names of exactly the fields that a call has, or None where the head decides."""


@dataclass(frozen=True)
class Asked:
    """One call to be filled: the tool, its prefix that has been read (`PrefixReader.tool`), and the query."""

    tool: Tool
    known: ToolPrefix
    query: str


class ToolPlace(Protocol):
    """Where a tool's part of the prompt stands, read or not: its tokens, the slot they begin at, the next position."""

    @property
    def prompt(self) -> ToolPrompt: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...


class Placed(Protocol):
    """A call whose prompt can be laid out: an `Asked`, or one whose tool has not been read."""

    @property
    def tool(self) -> Tool: ...
    @property
    def known(self) -> ToolPlace: ...
    @property
    def query(self) -> str: ...
