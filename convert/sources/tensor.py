"""One tensor of a checkpoint, and the types that parameters have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

FLOAT_DTYPES = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
"""Dtypes in which parameters are stored, by name."""


@dataclass(frozen=True)
class SourceTensor:
    """One tensor of a checkpoint, read when `load` is called.

    dtype: name of the dtype of the loaded array. load: returns the array in the source's own layout. quantisation: the
    type from which it is dequantised, None where it is not.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]
    quantisation: str | None = None
