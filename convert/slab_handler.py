"""Writing large arrays through orbax in bounded memory."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from orbax.checkpoint import type_handlers

from .staging import SLAB_BYTES, slabs

_CHUNK_BYTES = 8 << 20


def save_args(value: np.ndarray) -> ocp.SaveArgs:
    """How one array is cut into the pieces that can be read by themselves.

    An array beyond `SLAB_BYTES` is cut by layers and then into 8 MB, so that whoever reads a shard of it reads little
    more. A smaller one stays whole, which loads faster.
    """
    if value.nbytes <= SLAB_BYTES:
        return ocp.SaveArgs()
    return ocp.SaveArgs(chunk_byte_size=_CHUNK_BYTES, shard_axes=(0,) if value.ndim == 3 else ())


class SlabHandler(type_handlers.NumpyHandler):
    """Orbax's handler of numpy arrays, but without a copy of all of them before or while they are written."""

    def __init__(self) -> None:
        super().__init__(deepcopy_host_arrays=False)
        self._one_at_a_time = asyncio.Semaphore()

    async def _open_and_write(self, value: np.ndarray, tspec: dict[str, Any], ts_context: ts.Context) -> None:
        async with self._one_at_a_time:
            store = await ts.open(ts.Spec(tspec), create=True, open=True, context=ts_context)
            rows = store.chunk_layout.write_chunk.shape or (1,)
            for start, stop in slabs(value.shape, value.nbytes, rows[0] or 1):
                await store[start:stop].write(value[start:stop], can_reference_source_data_indefinitely=True)
