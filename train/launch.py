"""Starting the processes of a run on several hosts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from jaxdiff.errors import ConfigError


@dataclass(frozen=True)
class Launch:
    """How the processes of one run find each other.

    distributed: whether there are several; on TPU pods, Slurm and Open MPI the rest is found out. coordinator:
    HOST:PORT of process 0. processes: their number. process: this one's, from 0.
    """

    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def launch_from_args(args: Sequence[str]) -> tuple[Launch, list[str]]:
    """The launch that the words ask for, and the words that are left. Raises ConfigError for half a launch.

    `--distributed` alone, or `--coordinator HOST:PORT --processes N --process I`.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--distributed", action="store_true")
    parser.add_argument("--coordinator")
    parser.add_argument("--processes")
    parser.add_argument("--process")
    found, rest = parser.parse_known_args(list(args))
    given = [value is not None for value in (found.coordinator, found.processes, found.process)]
    if any(given) and not all(given):
        raise ConfigError("--coordinator, --processes and --process belong together")
    if not any(given):
        return Launch(found.distributed), rest
    processes, process = _number("processes", found.processes), _number("process", found.process)
    if process >= processes:
        raise ConfigError(f"--process {process} must be below --processes {processes}")
    return Launch(True, found.coordinator, processes, process), rest


def start(launch: Launch) -> None:
    """Connects the processes; nothing of JAX may have run before. Raises ConfigError where they do not meet."""
    if not launch.distributed:
        return
    try:
        jax.distributed.initialize(launch.coordinator, launch.processes, launch.process)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the processes of the run did not meet: {' '.join(str(error).split())}") from error


def _number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise ConfigError(f"--{name} {value!r} must be an integer >= 0")
    return int(value)
