"""Batches prepared ahead of the steps that use them, and laid on the devices."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from jaxdiff.errors import ConfigError

PREPARED = 4


def feed(
    batch_of: Callable[[int], Any], first: int, last: int, prepared: int = PREPARED, workers: int = 0
) -> Iterator[Any]:
    """The batches of steps `first` to `last` - 1, in order; up to `prepared` are made ahead, by a thread or by workers.

    batch_of: a pure function of the step, so that a run that is resumed sees the batches it would have seen. workers:
    number of processes, each of which gets a pickled copy of `batch_of` and makes every workers-th batch; 0 for a
    thread. The batches are the same.
    """
    import grain

    steps = grain.MapDataset.range(first, last).map(batch_of)
    if not workers:
        yield from steps.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=prepared))
        return
    from absl import flags

    if not flags.FLAGS.is_parsed():
        # Grain asks for flags of its own, which only programs with absl's command line have parsed.
        flags.FLAGS.mark_as_parsed()
    options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=prepared)
    in_turn = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    batches = iter(steps.to_iter_dataset(in_turn).mp_prefetch(options, worker_init_fn=_start_worker))
    try:
        yield from batches
    finally:
        batches.close()


def _start_worker(number: int, workers: int) -> None:
    """Keeps a worker off the accelerators, which are the trainer's, and leaves it to the trainer what signals mean.

    Whoever stops a run tells the whole group of its processes; the trainer still needs batches until it has saved.
    """
    # JAX is imported by now, but no device is opened before it is first computed with.
    jax.config.update("jax_platforms", "cpu")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def host_rows(batch_size: int, sharding: NamedSharding | None, what: str = "a batch") -> slice:
    """The rows of a batch that this process makes: those of its own devices, all where nothing is divided.

    what: names the batch in errors. Raises ConfigError where the devices do not divide the rows, or those of this
    process are not neighbours.
    """
    if sharding is None:
        return slice(0, batch_size)
    parts = sharding.num_devices // sharding.mesh.shape["tensor"]
    if batch_size % parts:
        raise ConfigError(f"{what} of {batch_size} rows cannot be divided over {parts} devices (data x fsdp)")
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
