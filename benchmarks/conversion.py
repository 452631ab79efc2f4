"""Conversion of the default weights (GGUF, fetched before): time, peak memory, size on disk. Linux only."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from jaxdiff.base.store import cache_dir
from jaxdiff.errors import JaxdiffError
from jaxdiff_convert.fetch import fetch_default_weights

SAMPLE_SECONDS = 0.02


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="conversions (default: 3)")
    options = parser.parse_args(argv)
    if not Path("/proc/self/status").exists():
        raise JaxdiffError("memory is read from /proc, which this system lacks")
    source = fetch_default_weights(cache_dir())
    runs = []
    with tempfile.TemporaryDirectory(prefix="jaxdiff-conversion-") as folder:
        for number in range(options.repeats):
            out = Path(folder) / str(number)
            runs.append(convert_once(source, out))
            size = size_on_disk(out)
    seconds, resident, anonymous = zip(*runs, strict=True)
    figures = {
        "source_bytes": source.stat().st_size,
        "converted_bytes": size,
        "seconds": report.summary(seconds, 2),
        "peak_rss_bytes": max(resident),
        "peak_anonymous_bytes": max(anonymous),
    }
    shown = report.table(f"Conversion of {source.name}", "figure", "value")
    shown.add_row("time, least", f"{figures['seconds']['min']} s")
    shown.add_row(f"time, median of {options.repeats}", f"{figures['seconds']['median']} s")
    shown.add_row("peak resident memory", f"{max(resident) / 1e6:.0f} MB")
    shown.add_row("of it without file pages (sampled)", f"{max(anonymous) / 1e6:.0f} MB")
    shown.add_row("source on disk", f"{figures['source_bytes'] / 1e6:.0f} MB")
    shown.add_row("converted on disk", f"{size / 1e6:.0f} MB")
    report.publish("conversion", shown, figures, ("gguf", "orbax-checkpoint"))


def convert_once(source: Path, out: Path) -> tuple[float, int, int]:
    """Converts in a process of its own, as a user would: wall-clock seconds, peak RSS, peak RssAnon (bytes).

    The peak RSS is the kernel's own record, which also counts pages of the mapped source file; RssAnon is sampled.
    """
    started = time.perf_counter()
    command = [sys.executable, "-m", "jaxdiff.cli", "convert", str(source), str(out)]
    anonymous = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        while True:
            ended, status, usage = os.wait4(child.pid, os.WNOHANG)
            if ended:
                break
            anonymous = max(anonymous, anonymous_bytes(child.pid))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        # The status was taken above, so `child` itself must not wait for it.
        child.returncode = os.waitstatus_to_exitcode(status)
        messages = child.stderr.read() if child.stderr else ""
    if child.returncode:
        raise JaxdiffError(f"the conversion failed with status {child.returncode}: {messages.strip()[-300:]}")
    return seconds, usage.ru_maxrss * 1024, anonymous


def anonymous_bytes(process: int) -> int:
    """Memory of a process that no file backs; 0 for one that has just ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def size_on_disk(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    raise SystemExit(report.run(main))
