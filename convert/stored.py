"""Parameters in a converted folder, read piece by piece instead of all at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from jaxdiff.errors import WeightsError

from .naming import Leaf
from .params import flattened
from .staging import SLAB_BYTES


@dataclass(frozen=True)
class StoredLeaf:
    """An array on disk; indices and slices along its first axis are read when they are asked for.

    dtype: of the array. nbytes: of the whole.
    """

    path: Path
    leaf: Leaf
    store: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""
        return tuple(self.store.shape)

    @property
    def dtype(self) -> np.dtype:
        """As of an array."""
        return np.dtype(self.store.dtype.numpy_dtype)

    @property
    def nbytes(self) -> int:
        """As of an array."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, part: int | slice) -> np.ndarray:
        """Raises WeightsError where the file is damaged."""
        try:
            return np.asarray(self.store[part].read().result())
        except (ValueError, OSError) as error:
            raise WeightsError(f"{self.path}: {self.leaf} cannot be read: {' '.join(str(error).split())}") from error


def open_stored(folder: Path) -> dict[Leaf, StoredLeaf]:
    """The leaves of what `save` has written. Raises WeightsError for a missing or damaged checkpoint."""
    import orbax.checkpoint as ocp

    folder = folder.absolute()
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(folder).item_metadata
        if metadata is None:
            raise ValueError("no index")
        return {leaf: StoredLeaf(folder, leaf, _open(folder, leaf)) for leaf in flattened(metadata.tree)}
    except (ValueError, OSError) as error:
        raise WeightsError(f"{folder}: missing or damaged parameters: {' '.join(str(error).split())}") from error


def _open(folder: Path, leaf: Leaf) -> Any:
    kvstore = {"driver": "ocdbt", "base": f"file://{folder}/", "path": leaf.replace("/", ".") + "/"}
    # Layers that share a chunk are not read once for each.
    context = {"cache_pool": {"total_bytes_limit": 2 * SLAB_BYTES}}
    return ts.open({"driver": "zarr", "kvstore": kvstore, "context": context}, read=True, open=True).result()
