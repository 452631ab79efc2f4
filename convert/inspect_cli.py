"""`jaxdiff convert inspect PATH`: what is there, before it is converted or loaded."""

from __future__ import annotations

import argparse
from pathlib import Path

from jaxdiff.base.card import CARD_FILE
from jaxdiff.errors import ConfigError

from .inspect import inspect, verify


def inspect_path(arguments: list[str]) -> int:
    """Prints a line for each fact; exit status 0. Raises JaxdiffError."""
    parser = argparse.ArgumentParser(
        prog="jaxdiff convert inspect",
        description="Says what a checkpoint, an adapter or a converted base holds, and whether it can be converted.",
    )
    parser.add_argument("path", type=Path, help="Hugging Face folder, .gguf file, PEFT folder, or converted base")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="LoRA (PEFT) that shall be merged")
    parser.add_argument(
        "--verify", action="store_true", help="read all parameters of a converted base and compute their fingerprint"
    )
    options = parser.parse_args(arguments)
    if options.verify and not (options.path / CARD_FILE).is_file():
        raise ConfigError(f"--verify needs a converted base, and {options.path} is none")
    facts = inspect(options.path, options.adapter)
    if options.verify:
        verify(options.path)
        facts["verified"] = "every parameter is as it was converted"
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:<{width}}{value}")
    return 0
