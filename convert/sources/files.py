"""Files of a Hugging Face folder: JSON, text, and tensors in one file or in shards with an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxdiff.errors import WeightsError

from .safetensors_files import safetensors_tensors
from .tensor import SourceTensor


def weight_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of the first of `names` that is there, whole or in shards named by `<name>.index.json`.

    Raises WeightsError where there is none, and where a shard is missing or outside the folder.
    """
    for name in names:
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
    raise WeightsError(f"{folder} has neither {' nor '.join(names)}, whole or in shards with an index")


def weight_tensors(folder: Path, names: Sequence[str]) -> Iterable[SourceTensor]:
    """All tensors of `weight_files`, those of pickles loaded weights-only. Raises WeightsError."""
    files = weight_files(folder, names)
    if files[0].suffix == ".safetensors":
        return safetensors_tensors(files)
    from .torch_bin import torch_tensors

    return torch_tensors(files)


def _shards(index: Path) -> list[Path]:
    """The shard files that an index names, each once. Raises WeightsError if one is missing or outside the folder."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: weight_map is missing")
    names = sorted(set(map(str, weight_map.values())))
    if outside := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{index}: shards outside the folder: {', '.join(outside)}")
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise WeightsError(f"{index}: {len(absent)} shards are missing: {', '.join(absent)}")
    return [index.parent / name for name in names]


def read_text(path: Path) -> str:
    """Raises WeightsError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Raises WeightsError where it is missing or not a JSON object."""
    if not path.is_file():
        raise WeightsError(f"{path.parent} has no {path.name}")
    try:
        values = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: not a JSON object")
    return values
