"""Rows expanded from tool packs: a template of a query, values for its placeholders (format: packs/README.md)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

from .rows import Row, read_json_lines

PACKS = Path(__file__).parent.parent / "packs"
TRAIN_PACKS = PACKS / "train.jsonl"
PAIR_PACKS = PACKS / "pairs.jsonl"
ROLE_PACKS = PACKS / "roles.jsonl"
VALIDATION_PACKS = PACKS / "validation.jsonl"
TEST_PACKS = PACKS / "test.jsonl"

# A small pack may have fewer distinct queries than are asked for; drawing stops after this many attempts a query.
_ATTEMPTS = 20
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def expand_packs(path: str | Path, per_tool: int, seed: int) -> list[Row]:
    """Up to `per_tool` rows with distinct queries for each tool of the packs in `path`.

    A tool's rows depend on `seed` and its own pack alone. Templates and values are drawn in shuffled rounds, which
    cover all evenly. Schemas that the scaffold does not support are among them (see `supported`). Raises InputError
    naming file and line.
    """
    if per_tool < 1:
        raise InputError(f"{per_tool=} must be >= 1")
    rows: list[Row] = []
    for place, pack in read_json_lines(path):
        try:
            rows += expand_pack(pack, per_tool, random.Random(f"{seed}:{pack['tool']['name']}"))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{place}: not a tool pack: {type(error).__name__}: {error}") from error
    return rows


def expand_pack(pack: dict[str, Any], per_tool: int, rng: random.Random) -> Iterator[Row]:
    """Up to `per_tool` rows with distinct queries of one pack. Raises KeyError or TypeError for what is no pack."""
    tool, templates = pack["tool"], _rounds(pack["templates"], rng)
    values = {name: _rounds(entries, rng) for name, entries in pack["values"].items()}
    seen: set[str] = set()
    for _ in range(_ATTEMPTS * per_tool):
        if len(seen) == per_tool:
            return
        query, said, spans = _fill(next(templates), values)
        if query in seen:
            continue
        arguments = {name: said[name] for name in tool["parameters"]["properties"] if name in said}
        yield Row(f"packs-{tool['name']}-{len(seen)}", "packs", tool, query, arguments, spans, pack["suite"])
        seen.add(query)


def _rounds(items: Sequence[Any], rng: random.Random) -> Iterator[Any]:
    """Endless: all items in a random order, then all in another, ... Raises IndexError where there are none."""
    if not items:
        raise IndexError("an empty list")
    while True:
        yield from rng.sample(items, len(items))


def _fill(template: str, values: dict[str, Iterator[Any]]) -> tuple[str, dict[str, Any], dict[str, tuple[int, int]]]:
    """The query, the value of each placeholder, and where in the query it is said."""
    query, end = "", 0
    arguments, spans = {}, {}
    for placeholder in _PLACEHOLDER.finditer(template):
        name = placeholder[1]
        say, value = spoken(next(values[name]))
        query += template[end : placeholder.start()]
        spans[name] = (len(query), len(query) + len(say))
        query, end = query + say, placeholder.end()
        arguments[name] = value
    return query + template[end:], arguments, spans


def spoken(entry: Any) -> tuple[str, Any]:
    """What is said and what is meant, of an entry of a pack's values."""
    if isinstance(entry, dict) and set(entry) == {"say", "value"}:
        return entry["say"], entry["value"]
    return str(entry), entry
