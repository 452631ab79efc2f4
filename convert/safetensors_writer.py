"""Safetensors files written tensor by tensor; the `safetensors` library writes only what is all in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


@dataclass(frozen=True)
class Tensor:
    """What is to be written. parts: returns arrays whose bytes, one after the other, are the tensor's."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Callable[[], Iterable[np.ndarray]]

    @property
    def nbytes(self) -> int:
        """Size of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_safetensors(
    folder: Path, tensors: Sequence[Tensor], shard_bytes: int, report: Callable[[int, int], None]
) -> None:
    """Writes `model.safetensors`, or shards of at most `shard_bytes` (or one tensor) with their index.

    report: called with the number of tensors done and their total. Raises OSError.
    """
    shards = _shards(tensors, shard_bytes)
    weight_map: dict[str, str] = {}
    done = 0
    for number, shard in enumerate(shards, start=1):
        whole = len(shards) == 1
        name = "model.safetensors" if whole else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with (folder / name).open("xb") as file:
            file.write(_header(shard))
            for tensor in shard:
                for part in tensor.parts():
                    file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
                done += 1
                report(done, len(tensors))
        weight_map |= dict.fromkeys((tensor.name for tensor in shard), name)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in tensors)}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shards(tensors: Sequence[Tensor], shard_bytes: int) -> list[list[Tensor]]:
    shards: list[list[Tensor]] = [[]]
    size = 0
    for tensor in tensors:
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.nbytes
    return shards


def _header(tensors: Sequence[Tensor]) -> bytes:
    """https://github.com/huggingface/safetensors#format"""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.nbytes
        dtype = _DTYPES[tensor.dtype.name]
        entries[tensor.name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
