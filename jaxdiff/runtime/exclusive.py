"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Waits until no other process is inside with the same `lock_file`, which is gone when nobody is.

    The kernel releases the lock of a process that dies.
    """
    with FileLock(lock_file):
        try:
            yield
        finally:
            # While still holding it: a waiting process sees that its file has no name any more, and opens the next one.
            lock_file.unlink(missing_ok=True)
