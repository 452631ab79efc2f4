"""Training rows: one query, one tool, the gold arguments; read from native files and from published sets."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

from jaxdiff.errors import InputError, SchemaError, UnsupportedSchema
from jaxdiff.schema.leaves import fields_of

from .formats.files import read_json_lines, read_records
from .formats.layouts import NATIVE, Layout, recognise, split_source
from .formats.records import Record, UnreadableRecord
from .spans import find_spans

__all__ = ["Dropped", "Row", "read_json_lines", "read_rows", "supported"]

MAX_PROPERTIES = 8
MAX_QUERY_LENGTH = 500

Dropped = Counter[str]
"""How many rows were left out, by reason."""

# "$var_1.result$" stands for what the call with the label $var_1 gives.
_REFERENCE = re.compile(r"\$[A-Za-z_]\w*\.[^\s$]+\$")


@dataclass(frozen=True)
class Row:
    """One query that one tool answers.

    tool: the function definition as JSON, {"name", "description", "parameters"}.
    arguments: the gold values by property; an absent property is not in the call.
    spans: property -> (start, end), code points of `query` where its value is said; only where that is known.
    suite: tools of one suite are natural distractors for each other.
    group: rows of one group are the calls, of different tools, that answer the same query together.
    """

    id: str
    source: str
    tool: dict[str, Any]
    query: str
    arguments: dict[str, Any]
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    suite: str | None = None
    group: str | None = None


def read_rows(
    path: str | Path, limit: int | None = None, seed: int = 0, *, training: bool = True
) -> tuple[list[Row], Dropped]:
    """Rows of records with one user turn, one row a call, and why others were left out.

    path: a file or folder, native or in a published layout, which is told by its keys or named as LAYOUT=PATH.
    Kept are rows of a tool with 1 to `MAX_PROPERTIES` properties that the scaffold supports, whose arguments validate,
    and whose query has at most `MAX_QUERY_LENGTH` code points. limit: a sample of that many, drawn by `seed` and row id
    alone, so that a larger sample holds every smaller one; records beyond it are not looked at and count as sampled
    out. Records of published sets that cannot be read are left out and counted; in native files they are errors.
    training: False to look at sets that must not be trained on. Raises InputError naming file and line.
    """
    if limit is not None and limit < 1:
        raise InputError(f"{limit=} must be >= 1")
    named, file = split_source(str(path))
    _refuse_evaluation_sets(named, file, training)
    entries = list(read_records(file))
    layout = named or _recognised(entries)
    if layout is None:
        return [], Counter()
    _refuse_evaluation_sets(layout, file, training)
    dropped: Dropped = Counter()
    records: list[tuple[bytes, int, str, Record]] = []
    for number, (place, entry) in enumerate(entries):
        if not isinstance(entry, InputError):
            records.append((_rank(seed, layout.name_of(entry, number)), number, place, entry))
        elif layout.name == NATIVE:
            raise entry
        else:
            dropped["unreadable record"] += 1
    rows: dict[int, list[Row]] = {}
    kept = 0
    for seen, (_, number, place, record) in enumerate(sorted(records) if limit else records):
        if kept == limit:
            dropped["sampled out"] = len(records) - seen
            break
        found, reasons = _rows(layout, record, number, place)
        rows[number] = found[: None if limit is None else limit - kept]
        kept += len(rows[number])
        dropped += reasons
    return [row for number in sorted(rows) for row in rows[number]], dropped


def supported(tool: dict[str, Any]) -> bool:
    """Whether the scaffold can hold every argument of the tool. Raises SchemaError for an invalid schema."""
    try:
        fields_of(tool["parameters"])
    except UnsupportedSchema:
        return False
    return True


def _refuse_evaluation_sets(layout: Layout | None, path: str, training: bool) -> None:
    if layout is not None and training and not layout.training:
        raise InputError(
            f"{path}: {layout.dataset} is for evaluation only, its questions overlap with BFCL; it is not trained on"
        )


def _recognised(entries: list[tuple[str, Record | InputError]]) -> Layout | None:
    """The layout of the first record; None for a file without records."""
    for place, entry in entries:
        if isinstance(entry, InputError):
            continue
        return recognise(entry, place)
    if entries and isinstance(entries[0][1], InputError):
        raise entries[0][1]
    return None


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode()).digest()


def _rows(layout: Layout, record: Record, number: int, place: str) -> tuple[list[Row], Dropped]:
    """The rows of a record, and why its others, or the whole of it, are left out."""
    try:
        return _rows_of(layout.read(record, number))
    except UnreadableRecord:
        return [], Counter({"unreadable record": 1})
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        if layout.name != NATIVE:
            return [], Counter({"unreadable record": 1})
        raise InputError(f"{place}: not a row: {type(error).__name__}: {error}") from error


def _rows_of(record: Record) -> tuple[list[Row], Dropped]:
    calls = record["calls"]
    names = [call["name"] for call in calls]
    system = "\n".join(message["content"] for message in record["messages"] if message["role"] == "system")
    turns = [message for message in record["messages"] if message["role"] != "system"]
    reason = ""
    if not calls:
        reason = "no call"
    elif len(set(names)) < len(names):
        reason = "one tool is called twice"
    elif len(turns) != 1:
        reason = "several turns"
    elif not turns[0]["content"].strip():
        reason = "empty query"
    elif len(turns[0]["content"]) > MAX_QUERY_LENGTH:
        reason = "long query"
    if reason:
        return [], Counter({reason: 1})
    several = len(calls) > 1
    found = []
    for number, call in enumerate(calls):
        name = f"{record['id']}/{number}" if several else record["id"]
        found.append(_row(record, call, name, turns[0]["content"], system, record["id"] if several else None))
    return [row for row in found if isinstance(row, Row)], Counter(why for why in found if isinstance(why, str))


def _row(record: Record, call: Mapping[str, Any], name: str, query: str, system: str, group: str | None) -> Row | str:
    """The row of a call, or the reason for which it is left out."""
    arguments = call["arguments"]
    functions = [tool["function"] for tool in record["tools"] if tool["function"]["name"] == call["name"]]
    if not functions:
        return "called tool is not listed"
    function = functions[0]
    parameters = function["parameters"]
    properties = parameters.get("properties", {})
    if not 1 <= len(properties) <= MAX_PROPERTIES:
        return "number of properties"
    if any(_REFERENCE.search(text) for text in _strings(arguments)):
        return "refers to another call's result"
    try:
        if not supported(function):
            return "unsupported schema"
        if not jsonschema.Draft202012Validator(parameters).is_valid(arguments):
            return "arguments do not validate"
    except SchemaError:
        return "bad schema"
    if not set(arguments) <= set(properties):
        return "argument that is not declared"
    if any(_given_only_in(text, system, query) for text in _strings(arguments)):
        return "value from the system message"
    tool = {"name": call["name"], "description": function.get("description", ""), "parameters": parameters}
    return Row(name, record["source"], tool, query, arguments, find_spans(query, arguments), group=group)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _given_only_in(text: str, system: str, query: str) -> bool:
    return text.casefold() in system.casefold() and text.casefold() not in query.casefold()
