"""What a trained head is to the agent, whatever its kind, and where the kinds are known by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.head_files import LoadedHead, check_base, load_head
from jaxdiff.schema.tools import Tool


class Head(Protocol):
    """A trained head with the base that it was trained for."""

    def read(self, tool: Tool, known: ToolPrefix, query: str) -> Any:
        """What the frozen base says of a query, for `fill`. Raises InputError for a query beyond the largest bucket."""

    def fill(
        self,
        tool: Tool,
        query: str,
        reading: Any,
        denoising: DenoiseConfig,
        *,
        seed: int = 0,
        present: Collection[str] | None = None,
    ) -> Filling:
        """Fills the fields of one call. present: exactly these fields are filled; None: the head decides."""


KINDS: dict[str, Callable[[FrozenBase, LoadedHead], Head]] = {
    "reader": ReaderHead.from_loaded,
    "residual": ResidualHead.from_loaded,
}


def find_head(base: FrozenBase, head: str | os.PathLike[str] = "default") -> Head | None:
    """The head in a folder, or the one that comes with the package: None where that was trained for another base.

    Raises WeightsError for a missing or damaged head, HeadMismatch for one of another base.
    """
    folder = Path(str(files("jaxdiff"))) / "assets" / "reader" if head == "default" else Path(head)
    loaded = load_head(folder)
    if head == "default" and loaded.card["base_fingerprint"] != base.fingerprint:
        return None
    check_base(loaded.card, base.fingerprint)
    return KINDS[loaded.kind](base, loaded)
