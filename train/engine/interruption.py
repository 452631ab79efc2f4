"""Stopping at the end of a step when the machine is taken away."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

import jax
from jax.experimental import multihost_utils


class Interruption:
    """While it is entered, SIGTERM no longer ends the process: `asked` tells after which step to save and leave.

    With several processes all must leave after the same step; JAX's coordination service agrees on one, whichever of
    them got the signal.
    """

    def __init__(self) -> None:
        self._signalled = False
        self._previous: signal.Handlers | None = None

    def asked(self, step: int) -> bool:
        """Whether to stop after `step`. Every process must ask at every step."""
        if jax.process_count() > 1:
            return bool(multihost_utils.reached_preemption_sync_point(step))
        return self._signalled

    def __enter__(self) -> Interruption:
        # With several processes the coordination service has a handler of its own; signals reach main threads alone.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._remember)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
