"""Accuracy on the validation packs, tool given: trained heads beside both fills of the frozen base.

Rows are expanded from the packs, five a tool; every query is read and filled as for a user. Each fill is measured
twice: on its own, and told which fields the call has. Of readers it is shown too what they find before values are made
of it. With --packs test, tools are asked for that nothing was trained on and nothing was chosen by. With
--choose-margin, the margin by which ` none` must beat the best value is chosen for each fill of the frozen base
instead, on rows of the training packs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress, track

from benchmarks import report
from benchmarks.margins import answers_at, best_margin
from jaxdiff.agent import fill_ar, fill_parallel
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.heads import Head, find_head
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import HeadMismatch, InputError
from jaxdiff.runtime.compilation import keep_compiled_programs
from jaxdiff.schema.tools import Tool, parse_tools
from jaxdiff_train.data.packs import TEST_PACKS, TRAIN_PACKS, VALIDATION_PACKS, expand_packs
from jaxdiff_train.data.rows import Row, supported
from jaxdiff_train.evaluation.evaluate import Fill, Report, evaluate, fill_by
from jaxdiff_train.evaluation.validate import PER_TOOL, SEED, found_figures, validation_rows

FROZEN_FILLS = {
    "ar": (fill_ar.fill_ar, fill_ar.NONE_MARGIN),
    "parallel": (fill_parallel.fill_parallel, fill_parallel.NONE_MARGIN),
}
FILLS = ("diffusion", *FROZEN_FILLS)
PACKS = {"validation": VALIDATION_PACKS, "test": TEST_PACKS}
MARGINS = (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)
MARGIN_ROWS = 120

Item = TypeVar("Item")
Rows = Sequence[tuple[Row, Tool | None]]


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    options = _parser().parse_args(argv)
    keep_compiled_programs()
    base = load_base(options.base, dtype=options.dtype)
    if options.choose_margin:
        training = spread(training_rows(), options.limit or MARGIN_ROWS)
        choose_margins(base, training, [name for name in options.fills if name in FROZEN_FILLS], options.margins)
    else:
        rows = spread(validation_rows(PACKS[options.packs]), options.limit)
        heads = _heads(base, options)
        compare(base, options.packs, rows, _fills(base, options, heads))
        show_found(options.packs, rows, {name: head for name, head in heads.items() if isinstance(head, ReaderHead)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--base", default="default", help="name or converted folder (default: default)")
    parser.add_argument("--dtype", help="in which the base is held and computes (default: as stored)")
    parser.add_argument("--fills", nargs="+", choices=FILLS, default=list(FILLS), help="default: all")
    parser.add_argument("--packs", choices=list(PACKS), default="validation", help="default: validation")
    parser.add_argument("--head", action="append", metavar="PATH", help="a head's folder; may be repeated")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps (default: 4)")
    parser.add_argument("--none-margin", type=float, help="of the frozen base's fills (default: their own)")
    parser.add_argument("--limit", type=int, help="so many rows, spread evenly over the tools (default: all)")
    parser.add_argument("--choose-margin", action="store_true", help="choose the margin on the training packs instead")
    parser.add_argument("--margins", nargs="+", type=float, default=list(MARGINS), help="those to choose from")
    return parser


def training_rows() -> list[tuple[Row, Tool]]:
    """Rows of the training packs whose schema the scaffold supports."""
    rows = (row for row in expand_packs(TRAIN_PACKS, PER_TOOL, SEED) if supported(row.tool))
    return [(row, parse_tools([row.tool])[0]) for row in rows]


def spread(rows: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` rows at even distances; rows of one tool stand together, so that this is even over the tools."""
    if limit is not None and limit < 1:
        raise InputError(f"{limit=} must be >= 1")
    count = len(rows) if limit is None else min(limit, len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def compare(base: FrozenBase, packs: str, rows: Rows, fills: Mapping[str, Fill]) -> None:
    """Measures each fill on its own and told which fields are present."""
    shown = report.table(
        f"Percent right on {len(rows)} rows of the {packs} packs",
        "fill", "whole call", "field", "optional fields in or out", "told: whole call", "told: field", "ms a call",
    )  # fmt: skip
    figures: dict[str, Any] = {"base": base.name, "packs": packs, "rows": len(rows), "per_tool": PER_TOOL, "seed": SEED}
    for name, fill in fills.items():
        taken: list[float] = []
        alone = measure(name, rows, fill, taken)
        told = measure(f"{name}, told", rows, fill, [], told_presence=True)
        pace = report.summary([1000 * seconds for seconds in taken], 1)
        figures[name] = {"percent_right": alone.figures(), "told_presence": told.figures(), "milliseconds": pace}
        shares = (alone.share("whole_call"), alone.share("field"), alone.share("present"))
        shares += (told.share("whole_call"), told.share("field"))
        shown.add_row(name, *(f"{share:.1f}" for share in shares), f"{pace['median']:.0f}")
    report.publish("accuracy", shown, figures)


def show_found(packs: str, rows: Rows, heads: Mapping[str, ReaderHead]) -> None:
    """What each reader finds in the queries (see `reading_report`); what the base says of them is kept in the cache."""
    if not heads:
        return
    read = [(row, tool) for row, tool in rows if tool is not None]
    found = {name: found_figures(head, read, cache_dir() / "features") for name, head in heads.items()}
    kinds = list(dict.fromkeys(kind for shares in found.values() for kind in shares))
    shown = report.table(f"Percent found on {len(read)} rows of the {packs} packs", "reader", *kinds)
    for name, shares in found.items():
        shown.add_row(name, *(f"{shares[kind]:.1f}" if kind in shares else "" for kind in kinds))
    figures: dict[str, Any] = {"packs": packs, "rows": len(read), "per_tool": PER_TOOL, "seed": SEED, **found}
    report.publish("found", shown, figures)


def measure(name: str, rows: Rows, fill: Fill, taken: list[float], *, told_presence: bool = False) -> Report:
    """Evaluates one fill, showing how far it is. taken: the seconds of each filled row are added here."""
    progress = Progress(console=Console(stderr=True))
    task = progress.add_task(name, total=sum(tool is not None for _, tool in rows))

    def timed(number: int, row: Row, tool: Tool, present: frozenset[str] | None) -> Filling:
        started = time.perf_counter()
        try:
            return fill(number, row, tool, present)
        except InputError:
            # Too long to be read: nothing is filled.
            return Filling({})
        finally:
            taken.append(time.perf_counter() - started)
            progress.advance(task)

    with progress:
        return evaluate(list(rows), timed, told_presence=told_presence)


def frozen_fill(base: FrozenBase, name: str, none_margin: float | None, prefixes: PrefixReader) -> Fill:
    """A fill of the frozen base. none_margin: None for its own."""
    fill, own = FROZEN_FILLS[name]
    margin = own if none_margin is None else none_margin

    def filled(_: int, row: Row, tool: Tool, present: frozenset[str] | None) -> Filling:
        return fill(base, tool, prefixes.tool(tool), row.query, none_margin=margin, present=present)

    return filled


def choose_margins(
    base: FrozenBase, rows: Sequence[tuple[Row, Tool]], names: Sequence[str], margins: Sequence[float]
) -> None:
    """Chooses the margin with the most whole calls right, for each of the frozen base's fills."""
    margins = sorted(set(margins))
    shown = report.table(
        f"Whole calls right by the margin of ` none` (percent of {len(rows)} training rows)", "fill",
        *(f"{margin:g}" for margin in margins), "chosen",
    )  # fmt: skip
    figures: dict[str, Any] = {"base": base.name, "rows": len(rows), "per_tool": PER_TOOL, "seed": SEED}
    for name in names:
        shares = shares_by_margin(base, rows, name, margins)
        chosen = best_margin(shares)
        figures[name] = {"chosen": chosen, "percent_right": {f"{m:g}": round(s, 1) for m, s in shares.items()}}
        shown.add_row(name, *(f"{share:.1f}" for share in shares.values()), f"{chosen:g}")
    report.publish("none_margin", shown, figures)


def shares_by_margin(
    base: FrozenBase, rows: Sequence[tuple[Row, Tool]], name: str, margins: Sequence[float]
) -> dict[float, float]:
    """Percent of whole calls right at each of the ascending margins."""
    prefixes = PrefixReader(base, keep=2)
    fills = {margin: frozen_fill(base, name, margin, prefixes) for margin in margins}
    answers: list[list[Filling]] = []
    for number, (row, tool) in enumerate(track(rows, description=name, console=Console(stderr=True))):

        def fill_at(margin: float, number: int = number, row: Row = row, tool: Tool = tool) -> Filling:
            return fills[margin](number, row, tool, None)

        if all(field.required for field in tool.fields):
            answers.append([fill_at(margins[0])] * len(margins))
        else:
            answers.append(answers_at(fill_at, margins))

    def answered(place: int) -> Fill:
        return lambda number, *_: answers[number][place]

    return {margin: evaluate(list(rows), answered(place)).share("whole_call") for place, margin in enumerate(margins)}


def _heads(base: FrozenBase, options: argparse.Namespace) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    if "diffusion" in options.fills:
        for path in options.head or ["default"]:
            head = find_head(base, path)
            if head is None:
                raise HeadMismatch(f"the head of the package was trained for another base than {base.name!r}")
            heads["diffusion" if path == "default" else f"diffusion, {path}"] = head
    return heads


def _fills(base: FrozenBase, options: argparse.Namespace, heads: Mapping[str, Head]) -> dict[str, Fill]:
    fills = {name: fill_by(head, base, DenoiseConfig(steps=options.steps)) for name, head in heads.items()}
    prefixes = PrefixReader(base, keep=2)
    for name in FROZEN_FILLS:
        if name in options.fills:
            fills[name] = frozen_fill(base, name, options.none_margin, prefixes)
    return fills


if __name__ == "__main__":
    raise SystemExit(report.run(main))
