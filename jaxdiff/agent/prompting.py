"""The one place that renders prompts.

A filling prompt has four parts. What comes first changes least, so that its keys and values can be kept:

    example   one worked call, always the same
    tool      the chosen function and its parameters
    query     the user's words; for the reader, once more as the first line of the answer
    keys      one short stream `name:` per field, side by side after the query

Where a query's tokens are read once, each knows only what stands before it. In the second copy every token has seen
the whole query (echo embeddings, Springer et al., arXiv 2402.15449).

The worked example shows the base what follows a key: a value, `none` for what the query leaves out, `true`, a listed
candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxdiff.base.buckets import PROMPT_TOKENS
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.fields import Field
from jaxdiff.schema.tools import Tool

TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"

EXAMPLE_TOOL = """Function reserve_court: Reserve a court at a sports club.
Parameters:
- sport (string): kind of sport
- court (integer): number of the court
- player (string): name of the player
- coach (string): name of the coach
- surface (string, one of clay, grass, wood): floor
- lights (boolean, one of true, false): switch on the floodlights"""
EXAMPLE_QUERY = "Can you get Dana Ruiz onto court 7 for squash on a wooden floor? With floodlights please."
EXAMPLE_ANSWER = "sport: squash\ncourt: 7\nplayer: Dana Ruiz\ncoach: none\nsurface: wood\nlights: true"

# Opens the first line of an answer that restates the query.
RESTATED = "request: "

# Characters of a description; fewer where the tool would be longer than what can be read.
DESCRIPTIONS = (300, 100, 30, 0)
MAX_CANDIDATES = 32


@dataclass(frozen=True)
class ToolPrompt:
    """The tool's part: token ids, and by field the token ranges (first, last) of the line that defines it and of each
    of its candidates."""

    ids: list[int]
    definitions: dict[str, tuple[int, int]]
    candidates: dict[str, list[tuple[int, int]]]


@dataclass(frozen=True)
class QueryPrompt:
    """The query's part: its own tokens with code-point offsets, then the tokens that open the answer.

    lead, closing: what stands before and after the query's second copy, where the answer restates it.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]
    ending: list[int]
    lead: list[int]
    closing: list[int]

    @property
    def text(self) -> list[int]:
        """The query's tokens with those that open the answer."""
        return self.ids + self.ending

    @property
    def restated(self) -> list[int]:
        """All tokens before the keys, with the query in both places."""
        return self.text + self.lead + self.ids + self.closing

    @property
    def copy(self) -> int:
        """Place of the second copy's first token in `restated`."""
        return len(self.text) + len(self.lead)


def candidate_text(value: object) -> str:
    """A candidate as it stands in prompts: `true`, `null`, text without quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def example_ids(base: FrozenBase) -> list[int]:
    """Tokens of the worked example, and the opening of the turn that holds the tool."""
    turns = (("system", EXAMPLE_TOOL), ("user", EXAMPLE_QUERY), ("assistant", EXAMPLE_ANSWER))
    ids: list[int] = []
    for role, text in turns:
        ids += base.special(TURN_START) + base.encode(f"{role}\n{text}") + base.special(TURN_END) + base.encode("\n")
    return ids + base.special(TURN_START) + base.encode("system\n")


def tool_prompt(base: FrozenBase, tool: Tool) -> ToolPrompt:
    """Renders a function with its parameters, and opens the user's turn."""
    for characters in DESCRIPTIONS:
        prompt = _tool_prompt(base, tool, characters)
        if len(prompt.ids) <= PROMPT_TOKENS[-1]:
            break
    return prompt


def _tool_prompt(base: FrozenBase, tool: Tool, characters: int) -> ToolPrompt:
    text = f"Function {tool.name}: {tool.description}\nParameters:"
    ranges: dict[str, list[tuple[int, int]]] = {}
    lines: dict[str, tuple[int, int]] = {}
    for field in tool.fields:
        text += "\n- "
        begin = len(text)
        text += f"{field.name} ({_kind_words(field)}"
        if field.candidates:
            text += ", one of "
            ranges[field.name] = []
            for i, value in enumerate(field.candidates[:MAX_CANDIDATES]):
                text += ", " if i else ""
                words = candidate_text(value)
                ranges[field.name].append((len(text), len(text) + len(words)))
                text += words
        text += f"): {field.description[:characters]}"
        lines[field.name] = begin, len(text)
    ids, offsets = base.encode_with_offsets(text)

    def tokens(span: tuple[int, int]) -> tuple[int, int]:
        return tokens_at(offsets, text, *span) or (0, 0)

    definitions = {name: tokens(line) for name, line in lines.items()}
    closing = base.special(TURN_END) + base.encode("\n") + base.special(TURN_START) + base.encode("user\n")
    candidates = {name: [tokens(span) for span in spans] for name, spans in ranges.items()}
    return ToolPrompt(ids + closing, definitions, candidates)


def query_prompt(base: FrozenBase, query: str) -> QueryPrompt:
    """Renders the query, and opens the assistant's turn."""
    ids, offsets = base.encode_with_offsets(query)
    ending = base.special(TURN_END) + base.encode("\n") + base.special(TURN_START) + base.encode("assistant\n")
    return QueryPrompt(ids, offsets, ending, base.encode(RESTATED), base.encode("\n"))


def key_ids(base: FrozenBase, field: Field) -> list[int]:
    """Tokens of a field's key."""
    return base.encode(f"{field.name}:")


def tokens_at(offsets: Sequence[tuple[int, int]], text: str, start: int, end: int) -> tuple[int, int] | None:
    """First and last token that hold visible characters of text[start:end], or None.

    A token may begin one character early, with its space.
    """
    inside = [i for i, (first, last) in enumerate(offsets) if text[max(first, start) : min(last, end)].strip()]
    return (inside[0], inside[-1]) if inside else None


def _kind_words(field: Field) -> str:
    kind = field.first.schema.get("type")
    return str(kind) if kind is not None else "value"
