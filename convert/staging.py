"""Arrays that are too large for memory, kept in files on the disk that the result goes to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SLAB_BYTES = 256 << 20
"""Of a large array that are held in memory at a time."""


class Staging:
    """Makes arrays in files of `folder`, which exists from the first one on and is whoever made it's to remove."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._made = 0

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array mapped over a file of its own, all zeros. Raises OSError where the disk has no room for it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / str(self._made)
        self._made += 1
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        with path.open("xb") as file:
            # Reserved now: a page that finds no room when it is written kills the process.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
        return np.asarray(np.memmap(path, dtype, mode="r+", shape=tuple(shape)))


def slabs(shape: tuple[int, ...], size: int, multiple: int = 1) -> list[tuple[int, int]]:
    """First and past-the-last index along the first axis of parts of about `SLAB_BYTES`.

    size: bytes of the whole. All parts but the last are a multiple of `multiple` long.
    """
    rows = max(1, SLAB_BYTES // max(1, size // shape[0]) // multiple) * multiple
    return [(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows)]
