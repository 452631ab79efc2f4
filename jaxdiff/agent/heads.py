"""What a trained head is to the agent, whatever its kind, and where the kinds are known by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from jaxdiff.agent.asked import Asked, Present
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.router import Router
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.head_files import CARD_FILE, LoadedHead, check_base, load_head
from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.head import Calibration


class Head(Protocol):
    """A trained head with the base that it was trained for."""

    def read(self, asked: Sequence[Asked]) -> Sequence[Any]:
        """What the base says of each call, for `fill`. Raises InputError for a query beyond the largest bucket."""

    def fill(
        self,
        readings: Sequence[Any],
        denoising: DenoiseConfig,
        *,
        seed: int = 0,
        present: Sequence[Present] | None = None,
    ) -> list[Filling]:
        """Fills each call, which comes out the same alone or among others.

        present: for each call the fields that it has; None: the head decides for all.
        """


KINDS: dict[str, Callable[[FrozenBase, LoadedHead], Head]] = {
    "reader": ReaderHead.from_loaded,
    "residual": ResidualHead.from_loaded,
}


ROUTER_FOLDER = "router"


def find_head(base: FrozenBase, head: str | os.PathLike[str] = "default") -> Head | None:
    """The head in a folder, or the one that comes with the package: None where that was trained for another base.

    Raises WeightsError for a missing or damaged head, HeadMismatch for one of another base.
    """
    folder = _folder(head)
    loaded = load_head(folder)
    if not base.serves(loaded.card["base_fingerprint"]):
        if head == "default":
            return None
        check_base(loaded.card, base.fingerprint)
    if loaded.kind not in KINDS:
        raise WeightsError(f"head {folder} is a {loaded.kind}, which fills no call; give the folder that it stands in")
    return KINDS[loaded.kind](base, loaded)


def find_router(base: FrozenBase, head: str | os.PathLike[str] = "default") -> Router | None:
    """The router in a head's folder; None where there is none, or where the default one is of another base.

    Raises WeightsError for a damaged router, HeadMismatch for one of another base.
    """
    folder = _folder(head) / ROUTER_FOLDER
    if not (folder / CARD_FILE).exists():
        return None
    loaded = load_head(folder)
    if not base.serves(loaded.card["base_fingerprint"]):
        if head == "default":
            return None
        check_base(loaded.card, base.fingerprint)
    if loaded.kind != "router":
        raise WeightsError(f"{folder} holds a {loaded.kind}, not a router")
    try:
        calibration = Calibration.from_dict(loaded.card.get("calibration", {}))
        config = RouterConfig.from_dict(loaded.config)
    except ConfigError as error:
        raise WeightsError(f"damaged router card {folder / CARD_FILE}: {error}") from error
    return Router(base, config, loaded.params, calibration)


def _folder(head: str | os.PathLike[str]) -> Path:
    return Path(str(files("jaxdiff"))) / "assets" / "reader" if head == "default" else Path(head)
