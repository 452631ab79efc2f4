"""Tensors of safetensors files."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxdiff.errors import WeightsError

from .tensor import SourceTensor

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def safetensors_tensors(files: Iterable[Path]) -> Iterator[SourceTensor]:
    """All tensors of `files`, in order. Raises WeightsError for a damaged or incomplete file."""
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                for name in opened.keys():  # noqa: SIM118 - not a mapping
                    header = opened.get_slice(name)
                    dtype = header.get_dtype()
                    shape = tuple(header.get_shape())
                    yield SourceTensor(name, shape, _DTYPES.get(dtype, dtype), functools.partial(_load, file, name))
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{file}: damaged or incomplete safetensors file: {error}") from error


def _load(file: Path, name: str) -> np.ndarray:
    try:
        with safe_open(file, framework="np") as opened:
            return opened.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: {name} cannot be read: {error}") from error
