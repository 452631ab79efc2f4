"""`python -m train compile`: the training step of a pod, compiled without one, and what it would take there."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from jaxdiff.errors import ConfigError

# The compiler for TPUs believes to be on one; these make it do without.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_ACCELERATOR_TYPE": "v5e-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_SKIP_MDS_QUERY": "1",
}
MODELS = ("smollm3-3b", "smollm2-135m")


@dataclasses.dataclass(frozen=True)
class CompileSettings:
    """topology: as `v5e:16x16`. model: whose shape the base has. mesh: devices along each axis. batch_size: rows an
    update, over all devices. microbatches: parts of it whose gradients are accumulated. prefix, slots, query: padded
    tokens of example and tool, of query and keys, of the query.
    """

    topology: str
    model: str = MODELS[0]
    mesh: str = "fsdp=16"
    batch_size: int = 256
    microbatches: int = 1
    remat: str = "none"
    prefix: int = 640
    slots: int = 256
    query: int = 80


def compile_main(arguments: Sequence[str]) -> int:
    """Compiles in a process of its own and prints a table, or with `--json` one object. 1 where it does not fit."""
    parser = argparse.ArgumentParser(prog="python -m train compile", description=__doc__)
    defaults = CompileSettings("")
    parser.add_argument("--topology", required=True, help="of the pod, as v5e:16x16 or v5p:4x4x4")
    parser.add_argument("--model", choices=MODELS, default=defaults.model, help="whose shape the base has")
    parser.add_argument("--mesh", default=defaults.mesh, help="devices along each axis; what is left is data")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="rows an update, over all devices")
    parser.add_argument("--microbatches", type=int, default=defaults.microbatches, help="parts that are accumulated")
    parser.add_argument("--remat", default=defaults.remat, help="what the backward pass computes again")
    parser.add_argument("--prefix", type=int, default=defaults.prefix, help="padded tokens of example and tool")
    parser.add_argument("--slots", type=int, default=defaults.slots, help="padded tokens of query and keys")
    parser.add_argument("--query", type=int, default=defaults.query, help="padded tokens of the query")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    words = vars(parser.parse_args(list(arguments)))
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError("compiling for TPUs needs their compiler: pip install 'jaxdiff[tpu]'")
    as_json = words.pop("json")
    report = compiled_report(CompileSettings(**words))
    if as_json:
        print(json.dumps(report))
    else:
        _show(report)
    return 0 if report["fits"] else 1


def compiled_report(settings: CompileSettings) -> dict[str, object]:
    """What the compiler says of the step. Raises ConfigError where it cannot be compiled, with the reason."""
    command = [sys.executable, "-m", "jaxdiff_train.ahead_of_time", json.dumps(dataclasses.asdict(settings))]
    # In a process of its own: the compiler for TPUs makes every import of JAX in its process noisy.
    found = subprocess.run(command, env=os.environ | _ENVIRONMENT, capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.splitlines() if line.startswith("{")]
    if found.returncode or not lines:
        said = [line for line in found.stderr.splitlines() if line.strip()]
        raise ConfigError(f"cannot compile for {settings.topology}: {said[-1] if said else 'no reason was given'}")
    report: dict[str, object] = json.loads(lines[-1])
    return report


def _show(report: dict[str, object]) -> None:
    console = Console()
    memory, collectives = report["bytes_per_chip"], report["collectives"]
    assert isinstance(memory, dict) and isinstance(collectives, dict)
    table = Table(title=f"{report['model']} on {report['topology']}, mesh {report['mesh']}", title_justify="left")
    table.add_column("bytes a chip")
    table.add_column("MB", justify="right")
    for name, size in memory.items():
        table.add_row(name, f"{size / 1e6:,.1f}")
    console.print(table)
    table = Table("collective", "in the program", "MB a chip moves a step", "largest MB")
    for name, found in collectives.items():
        table.add_row(name, str(found["count"]), f"{found['bytes'] / 1e6:,.1f}", f"{found['largest'] / 1e6:,.1f}")
    console.print(table)
    console.print(
        f"{report['flops_per_chip'] / 1e12:,.2f} TFLOP a chip and step (the base's reading); "  # type: ignore[operator]
        f"{'fits' if report['fits'] else 'does NOT fit'} {report['chip_memory'] / 1e9:.0f} GB chips; "  # type: ignore[operator]
        f"compiled in {report['compile_seconds']:.0f} s"
    )
