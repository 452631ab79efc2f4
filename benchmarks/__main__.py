"""`python -m benchmarks [NAME ...]`: all benchmarks, or the named ones, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

NAMES = (
    "startup", "conversion", "throughput", "parity", "accuracy", "routing", "sharded_load", "quantised", "train_step",
    "samplers", "ablation", "constraints", "said_values",
)  # fmt: skip


def main(names: list[str]) -> int:
    """Runs benchmarks one after the other; the highest exit status, 2 for an unknown name."""
    if unknown := [name for name in names if name not in NAMES]:
        print(f"error: no benchmark is called {unknown[0]!r}; choose from {', '.join(NAMES)}", file=sys.stderr)
        return 2
    status = 0
    for name in names or NAMES:
        # What one has loaded and compiled must not help or hinder the next.
        found = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
        if found < 0:
            print(f"error: benchmark {name} was ended by signal {-found}", file=sys.stderr)
        status = max(status, abs(found))
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
