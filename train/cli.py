"""`python -m train`: from data files to a head on disk."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff.diffusion.head_files import save_head
from jaxdiff.errors import InputError, JaxdiffError
from jaxdiff.runtime.compilation import keep_compiled_programs

from .features import progress_line
from .loop import Trained
from .packs import TRAIN_PACKS, expand_packs
from .recipes import RECIPES
from .routing_cli import train as train_router
from .row_store import RowStore
from .rows import Row, read_rows, supported
from .settings import PACKS_SOURCE, Source, TrainSettings, settings_from_args
from .validate import figures, validation_rows

# Where the public sets that the native format was made from come from, by file name.
LICENCES = {
    "packs": "Apache-2.0 (authored for this project)",
    "sgd": "CC BY-SA 4.0 (Schema-Guided Dialogue, SGD-X wordings)",
    "sgd_bfcl_services": "CC BY-SA 4.0 (Schema-Guided Dialogue, SGD-X wordings)",
    "snips": "CC0 1.0 (Snips NLU benchmark)",
    "hwu64": "CC BY 4.0 (NLU-Evaluation-Data)",
    "restaurant8k": "CC BY 4.0 (PolyAI Restaurant-8k)",
    "home": "CC BY 4.0 (Home Assistant intents), MIT (home-llm)",
    "sealtools": "Apache-2.0 (Seal-Tools)",
    "toolcalls_misc": "Apache-2.0 upstream (ToolACE, Hermes, ToolRL, Glaive rows)",
}


def main(argv: list[str] | None = None) -> int:
    """Trains by the settings of the command line; 0, or 2 with one line on stderr where that cannot be done.

    `router` as the first word trains the router of a head.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if words and words[0] == "router":
            train_router(words[1:])
        else:
            train(settings_from_args(words))
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def train(settings: TrainSettings) -> Path:
    """Reads the data through the base, trains, validates, and writes the head; returns its folder."""
    started = time.monotonic()
    keep_compiled_programs()
    base = load_base(settings.base)
    features = cache_dir() / "features"
    recipe = RECIPES[settings.head]
    names, stores = [], []
    for source in settings.data:
        name, rows = load_source(source, settings.seed)
        names.append(name)
        stores.append(recipe.extract(base, rows, features, name, progress_line(name)))
    weights = [source.weight for source in settings.data]
    batches = recipe.batches(base, stores, weights, settings.batch_size, settings.seed)
    _say(f"{batches.rows()} rows, {settings.steps} steps of {settings.batch_size}")
    trained = recipe.train(settings, base, batches, _say)
    # What is shipped is what is measured: the parameters as they are stored.
    params = jax.tree.map(lambda x: np.asarray(x, np.float16), trained.params)
    head = recipe.head(base, trained.config, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params))
    asked = validation_rows()
    measured = figures(asked, recipe.fill(head, asked, features, progress_line("validation")))
    folder = Path(settings.out) / "head"
    card = _card(settings, base, names, stores, trained, measured, time.monotonic() - started)
    save_head(folder, settings.head, trained.config.to_dict(), params, card)
    _say(json.dumps(measured, indent=1))
    _say(f"head written to {folder}")
    return folder


def load_source(source: Source, seed: int) -> tuple[str, list[Row]]:
    """Name and rows of a part of the data mix. Raises InputError where nothing is left of it."""
    if source.path == PACKS_SOURCE:
        name, rows = PACKS_SOURCE, [r for r in expand_packs(TRAIN_PACKS, source.rows, seed) if supported(r.tool)]
    else:
        name = Path(source.path).stem
        rows, dropped = read_rows(source.path, source.rows, seed)
        _say(
            f"{name}: {len(rows)} rows; left out: " + (", ".join(f"{n} {why}" for why, n in dropped.items()) or "none")
        )
    if not rows:
        raise InputError(f"{source.path}: no row can be used")
    return name, rows


def _card(
    settings: TrainSettings,
    base: FrozenBase,
    names: Sequence[str],
    stores: Sequence[RowStore],
    trained: Trained,
    measured: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    data = [
        {"name": name, "rows": len(store), "licence": LICENCES.get(name, "not known to this program")}
        for name, store in zip(names, stores, strict=True)
    ]
    recipe = settings.to_dict()
    del recipe["out"]
    return {
        "base_name": base.name,
        "base_fingerprint": base.fingerprint,
        "data": data,
        "validation": measured,
        "recipe": recipe | {"data": [f"{n}:{s.rows}:{s.weight:g}" for n, s in zip(names, settings.data, strict=True)]},
        "training_seconds": round(trained.seconds),
        "total_seconds": round(seconds),
    }


def _say(text: str) -> None:
    print(text, flush=True)
