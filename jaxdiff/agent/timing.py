"""Wall-clock time by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timer:
    """Measures stages in milliseconds."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Adds the time of a block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._stages[stage] = self._stages.get(stage, 0.0) + 1000 * (time.perf_counter() - started)

    def finish(self) -> dict[str, float]:
        """Milliseconds by stage, and from the beginning in all ("total")."""
        return self._stages | {"total": 1000 * (time.perf_counter() - self._started)}
