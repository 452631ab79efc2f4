"""Loading a base whole and onto meshes of fake CPU devices: time, memory of the host, and what each process reads.

Every load is a process of its own (or two, which find each other over the loopback). The fake devices' memory is the
host's, so the peak less the parameters that the process holds is what reading them costs beside. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.conversion import anonymous_bytes
from jaxdiff.errors import JaxdiffError

DEVICES = 8
SAMPLE_SECONDS = 0.005
# Mesh ("" is the first device alone) and number of processes.
LOADS = (
    ("", 1),
    (f"data=1,fsdp={DEVICES}", 1),
    (f"data=1,tensor={DEVICES}", 1),
    ("data=2,fsdp=2,tensor=2", 1),
    (f"data=1,fsdp={DEVICES}", 2),
    (f"data=1,tensor={DEVICES}", 2),
    ("data=1,fsdp=2,tensor=4", 2),
)


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharded_load", description=__doc__)
    parser.add_argument("--base", default="default", help="name or converted folder (default: default)")
    parser.add_argument("--dtype", help="of the loaded parameters (default: as stored)")
    parser.add_argument(
        "--load", nargs=4, metavar=("MESH", "PROCESSES", "NUMBER", "COORDINATOR"), help=argparse.SUPPRESS
    )
    options = parser.parse_args(argv)
    if options.load:
        mesh, processes, number, coordinator = options.load
        load(options.base, options.dtype, mesh, int(processes), int(number), coordinator)
        return
    if not Path("/proc/self/io").exists():
        raise JaxdiffError("memory and reads are counted in /proc, which this system lacks")
    shown = report.table(
        f"Loading {options.base} on {DEVICES} fake devices", "mesh, process", "seconds", "read MB", "held MB", "peak MB"
    )
    figures: list[dict[str, Any]] = []
    for mesh, processes in LOADS:
        for number, found in enumerate(run_load(options.base, options.dtype, mesh, processes)):
            figures.append({"mesh": mesh or "one device", "processes": processes, "process": number} | found)
            of = f" ({number + 1} of {processes})" if processes > 1 else ""
            bytes_shown = (f"{found[name] / 1e6:.0f}" for name in ("read_bytes", "held_bytes", "peak_bytes"))
            shown.add_row(f"{mesh or 'one device'}{of}", f"{found['seconds']:.2f}", *bytes_shown)
    report.publish("sharded_load", shown, {"base": options.base, "loads": figures}, ("orbax-checkpoint", "tensorstore"))


def run_load(base: str, dtype: str | None, mesh: str, processes: int) -> list[dict[str, Any]]:
    """What each process of one load measured."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{listener.getsockname()[1]}"
    devices = DEVICES // processes
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-m", "benchmarks.sharded_load", "--base", base, *(["--dtype", dtype] if dtype else [])]
    with tempfile.TemporaryDirectory(prefix="jaxdiff-sharded-load-") as folder:
        logs = [Path(folder) / str(number) for number in range(processes)]
        running = []
        for number, log in enumerate(logs):
            more = ["--load", mesh, str(processes), str(number), coordinator]
            with log.open("w") as output:
                running.append(
                    subprocess.Popen([*command, *more], env=environment, stdout=output, stderr=subprocess.STDOUT)
                )
        failed = [log for process, log in zip(running, logs, strict=True) if process.wait()]
        if failed:
            raise JaxdiffError(f"a load onto {mesh or 'one device'} failed: {failed[0].read_text().strip()[-300:]}")
        lines = [line for log in logs for line in log.read_text().splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


def load(name: str, dtype: str | None, mesh: str, processes: int, number: int, coordinator: str) -> None:
    """One process of a load: prints seconds, bytes read from files, bytes of parameters held, and peak RssAnon."""
    import jax

    from jaxdiff.base.store import load_base
    from jaxdiff.sharding import MeshShape, make_mesh

    if processes > 1:
        jax.distributed.initialize(coordinator, processes, number)
    devices = make_mesh(MeshShape.parse(mesh)) if mesh else None
    # Modules and devices are not what is measured.
    jax.block_until_ready(jax.numpy.zeros(8))
    peak = Peak()
    read, started = bytes_read(), time.perf_counter()
    base = load_base(name, dtype=dtype, mesh=devices)
    jax.block_until_ready(base.params)
    seconds, read = time.perf_counter() - started, bytes_read() - read
    held = sum(shard.data.nbytes for leaf in jax.tree.leaves(base.params) for shard in leaf.addressable_shards)
    found = {"seconds": round(seconds, 2), "read_bytes": read, "held_bytes": held, "peak_bytes": peak.stop()}
    print(json.dumps(found), flush=True)


def bytes_read() -> int:
    """Bytes that this process has read so far, from the disk or its cache."""
    return int(Path("/proc/self/io").read_text().split()[1])


class Peak:
    """Samples this process's RssAnon in a thread; the growth from here to its largest value."""

    def __init__(self) -> None:
        self._before = self._largest = anonymous_bytes(os.getpid())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._largest = max(self._largest, anonymous_bytes(os.getpid()))

    def stop(self) -> int:
        """Bytes."""
        self._ended.set()
        self._thread.join()
        return max(self._largest, anonymous_bytes(os.getpid())) - self._before


if __name__ == "__main__":
    raise SystemExit(report.run(main))
