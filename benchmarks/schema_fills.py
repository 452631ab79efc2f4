"""Fills random JSON Schemas by scores and texts that mean ill, and counts the values that validate: all must.

Each schema that is prepared is filled by every kind of scores (random, constant, infinite and not-a-number, the last
option, the fourth), each with another kind of texts (random, shortest, longest, empty, quotes), or with --device with
what the denoising loop writes over a small vocabulary of bytes when its logits mean ill (see `device_texts`). Ends with
status 1 and the first that is wrong where a value does not validate or a slot with a language holds no text of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from rich.console import Console
from rich.progress import Progress

from benchmarks import report
from benchmarks.device_texts import Adversary, DeviceTexts
from benchmarks.random_schemas import RandomDecider, RandomTexts, random_schema
from jaxdiff.errors import ScaffoldBug, SchemaError, UnsupportedSchema
from jaxdiff.schema.normal.nodes import Number
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.merge import Scaffold, merge, plan
from jaxdiff.schema.scaffold.prepare import prepare
from jaxdiff.schema.scaffold.texts import read_text
from jaxdiff.schema.scaffold.tree import TextSlot

BUDGET = Budget(depth=5, items=4, entries=3, slots=64)
# Slots that the device is given at once: enough that canvases are full.
ENOUGH_SLOTS = 8000


@dataclass(frozen=True)
class Planned:
    """A fill whose texts are still to come. number: which one of its schema."""

    seed: int
    number: int
    schema: dict[str, Any]
    scaffold: Scaffold


class Fills:
    """Counts of what was met. device: what writes the texts, None for texts that are drawn."""

    def __init__(self, device: DeviceTexts | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._device = device
        self._waiting: list[Planned] = []

    def fill(self, seed: int) -> None:
        """Makes a schema and fills it once by each kind of scores; with a device not before there are many."""
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
        for number, kind in enumerate(RandomDecider.KINDS):
            texts = RandomTexts(draw, RandomTexts.KINDS[(number + seed) % len(RandomTexts.KINDS)])
            scaffold = plan(prepared, RandomDecider(draw, kind), BUDGET)
            self.counts["fills"] += 1
            self.counts["slots"] += len(scaffold.slots)
            self.counts["decisions"] += len(scaffold.decisions)
            planned = Planned(seed, number, schema, scaffold)
            if self._device is None:
                self._check(planned, [texts.text(slot) for slot in scaffold.slots])
            else:
                self._waiting.append(planned)
        if sum(len(planned.scaffold.slots) for planned in self._waiting) >= ENOUGH_SLOTS:
            self.finish()

    def finish(self) -> None:
        """Fills what still waits for the device."""
        if self._device is None or not self._waiting:
            return
        slots = [
            (slot, Adversary.KINDS[(planned.number + planned.seed) % len(Adversary.KINDS)])
            for planned in self._waiting
            for slot in planned.scaffold.slots
        ]
        texts = iter(self._device.texts(slots))
        for planned in self._waiting:
            self._check(planned, list(itertools.islice(texts, len(planned.scaffold.slots))))
        self._waiting = []

    def _check(self, planned: Planned, texts: list[str]) -> None:
        """Merges the texts of a fill, one a slot."""
        schema, scaffold = planned.schema, planned.scaffold
        for slot, text in zip(scaffold.slots, texts, strict=True):
            if slot.language is None or read_text(slot.node, slot.language, text) is not None:
                continue
            if divides_in_decimals_alone(slot, text):
                self.counts["multiples that no floating-point division takes"] += 1
            else:
                self.wrong.append(f"seed {planned.seed}: {slot.path!r} cannot hold {text!r}: {json.dumps(schema)}")
        try:
            made = merge(scaffold, {slot.path: text for slot, text in zip(scaffold.slots, texts, strict=True)})
        except ScaffoldBug as error:
            self.wrong.append(f"{error}: {json.dumps(schema)}")
            return
        self.counts["repaired"] += bool(made.repairs)
        validator = validator_for(schema)(schema)
        if validator.is_valid(made.value) and json.loads(json.dumps(made.value, allow_nan=False)) == made.value:
            self.counts["valid"] += 1
        else:
            self.wrong.append(f"seed {planned.seed}: {json.dumps(made.value)} for {json.dumps(schema)}")


def divides_in_decimals_alone(slot: TextSlot, text: str) -> bool:
    """Whether a number is a multiple as it is written, but not as `jsonschema` divides: 0.3 by 0.1 is no integer."""
    if not isinstance(slot.node, Number) or slot.language is None or not slot.language.accepts(text):
        return False
    value = json.loads(text)
    return all((Fraction(text) / step).denominator == 1 for step in slot.node.multiples_of) and not all(
        Draft202012Validator({"multipleOf": float(step)}).is_valid(value) for step in slot.node.multiples_of
    )


def main() -> None:
    """Fills until there are enough, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fills", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schema; the others follow")
    parser.add_argument("--device", action="store_true", help="texts are written by the denoising loop")
    options = parser.parse_args()
    device = DeviceTexts(options.seed) if options.device else None
    fills, seed, started = Fills(device), options.seed, time.perf_counter()
    with Progress(console=Console(stderr=True)) as progress:
        shown = progress.add_task("fills", total=options.fills)
        while fills.counts["fills"] < options.fills:
            fills.fill(seed)
            seed += 1
            progress.update(shown, completed=fills.counts["fills"])
        fills.finish()
    wrong = fills.wrong + ([] if device is None else device.wrong)
    written = {} if device is None else device.counts
    seconds = round(time.perf_counter() - started, 1)
    figures: dict[str, Any] = {**fills.counts, **written, "wrong": len(wrong), "seconds": seconds}
    table = report.table("Fills of random schemas", "what", "count")
    for name, count in figures.items():
        table.add_row(name, str(count))
    report.publish("schema_fills", table, figures, ("jsonschema", "numpy", "tokenizers"))
    if wrong:
        print(f"{len(wrong)} are wrong; the first: {wrong[0]}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(report.run(main))
