"""Writing large arrays through orbax in bounded memory."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import tensorstore as ts
from orbax.checkpoint import type_handlers

from .chunks import chunk_shape
from .staging import slabs


class SlabHandler(type_handlers.NumpyHandler):
    """Orbax's handler of numpy arrays, but without a copy of all of them before or while they are written.

    It also cuts them by `chunk_shape`: orbax would write an array whole, or cut it where parts of a mesh do not end.
    """

    def __init__(self) -> None:
        super().__init__(deepcopy_host_arrays=False)
        self._one_at_a_time = asyncio.Semaphore()

    async def _open_and_write(self, value: np.ndarray, tspec: dict[str, Any], ts_context: ts.Context) -> None:
        tspec["metadata"]["chunks"] = chunk_shape(value.shape, value.dtype.itemsize)
        async with self._one_at_a_time:
            store = await ts.open(ts.Spec(tspec), create=True, open=True, context=ts_context)
            rows = store.chunk_layout.write_chunk.shape or (1,)
            for start, stop in slabs(value.shape, value.nbytes, rows[0] or 1):
                await store[start:stop].write(value[start:stop], can_reference_source_data_indefinitely=True)
