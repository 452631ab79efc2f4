"""`jaxdiff convert head SRC OUT`: a head of the PyTorch implementation becomes a head folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .head import DEFAULT_HEADS, convert_head_file


def convert_head(arguments: list[str]) -> int:
    """Converts and prints the folder; exit status 0. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert head",
        description="Converts a diffusion head of the PyTorch implementation (a state dict) to a residual head.",
    )
    parser.add_argument("src", type=Path, help="file with the state dict: .pt (.pth, .bin, .ckpt) or .safetensors")
    parser.add_argument("out", type=Path, help="head folder to write")
    parser.add_argument("--base", metavar="NAME|PATH", help="base that the head is for; only that one will take it")
    parser.add_argument(
        "--heads",
        type=int,
        metavar="N",
        help=f"heads of the attention, which no shape tells (default: what the file says, else {DEFAULT_HEADS})",
    )
    parser.add_argument(
        "--mask-id", type=int, metavar="ID", help="of <MASK> (default: the base's, else the last but one)"
    )
    parser.add_argument("--null-id", type=int, metavar="ID", help="of <NULL> (default: the base's, else the last)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a head")
    options = parser.parse_args(arguments)
    done = convert_head_file(
        options.src,
        options.out,
        base=options.base,
        num_heads=options.heads,
        mask_id=options.mask_id,
        null_id=options.null_id,
        overwrite=options.overwrite,
    )
    if done.heads_assumed:
        print(f"{done.config.num_heads} attention heads assumed, for no shape tells them; see --heads", file=sys.stderr)
    if done.ignored:
        print(f"{done.ignored} tensors outside the diffusion head were left out", file=sys.stderr)
    if options.base is None:
        print("tied to no base, so no agent will load it; see --base", file=sys.stderr)
    print(done.folder)
    return 0
