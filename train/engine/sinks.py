"""Where metrics go: a file, TensorBoard, Weights & Biases."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdiff.errors import ConfigError

from .watch import Sink

METRICS_FILE = "metrics.jsonl"
_WANDB_RUN = "wandb_run.txt"


def sinks(folder: Path, first_step: int, tensorboard: bool, wandb_project: str | None, settings: Any) -> list[Sink]:
    """The metrics file, and what else was asked for."""
    made: list[Sink] = [MetricsFile(folder, first_step)]
    if tensorboard:
        made.append(TensorBoard(folder / "tensorboard", first_step))
    if wandb_project:
        made.append(WeightsAndBiases(wandb_project, folder, settings))
    return made


class MetricsFile:
    """One JSON object a line: `{"step": ..., "loss": ...}`. A resumed run goes on behind the steps that count."""

    def __init__(self, folder: Path, first_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / METRICS_FILE
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= first_step]
        path.write_text("".join(kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """What `MetricsFile` has written in a run's folder."""
    return [json.loads(line) for line in _lines(folder / METRICS_FILE)]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    # A run that was killed may have left half a line.
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


class TensorBoard:
    """Event files for TensorBoard."""

    def __init__(self, folder: Path, first_step: int):
        from tensorboardX import SummaryWriter

        # What a run that was killed has written behind its last checkpoint is hidden.
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, gone on with where the folder knows it. Raises ConfigError where it cannot begin."""

    def __init__(self, project: str, folder: Path, settings: Any):
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        # Two machines may have folders of the same name in one project.
        kept = folder / _WANDB_RUN
        if not kept.is_file():
            kept.write_text(secrets.token_hex(8) + "\n", encoding="utf-8")
        name, number = folder.resolve().name, kept.read_text(encoding="utf-8").strip()
        try:
            self._run = wandb.init(
                project=project, dir=str(folder), name=name, id=number, config=settings, resume="allow"
            )
        except wandb.Error as error:
            raise _refused(project, error) from error
        # Steps of its own never go back, as those of a run do that was killed and goes on from a checkpoint.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log({"step": step, **metrics})

    def close(self) -> None:
        self._run.finish()


def log_in_to_wandb(project: str) -> None:
    """Raises ConfigError where Weights & Biases is not to be had; asks for its key on a terminal."""
    try:
        import wandb
    except ImportError as error:
        raise ConfigError(f"wandb={project!r} needs the package wandb: pip install wandb") from error
    try:
        wandb.login()
    except wandb.Error as error:
        raise _refused(project, error) from error


def _refused(project: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    return ConfigError(f"wandb={project!r}: {reason} WANDB_MODE=offline logs into the run's folder.")
