"""Settings of a training run: from the command line, from a JSON file, or both."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from jaxdiff.errors import ConfigError
from jaxdiff.sharding import MeshShape

from .engine.optimizer import KINDS, SCHEDULES, OptimizerConfig
from .engine.step import REMAT
from .presets import DEFAULT_PRESET, PRESETS

HEADS = ("reader", "residual")
READING = ("stored", "online")
DTYPES = ("float32", "bfloat16")
PACKS_SOURCE, VARIED_SOURCE, PAIRS_SOURCE, ROLES_SOURCE = "packs", "varied", "pairs", "roles"
# Sources that come with the package.
PACKAGE_SOURCES = (PACKS_SOURCE, VARIED_SOURCE, PAIRS_SOURCE, ROLES_SOURCE)
# A pack gives as many rows as it is asked for.
PACK_ROWS, FILE_ROWS = 4, 10_000
_SOURCE = re.compile(r"(?P<path>.+?)(?::(?P<rows>\d+)(?::(?P<weight>[\d.]+))?)?")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_integer(name: str, value: Any, least: int, where: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}={value!r}{where} must be an integer >= {least}")


@dataclass(frozen=True)
class Source:
    """A part of the data mix, written PATH[:ROWS[:WEIGHT]].

    path: a JSON Lines file of rows, "packs" for the packs that come with the package, "varied" for variations of each
        of their tools, "pairs" or "roles" for packs of tools that have fields of one kind side by side.
    rows: at most that many rows of a file, that many a tool of the packs; where the text gives none, `FILE_ROWS` and
        `PACK_ROWS`.
    weight: how often its rows are drawn, compared with those of the other sources.
    """

    path: str
    rows: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("a data source has an empty path")
        _check_integer("rows", self.rows, 1, f" of data source {self.path!r}")
        if not (_is_number(self.weight) and 0 < self.weight < math.inf):
            raise ConfigError(f"weight={self.weight!r} of data source {self.path!r} must be > 0 and finite")

    @classmethod
    def parse(cls, text: str) -> Source:
        """Reads PATH[:ROWS[:WEIGHT]]. Raises ConfigError."""
        found = _SOURCE.fullmatch(text)
        if not found:
            raise ConfigError(f"data source {text!r} is not PATH[:ROWS[:WEIGHT]]")
        values: dict[str, Any] = {"path": found["path"], "rows": _default_rows(found["path"])}
        try:
            if found["rows"]:
                values["rows"] = int(found["rows"])
            if found["weight"]:
                values["weight"] = float(found["weight"])
        except ValueError as error:
            raise ConfigError(f"data source {text!r} is not PATH[:ROWS[:WEIGHT]]") from error
        return cls(**values)

    def __str__(self) -> str:
        return f"{self.path}:{self.rows}:{self.weight:g}"


def _default_rows(path: Any) -> int:
    return PACK_ROWS if path in PACKAGE_SOURCES else FILE_ROWS


def _setting(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a run depends on besides the base and the data themselves. `metadata["help"]` tells each."""

    out: Path = dataclasses.field(metadata={"help": "folder for checkpoints and the finished head"})
    base: str = _setting("default", "name or path of the frozen base")
    head: str = _setting("reader", f"kind of the head: {' or '.join(HEADS)}")
    data: tuple[Source, ...] = _setting(
        (Source(PACKS_SOURCE, PACK_ROWS),),
        "data mix; 'packs' names the packs of the package, 'varied' variations of them, 'pairs' and 'roles' those of "
        "alike fields",
    )
    head_config: str = _setting("", "sizes and switches of the head, as hidden=160,without=mixing+competition")
    reading: str = _setting(
        "stored", f"how the base reads the rows: {' or '.join(READING)} (once before training and kept; in every step)"
    )
    steps: int = _setting(1400, "number of updates")
    batch_size: int = _setting(32, "rows an update, over all devices")
    microbatches: int = _setting(1, "parts of a batch whose gradients are accumulated")
    optimizer: str = _setting("adamw", f"{' or '.join(KINDS)}")
    decay: str = _setting("cosine", f"of the learning rate after the warm-up: {', '.join(SCHEDULES)}")
    learning_rate: float = _setting(1.5e-3, "peak of the schedule")
    weight_decay: float = _setting(0.01, "of matrices")
    warmup: int = _setting(50, "steps of linear warm-up")
    clip_norm: float = _setting(1.0, "bound of the gradient's global norm")
    ema_decay: float = _setting(0.998, "of the moving average of the parameters, which becomes the head")
    workers: int = _setting(0, "processes that prepare batches, 0 for a thread of this one")
    mesh: str = _setting("", "devices along each axis, as fsdp=4,tensor=2; what is left is data")
    base_dtype: str = _setting("", f"in which the base is held and computes: {', '.join(DTYPES)}; default: as stored")
    head_dtype: str = _setting("float32", f"in which the head computes, {' or '.join(DTYPES)}; it is kept in float32")
    remat: str = _setting("none", f"what the backward pass computes again: {', '.join(REMAT)}")
    seed: int = _setting(0, "of initialisation, sampling and batches")
    checkpoint_every: int = _setting(200, "steps between checkpoints")
    evaluate_every: int = _setting(0, "steps between evaluations on validation rows, 0 for none before the end")
    log_every: int = _setting(50, "steps between progress lines")
    tensorboard: bool = _setting(False, "write event files for TensorBoard into OUT/tensorboard")
    wandb: str = _setting("", "project of Weights & Biases to log to")
    profile: bool = _setting(False, "write a trace of a few steps into OUT/profile")

    def __post_init__(self) -> None:
        for name, known in (
            ("head", HEADS),
            ("reading", READING),
            ("base_dtype", ("", *DTYPES)),
            ("head_dtype", DTYPES),
            ("remat", tuple(REMAT)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be one of {', '.join(filter(None, known))}")
        if self.reading == "online" and self.head != "reader":
            raise ConfigError(f"reading='online' is for the reader; head={self.head!r} reads stored rows")
        if self.reading == "online" and self.workers:
            raise ConfigError(f"workers={self.workers} prepare stored rows; with reading='online' it must be 0")
        MeshShape.parse(self.mesh)
        if not self.data:
            raise ConfigError("data is empty; at least one source is needed")
        paths = [source.path for source in self.data]
        if repeated := {path for path in paths if paths.count(path) > 1}:
            raise ConfigError(f"data names {', '.join(sorted(repeated))} more than once")
        for name in ("steps", "batch_size", "microbatches", "checkpoint_every", "log_every"):
            _check_integer(name, getattr(self, name), 1)
        for name in ("seed", "warmup", "evaluate_every", "workers"):
            _check_integer(name, getattr(self, name), 0)
        if self.batch_size % self.microbatches:
            raise ConfigError(f"batch_size={self.batch_size} is not a multiple of microbatches={self.microbatches}")
        for name in ("learning_rate", "weight_decay", "clip_norm", "ema_decay"):
            if not _is_number(getattr(self, name)):
                raise ConfigError(f"{name}={getattr(self, name)!r} must be a number")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay={self.ema_decay} must be in [0, 1)")
        self.optimizer_config()

    def optimizer_config(self) -> OptimizerConfig:
        """The optimizer's part."""
        return OptimizerConfig(
            kind=self.optimizer,
            decay=self.decay,
            learning_rate=self.learning_rate,
            steps=self.steps,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self) | {"out": str(self.out), "data": [dataclasses.asdict(s) for s in self.data]}

    @classmethod
    def from_dict(cls, values: Any) -> TrainSettings:
        """Inverse of `to_dict`; a source may also be text. Raises ConfigError naming the bad value."""
        if not isinstance(values, dict):
            raise ConfigError(f"settings must be a JSON object, not {type(values).__name__}")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown settings {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        values = dict(values)
        if not isinstance(values.get("out"), str) or not values["out"]:
            raise ConfigError(f"out={values.get('out')!r} must name a folder")
        if "://" in values["out"]:
            raise ConfigError(f"out={values['out']!r} must name a folder; mount the bucket")
        values["out"] = Path(values["out"])
        if "data" in values:
            if not isinstance(values["data"], list | tuple):
                raise ConfigError(f"data={values['data']!r} must be a list of sources")
            values["data"] = tuple(_source(entry) for entry in values["data"])
        return cls(**values)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Settings that a JSON file gives. Raises ConfigError naming the file."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    try:
        TrainSettings.from_dict({"out": "checked"} | values if isinstance(values, dict) else values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return dict(values)


def settings_from_args(args: Sequence[str]) -> TrainSettings:
    """Settings from command-line words: a preset, over it those of a file, over them single ones.

    `--preset v5e-16 --settings run.json --steps 100 --data packs:4 rows.jsonl:900:0.5`. Raises ConfigError for
    impossible values; for unknown options and `--help` `tyro` prints the usage and exits.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", choices=sorted(PRESETS), default=DEFAULT_PRESET)
    first.add_argument("--settings")
    chosen, words = first.parse_known_args(list(args))
    defaults = PRESETS[chosen.preset] | (read_settings(chosen.settings) if chosen.settings else {})
    epilog = f"--preset {{{','.join(sorted(PRESETS))}}} chooses the defaults, --settings FILE.json goes over them."
    given: Any = tyro.cli(_command_line(defaults), args=words, description=epilog)
    return TrainSettings.from_dict(dataclasses.asdict(given))


def _command_line(defaults: dict[str, Any]) -> type:
    """The settings as words not yet checked: `tyro` would box our errors, which are one line already."""
    hints = get_type_hints(TrainSettings) | {"data": tuple[str, ...], "out": str}
    fields = []
    for setting in dataclasses.fields(TrainSettings):
        value: Any = defaults.get(setting.name, setting.default)
        if setting.name == "data":
            value = tuple(str(_source(entry)) for entry in value)
        hint: Any = Annotated[hints[setting.name], tyro.conf.arg(help=setting.metadata["help"])]
        fields.append((setting.name, hint, dataclasses.field(default=value)))
    return dataclasses.make_dataclass("TrainSettings", fields)


def _source(entry: Any) -> Source:
    if isinstance(entry, Source):
        return entry
    if isinstance(entry, str):
        return Source.parse(entry)
    if not isinstance(entry, dict) or "path" not in entry or not set(entry) <= {"path", "rows", "weight"}:
        raise ConfigError(f"data source {entry!r} must have path, and may have rows and weight")
    values: dict[str, Any] = {"rows": _default_rows(entry["path"])} | entry
    return Source(**values)
