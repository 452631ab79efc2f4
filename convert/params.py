"""The parameter dict in memory and on disk: assembled tensor by tensor, named by its fingerprint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError

from .naming import Leaf, Placement, leaf_shapes, place
from .sources import FLOAT_DTYPES, Source
from .staging import Staging, slabs

_STRIP = 32
_SPACE_FACTOR = 2.05  # of the parameters alone: staged and written, and 5% for tokenizer and indexes


def stored_bytes(config: BaseConfig, dtype: str) -> int:
    """Size of all parameters in bytes."""
    return FLOAT_DTYPES[dtype].itemsize * sum(math.prod(shape) for shape in leaf_shapes(config).values())


def space_needed(config: BaseConfig, dtype: str) -> int:
    """Bytes of disk that converting takes, half of them until it is done."""
    return int(stored_bytes(config, dtype) * _SPACE_FACTOR)


def assemble(
    source: Source, dtype: str, staging: Staging, report: Callable[[int, int], None]
) -> dict[Leaf, np.ndarray]:
    """All parameters of `source`, by leaf, staged; layers are stacked into arrays made beforehand, tensor by tensor.

    report: called with the number of tensors done and their total. Raises WeightsError for tensors that do not fit, are
    damaged (not finite), overflow `dtype`, or for an output matrix that differs from the embedding it is tied to.
    """
    placements = place(source.tensors, source.config, source.names, str(source.path))
    stored = FLOAT_DTYPES[dtype]
    leaves = {leaf: staging.empty(shape, stored) for leaf, shape in leaf_shapes(source.config).items()}
    for done, placement in enumerate(placements, start=1):
        tensor = source.tensors[placement.index]
        parameter = load_parameter(source, placement)
        if not _finite(parameter):
            raise WeightsError(f"{source.path}: {tensor.name} holds values that are not finite; the file is damaged")
        destination = leaves[placement.leaf] if placement.layer is None else leaves[placement.leaf][placement.layer]
        _copy(parameter, destination)
        if parameter.dtype != stored and not _finite(destination):
            raise WeightsError(f"{source.path}: {tensor.name} has values beyond the range of {dtype}")
        report(done, len(placements))
    if source.config.tie_embeddings:
        _check_tied_output(source, leaves["embed_tokens/embedding"])
    return leaves


def load_parameter(source: Source, placement: Placement) -> np.ndarray:
    """One tensor of `source` as it stands in the parameter dict, its adapter merged. Raises WeightsError."""
    parameter = placement.to_parameter(source.tensors[placement.index].load())
    if source.adapter is not None:
        parameter = source.adapter.merge(placement.leaf, placement.layer, parameter)
    return parameter


def _finite(values: np.ndarray) -> bool:
    return all(bool(np.isfinite(values[start:stop]).all()) for start, stop in slabs(values.shape, values.nbytes))


def _copy(values: np.ndarray, destination: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        if values.ndim != 2 or values.flags.c_contiguous:
            destination[...] = values
            return
        # Transposed all at once, every value would miss the processor's caches.
        for start in range(0, values.shape[1], _STRIP):
            strip = slice(start, start + _STRIP)
            destination[:, strip] = values[:, strip]


def _check_tied_output(source: Source, embedding: np.ndarray) -> None:
    for tensor in source.tensors:
        if source.names.is_output(tensor.name) and not np.array_equal(tensor.load().astype(embedding.dtype), embedding):
            raise WeightsError(f"{source.path}: {tensor.name} differs from the embedding although the two are tied")


def nested(leaves: dict[Leaf, np.ndarray]) -> dict[str, Any]:
    """Slash-joined paths -> nested dict."""
    tree: dict[str, Any] = {}
    for leaf, value in leaves.items():
        *parents, last = leaf.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def flattened(tree: dict[str, Any], above: Sequence[str] = ()) -> dict[Leaf, np.ndarray]:
    """Inverse of `nested`."""
    leaves: dict[Leaf, np.ndarray] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flattened(value, (*above, key))
        else:
            leaves["/".join((*above, key))] = value
    return leaves


class Rows(Protocol):
    """An array, or something like it that is read from disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def nbytes(self) -> int: ...
    def __getitem__(self, part: slice, /) -> np.ndarray: ...


def fingerprint(leaves: Mapping[Leaf, Rows]) -> str:
    """SHA-256 over the sorted leaf paths, shapes, dtype names and raw little-endian bytes: identifies a base."""
    digest = hashlib.sha256()
    for leaf in sorted(leaves):
        value = leaves[leaf]
        digest.update(f"{leaf}\n{','.join(map(str, value.shape))}\n{value.dtype.name}\n".encode())
        for start, stop in slabs(value.shape, value.nbytes):
            digest.update(np.ascontiguousarray(value[start:stop]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def save(folder: Path, leaves: dict[Leaf, np.ndarray]) -> None:
    """Writes an orbax checkpoint of the nested parameter dict. `folder` must not exist. Raises OSError."""
    import jax
    import orbax.checkpoint as ocp
    from orbax.checkpoint import type_handlers

    from .slab_handler import SlabHandler

    handlers = type_handlers.create_type_handler_registry(
        (np.ndarray, SlabHandler()), (jax.Array, type_handlers.ArrayHandler())
    )
    # Weights hardly compress, and uncompressed ones load twice as fast.
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, type_handler_registry=handlers)
    try:
        with ocp.Checkpointer(handler) as checkpointer:
            checkpointer.save(folder.absolute(), args=ocp.args.PyTreeSave(nested(leaves)))
    except ValueError as error:  # what its storage layer makes of a full disk
        raise OSError(" ".join(str(error).split())) from error


def restore(folder: Path) -> dict[Leaf, np.ndarray]:
    """Reads what `save` wrote, as numpy arrays. Raises WeightsError for a missing or damaged checkpoint."""
    import jax
    import orbax.checkpoint as ocp

    folder = folder.absolute()
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(folder).item_metadata
            if metadata is None:
                raise ValueError("no index")
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata.tree)
            return flattened(checkpointer.restore(folder, restore_args=as_numpy))
    except (ValueError, OSError) as error:
        raise WeightsError(f"{folder}: missing or damaged parameters: {' '.join(str(error).split())}") from error
