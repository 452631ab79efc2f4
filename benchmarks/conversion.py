"""Conversion: time beside copying, staging and orbax's own write; peak memory; size on disk. Linux only.

Of the default weights (GGUF, fetched before), or of a random checkpoint of SmolLM3-3B's shape (6.2 GB, in a folder with
20 GB free).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.conversion_fixture import write_checkpoint
from jaxdiff.base.store import cache_dir
from jaxdiff.config import BaseConfig
from jaxdiff.errors import JaxdiffError
from jaxdiff_convert.fetch import fetch_default_weights

SAMPLE_SECONDS = 0.02


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversion", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="conversions (default: 3)")
    parser.add_argument("--shape", choices=["smollm3-3b"], help="convert a random checkpoint of this shape")
    parser.add_argument("--folder", type=Path, help="for all files, which are deleted (default: the system's)")
    options = parser.parse_args(argv)
    if not Path("/proc/self/status").exists():
        raise JaxdiffError("memory is read from /proc, which this system lacks")
    with tempfile.TemporaryDirectory(prefix="jaxdiff-conversion-", dir=options.folder) as folder:
        if options.shape:
            source = write_checkpoint(Path(folder) / options.shape, BaseConfig.smollm3_3b())
        else:
            source = fetch_default_weights(cache_dir())
        measure(source, Path(folder), options.repeats)


def measure(source: Path, folder: Path, repeats: int) -> None:
    """Measures conversions of `source` and their parts; all files go into `folder`."""
    command = [sys.executable, "-m", "benchmarks.conversion_parts", str(source), str(folder)]
    printed, _, _, parts_anonymous = watched(command)
    parts = json.loads(printed)
    runs = []
    for number in range(repeats):
        out = folder / f"out{number}"
        runs.append(convert_once(source, out))
        size = size_on_disk(out)
        shutil.rmtree(out)
    seconds, resident, anonymous = zip(*runs, strict=True)
    figures = {
        "source_bytes": size_on_disk(source) if source.is_dir() else source.stat().st_size,
        "converted_bytes": size,
        "seconds": report.summary(seconds, 2),
        "parts_seconds": {part: round(value, 2) for part, value in parts.items()},
        "peak_rss_bytes": max(resident),
        "peak_anonymous_bytes": max(anonymous),
        "orbax_peak_anonymous_bytes": parts_anonymous,
    }
    shown = report.table(f"Conversion of {source.name}", "figure", "value")
    shown.add_row("time, least", f"{figures['seconds']['min']} s")
    shown.add_row(f"time, median of {repeats}", f"{figures['seconds']['median']} s")
    shown.add_row("beside it: copying the source's files", f"{parts['copy']:.2f} s")
    shown.add_row("beside it: staging alone", f"{parts['staging']:.2f} s")
    shown.add_row("beside it: orbax's own write of the staged arrays", f"{parts['orbax']:.2f} s")
    shown.add_row("peak resident memory", f"{max(resident) / 1e6:.0f} MB")
    shown.add_row("of it without file pages (RssAnon, sampled)", f"{max(anonymous) / 1e6:.0f} MB")
    shown.add_row("RssAnon of staging and orbax's own write", f"{parts_anonymous / 1e6:.0f} MB")
    shown.add_row("source on disk", f"{figures['source_bytes'] / 1e6:.0f} MB")
    shown.add_row("converted on disk", f"{size / 1e6:.0f} MB")
    report.publish("conversion", shown, figures, ("gguf", "orbax-checkpoint", "safetensors"))


def convert_once(source: Path, out: Path) -> tuple[float, int, int]:
    """Converts in a process of its own, as a user would: wall-clock seconds, peak RSS, peak RssAnon (bytes).

    The peak RSS is the kernel's own record, which also counts pages of the mapped source file; RssAnon is sampled.
    """
    _, *measured = watched([sys.executable, "-m", "jaxdiff.cli", "convert", str(source), str(out)])
    seconds, resident, anonymous = measured
    return seconds, resident, anonymous


def watched(command: list[str]) -> tuple[str, float, int, int]:
    """Runs a program: what it printed, wall-clock seconds, peak RSS, peak RssAnon. Raises JaxdiffError if it fails."""
    started = time.perf_counter()
    anonymous = 0
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(command, stdout=printed, stderr=subprocess.PIPE, text=True) as child,
    ):
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
        printed.seek(0)
        output = printed.read()
    if child.returncode:
        raise JaxdiffError(f"the conversion failed with status {child.returncode}: {messages.strip()[-300:]}")
    return output, seconds, usage.ru_maxrss * 1024, anonymous


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
