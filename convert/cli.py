"""`jaxdiff convert SRC OUT` and `jaxdiff convert compare SRC OUT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jaxdiff.errors import JaxdiffError

from .compare import Comparison, compare
from .convert import convert
from .sources import FLOAT_DTYPES


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a comparison beyond the tolerance, 2 refused (one line on stderr says why)."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == ["compare"]:
            return _compare(arguments[1:])
        return _convert(arguments)
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; nothing was changed", file=sys.stderr)
        return 130


def _convert(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert",
        description="Converts a checkpoint to JAX parameters. 'jaxdiff convert compare SRC OUT' compares the two.",
    )
    parser.add_argument("src", type=Path, help="Hugging Face folder (safetensors, pytorch_model.bin) or .gguf file")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--dtype", choices=sorted(FLOAT_DTYPES), help="of the stored parameters (default: the source's)"
    )
    parser.add_argument("--name", help="of the base (default: that of the source)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    options = parser.parse_args(arguments)
    columns = (TextColumn("converting"), MofNCompleteColumn(), TextColumn("tensors"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        out = convert(
            options.src,
            options.out,
            name=options.name,
            dtype=options.dtype,
            overwrite=options.overwrite,
            report=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(out)
    return 0


def _compare(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert compare", description="Compares every tensor of a checkpoint with the converted folder."
    )
    parser.add_argument("src", type=Path, help="the checkpoint")
    parser.add_argument("out", type=Path, help="the converted folder")
    options = parser.parse_args(arguments)
    comparison = compare(options.src, options.out)
    _print(comparison)
    return 0 if comparison.passed else 1


def _print(comparison: Comparison) -> None:
    table = Table("tensor", "parameter", "max abs", "relative", "")
    for tensor in comparison.tensors:
        mark = "" if tensor.within else "beyond the tolerance"
        table.add_row(tensor.name, tensor.leaf, f"{tensor.max_abs:.3g}", f"{tensor.max_relative:.3g}", mark)
    console = Console()
    console.print(table)
    beyond = sum(not tensor.within for tensor in comparison.tensors)
    fingerprint = "matches" if comparison.fingerprint_matches else "does NOT match"
    console.print(
        f"{len(comparison.tensors)} tensors, {beyond} beyond the relative tolerance {comparison.tolerance:.3g}; "
        f"the fingerprint {fingerprint}"
    )
