"""Fills random JSON Schemas by scores and texts that mean ill, and counts the values that validate: all must.

Each schema that is prepared is filled by every kind of scores (random, constant, infinite and not-a-number, the last
option, the fourth), each with another kind of texts (random, shortest, longest, empty, quotes). Ends with status 1 and
the first schema where a value does not validate.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from random import Random
from typing import Any

from jsonschema.validators import validator_for
from rich.console import Console
from rich.progress import Progress

from benchmarks import report
from benchmarks.random_schemas import RandomDecider, RandomTexts, random_schema
from jaxdiff.errors import ScaffoldBug, SchemaError, UnsupportedSchema
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import prepare

BUDGET = Budget(depth=5, items=4, entries=3, slots=64)


class Fills:
    """Counts of what was met."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def fill(self, seed: int) -> None:
        """Makes a schema and fills it once by each kind of scores."""
        draw = Random(seed)
        schema = random_schema(draw, depth=draw.randint(1, 4))
        self.counts["schemas"] += 1
        try:
            prepared = prepare(schema)
        except UnsupportedSchema:
            self.counts["not supported"] += 1
            return
        except SchemaError:
            self.counts["without any value"] += 1
            return
        validator = validator_for(schema)(schema)
        for number, kind in enumerate(RandomDecider.KINDS):
            texts = RandomTexts(draw, RandomTexts.KINDS[(number + seed) % len(RandomTexts.KINDS)])
            scaffold = plan(prepared, RandomDecider(draw, kind), BUDGET)
            self.counts["fills"] += 1
            self.counts["slots"] += len(scaffold.slots)
            self.counts["decisions"] += len(scaffold.decisions)
            try:
                made = merge(scaffold, {slot.path: texts.text(slot) for slot in scaffold.slots})
            except ScaffoldBug as error:
                self.wrong.append(f"{error}: {json.dumps(schema)}")
                continue
            self.counts["repaired"] += bool(made.repairs)
            if validator.is_valid(made.value) and json.loads(json.dumps(made.value, allow_nan=False)) == made.value:
                self.counts["valid"] += 1
            else:
                self.wrong.append(f"seed {seed}: {json.dumps(made.value)} for {json.dumps(schema)}")


def main() -> None:
    """Fills until there are enough, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fills", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schema; the others follow")
    options = parser.parse_args()
    fills, seed, started = Fills(), options.seed, time.perf_counter()
    with Progress(console=Console(stderr=True)) as progress:
        shown = progress.add_task("fills", total=options.fills)
        while fills.counts["fills"] < options.fills:
            fills.fill(seed)
            seed += 1
            progress.update(shown, completed=fills.counts["fills"])
    figures: dict[str, Any] = {**fills.counts, "seconds": round(time.perf_counter() - started, 1)}
    table = report.table("Fills of random schemas", "what", "count")
    for name, count in figures.items():
        table.add_row(name, str(count))
    report.publish("schema_fills", table, figures, ("jsonschema",))
    if fills.wrong:
        print(f"{len(fills.wrong)} values are not valid; the first: {fills.wrong[0]}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(report.run(main))
