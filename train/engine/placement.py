"""Where a training state lives on a mesh."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Smaller arrays are copied: dividing them would cost more messages than it saves memory.
_SMALLEST = 2**22


def state_shardings(mesh: Mesh, state: Any) -> Any:
    """A sharding for every array of a state (or of its shapes).

    Large arrays, and with them their moments and averages, are divided over `fsdp` along their longest dimension that
    it divides (ZeRO, arXiv 1910.02054); the rest is on every device.
    """
    return jax.tree.map(lambda leaf: NamedSharding(mesh, _spec(mesh, np.shape(leaf))), state)


def _spec(mesh: Mesh, shape: tuple[int, ...]) -> PartitionSpec:
    parts = mesh.shape["fsdp"]
    divisible = [axis for axis, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or np.prod(shape) < _SMALLEST or not divisible:
        return PartitionSpec()
    longest = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*(("fsdp" if axis == longest else None) for axis in range(len(shape))))
