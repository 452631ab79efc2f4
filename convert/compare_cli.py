"""`jaxdiff convert compare SRC OUT`: what differs between a checkpoint and its converted folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .compare import Comparison, compare
from .progress import tensors_done

if TYPE_CHECKING:
    from .activations import StateDifference


def compare_base(arguments: list[str]) -> int:
    """Prints a table; exit status 0, or 1 beyond the tolerance. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert compare",
        description="Compares every tensor of a checkpoint with the converted folder, or with --activations what both "
        "compute: the states after each layer and the logits, the checkpoint's by transformers on PyTorch.",
    )
    parser.add_argument("src", type=Path, help="the checkpoint")
    parser.add_argument("out", type=Path, help="the converted folder")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="the LoRA that was merged into it")
    parser.add_argument("--activations", action="store_true", help="compare states, in float32")
    parser.add_argument("--text", help="with --activations: what is read (default: random tokens)")
    parser.add_argument("--tokens", type=int, metavar="N", help="with --activations: number of random tokens (64)")
    parser.add_argument("--seed", type=int, metavar="N", help="with --activations: of the random tokens (0)")
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="with --activations: of a difference, over the largest value (1e-4)",
    )
    options = parser.parse_args(arguments)
    states = {name: getattr(options, name) for name in ("text", "tokens", "seed", "tolerance")}
    given = {name: value for name, value in states.items() if value is not None}
    if given and not options.activations:
        parser.error(f"--{next(iter(given))} needs --activations")
    if options.activations:
        from .activations import compare_activations

        with tensors_done("comparing", "stages") as report:
            differences = compare_activations(options.src, options.out, adapter=options.adapter, report=report, **given)
        return _print_states(differences)
    with tensors_done("comparing") as report:
        comparison = compare(options.src, options.out, adapter=options.adapter, report=report)
    _print(comparison)
    return 0 if comparison.passed else 1


def _print_states(differences: Sequence[StateDifference]) -> int:
    table = Table("stage", "max abs", "relative", "least cosine", "")
    for state in differences:
        mark = "" if state.within else "beyond the tolerance"
        table.add_row(state.stage, f"{state.max_abs:.3g}", f"{state.max_relative:.3g}", f"{state.cosine:.9f}", mark)
    console = Console()
    console.print(table)
    beyond = [state.stage for state in differences if not state.within]
    if beyond:
        console.print(f"first beyond the tolerance: {beyond[0]} ({len(beyond)} of {len(differences)} stages)")
    else:
        console.print(f"{len(differences)} stages, all within the tolerance")
    return 1 if beyond else 0


def _print(comparison: Comparison) -> None:
    table = Table("tensor", "parameter", "max abs", "relative", "cosine", "")
    for tensor in comparison.tensors:
        mark = "" if tensor.within else "beyond the tolerance"
        figures = (f"{tensor.max_abs:.3g}", f"{tensor.max_relative:.3g}", f"{tensor.cosine:.9f}")
        table.add_row(tensor.name, tensor.leaf, *figures, mark)
    console = Console()
    console.print(table)
    beyond = [tensor.name for tensor in comparison.tensors if not tensor.within]
    fingerprint = "matches" if comparison.fingerprint_matches else "does NOT match"
    console.print(
        f"{len(comparison.tensors)} tensors, {len(beyond)} beyond the relative tolerance {comparison.tolerance:.3g}; "
        f"the fingerprint {fingerprint}"
    )
    if beyond:
        console.print(f"first beyond the tolerance: {beyond[0]}")
