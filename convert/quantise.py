"""Rounding a base's matrices to int8 with one scale for each output, slab by slab."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jaxdiff.base.card import CARD_FILE, read_card
from jaxdiff.base.quantised import SCALE_SUFFIX
from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError

from .card import write_card
from .naming import Leaf
from .params import Rows, fingerprint, save
from .replacing import replacing, require_space
from .staging import Staging, slabs
from .stored import open_stored

_LARGEST = 127
# Of the source's parameters: staged and written as int8, each half of bfloat16 or less, and indexes.
_SPACE_FACTOR = 1.2


def quantise_base(
    src: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Writes the converted base `src` as the base folder `out` with int8 matrices, and returns it.

    name: of the base, by default that of `src`. report: called with the number of parameters done and their total.
    Raises WeightsError, ConfigError. Whatever ends it early, `out` is whole or as it was.
    """
    src, out = Path(src), Path(out).absolute()
    card = read_card(src)
    if card.get("storage", "float") != "float":
        raise ConfigError(f"{src} is held as {card['storage']} already")
    leaves = open_stored(src / "params")
    with replacing(out, overwrite=overwrite, marker=CARD_FILE, kind="converted base") as folder:
        require_space(out.parent, int(sum(leaf.nbytes for leaf in leaves.values()) * _SPACE_FACTOR), "quantising")
        staging = folder / "staging"
        rounded = quantised(leaves, Staging(staging), report)
        save(folder / "params", rounded)
        digest = fingerprint(rounded)
        del rounded
        shutil.rmtree(staging)
        for file in ("tokenizer.json", "chat_template.jinja"):
            if (src / file).is_file():
                shutil.copyfile(src / file, folder / file)
        write_card(
            folder,
            name=name or card["name"],
            config=BaseConfig.from_dict(card["config"]),
            dtype=card["dtype"],
            source=card["source"],
            fingerprint=digest,
            quantised_from=card["fingerprint"],
        )
    return out


def quantised(
    leaves: Mapping[Leaf, Rows], staging: Staging, report: Callable[[int, int], None]
) -> dict[Leaf, np.ndarray]:
    """The leaves with int8 in place of every matrix, and its scales beside it; norms stay as they are."""
    found: dict[Leaf, np.ndarray] = {}
    for done, (leaf, value) in enumerate(leaves.items(), start=1):
        if leaf.endswith(("/kernel", "/embedding")):
            found[leaf], found[leaf + SCALE_SUFFIX] = _rounded(leaf, value, staging)
        else:
            found[leaf] = value[0 : value.shape[0]]
        report(done, len(leaves))
    return found


def _rounded(leaf: Leaf, value: Rows, staging: Staging) -> tuple[np.ndarray, np.ndarray]:
    """int8 of the shape of `value`: kernels [.., in, out], rows [V, D]; float32 scales without the axis of inputs."""
    rounded = staging.empty(value.shape, np.dtype(np.int8))
    # A few arrays of a part's size, in float32, are held at a time.
    parts = slabs(value.shape, 4 * value.nbytes)
    if leaf == "lm_head/kernel":
        # Its inputs run along the axis that it is read by: once for the scales, once to be rounded.
        largest = np.zeros(value.shape[1], np.float32)
        for start, stop in parts:
            np.maximum(largest, np.abs(value[start:stop].astype(np.float32)).max(axis=0), out=largest)
        scale = _scale(largest)
        for start, stop in parts:
            rounded[start:stop] = np.rint(value[start:stop].astype(np.float32) / scale)
        return rounded, scale
    scale = np.empty([*value.shape[:1], *value.shape[2:]], np.float32)
    for start, stop in parts:
        part = value[start:stop].astype(np.float32)
        scale[start:stop] = _scale(np.abs(part).max(axis=1))
        rounded[start:stop] = np.rint(part / scale[start:stop, None])
    return rounded, scale


def _scale(largest: np.ndarray) -> np.ndarray:
    """An output that is all zeros keeps a scale of 1."""
    return np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
