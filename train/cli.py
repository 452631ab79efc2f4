"""`python -m train`: from data files to a head on disk."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.base.store import cache_dir
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.head_files import save_head
from jaxdiff.errors import ConfigError, InputError, JaxdiffError, TrainingStopped
from jaxdiff.runtime.compilation import keep_compiled_programs

from .compile_cli import compile_main
from .data_cli import data_main
from .engine.curve import draw_curve
from .engine.sinks import log_in_to_wandb
from .evaluation.evaluate import evaluate
from .evaluation.validate import figures, validation_rows
from .heads.recipes import RECIPES
from .heads.source import Prepared, prepare
from .heads.training import Evaluate, Trained
from .launch import launch_from_args, start
from .progress import shown_progress
from .reading.features import progress_line
from .routing.cli import train as train_router
from .settings import TrainSettings, settings_from_args

# Of the validation rows, while training: every so manyth.
EVALUATED_EVERY = 10
SETTINGS_FILE, DATA_FILE = "settings.json", "data.json"
_TERMINATED = 128 + 15  # what a shell reports of a process that SIGTERM ended


def main(argv: list[str] | None = None) -> int:
    """Trains by the settings of the command line.

    Exit status: 0 done, 2 refused (one line on stderr says why), 130 interrupted, 143 stopped by SIGTERM, state saved.
    `router` as the first word trains the router of a head, `compile` compiles the step of a pod without one, `data`
    shows what a source holds.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["router"]:
            train_router(words[1:])
        elif words[:1] == ["compile"]:
            return compile_main(words[1:])
        elif words[:1] == ["data"]:
            return data_main(words[1:])
        else:
            launch, rest = launch_from_args(words)
            settings = settings_from_args(rest)
            start(launch)
            train(settings)
    except TrainingStopped as error:
        print(error, file=sys.stderr)
        return _TERMINATED
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        # A disk that is full, gone or not to be written on, wherever that happened.
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def train(settings: TrainSettings) -> Path:
    """Prepares the data, trains, validates, and writes the head; returns its folder. Raises JaxdiffError."""
    started = time.monotonic()
    _require_packages(settings)
    _require_possible(settings)
    said = settings.to_dict()
    _require_same(settings, SETTINGS_FILE, {name: said[name] for name in _LASTING})
    keep_compiled_programs()
    features = cache_dir() / "features"
    prepared = prepare(settings, features, _say)
    data = {entry["name"]: entry["sha256"] for entry in prepared.data}
    _require_same(settings, DATA_FILE, data)
    _remember(settings, SETTINGS_FILE, said)
    _remember(settings, DATA_FILE, data)
    recipe = RECIPES[settings.head]
    during = _evaluation(settings, prepared, features) if settings.evaluate_every else None
    with shown_progress(settings.steps) as show:
        trained = recipe.train(settings, prepared.base.config, prepared.batches, show, during)
    folder = settings.out / "head"
    if jax.process_index() > 0:
        return folder
    draw_curve(settings.out)
    # What is shipped is what is measured: the parameters as they are stored.
    params = jax.tree.map(lambda x: np.asarray(x, np.float16), trained.params)
    measured = _validate(settings, prepared, trained, params, features)
    card = _card(settings, prepared, trained, measured, time.monotonic() - started)
    save_head(folder, settings.head, trained.config.to_dict(), params, card)
    _say(json.dumps(measured, indent=1))
    _say(f"head written to {folder}")
    return folder


def _require_packages(settings: TrainSettings) -> None:
    """Raises ConfigError where the plain install lacks what is needed: before hours of reading, not after."""
    needed = ["grain", "matplotlib"] + ["tensorboardX"] * settings.tensorboard
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"training needs {', '.join(missing)}: pip install 'jaxdiff[train]' (in a checkout '.[train]')"
        )
    if settings.wandb and jax.process_index() == 0:
        log_in_to_wandb(settings.wandb)


def _require_possible(settings: TrainSettings) -> None:
    """Raises JaxdiffError for what would be refused after the rows are read."""
    # Of any base: what is impossible does not depend on its sizes.
    RECIPES[settings.head].configured(settings, BaseConfig.tiny())
    if settings.evaluate_every and settings.reading == "online" and jax.process_count() > 1:
        raise ConfigError(
            f"evaluate_every={settings.evaluate_every}: where the base lies on several hosts, no one of them can answer"
        )
    there = next(folder for folder in (settings.out, *settings.out.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"out={str(settings.out)!r}: {there} is not a folder that can be written into")


def _require_same(settings: TrainSettings, file: str, said: dict[str, Any]) -> None:
    """Raises InputError where the folder holds a run for which the file says something else."""
    place = settings.out / file
    if not place.is_file():
        return
    try:
        before = json.loads(place.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{place}:{error.lineno}: not JSON: {error.msg}; choose another folder") from error
    changed = [name for name, value in said.items() if before.get(name) != value]
    if changed:
        name = changed[0]
        raise InputError(
            f"{settings.out} holds a run with {name}={before.get(name)!r}, asked for is {said[name]!r}; "
            "go on with its settings and data or choose another folder"
        )


def _remember(settings: TrainSettings, file: str, said: dict[str, Any]) -> None:
    """Writes the file whole or not at all."""
    if jax.process_index() == 0:
        settings.out.mkdir(parents=True, exist_ok=True)
        unfinished = settings.out / f"unfinished-{file}"
        unfinished.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(settings.out / file)


# What must not change while a run goes on: its result would be neither of the two.
_LASTING = (
    "base", "head", "head_config", "data", "reading", "steps", "batch_size", "microbatches", "optimizer", "decay",
    "learning_rate", "weight_decay", "warmup", "clip_norm", "ema_decay", "base_dtype", "head_dtype", "seed",
)  # fmt: skip


def _evaluation(settings: TrainSettings, prepared: Prepared, features: Path) -> Evaluate:
    recipe, rows = RECIPES[settings.head], validation_rows()[::EVALUATED_EVERY]

    def measure(config: Any, params: Any) -> Mapping[str, float]:
        head = recipe.head(prepared.base, config, jax.tree.map(jnp.asarray, params))
        found = evaluate(rows, recipe.fill(head, rows, features, None)).figures()
        return {f"validation_{name}": found[name] for name in ("whole_call", "field", "present") if name in found}

    return measure


def _validate(
    settings: TrainSettings, prepared: Prepared, trained: Trained, params: Any, features: Path
) -> dict[str, Any]:
    if jax.process_count() > 1:
        # The base may lie on all hosts' devices, and only one process is here.
        return {"rows": "not measured; a run on several hosts is validated afterwards"}
    recipe, asked = RECIPES[settings.head], validation_rows()
    head = recipe.head(prepared.base, trained.config, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params))
    measured = figures(asked, recipe.fill(head, asked, features, progress_line("validation")))
    if recipe.found is not None:
        measured["percent_found"] = recipe.found(head, asked, features)
    return measured


def _card(
    settings: TrainSettings, prepared: Prepared, trained: Trained, measured: dict[str, Any], seconds: float
) -> dict[str, Any]:
    recipe = settings.to_dict()
    del recipe["out"]
    names = [entry["name"] for entry in prepared.data]
    return {
        "base_name": prepared.base.name,
        "base_fingerprint": prepared.base.fingerprint,
        "data": prepared.data,
        "validation": measured,
        "recipe": recipe | {"data": [f"{n}:{s.rows}:{s.weight:g}" for n, s in zip(names, settings.data, strict=True)]},
        "training_seconds": round(trained.seconds),
        "total_seconds": round(seconds),
    }


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)
