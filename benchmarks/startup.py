"""What a user waits for: imports, loading the base, the first call with and without kept programs, later calls.

Every measurement is a fresh process. Without kept programs the user's cache holds the converted base and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks import report
from jaxdiff.base.store import cache_dir
from jaxdiff.errors import JaxdiffError
from jaxdiff_convert.registry import ensure_base

QUERY = "Book a table for four at Nonna Rosa tomorrow evening, outside please"
TOOLS = Path(str(files("jaxdiff"))) / "assets" / "examples" / "tools.json"

# Programs of the measured processes; each prints one JSON object. They import nothing that is not measured.
IMPORTS = """
import time
started = time.perf_counter()
import jaxdiff
package = time.perf_counter() - started
import jaxdiff.agent.agent
print('{"package": %f, "agent": %f}' % (package, time.perf_counter() - started))
"""
LOAD = """
import json, time
import jax
import jaxdiff.agent.agent
from jaxdiff.base.store import load_base
started = time.perf_counter()
jax.block_until_ready(load_base("default").params)
print(json.dumps({"load_base": time.perf_counter() - started}))
"""
CALLS = """
import json, sys, time
started = time.perf_counter()
from jaxdiff.agent.agent import Agent
from jaxdiff.runtime.compilation import keep_compiled_programs
keep_compiled_programs()
query, tools, fill, later = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
agent = Agent.load("default", tools=tools, fill=fill)
loaded = time.perf_counter()
first = agent(query).timing_ms
answered = time.perf_counter()
print(json.dumps({
    "until_loaded": loaded - started, "until_answer": answered - started, "first": first,
    "later": [agent(query).timing_ms for _ in range(later)],
}))
"""


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="processes a measurement (default: 5)")
    parser.add_argument("--cold-repeats", type=int, default=3, help="processes that compile everything (default: 3)")
    parser.add_argument("--calls", type=int, default=10, help="later calls a process (default: 10)")
    parser.add_argument("--fill", choices=("diffusion", "ar", "parallel"), default="diffusion")
    options = parser.parse_args(argv)
    ensure_base("default", cache_dir())

    imports = [_run(IMPORTS) for _ in range(options.repeats)]
    loads = [_run(LOAD)["load_base"] for _ in range(options.repeats)]
    asked = (QUERY, str(TOOLS), options.fill)
    cold = [_with_empty_cache(lambda home: _run(CALLS, *asked, "0", cache=home)) for _ in range(options.cold_repeats)]
    _run(CALLS, *asked, "0")
    kept = [_run(CALLS, *asked, str(options.calls)) for _ in range(options.repeats)]

    figures: dict[str, Any] = {
        "fill": options.fill,
        "seconds": {
            "import jaxdiff": report.summary([found["package"] for found in imports]),
            "import jaxdiff.agent.agent": report.summary([found["agent"] for found in imports]),
            "load_base": report.summary(loads),
            "first answer of a process, nothing compiled": report.summary([found["until_answer"] for found in cold]),
            "first answer of a process, programs kept": report.summary([found["until_answer"] for found in kept]),
        },
        "milliseconds": {
            "first call, nothing compiled": by_stage([found["first"] for found in cold]),
            "first call, programs kept": by_stage([found["first"] for found in kept]),
            "later calls": by_stage([call for found in kept for call in found["later"]]),
        },
    }
    shown = report.table(f"Start and calls, fill {options.fill}", "", "least", "median", "runs")
    for name, found in figures["seconds"].items():
        shown.add_row(name, f"{found['min']:.2f} s", f"{found['median']:.2f} s", str(found["runs"]))
    for name, stages in figures["milliseconds"].items():
        shown.add_section()
        for stage, found in stages.items():
            shown.add_row(f"{name}: {stage}", f"{found['min']:.1f} ms", f"{found['median']:.1f} ms", str(found["runs"]))
    report.publish("startup", shown, figures)


def by_stage(calls: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Summary of each stage of some calls."""
    return {stage: report.summary([call[stage] for call in calls], 2) for stage in calls[0]}


def _run(program: str, *words: str, cache: Path | None = None) -> dict[str, Any]:
    # Whoever measures may keep compiled programs in a place of their own.
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    if cache is not None:
        environment["JAXDIFF_CACHE"] = str(cache)
    child = subprocess.run(
        [sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True, check=False
    )
    if child.returncode:
        reason = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        raise JaxdiffError(f"a measured process failed: {reason}")
    found: dict[str, Any] = json.loads(child.stdout)
    return found


def _with_empty_cache(run: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="jaxdiff-startup-") as folder:
        home = Path(folder)
        (home / "bases").symlink_to(cache_dir() / "bases", target_is_directory=True)
        return run(home)


if __name__ == "__main__":
    raise SystemExit(report.run(main))
