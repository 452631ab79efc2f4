"""A trace of a few steps for TensorBoard's or Perfetto's viewer."""

from __future__ import annotations

from pathlib import Path

import jax

# The first steps compile, and would fill the trace.
_AFTER, _STEPS = 3, 5


class Profile:
    """Traces some steps into `folder`; None traces nothing. first: the step that the run begins with, from 0."""

    def __init__(self, folder: Path | None, first: int):
        self._folder, self._start, self._running = folder, first + _AFTER, False

    def at(self, step: int) -> None:
        """Before each step."""
        if self._folder is not None and step == self._start:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif step == self._start + _STEPS:
            self._stop()

    def __enter__(self) -> Profile:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
