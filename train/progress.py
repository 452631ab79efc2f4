"""What a run shows on the terminal: lines, and where somebody looks on, a bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .heads.training import Show

_SHOWN = ("loss", "accuracy")


@contextmanager
def shown_progress(steps: int) -> Iterator[Show]:
    """Lines for a log file; on a terminal a bar below them with loss, accuracy and the time left."""
    if jax.process_index() > 0:
        yield Show(lambda line: None)
        return
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        yield Show(lambda line: print(line, flush=True))
        return
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps)

        def tick(step: int, metrics: Mapping[str, float]) -> None:
            words = "  ".join(f"{name} {metrics[name]:.3f}" for name in _SHOWN if name in metrics)
            progress.update(task, completed=step, description=words)

        yield Show(lambda line: progress.console.print(line, markup=False), tick)
