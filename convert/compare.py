"""Difference between a checkpoint and its converted folder, tensor by tensor, both read again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from jaxdiff.base.card import read_card
from jaxdiff.errors import WeightsError

from .naming import place
from .params import fingerprint, load_parameter
from .sources import FLOAT_DTYPES, open_source
from .stored import open_stored

_ROWS = 4096  # compared at a time, in float64


@dataclass(frozen=True)
class TensorDifference:
    """max_abs: largest absolute difference. max_relative: that, over the tensor's largest absolute value.

    cosine: of the angle between both, 1 where they are equal.
    """

    name: str
    leaf: str
    max_abs: float
    max_relative: float
    cosine: float
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


def compare(
    src: str | Path,
    out: str | Path,
    *,
    adapter: str | Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Compares every tensor of the checkpoint `src` with its place in the converted folder `out`.

    adapter: the LoRA that was merged. report: called with the number of tensors done and their total. Raises
    WeightsError where either cannot be read or the two have different shapes.
    """
    source, out = open_source(src, adapter), Path(out)
    card = read_card(out)
    if card.get("storage", "float") != "float":
        raise WeightsError(f"{out} is held as {card['storage']}; compare the base that it was rounded from")
    leaves = open_stored(out / "params")
    tolerance = _rounding(FLOAT_DTYPES[source.dtype()], FLOAT_DTYPES[card["dtype"]])
    differences = []
    placements = place(source.tensors, source.config, source.names, str(source.path))
    for done, placement in enumerate(placements, start=1):
        name = source.tensors[placement.index].name
        leaf = leaves.get(placement.leaf)
        original = load_parameter(source, placement)
        if leaf is None or leaf.shape[0 if placement.layer is None else 1 :] != original.shape:
            raise WeightsError(f"{out}: {placement.leaf} does not have the shape of {name}")
        converted = leaf[:] if placement.layer is None else leaf[placement.layer]
        differences.append(_difference(name, placement.leaf, original, converted, tolerance))
        report(done, len(placements))
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
    within, worst, largest, products = True, 0.0, 0.0, np.zeros(3)
    for start in range(0, len(original), _ROWS):
        rows = slice(start, start + _ROWS)
        expected, found = original[rows].astype(np.float64), converted[rows].astype(np.float64)
        error, size = np.abs(expected - found), np.abs(expected)
        # Written so that a value that is not a number counts as beyond.
        within &= bool((error <= tolerance * np.maximum(size, smallest)).all())
        worst, largest = np.maximum(worst, error.max()), max(largest, size.max())
        products += [(expected * found).sum(), (expected * expected).sum(), (found * found).sum()]
    relative = float(worst / largest if largest else worst)
    return TensorDifference(name, leaf, float(worst), relative, cosine(*products), within)


def cosine(product: float, square: float, other_square: float) -> float:
    """Of two vectors, by their inner product and squared lengths; 1 for two of length 0."""
    if square == other_square == 0:
        return 1.0
    return float(product / np.sqrt(square * other_square)) if square * other_square else 0.0
