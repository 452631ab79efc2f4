"""What every benchmark prints: a table for people, then one line `RESULT {...}` for programs."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jaxdiff.errors import JaxdiffError

LIBRARIES = ("jax", "jaxlib", "flax")


def machine() -> dict[str, Any]:
    """Processor, the number of its cores that this process may use, and the system."""
    return {"cpu": _cpu_model(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform(terse=True)}


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, of `LIBRARIES` and of `more` libraries."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in (*LIBRARIES, *more)
    }


def summary(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Least and median of repeated measurements, and their number."""
    return {
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "runs": len(values),
    }


def table(title: str, *headings: str) -> Table:
    """An empty table; all columns but the first hold figures."""
    made = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        made.add_column(heading, justify="right" if i else "left")
    return made


def publish(benchmark: str, shown: Table, figures: dict[str, Any], libraries: Sequence[str] = ()) -> None:
    """Prints the table, then the result line. libraries: those that took part besides `LIBRARIES`."""
    # Into a file or a pipe, rich would squeeze the table into 80 columns.
    Console(width=None if sys.stdout.isatty() else 160).print(shown)
    result = {
        "benchmark": benchmark,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(*libraries),
        "figures": figures,
    }
    print("RESULT " + json.dumps(result), flush=True)


def run(main: Callable[[], None]) -> int:
    """Exit status of a benchmark: 0, or 2 with one line on stderr where it cannot be run."""
    try:
        main()
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
