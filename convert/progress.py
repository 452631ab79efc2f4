"""The progress bar of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def tensors_done(doing: str, of: str = "tensors") -> Iterator[Callable[[int, int], None]]:
    """Shows on stderr, if that is a terminal, what its function is told: how many are done, and of how many."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn(of), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
