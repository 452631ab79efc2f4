"""`jaxdiff convert compare SRC OUT`: what differs between a checkpoint and its converted folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .compare import Comparison, compare
from .progress import tensors_done


def compare_base(arguments: list[str]) -> int:
    """Prints a table; exit status 0, or 1 beyond the tolerance. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert compare", description="Compares every tensor of a checkpoint with the converted folder."
    )
    parser.add_argument("src", type=Path, help="the checkpoint")
    parser.add_argument("out", type=Path, help="the converted folder")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="the LoRA that was merged into it")
    options = parser.parse_args(arguments)
    with tensors_done("comparing") as report:
        comparison = compare(options.src, options.out, adapter=options.adapter, report=report)
    _print(comparison)
    return 0 if comparison.passed else 1


def _print(comparison: Comparison) -> None:
    table = Table("tensor", "parameter", "max abs", "relative", "cosine", "")
    for tensor in comparison.tensors:
        mark = "" if tensor.within else "beyond the tolerance"
        figures = (f"{tensor.max_abs:.3g}", f"{tensor.max_relative:.3g}", f"{tensor.cosine:.9f}")
        table.add_row(tensor.name, tensor.leaf, *figures, mark)
    console = Console()
    console.print(table)
    beyond = sum(not tensor.within for tensor in comparison.tensors)
    fingerprint = "matches" if comparison.fingerprint_matches else "does NOT match"
    console.print(
        f"{len(comparison.tensors)} tensors, {beyond} beyond the relative tolerance {comparison.tolerance:.3g}; "
        f"the fingerprint {fingerprint}"
    )
