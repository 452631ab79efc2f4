"""Values as people say them: how many said values of tool packs become the value that was meant, by type.

Every entry of a pack that gives both the words and the value is read by `parse_value`, as words of a query are. It
comes out right, wrong, or is handed on: words that do not determine a value that the schema allows are left to the
canvas. Strings without a format are copied as they are said; where the value is other words than those, it was
composed, which the words alone cannot tell. They have a row of their own, and do not count for the total.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import report
from jaxdiff.errors import InputError, UnsupportedSchema
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.codes import asked_code
from jaxdiff.schema.dates import asked_format
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.said_words import own_name
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import ValueNotUnderstood, parse_value
from jaxdiff_train.data.packs import TRAIN_PACKS, VALIDATION_PACKS

OUTCOMES = ("right", "wrong", "handed on")
UNREAD = "not one slot"
COPIED = "string, as said"
Figures = dict[str, dict[str, dict[str, int]]]
"""Entries by file of packs, type and outcome."""
LIBRARIES = ("text2num", "dateparser", "babel", "snowballstemmer")


@dataclass(frozen=True)
class Said:
    """Words of a user, the property that they are said for, and the value that they mean."""

    name: str
    schema: dict[str, Any]
    say: str
    value: Any


@dataclass(frozen=True)
class Reading:
    """How one entry came out. found: the value that its words were read as, None where they were handed on."""

    said: Said
    type: str
    outcome: str
    found: Any = None


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    options = _parser().parse_args(argv)
    figures = {}
    for path in options.packs:
        readings = [read(entry) for entry in entries(path)]
        if not readings:
            raise InputError(f"{path} has no value with the words for it")
        figures[path.stem] = count(readings)
        for reading in readings:
            if reading.outcome in options.show and reading.type.startswith(options.type):
                print(_line(reading))
    report.publish("said_values", _table(figures), figures, LIBRARIES)


def entries(path: Path) -> Iterator[Said]:
    """The values of a file of packs that are said in other words. Raises InputError for a file that holds no packs."""
    try:
        lines = path.read_text("utf-8").splitlines()
        for line in lines:
            pack = json.loads(line)
            properties = pack["tool"]["parameters"]["properties"]
            for name, values in pack["values"].items():
                for value in values:
                    if isinstance(value, dict) and value.keys() == {"say", "value"}:
                        yield Said(name, properties[name], value["say"], value["value"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a file of packs: {error!r}") from error


def read(said: Said) -> Reading:
    """Reads the words of one entry and compares with its value."""
    try:
        (tool,) = parse_tools([{"name": "one", "parameters": {"properties": {said.name: said.schema}}}])
    except UnsupportedSchema:
        return Reading(said, str(said.schema.get("type")), UNREAD)
    field = next((field for field in tool.fields if field.name == said.name), None)
    if field is None:
        return Reading(said, str(said.schema.get("type")), UNREAD)
    try:
        found = parse_value(said.say, field)
    except ValueNotUnderstood:
        return Reading(said, type_of(field), "handed on")
    if check_value(found, field) is not None:
        return Reading(said, type_of(field), "handed on", found)
    return Reading(said, type_of(field), "right" if same_value(found, said.value) else "wrong", found)


def type_of(field: Field) -> str:
    """The row of the table that a field belongs to."""
    if field.kind is Kind.ARRAY:
        return f"array of {field.item_kind}"
    if field.kind is not Kind.STRING:
        return str(field.kind)
    if asked_format(field.description, field.format):
        return "string, date or time"
    return "string, code" if asked_code(own_name(field.name), field.description) else COPIED


def count(readings: Iterable[Reading]) -> dict[str, dict[str, int]]:
    """Entries by type and outcome, in the order of the types' names; `all` sums those that are not copied as said."""
    by_type: dict[str, Counter[str]] = {}
    for reading in readings:
        by_type.setdefault(reading.type, Counter())[reading.outcome] += 1
    total: Counter[str] = sum(
        (counter for name, counter in by_type.items() if name != COPIED and not counter[UNREAD]), Counter()
    )
    rows = [*sorted(by_type.items(), key=lambda row: (row[0] == COPIED, row[0])), ("all but as said", total)]
    return {name: {outcome: counter[outcome] for outcome in (*OUTCOMES, UNREAD)} for name, counter in rows}


def _table(figures: Figures) -> Table:
    """Percent of the entries by outcome, one row a type, and the columns of one file of packs after the other's."""
    headings = [f"{stem}\n{heading}" for stem in figures for heading in ("entries", *OUTCOMES)]
    shown = report.table("Said values, percent", "type", *headings)
    for name in {name: None for counts in figures.values() for name in counts}:
        shown.add_row(name, *(cell for counts in figures.values() for cell in _cells(counts.get(name, {}))))
    return shown


def _cells(row: dict[str, int]) -> list[str]:
    entries = sum(row.values())
    if not entries or row[UNREAD]:
        return [str(entries), *["-"] * len(OUTCOMES)]
    return [str(entries), *(f"{100 * row[outcome] / entries:.1f}" for outcome in OUTCOMES)]


def _line(reading: Reading) -> str:
    said = reading.said
    found = "" if reading.outcome == "handed on" else f", read as {json.dumps(reading.found, ensure_ascii=False)}"
    hint = said.schema.get("description", "")
    value = json.dumps(said.value, ensure_ascii=False)
    return f"{reading.outcome} {reading.type} {said.name} ({hint}): {said.say!r} means {value}{found}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.said_values", description=__doc__)
    parser.add_argument(
        "--packs",
        nargs="+",
        type=Path,
        default=[TRAIN_PACKS, VALIDATION_PACKS],
        metavar="FILE",
        help="default: those of training and validation",
    )
    parser.add_argument("--show", nargs="+", choices=OUTCOMES, default=[], help="list entries that came out so")
    parser.add_argument("--type", default="", help="list only types whose name starts so")
    return parser


if __name__ == "__main__":
    raise SystemExit(report.run(main))
