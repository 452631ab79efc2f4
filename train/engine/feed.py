"""Batches prepared ahead of the steps that use them, and laid on the devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from jaxdiff.errors import ConfigError

PREPARED = 4


def feed(batch_of: Callable[[int], Any], first: int, last: int, prepared: int = PREPARED) -> Iterator[Any]:
    """The batches of steps `first` to `last` - 1, in order; up to `prepared` are made ahead on a thread.

    batch_of: a pure function of the step, so that a run that is resumed sees the batches it would have seen.
    """
    import grain

    steps = grain.MapDataset.range(first, last).map(batch_of)
    return iter(steps.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=prepared)))


def host_rows(batch_size: int, sharding: NamedSharding | None) -> slice:
    """The rows of a batch that this process makes: those of its own devices, all where nothing is divided.

    Raises ConfigError where the devices do not divide the rows, or those of this process are not neighbours.
    """
    if sharding is None:
        return slice(0, batch_size)
    parts = sharding.num_devices // sharding.mesh.shape["tensor"]
    if batch_size % parts:
        raise ConfigError(f"a batch of {batch_size} rows cannot be divided over {parts} devices (data x fsdp)")
    own = sharding.addressable_devices_indices_map((batch_size,)).values()
    ranges = sorted({index[0].indices(batch_size)[:2] for index in own if index is not None})
    if any(before[1] != after[0] for before, after in pairwise(ranges)):
        raise ConfigError("the rows of this process's devices are not neighbours; order the mesh by process")
    return slice(ranges[0][0], ranges[-1][1])


def place(batch: Any, batch_size: int, sharding: NamedSharding | None) -> Any:
    """A batch on the devices; each process gives its own `host_rows`."""
    if sharding is None:
        return batch

    def laid(x: Any) -> jax.Array:
        x = np.asarray(x)
        return jax.make_array_from_process_local_data(sharding, x, (batch_size, *x.shape[1:]))

    return jax.tree.map(laid, batch)
