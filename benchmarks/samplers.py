"""Samplers side by side on composed values: fields that the head composes, on rows of the validation packs.

Every query is read once; each sampler fills the same calls, told which fields they have, one at a time as for a user.
Which fields are composed does not depend on the sampler: those whose words do not give the value, or with --every-value
all that are not chosen from a list, which are many more. To choose a sampler, take other rows of the tools that the
head was trained on (--training). Samplers that draw are measured with several seeds. A sampler that the head was not
trained for is named with the reason.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import jax
from rich.console import Console
from rich.progress import track

from benchmarks import report
from benchmarks.accuracy import spread
from jaxdiff.agent import fill_diffusion
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.filled import Filling, FillTrace
from jaxdiff.agent.heads import Head, find_head
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import load_base
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import ConfigError, FillError, HeadMismatch, InputError
from jaxdiff.runtime.compilation import keep_compiled_programs
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.tools import Tool
from jaxdiff_train.data.labels import field_spans, label_source
from jaxdiff_train.data.packs import TRAIN_PACKS, VALIDATION_PACKS
from jaxdiff_train.data.rows import Row
from jaxdiff_train.evaluation.validate import PER_TOOL, SEED, validation_rows

STEPS = (1, 2, 4, 8)
SAMPLERS: dict[str, dict[str, Any]] = {
    "confidence": {},
    "confidence, padding ranked": {"padding": "ranked"},
    "confidence, threshold 0.9": {"reveal": "threshold", "threshold": 0.9},
    "confidence, remasking 1": {"remask": 1},
    "confidence, credit 0.7": {"credit": 0.7},
    "confidence, guidance 0.5": {"guidance": 0.5},
    "confidence, guidance 1": {"guidance": 1.0},
    "confidence, guidance 2": {"guidance": 2.0},
    "ancestral": {"sampler": "ancestral"},
    "ancestral, temperature 1": {"sampler": "ancestral", "temperature": 1.0},
    "ancestral, cached": {"sampler": "ancestral_cached"},
}


@dataclass(frozen=True)
class Case:
    """A call to be filled. composed: names of its fields that the head composes. unsaid: those whose words in the
    query do not give the value."""

    row: Row
    tool: Tool
    reading: Any
    composed: frozenset[str]
    unsaid: frozenset[str]


@dataclass
class Score:
    """Counts of composed fields filled right, and the seconds of each call."""

    composed: int
    unsaid: int
    seconds: list[float]


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    options = _parser().parse_args(argv)
    if options.seeds < 1:
        raise InputError(f"seeds={options.seeds} must be >= 1")
    keep_compiled_programs()
    base = load_base("default")
    head = find_head(base, options.head)
    if head is None:
        raise HeadMismatch(f"the head of the package was trained for another base than {base.name!r}")
    path = TRAIN_PACKS if options.training else VALIDATION_PACKS
    # No probability reaches 2: no words of the query are taken.
    with patch.object(fill_diffusion, "COPIED", 2.0) if options.every_value else nullcontext():
        cases = composed_cases(base, head, spread(validation_rows(path), options.limit))
        if not cases:
            raise InputError(f"limit={options.limit} leaves no row with a composed value")
        compare(base, head, cases, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__)
    parser.add_argument("--head", default="default", metavar="PATH", help="a head's folder (default: the shipped head)")
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS), help="default: all")
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS), help="denoising steps (default: 1 2 4 8)")
    parser.add_argument("--seeds", type=int, default=3, help="of samplers that draw (default: 3)")
    parser.add_argument("--every-value", action="store_true", help="compose what the query says word for word too")
    parser.add_argument("--training", action="store_true", help="rows of the training packs, by which to choose")
    parser.add_argument("--limit", type=int, help="so many rows, spread evenly over the tools (default: all)")
    return parser


def composed_cases(base: FrozenBase, head: Head, rows: Sequence[tuple[Row, Tool | None]]) -> list[Case]:
    """The rows of which a head composes something, each read once."""
    prefixes, cases = PrefixReader(base), []
    for row, tool in track(rows, description="reading", console=Console(stderr=True)):
        if tool is None:
            continue
        try:
            (reading,) = head.read([Asked(tool, prefixes.tool(tool), row.query)])
        except InputError:
            # Too long to be read.
            continue
        values, spans = flat_values(tool.fields, row.arguments), field_spans(row, tool)
        (filling,) = head.fill([reading], DenoiseConfig(steps=1), present=[frozenset(values)])
        composed = composed_fields(filling.trace) & set(values)
        if composed:
            unsaid = frozenset(
                field.name
                for field in tool.fields
                if field.name in composed
                and label_source(row.query, spans.get(field.name), field, values[field.name]) == 0
            )
            cases.append(Case(row, tool, reading, composed, unsaid))
    return cases


def composed_fields(trace: FillTrace | None) -> frozenset[str]:
    """Names of the fields of which a step revealed a position."""
    if trace is None:
        return frozenset()
    return frozenset(name for name, shown in zip(trace.fields, trace.revealed.any(0), strict=True) if shown)


def right_fields(case: Case, filling: Filling) -> frozenset[str]:
    """Names of the composed fields whose value in the merged call is the right one."""
    try:
        call: Mapping[str, Any] = filling.merge(case.tool).arguments
    except FillError:
        return frozenset()
    made, gold = (flat_values(case.tool.fields, arguments) for arguments in (call, case.row.arguments))
    return frozenset(name for name in case.composed if name in made and same_value(made[name], gold[name]))


def measure(head: Head, cases: Sequence[Case], config: DenoiseConfig, seeds: Sequence[int], name: str) -> Score:
    """Fills all cases with each seed. Raises ConfigError where the head cannot serve the sampler."""
    score = Score(0, 0, [])
    for seed in seeds:
        for case in track(cases, description=f"{name}, {config.steps}", console=Console(stderr=True)):
            started = time.perf_counter()
            (filling,) = head.fill(
                [case.reading],
                config,
                seed=seed,
                present=[frozenset(flat_values(case.tool.fields, case.row.arguments))],
            )
            score.seconds.append(time.perf_counter() - started)
            right = right_fields(case, filling)
            score.composed += len(right)
            score.unsaid += len(right & case.unsaid)
    return score


def compare(base: FrozenBase, head: Head, cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Measures every sampler at every number of steps."""
    composed, unsaid = (sum(len(getattr(case, name)) for case in cases) for name in ("composed", "unsaid"))
    shown = report.table(
        f"Percent right of {composed} composed values in {len(cases)} calls, {unsaid} of them not said as such",
        "sampler", "steps", "composed", "not said", "ms a call", "seconds",
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in options.samplers:
        for steps in options.steps:
            config = DenoiseConfig(steps=steps, **SAMPLERS[name])
            # Each sampler has programs of its own, and a process may map only so many pieces of memory.
            jax.clear_caches()
            seeds = range(options.seeds if config.ancestral or config.temperature > 0 else 1)
            try:
                score = measure(head, cases, config, seeds, name)
            except ConfigError as error:
                found[name] = {"refused": str(error)}
                shown.add_row(name, "", str(error))
                break
            shares = [
                round(100 * right / max(1, count * len(seeds)), 1)
                for right, count in ((score.composed, composed), (score.unsaid, unsaid))
            ]
            pace = report.summary([1000 * seconds for seconds in score.seconds], 1)
            found.setdefault(name, {})[str(steps)] = {
                "percent_right": shares[0],
                "percent_right_not_said": shares[1],
                "milliseconds": pace,
                "seconds": round(sum(score.seconds), 2),
            }
            shown.add_row(
                name, str(steps), f"{shares[0]:.1f}", f"{shares[1]:.1f}", f"{pace['median']:.0f}",
                f"{sum(score.seconds):.1f}",
            )  # fmt: skip
    figures = {
        "base": base.name, "head": options.head, "every_value": options.every_value, "training": options.training,
        "per_tool": PER_TOOL, "seed": SEED, "calls": len(cases), "composed": composed, "not_said": unsaid,
        "samplers": found,
    }  # fmt: skip
    report.publish("samplers", shown, figures)


if __name__ == "__main__":
    raise SystemExit(report.run(main))
