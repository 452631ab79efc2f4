"""Training rows: one query, one tool, the gold arguments; read from the native JSON Lines format."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema

from jaxdiff.errors import InputError, SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import fields_of

from .spans import find_spans

MAX_PROPERTIES = 8
MAX_QUERY_LENGTH = 500

Dropped = Counter[str]
"""How many rows were left out, by reason."""


@dataclass(frozen=True)
class Row:
    """One query that one tool answers.

    tool: the function definition as JSON, {"name", "description", "parameters"}.
    arguments: the gold values by property; an absent property is not in the call.
    spans: property -> (start, end), code points of `query` where its value is said; only where that is known.
    suite: tools of one suite are natural distractors for each other.
    """

    id: str
    source: str
    tool: dict[str, Any]
    query: str
    arguments: dict[str, Any]
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    suite: str | None = None


def read_json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of "file:line" and the object on that line; blank lines are skipped. Raises InputError naming both."""
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{place}: not JSON: {error.msg} (column {error.colno})") from error
                if not isinstance(value, dict):
                    raise InputError(f"{place}: expected a JSON object, not {type(value).__name__}")
                yield place, value
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def read_rows(path: str | Path, limit: int | None = None, seed: int = 0) -> tuple[list[Row], Dropped]:
    """Rows with one call and one user turn, and why others were left out.

    Kept are rows of a tool with 1 to `MAX_PROPERTIES` properties that the scaffold supports, whose arguments validate,
    and whose query has at most `MAX_QUERY_LENGTH` code points. limit: a sample of that many, drawn by `seed` and row id
    alone, so that a larger sample holds every smaller one; rows beyond it are not looked at and count as sampled out.
    Raises InputError naming file and line.
    """
    if limit is not None and limit < 1:
        raise InputError(f"{limit=} must be >= 1")
    records = [(_rank(seed, f"{record.get('id')}"), place, record) for place, record in read_json_lines(path)]
    rows: dict[str, Row] = {}
    dropped: Dropped = Counter()
    for seen, (_, place, record) in enumerate(sorted(records, key=lambda entry: entry[0]) if limit else records):
        if len(rows) == limit:
            dropped["sampled out"] = len(records) - seen
            break
        try:
            row = _row(record)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise InputError(f"{place}: not a row: {type(error).__name__}: {error}") from error
        if isinstance(row, str):
            dropped[row] += 1
        else:
            rows[place] = row
    return [rows[place] for _, place, _ in records if place in rows], dropped


def supported(tool: dict[str, Any]) -> bool:
    """Whether the scaffold can hold every argument of the tool. Raises SchemaError for an invalid schema."""
    try:
        fields_of(tool["parameters"])
    except UnsupportedSchema:
        return False
    return True


def _rank(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode()).digest()


def _row(record: dict[str, Any]) -> Row | str:
    """The row, or the reason for which it is left out."""
    calls = record["calls"]
    if len(calls) != 1:
        return "no call" if not calls else "several calls"
    system = "\n".join(message["content"] for message in record["messages"] if message["role"] == "system")
    turns = [message for message in record["messages"] if message["role"] != "system"]
    if len(turns) != 1:
        return "several turns"
    query = turns[0]["content"]
    if not query.strip():
        return "empty query"
    if len(query) > MAX_QUERY_LENGTH:
        return "long query"
    name, arguments = calls[0]["name"], calls[0]["arguments"]
    functions = [tool["function"] for tool in record["tools"] if tool["function"]["name"] == name]
    if not functions:
        return "called tool is not listed"
    function = functions[0]
    parameters = function["parameters"]
    if not 1 <= len(parameters.get("properties", {})) <= MAX_PROPERTIES:
        return "number of properties"
    try:
        if not supported(function):
            return "unsupported schema"
        if not jsonschema.Draft202012Validator(parameters).is_valid(arguments):
            return "arguments do not validate"
    except SchemaError:
        return "bad schema"
    if any(_given_only_in(text, system, query) for text in _strings(arguments)):
        return "value from the system message"
    tool = {"name": name, "description": function.get("description", ""), "parameters": parameters}
    return Row(record["id"], record["source"], tool, query, arguments, find_spans(query, arguments))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _given_only_in(text: str, system: str, query: str) -> bool:
    return text.casefold() in system.casefold() and text.casefold() not in query.casefold()
