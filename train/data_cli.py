"""`python -m train data`: what a source holds (`stats`), and what the model sees of a row (`inspect`)."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxdiff.base.store import load_base
from jaxdiff.errors import InputError

from .data.formats.layouts import split_source
from .data.inspection import Inspection, SeenField, inspect_row
from .data.rows import Dropped, Row, read_rows
from .data.statistics import HISTOGRAM_STEP, SourceStatistics, source_statistics
from .heads.source import load_source
from .settings import PACKAGE_SOURCES, Source

PLAIN_WIDTH = 120
_BAR = 40


def data_main(words: Sequence[str]) -> int:
    """Prints what was asked for. Raises InputError and ConfigError for sources that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m train data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stats = commands.add_parser("stats", help="count rows, tools, fields, how values are said, and padding")
    what = ", ".join(f"{name}[:ROWS]" for name in ("[LAYOUT=]PATH", *PACKAGE_SOURCES))
    stats.add_argument("sources", nargs="+", metavar="SOURCE", help=what)
    inspect = commands.add_parser("inspect", help="show a row's prompt, canvas, labels, and the call they give")
    inspect.add_argument("source", metavar="SOURCE", help="as of stats")
    chosen = inspect.add_mutually_exclusive_group()
    chosen.add_argument("--row", type=int, default=0, metavar="N", help="number of the row, from 0")
    chosen.add_argument("--id", help="id of the row")
    for command in (stats, inspect):
        command.add_argument("--base", default="default", help="whose tokens are counted")
        command.add_argument("--seed", type=int, default=0, help="of the sample, as in training")
    options = parser.parse_args(list(words))
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    names = options.sources if options.command == "stats" else [options.source]
    loaded = [(source, *rows_of(source, options.seed)) for source in map(Source.parse, names)]
    if options.command == "stats":
        base = load_base(options.base)
        for source, rows, dropped in loaded:
            show_statistics(console, source.path, source_statistics(base, rows, dropped))
    else:
        ((source, rows, _),) = loaded
        show_inspection(
            console, inspect_row(load_base(options.base), choose_row(source, rows, options.row, options.id))
        )
    return 0


def rows_of(source: Source, seed: int) -> tuple[list[Row], Dropped]:
    """The rows that training would draw from, and why others were left out; sets for evaluation too."""
    if source.path in PACKAGE_SOURCES:
        return load_source(source, seed, print)[1], Counter()
    return read_rows(source.path, source.rows, seed, training=False)


def choose_row(source: Source, rows: Sequence[Row], number: int, name: str | None) -> Row:
    """The row of an id or number. Raises InputError naming the source."""
    if name is not None:
        found = [row for row in rows if row.id == name]
        if not found:
            raise InputError(f"{source.path}: none of its {len(rows)} rows has the id {name!r}")
        return found[0]
    if not 0 <= number < len(rows):
        raise InputError(f"{source.path}: no row {number}; it has {len(rows)}, counted from 0")
    return rows[number]


def show_statistics(console: Console, path: str, found: SourceStatistics) -> None:
    """Prints the counts of a source."""
    name = Path(split_source(path)[1]).name
    console.rule(escape(name), align="left", characters="=")
    grouped = f", {found.grouped} of them calls beside others of the same query" if found.grouped else ""
    console.print(f"{found.rows} rows of {found.tools} tools{grouped}")
    _show_shares(console, "left out", found.dropped, None)
    _show_shares(console, "fields by kind", found.kinds, sum(found.kinds.values()))
    if found.optional:
        console.print(
            f"optional fields present: {found.present} of {found.optional} ({found.present / found.optional:.1%})\n"
        )
    _show_shares(console, "values said", found.said, sum(found.said.values()))
    if not found.rows:
        return
    table = Table("query tokens", "rows", "", box=SIMPLE_HEAD)
    most = max(found.lengths.values())
    for start in range(0, max(found.lengths) + 1, HISTOGRAM_STEP):
        count = found.lengths[start]
        table.add_row(f"{start}-{start + HISTOGRAM_STEP - 1}", str(count), "#" * round(_BAR * count / most))
    console.print(table)
    table = Table("padded to", "rows", "padding in tokens", "in fields", "in canvas", box=SIMPLE_HEAD)
    for size in found.packed:
        shares = (size.token_padding, size.field_padding, size.canvas_padding) if size.rows else ()
        table.add_row(
            f"{size.size[0]} tokens, {size.size[1]} fields", str(size.rows), *(f"{share:.0%}" for share in shares)
        )
    table.add_row("too large for any", str(found.too_large))
    console.print(table)


def show_inspection(console: Console, found: Inspection) -> None:
    """Prints a row as the model sees it."""
    row = found.row
    console.rule(escape(f"{row.id} ({row.source})"), align="left", characters="=")
    for part, text in found.prompt.items():
        console.rule(f"prompt: {part}", align="left", characters="-")
        console.print(escape(text), highlight=False, soft_wrap=True)
    console.rule("prompt: keys, side by side", align="left", characters="-")
    console.print(escape("  ".join(field.key for field in found.fields)), highlight=False)
    console.rule(f"labels ({found.query_tokens} query tokens)", align="left", characters="-")
    table = Table(
        "field", "kind", "present", "said", "words of the query", "tokens", "candidate", "copied", box=SIMPLE_HEAD
    )
    for field in found.fields:
        table.add_row(*map(escape, _label_cells(field)))
    console.print(table)
    console.rule("canvas", align="left", characters="-")
    for field in found.fields:
        if field.slot is not None:
            console.print(escape(f"{field.name}: {field.slot!r} in a slot of {field.size} tokens"), highlight=False)
    console.rule("call", align="left", characters="-")
    console.print(escape("gold         " + json.dumps(row.arguments, ensure_ascii=False)), highlight=False)
    if found.arguments is None:
        console.print(escape(f"from labels  none: {found.problem}"), highlight=False)
    else:
        verdict = "" if found.arguments == row.arguments else "   (differs)"
        told = json.dumps(found.arguments, ensure_ascii=False)
        console.print(escape(f"from labels  {told}{verdict}"), highlight=False)


def _label_cells(field: SeenField) -> list[str]:
    name = field.name + ("" if field.required else "?")
    if not field.present:
        return [name, field.kind, "no"]
    tokens = "" if field.tokens is None else f"{field.tokens[0]}-{field.tokens[1]}"
    candidate = "" if field.candidate is None else json.dumps(field.candidate, ensure_ascii=False)
    copied = {1: "yes", 0: "no"}.get(field.copied, "")
    return [name, field.kind, "yes", field.said, field.words, tokens, candidate, copied]


def _show_shares(console: Console, title: str, counts: Counter[str], total: int | None) -> None:
    if not counts:
        return
    table = Table(title, "", box=SIMPLE_HEAD)
    for name, count in counts.most_common():
        table.add_row(escape(name), str(count) if total is None else f"{count} ({count / total:.1%})")
    console.print(table)
