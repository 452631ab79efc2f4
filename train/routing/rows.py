"""Rows for the router: queries with the tool that serves them, if any, and the place where a second request begins."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError, SchemaError
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.packs import PACKS, expand_packs
from ..data.rows import read_json_lines, supported

TALK_TRAIN = PACKS / "talk_train.jsonl"
TALK_VALIDATION = PACKS / "talk_validation.jsonl"
# What joins two requests, and how often the second loses its capital.
_JOINTS = (
    ". ", ". ", ". Also, ", ", and also ", " and ", ", then ", "; ", ". Then ", ". After that, ", " plus ", ", and ",
    ". And ", " and then ", ". One more thing: ", " as well as ",
)  # fmt: skip
_OPENINGS = ("", "", "", "", "First, ", "Please ", "Hi, ", "Two things: ")
_LONGEST_PART = 150


@dataclass(frozen=True)
class RoutingRow:
    """One query.

    calls: (name of the tool, arguments) of each request, in order; none where text answers. starts: code point at which
    each request begins, the first at 0. mode: "tool", "chat" or "think". suite: of its first tool, or of the tools that
    it is near to; None for talk.
    """

    query: str
    mode: str
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    starts: tuple[int, ...] = (0,)
    suite: str | None = None


@dataclass(frozen=True)
class Shelf:
    """Tools of packs and the suite of each, by name."""

    tools: dict[str, Tool]
    suites: dict[str, str]

    def of_suite(self, suite: str | None) -> list[str]:
        """Names of a suite's tools."""
        return [name for name, own in self.suites.items() if own == suite]


def read_shelf(path: Path) -> Shelf:
    """The tools of the packs in `path` that the scaffold supports. Raises InputError naming file and line."""
    tools, suites = {}, {}
    for place, pack in read_json_lines(path):
        try:
            if supported(pack["tool"]):
                (tool,) = parse_tools([pack["tool"]])
                tools[tool.name], suites[tool.name] = tool, pack["suite"]
        except (KeyError, TypeError, AttributeError, SchemaError) as error:
            raise InputError(f"{place}: not a tool pack: {type(error).__name__}: {error}") from error
    return Shelf(tools, suites)


def single_rows(path: Path, shelf: Shelf, per_tool: int, seed: int) -> list[RoutingRow]:
    """Queries of packs, `per_tool` a tool of the shelf."""
    return [
        RoutingRow(row.query, "tool", ((row.tool["name"], row.arguments),), suite=row.suite)
        for row in expand_packs(path, per_tool, seed)
        if row.tool["name"] in shelf.tools
    ]


def declined_rows(path: Path) -> list[RoutingRow]:
    """Queries near to tools that none of their suite serves."""
    return [
        RoutingRow(query, "chat", suite=pack["suite"])
        for _, pack in read_json_lines(path)
        for query in pack["declines"]
    ]


def talk_rows(path: Path) -> list[RoutingRow]:
    """Queries that text answers, at once or after thinking. Raises InputError naming file and line."""
    rows = []
    for place, line in read_json_lines(path):
        mode, query = line.get("mode"), line.get("query")
        if mode not in ("chat", "think") or not isinstance(query, str):
            raise InputError(f'{place}: expected {{"mode": "chat" or "think", "query": text}}, not {json.dumps(line)}')
        rows.append(RoutingRow(query, mode))
    return rows


def joined_rows(singles: Sequence[RoutingRow], count: int, seed: int) -> list[RoutingRow]:
    """Two or three requests in one query: of the same tool, of one suite, or of any two."""
    rng = random.Random(seed)
    short = [row for row in singles if len(row.query) <= _LONGEST_PART]
    pools: dict[tuple[str, str | None], list[RoutingRow]] = {}
    for row in short:
        pools.setdefault(("tool", row.calls[0][0]), []).append(row)
        pools.setdefault(("suite", row.suite), []).append(row)
    rows: list[RoutingRow] = []
    while len(rows) < count:
        first = rng.choice(short)
        near = rng.choice(("tool", "suite", "any"))
        keys = {"tool": ("tool", first.calls[0][0]), "suite": ("suite", first.suite)}
        pool = pools[keys[near]] if near in keys else short
        parts = rng.sample(pool, min(rng.choice((2, 2, 2, 3)), len(pool)))
        if len(parts) > 1:
            rows.append(_join(parts, rng))
    return rows


def _join(parts: Sequence[RoutingRow], rng: random.Random) -> RoutingRow:
    # "Two things" promises a number.
    text = rng.choice(_OPENINGS if len(parts) == 2 else _OPENINGS[:-1])
    starts = []
    for number, part in enumerate(parts):
        query = part.query
        if number:
            joint = rng.choice(_JOINTS)
            if joint.startswith("."):
                text = text.rstrip() + (joint[1:] if text.rstrip().endswith((".", "?", "!")) else joint)
            else:
                text = text.rstrip().rstrip(".?!") + joint
            end = len(text) - len(joint)
            # What joins belongs to the request that follows.
            begun = next((i for i in range(end, len(text)) if text[i].isalnum()), len(text))
            starts.append(begun)
        else:
            starts.append(0)
        if text and not text.endswith((". ", "? ", "! ", ": ")):
            query = _uncapitalised(query)
        text += query
    calls = tuple(part.calls[0] for part in parts)
    return RoutingRow(text, "tool", calls, tuple(starts), parts[0].suite)


def _uncapitalised(text: str) -> str:
    """The first word without its capital, unless it is a name, an abbreviation or "I"."""
    word = text.split(" ", 1)[0]
    plain = word.isalpha() and word != "I" and word[1:] == word[1:].lower()
    return text[:1].lower() + text[1:] if plain else text
