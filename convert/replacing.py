"""Folders that are written beside their place and moved there when whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxdiff.errors import WeightsError
from jaxdiff.runtime.exclusive import exclusive


@contextmanager
def replacing(out: Path, *, overwrite: bool, marker: str, kind: str) -> Iterator[Path]:
    """A path beside the absolute path `out` for the block to make a folder at, which then takes the place of `out`.

    An `out` that exists is replaced on request, and only if it holds the file `marker`, as every `kind` does. Whatever
    ends the block or the process early, `out` is whole or as it was; what a dead process left is cleared away by the
    next one. Raises WeightsError, also where the disk cannot be written.
    """
    _require_free(out, overwrite, marker, kind)
    partial = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Whoever holds the lock is the only one to write `partial`: one that is there already was left by a dead run.
        with exclusive(out.with_name(f".{out.name}.lock")):
            _restore_replaced(out)
            _require_free(out, overwrite, marker, kind)
            shutil.rmtree(partial, ignore_errors=True)
            try:
                yield partial
                _replace(partial, out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise WeightsError(f"cannot write {out}: {error.strerror or error}") from error


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raises WeightsError where the disk of `folder` lacks `needed` bytes.

    Checked beforehand, because storage layers fill the terminal with tracebacks on a full disk.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsError(f"{folder} has {free / 1e6:.0f} MB free; {purpose} needs {needed / 1e6:.0f} MB")


def _require_free(out: Path, overwrite: bool, marker: str, kind: str) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise WeightsError(f"{out} exists already; choose another folder or overwrite it")
    if not (out / marker).is_file():
        raise WeightsError(f"{out} is not a {kind} and is therefore not overwritten")


def _replaced(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def _replace(new: Path, out: Path) -> None:
    """Moves `new` to `out`; what stood there is removed afterwards."""
    old = _replaced(out)
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.rename(out, old)
    os.rename(new, out)
    shutil.rmtree(old, ignore_errors=True)


def _restore_replaced(out: Path) -> None:
    """Puts back what a run moved away that died before it put the new folder there."""
    if not out.exists() and _replaced(out).exists():
        os.rename(_replaced(out), out)
