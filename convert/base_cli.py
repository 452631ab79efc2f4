"""`jaxdiff convert SRC OUT`: a checkpoint becomes a base folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from jaxdiff.base.card import CARD_FILE
from jaxdiff.errors import ConfigError

from .convert import convert
from .progress import tensors_done
from .sources import FLOAT_DTYPES


def convert_base(arguments: list[str]) -> int:
    """Converts, with a progress bar on stderr, and prints the folder; exit status 0. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert",
        description="Converts a checkpoint to JAX parameters. Subcommands: inspect, compare, export, head.",
    )
    parser.add_argument("src", type=Path, help="Hugging Face folder (safetensors, pytorch_model.bin) or .gguf file")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument(
        "--dtype", choices=sorted(FLOAT_DTYPES), help="of the stored parameters (default: the source's)"
    )
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="LoRA (PEFT) to merge into the weights")
    parser.add_argument(
        "--int8", action="store_true", help="round the matrices to int8; SRC may be a converted base too"
    )
    parser.add_argument("--name", help="of the base (default: that of the source)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    options = parser.parse_args(arguments)
    if (options.src / CARD_FILE).is_file():
        return _quantise(options)
    with tensors_done("converting") as report:
        out = convert(
            options.src,
            options.out,
            name=options.name,
            dtype=options.dtype,
            adapter=options.adapter,
            int8=options.int8,
            overwrite=options.overwrite,
            report=report,
        )
    print(out)
    return 0


def _quantise(options: argparse.Namespace) -> int:
    given = {"--dtype": options.dtype, "--adapter": options.adapter}
    refused = [option for option, value in given.items() if value is not None]
    if not options.int8 or refused:
        reason = f"{refused[0]} needs the checkpoint" if refused else "--int8 rounds its matrices"
        raise ConfigError(f"{options.src} is a converted base already; {reason}")
    # Here, for it loads JAX.
    from .quantise import quantise_base

    with tensors_done("quantising") as report:
        out = quantise_base(options.src, options.out, name=options.name, overwrite=options.overwrite, report=report)
    print(out)
    return 0
