"""Which real JSON Schemas the scaffold covers, what it can produce, and how long their preparation takes.

For each subset of `--schemas`: schemas that are prepared; fills of these by adversarial scores and texts that validate
(must be all); valid instances that some decisions and texts make, within the default budget; invalid instances that no
decisions and texts make, whatever the budget; times of preparation, each schema once in a warm process, and of a fill
with its final check. Beside it, in the same run, whether and how fast grammar engines compile the same schemas; a peer
that is not installed is named. That a schema compiles does not say that all of its keywords are kept to.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from jsonschema.protocols import Validator
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer

from benchmarks import report
from benchmarks.random_schemas import RandomDecider, RandomTexts
from benchmarks.schema_peers import MODULES, Peer, installed
from benchmarks.schema_sets import SUBSETS, Case, read_cases
from jaxdiff.base.store import cache_dir
from jaxdiff.errors import JaxdiffError, SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import validator_class
from jaxdiff.schema.scaffold.follow import follow
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import Prepared, forget, prepare
from jaxdiff.schema.scaffold.represent import Tokens, represent
from jaxdiff_convert.registry import ensure_base

WARM = 20
SLOW = ("outlines-core",)
SHOWN_REASONS = 8


@dataclass
class Figures:
    """What was counted for one subset."""

    schemas: int = 0
    covered: int = 0
    dropped: int = 0
    fills: int = 0
    valid: int = 0
    given: int = 0
    produced: int = 0
    beyond: int = 0
    wrong: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)
    filling: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """The cells of the table."""
        return [
            str(self.schemas), percent(self.covered, self.schemas), percent(self.dropped, self.covered),
            percent(self.valid, self.fills), percent(self.produced, self.given), percent(self.refused, self.wrong),
            *quantiles(self.seconds), *quantiles(self.filling),
        ]  # fmt: skip

    def published(self) -> dict[str, Any]:
        """The figures for programs."""
        counts = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        names = ("p50_ms", "p95_ms", "fill_p50_ms", "fill_p95_ms")
        times = dict(zip(names, [*quantiles(self.seconds), *quantiles(self.filling)], strict=True))
        return counts | times | {"reasons": dict(self.reasons.most_common())}


def percent(part: int, whole: int) -> str:
    """A share in percent, rounded down so that 100 means all."""
    return "-" if not whole else f"{part * 1000 // whole / 10:.1f}"


def quantiles(seconds: Sequence[float]) -> list[str]:
    """Median and 95th percentile in milliseconds."""
    if len(seconds) < 2:
        return ["-", "-"]
    return [f"{statistics.median(seconds) * 1e3:.1f}", f"{statistics.quantiles(seconds, n=20)[-1] * 1e3:.1f}"]


def measure(cases: Sequence[Case], encode: Tokens, fills: int, seed: int) -> Figures:
    """Prepares, fills and represents every case."""
    figures = Figures()
    draw = Random(seed)
    for case in track(cases, "scaffold", console=Console(stderr=True)):
        figures.schemas += 1
        started = time.perf_counter()
        try:
            prepared = prepare(case.schema)
        except SchemaError as error:
            keyword = error.keyword if isinstance(error, UnsupportedSchema) else "no value or no schema"
            figures.reasons[keyword] += 1
            figures.problems.append(f"{case.name}: {error}"[:300])
            continue
        finally:
            figures.seconds.append(time.perf_counter() - started)
        figures.covered += 1
        figures.dropped += bool(prepared.dropped)
        dialect = case.schema.get("$schema", "") if isinstance(case.schema, dict) else ""
        _fill(prepared, validator_class(dialect)(case.schema), figures, fills, draw, case.name)
        _represent(prepared, case, figures, encode)
    return figures


def _fill(prepared: Prepared, validator: Validator, figures: Figures, fills: int, draw: Random, name: str) -> None:
    for _ in range(fills):
        # All pairs of kinds have their turn, whatever the number of fills a schema.
        number, kinds, texts = figures.fills, RandomDecider.KINDS, RandomTexts.KINDS
        decider = RandomDecider(draw, kinds[number % len(kinds)])
        filler = RandomTexts(draw, texts[(number + number // len(kinds)) % len(texts)])
        figures.fills += 1
        started = time.perf_counter()
        try:
            scaffold = plan(prepared, decider)
            value = merge(scaffold, {slot.path: filler.text(slot) for slot in scaffold.slots}).value
        except JaxdiffError as error:
            figures.problems.append(f"{name}: a fill failed: {error}"[:300])
            continue
        figures.filling.append(time.perf_counter() - started)
        if validator.is_valid(value):
            figures.valid += 1
        else:
            figures.problems.append(f"{name}: a fill is not valid: {str(value)[:200]}")


def _represent(prepared: Prepared, case: Case, figures: Figures, encode: Tokens) -> None:
    for value in case.valid:
        figures.given += 1
        if follow(prepared, value, None, encode) is not None:
            figures.produced += 1
        elif represent(prepared.feasibility, prepared.node, value, None, encode):
            figures.beyond += 1
        else:
            figures.problems.append(f"{case.name}: cannot be produced: {str(value)[:200]}")
    for value in case.invalid:
        figures.wrong += 1
        if represent(prepared.feasibility, prepared.node, value, None, encode):
            figures.problems.append(f"{case.name}: not valid, but can be produced: {str(value)[:200]}")
        else:
            figures.refused += 1


def compare(cases: Sequence[Case], name: str, tokenizer: Path, limit: float) -> dict[str, Any]:
    """How many of the schemas a peer compiles, and how fast."""
    peer = Peer(name, tokenizer, limit)
    try:
        made = [peer.compile(case.schema) for case in track(cases, name, console=Console(stderr=True))]
    finally:
        peer.close()
    p50, p95 = quantiles([entry.seconds for entry in made])
    reasons = Counter((entry.refused or "")[:60] for entry in made if entry.refused)
    return {
        "schemas": len(made), "compiled": sum(entry.refused is None for entry in made),
        "timeouts": sum(entry.refused == "timeout" for entry in made), "p50_ms": p50, "p95_ms": p95,
        "reasons": dict(reasons.most_common(SHOWN_REASONS)),
    }  # fmt: skip


def main() -> None:
    """Measures all subsets and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemas", type=Path, required=True, help="folder of the subsets")
    parser.add_argument("--subsets", nargs="+", default=SUBSETS)
    parser.add_argument("--every", type=int, default=1, help="every so many schemas")
    parser.add_argument("--fills", type=int, default=5, help="fills a schema")
    parser.add_argument("--peers", nargs="*", default=list(MODULES), help="engines to compare with")
    parser.add_argument("--slow-every", type=int, default=20, help="every so many schemas for peers that take seconds")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds that a peer may take for a schema")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--problems", type=Path, help="file to write one line to for each that is not as it should be")
    options = parser.parse_args()

    tokenizer = ensure_base("default", cache_dir()) / "tokenizer.json"
    spelled = Tokenizer.from_file(str(tokenizer))
    spelled.encode_special_tokens = True

    def encode(text: str) -> Sequence[int]:
        ids: Sequence[int] = spelled.encode(text, add_special_tokens=False).ids
        return ids

    shown = report.table(
        "JSON Schemas", "subset", "schemas", "covered %", "with dropped parts %", "valid fills %",
        "valid instances produced %", "invalid refused %", "prepare p50 ms", "p95 ms", "fill p50 ms", "p95 ms",
    )  # fmt: skip
    peers = report.table("Peers, compiled %", "subset", "peer", "schemas", "compiled %", "timeouts", "p50 ms", "p95 ms")
    figures: dict[str, Any] = {}
    present = installed()
    for name in options.peers:
        if name not in present:
            Console(stderr=True).print(f"{name} is not installed: left out")
    problems: list[str] = []
    for subset in options.subsets:
        cases = read_cases(options.schemas, subset)[:: options.every]
        measure(cases[:WARM], encode, 1, options.seed)
        forget()
        found = measure(cases, encode, options.fills, options.seed)
        problems += found.problems
        shown.add_row(subset, *found.row())
        figures[subset] = {"scaffold": found.published()}
        for name in options.peers:
            if name in present:
                made = compare(cases[:: options.slow_every if name in SLOW else 1], name, tokenizer, options.limit)
                figures[subset][name] = made
                peers.add_row(
                    subset, name, str(made["schemas"]), percent(made["compiled"], made["schemas"]),
                    str(made["timeouts"]), made["p50_ms"], made["p95_ms"],
                )  # fmt: skip
    if options.problems:
        options.problems.write_text("\n".join(problems) + "\n", encoding="utf-8")
    reasons = report.table("Not covered", "subset", "reasons")
    for subset, entry in figures.items():
        top = list(entry["scaffold"]["reasons"].items())[:SHOWN_REASONS]
        reasons.add_row(subset, ", ".join(f"{reason} {count}" for reason, count in top) or "-")
    for table in (peers, reasons):
        Console(width=160).print(table)
    report.publish("schema_coverage", shown, figures, ("jsonschema", *(n for n in options.peers if n in present)))


if __name__ == "__main__":
    raise SystemExit(report.run(main))
