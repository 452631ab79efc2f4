"""Difference between a checkpoint and its converted folder, tensor by tensor, both read again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxdiff.base.card import read_card
from jaxdiff.errors import WeightsError

from .naming import place
from .params import fingerprint, restore
from .sources import FLOAT_DTYPES, open_source

_ROWS = 4096  # compared at a time, in float64


@dataclass(frozen=True)
class TensorDifference:
    """max_abs: largest absolute difference. max_relative: that, over the tensor's largest absolute value."""

    name: str
    leaf: str
    max_abs: float
    max_relative: float
    within: bool


@dataclass(frozen=True)
class Comparison:
    """tolerance: greatest relative rounding of the stored dtype for each value; 0 where the source's is kept."""

    tensors: tuple[TensorDifference, ...]
    tolerance: float
    fingerprint_matches: bool

    @property
    def passed(self) -> bool:
        """All tensors within the tolerance, and the stored parameters are those that the fingerprint names."""
        return self.fingerprint_matches and all(tensor.within for tensor in self.tensors)


def compare(src: str | Path, out: str | Path) -> Comparison:
    """Compares every tensor of the checkpoint `src` with its place in the converted folder `out`.

    Raises WeightsError where either cannot be read or the two have different shapes.
    """
    source, out = open_source(src), Path(out)
    card = read_card(out)
    leaves = restore(out / "params")
    tolerance = _rounding(FLOAT_DTYPES[source.dtype()], FLOAT_DTYPES[card["dtype"]])
    differences = []
    for placement in place(source.tensors, source.config, source.names, str(source.path)):
        tensor = source.tensors[placement.index]
        leaf = leaves.get(placement.leaf)
        converted = leaf if leaf is None or placement.layer is None else leaf[placement.layer]
        original = placement.to_parameter(tensor.load())
        if converted is None or converted.shape != original.shape:
            raise WeightsError(f"{out}: {placement.leaf} does not have the shape of {tensor.name}")
        differences.append(_difference(tensor.name, placement.leaf, original, converted, tolerance))
    return Comparison(tuple(differences), tolerance, fingerprint(leaves) == card["fingerprint"])


def _rounding(source: np.dtype, stored: np.dtype) -> float:
    """Half a unit in the last place of `stored`, relative; 0 where it holds every value of `source`."""
    if np.promote_types(source, stored) == stored:
        return 0.0
    return float(ml_dtypes.finfo(stored).eps) / 2


def _difference(
    name: str, leaf: str, original: np.ndarray, converted: np.ndarray, tolerance: float
) -> TensorDifference:
    # Below the smallest normal number rounding is absolute; float16 reaches that with ordinary weights.
    smallest = float(ml_dtypes.finfo(np.float16).tiny) if converted.dtype == np.float16 else 0.0
    within, worst, largest = True, 0.0, 0.0
    for start in range(0, len(original), _ROWS):
        rows = slice(start, start + _ROWS)
        expected, found = original[rows].astype(np.float64), converted[rows].astype(np.float64)
        error, size = np.abs(expected - found), np.abs(expected)
        # Written so that a value that is not a number counts as beyond.
        within &= bool((error <= tolerance * np.maximum(size, smallest)).all())
        worst, largest = np.maximum(worst, error.max()), max(largest, size.max())
    return TensorDifference(name, leaf, float(worst), float(worst / largest if largest else worst), within)
