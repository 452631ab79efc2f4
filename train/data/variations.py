"""Varied packs: each tool anew with other names, other properties beside its own, and fewer that are required.

What a head should learn is to read, not which property of which tool is usually said. So each tool comes again with
its properties renamed and shuffled, required ones made optional, and properties of other tools and booleans put beside
them, which some queries say and others do not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

from .flags import make_flag
from .packs import expand_pack, spoken
from .rows import MAX_PROPERTIES, Row, read_json_lines

SAID = 0.45
MADE_OPTIONAL = 0.35
RENAMED = 0.35
_FLAGS = (0, 1, 1, 2)
_BORROWED = (0, 1, 1, 2)
_SAYING = (
    "{words} {say}", "{words}: {say}", "{words} = {say}", "with {words} {say}", "the {words} is {say}",
    "{words} should be {say}", "set {words} to {say}", "use {say} as {words}", "{words} of {say}",
)  # fmt: skip
# Rows of one variation of a tool; more rows mean more variations.
_TOGETHER = 5
_END = re.compile(r"[.!?]*$")


@dataclass(frozen=True)
class _Addition:
    """A property that a tool did not have. says: pairs of (words around "{say}", what is said, value)."""

    name: str
    schema: dict[str, Any]
    says: tuple[tuple[str, str, Any], ...]


def vary_packs(path: str | Path, per_tool: int, seed: int) -> list[Row]:
    """Up to `per_tool` rows of variations of each tool of the packs in `path`, by `seed` alone.

    Raises InputError naming file and line.
    """
    if per_tool < 1:
        raise InputError(f"{per_tool=} must be >= 1")
    packs = list(read_json_lines(path))
    try:
        lenders = [pack for _, pack in packs if pack["tool"]["parameters"]["properties"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not tool packs: {type(error).__name__}: {error}") from error
    rows: list[Row] = []
    for place, pack in packs:
        rng = random.Random(f"{seed}:varied:{pack['tool']['name']}")
        try:
            for first in range(0, per_tool, _TOGETHER):
                rows += _vary(pack, lenders, first, min(_TOGETHER, per_tool - first), rng)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{place}: not a tool pack: {type(error).__name__}: {error}") from error
    return rows


def _vary(
    pack: dict[str, Any], lenders: Sequence[dict[str, Any]], first: int, count: int, rng: random.Random
) -> list[Row]:
    """`count` rows of one variation; `first`: how many rows the tool already has."""
    additions = _additions(pack, lenders, rng)
    names = {name: _renamed(name, rng) for name in pack["tool"]["parameters"]["properties"]}
    if len({*names.values(), *(a.name for a in additions)}) < len(names) + len(additions):
        names, additions = {name: name for name in names}, [a for a in additions if a.name not in names]
    tool = _tool(pack["tool"], names, additions, rng)
    rows = []
    for number, row in enumerate(expand_pack(pack, count, rng), first):
        arguments = {names[name]: value for name, value in row.arguments.items()}
        spans = {names[name]: span for name, span in row.spans.items()}
        varied = replace(row, id=f"varied-{pack['tool']['name']}-{number}", tool=tool, arguments=arguments, spans=spans)
        for addition in additions:
            if rng.random() < SAID:
                varied = _said(varied, addition, rng)
        order = tool["parameters"]["properties"]
        arguments = {name: varied.arguments[name] for name in order if name in varied.arguments}
        rows.append(replace(varied, arguments=arguments))
    return rows


def _additions(pack: dict[str, Any], lenders: Sequence[dict[str, Any]], rng: random.Random) -> list[_Addition]:
    room = MAX_PROPERTIES - len(pack["tool"]["parameters"]["properties"])
    flags = [make_flag(rng) for _ in range(rng.choice(_FLAGS))]
    found = [
        _Addition(
            flag.name, flag.schema, tuple(("{say}", say, value) for value in (True, False) for say in flag.says[value])
        )
        for flag in flags
    ]
    for _ in range(rng.choice(_BORROWED)):
        lender = rng.choice(lenders)
        name = rng.choice(list(lender["tool"]["parameters"]["properties"]))
        schema = lender["tool"]["parameters"]["properties"][name]
        # How the words of a boolean read depends on the sentence; flags have their own.
        if lender["suite"] == pack["suite"] or schema.get("type") in ("object", "boolean"):
            continue
        words = " ".join(_words(name))
        entries = [spoken(entry) for entry in lender["values"][name]]
        says = tuple((form.replace("{words}", words), say, value) for form in _SAYING for say, value in entries)
        found.append(_Addition(name, schema, says))
    distinct = {addition.name: addition for addition in found}
    return list(distinct.values())[: max(room, 0)]


def _tool(
    tool: dict[str, Any], names: dict[str, str], additions: Sequence[_Addition], rng: random.Random
) -> dict[str, Any]:
    properties = {names[name]: schema for name, schema in tool["parameters"]["properties"].items()}
    properties |= {addition.name: addition.schema for addition in additions}
    order = rng.sample(list(properties), len(properties))
    required = [names[name] for name in tool["parameters"].get("required", []) if rng.random() >= MADE_OPTIONAL]
    parameters = tool["parameters"] | {"properties": {name: properties[name] for name in order}, "required": required}
    return tool | {"parameters": parameters}


def _renamed(name: str, rng: random.Random) -> str:
    """Now and then in the other style: `group_size` or `groupSize`."""
    words = _words(name)
    if len(words) == 1 or rng.random() >= RENAMED:
        return name
    return "".join([words[0], *(word.capitalize() for word in words[1:])]) if "_" in name else "_".join(words)


def _words(name: str) -> list[str]:
    return re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " ").lower().split()


def _said(row: Row, addition: _Addition, rng: random.Random) -> Row:
    """The row with the addition said before or behind its query."""
    # Both values of a boolean are as likely, whatever the numbers of their wordings.
    value = rng.choice([value for _, _, value in addition.says])
    form, say, value = rng.choice([entry for entry in addition.says if entry[2] == value])
    before = form[: form.index("{say}")]
    text = before + say + form[form.index("{say}") + len("{say}") :]
    query, where = row.query, rng.random()
    spans = dict(row.spans)
    if where < 0.15 and not before and text[0].isalpha():
        opening = text[0].upper() + text[1:] + rng.choice((": ", ", ", ". "))
        spans = {name: (start + len(opening), end + len(opening)) for name, (start, end) in spans.items()}
        query, begin = opening + query, 0
    else:
        # Marks that are a value's own stay with it.
        end = _END.search(query, max((last for _, last in spans.values()), default=0))
        assert end is not None
        if where < 0.4:
            query = query if query.endswith((".", "!", "?")) else query + "."
            joined, closing = " ", rng.choice((".", "", " please."))
            text = text if before else text[0].upper() + text[1:]
        else:
            # A comma lies between two lists or numbers, so that it stays clear where each ends.
            joined, closing = rng.choice((", ", " - ", "; ", ", and ", " (")), end[0]
            query = query[: end.start()]
            closing = ")" + closing if joined == " (" else closing
        begin = len(query) + len(joined)
        query = query + joined + text + closing
    start = begin + len(before)
    spans[addition.name] = (start, start + len(say))
    return replace(row, query=query, arguments=row.arguments | {addition.name: value}, spans=spans)
