"""`jaxdiff convert export PATH OUT`: a converted base becomes a Hugging Face folder again, a head a state dict."""

from __future__ import annotations

import argparse
from pathlib import Path

from .export import GIGABYTE, export_base
from .head_export import export_head, is_head
from .progress import tensors_done


def export(arguments: list[str]) -> int:
    """Exports, a base with a progress bar on stderr, and prints the folder; exit status 0. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert export",
        description="Writes a converted base as a folder that transformers loads, a head as a state dict.",
    )
    parser.add_argument("path", type=Path, help="the converted base, or the head")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--format", choices=["safetensors"], default="safetensors", help="of the weights")
    parser.add_argument("--shard-size", type=float, default=5.0, metavar="GB", help="of one file at most (default: 5)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    options = parser.parse_args(arguments)
    if is_head(options.path):
        print(export_head(options.path, options.out, overwrite=options.overwrite))
        return 0
    with tensors_done("exporting") as report:
        out = export_base(
            options.path,
            options.out,
            overwrite=options.overwrite,
            shard_bytes=int(options.shard_size * GIGABYTE),
            report=report,
        )
    print(out)
    return 0
