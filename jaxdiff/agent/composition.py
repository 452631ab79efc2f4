"""What is to be composed of a call, and what was; a call with more slots than a canvas holds comes apart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from jaxdiff.agent.assignment import Span
from jaxdiff.agent.filled import FillTrace
from jaxdiff.agent.parts import parts_within
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class Composition:
    """A call with fields to be composed.

    row: its row in the encoding. spans: number of each text field -> words of the query for it. fields: numbers of
    those that are composed. sizes: tokens of slots that have grown, by number of the field. texts: what was composed
    before, by number of the field.
    """

    row: int
    tool: Tool
    query: str
    spans: dict[int, Span | None]
    fields: list[int]
    sizes: dict[int, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Composed:
    """Text and confidence of each composed field, by its number, and how they came about.

    full: tokens of the slots that are filled to their end, by number of the field: the text may go on behind it.
    """

    texts: dict[int, tuple[str, float]]
    trace: FillTrace
    full: dict[int, int] = field(default_factory=dict)

    def beside(self, other: Composed) -> Composed:
        """Both, of other fields of the same call."""
        return Composed(self.texts | other.texts, self.trace.beside(other.trace), self.full | other.full)


def slot_size(base: FrozenBase, call: Composition, number: int) -> int:
    """Tokens of a field's slot."""
    return call.sizes.get(number) or slot_tokens(call.tool.fields[number], base.encode)


def parts_of(base: FrozenBase, call: Composition, most: int) -> list[Composition]:
    """The call, or where its slots have more than `most` tokens, parts of it that are blind to one another."""
    parts = parts_within(call.spans, lambda i: slot_size(base, call, i), most)
    if len(parts) == 1:
        return [call]
    composed = [(part, [i for i in part if i in call.fields]) for part in parts]
    return [replace(call, spans={i: call.spans[i] for i in part}, fields=fields) for part, fields in composed if fields]
