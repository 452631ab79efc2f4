"""What a run says while it goes on: metrics of each step, kept in a file and shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

Log = Callable[[str], None]
Tick = Callable[[int, Mapping[str, float]], None]
"""(step, its metrics), once a step."""


class Sink(Protocol):
    """Where metrics go."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a step, or their means since the last."""

    def close(self) -> None:
        """After the last."""


class Watch:
    """Means of metrics over the last `every` steps, with the pace, to a log and to sinks.

    batch_size: rows a step. peak: floating-point operations a second that all devices can do, or None where not known.
    tick: for a progress bar.
    With the peak, the share of it that was used is told (mfu: model FLOPs utilisation, arXiv 2204.02311).
    """

    def __init__(
        self,
        steps: int,
        batch_size: int,
        log: Log,
        sinks: list[Sink],
        *,
        every: int = 50,
        peak: float | None = None,
        tick: Tick | None = None,
    ):
        self._steps, self._batch_size, self._log, self._sinks, self._every = steps, batch_size, log, sinks, every
        self._peak, self._tick = peak, tick
        self._flops = 0.0
        self._metrics: list[Mapping[str, float]] = []
        self._last = time.monotonic()

    def add(self, step: int, metrics: Mapping[str, float], flops: float = 0.0) -> None:
        """Metrics of a step, counted from 1, and the floating-point operations it took, 0 where not known."""
        self._metrics.append(metrics)
        self._flops += flops
        if self._tick is not None:
            self._tick(step, metrics)
        if step % self._every and step != self._steps:
            return
        now = time.monotonic()
        pace = (now - self._last) / len(self._metrics)
        means = {name: float(np.mean([found[name] for found in self._metrics])) for name in metrics}
        rates = {"examples_per_second": self._batch_size / pace}
        if self._peak is not None and self._flops:
            rates["mfu"] = self._flops / len(self._metrics) / pace / self._peak
        for sink in self._sinks:
            sink.write(step, means | rates)
        self._log(
            f"step {step}/{self._steps}  "
            + "  ".join(f"{name} {value:.3f}" for name, value in means.items())
            + "".join(f"  {name.replace('_per_', '/')} {value:.3g}" for name, value in rates.items())
            + f"  {pace:.2f} s a step, {_duration(pace * (self._steps - step))} left"
        )
        self._metrics, self._last, self._flops = [], now, 0.0

    def note(self, step: int, metrics: Mapping[str, float]) -> None:
        """Figures that come now and then, such as those of an evaluation; the time they took does not count."""
        for sink in self._sinks:
            sink.write(step, metrics)
        self._log(f"step {step}/{self._steps}  " + "  ".join(f"{name} {value:.1f}" for name, value in metrics.items()))

    def restart_clock(self, seconds: float) -> None:
        """Leaves out the last `seconds`, in which no steps were done."""
        self._last += seconds

    def close(self) -> None:
        """Closes the sinks."""
        for sink in self._sinks:
            sink.close()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
