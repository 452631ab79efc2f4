"""`python -m train router`: trains the router that stands in a head's folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
import tyro

from jaxdiff.agent.apart import router_config
from jaxdiff.agent.heads import ROUTER_FOLDER
from jaxdiff.agent.router import Router
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff.diffusion.head_files import check_base, load_head, save_head
from jaxdiff.errors import InputError
from jaxdiff.runtime.compilation import keep_compiled_programs

from .calibrate import calibrate
from .close import choose_reading_weight
from .data import JOINED, PER_TOOL, batches, read_data
from .run import train_router


@dataclass(frozen=True)
class RouterSettings:
    """Trains the router of a head: which tool, which mode, how many calls.

    into: folder of a head, in which the router is written as `router`.
    base: name or path of the frozen base.
    seed: of rows, held-out suites, initialisation and batches.
    scale: of the numbers of steps of all parts.
    """

    into: tyro.conf.Positional[Path]
    base: str = "default"
    seed: int = 1
    scale: float = 1.0

    def check(self) -> None:
        """Raises InputError for impossible values; not when built, for `tyro` would box the one line that says so."""
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be >= 0")
        if not 0 < self.scale < 1000:
            raise InputError(f"scale={self.scale} must be in (0, 1000)")


def train(arguments: Sequence[str]) -> Path:
    """Trains by the arguments of the command line; returns the router's folder. Raises JaxdiffError."""
    settings = tyro.cli(RouterSettings, args=list(arguments), prog="python -m train router")
    settings.check()
    keep_compiled_programs()
    base = load_base(settings.base)
    check_base(load_head(settings.into).card, base.fingerprint)
    started = time.monotonic()
    data = read_data(base, cache_dir() / "features", settings.seed)
    config = router_config(base.config)
    _say(f"{len(data.rows)} queries, {len(data.pairs)} pairs with a tool, {len(data.joins)} joined queries")
    params = train_router(config, batches(data), settings.seed, _say, settings.scale)
    # What is shipped is what is calibrated: the parameters as they are stored.
    params = jax.tree.map(lambda x: np.asarray(x, np.float16), params)
    stored = jax.tree.map(lambda x: x.astype(np.float32), params)
    calibration, figures = calibrate(config, stored, data)
    router = Router(base, config, stored, calibration)
    weight, figures["name_right_by_reading_weight"] = choose_reading_weight(router, data, cache_dir() / "features")
    calibration = replace(calibration, reading_weight=weight)
    folder = settings.into / ROUTER_FOLDER
    card = {
        "base_name": base.name,
        "base_fingerprint": base.fingerprint,
        "data": [
            {"name": "packs", "rows": len(data.rows), "licence": "Apache-2.0 (authored for this project)"},
        ],
        "calibration": calibration.to_dict(),
        "validation": {"rows": "held-out suites of the training packs", "percent_right": figures},
        "recipe": {"seed": settings.seed, "scale": settings.scale, "per_tool": PER_TOOL, "joined": JOINED},
        "total_seconds": round(time.monotonic() - started),
    }
    save_head(folder, "router", config.to_dict(), params, card)
    _say(f"{calibration.to_dict()}\n{figures}\nrouter written to {folder}")
    return folder


def _say(text: str) -> None:
    print(text, flush=True)
