"""Checkpoints of the head, its optimizer and the data position, tied to the base that they were trained on."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from jaxdiff.errors import HeadMismatch, InputError, WeightsError

from .state import TrainState

# Of a checkpoint's own size, free on the disk before it is written.
_SPACE_MARGIN = 1.1


@dataclass(frozen=True)
class DataPosition:
    """Where the stream of batches stands: the next batch is that of `step`, drawn by `seed`.

    seconds: that training took so far, interruptions left out.
    """

    seed: int
    step: int = 0
    seconds: float = 0.0


class Checkpoints:
    """The newest `keep` checkpoints of one run in `folder`, written while training goes on.

    Each is written under a temporary name and renamed when complete, so an interrupted write leaves the one before it.
    base_fingerprint: identity of the frozen base; a checkpoint of another base is refused.
    """

    def __init__(self, folder: str | Path, base_fingerprint: str, keep: int = 2):
        self._folder = Path(folder).absolute()
        self._base_fingerprint = base_fingerprint
        with self._disk():
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True),
                item_handlers={
                    "state": ocp.StandardCheckpointHandler(),
                    "position": ocp.JsonCheckpointHandler(),
                    "base": ocp.JsonCheckpointHandler(),
                },
            )

    def latest_step(self) -> int | None:
        """Step of the newest complete checkpoint, None where there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState, position: DataPosition) -> None:
        """Writes `state` under its own step, in the background: `wait` returns when it is on disk.

        Raises InputError where the folder holds this or a later step: it belongs to another run, or was not resumed.
        Raises WeightsError where this or the previous one cannot be written; earlier ones are kept.
        """
        self.wait()
        latest = self.latest_step()
        if latest is not None and latest >= int(state.step):
            raise InputError(f"{self._folder} already holds step {latest}: resume it or choose another folder")
        with self._disk():
            # Checked beforehand, because the storage layer fills the terminal with tracebacks on a full disk.
            needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) * _SPACE_MARGIN
            free = shutil.disk_usage(self._folder).free
            if free < needed:
                raise OSError(f"{free / 1e6:.0f} MB free, a checkpoint needs {needed / 1e6:.0f} MB")
            # A copy, because the next step takes the state's own memory while this is being written.
            kept = jax.tree.map(jnp.copy, state)
            self._manager.save(
                int(state.step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(kept),
                    position=ocp.args.JsonSave(dataclasses.asdict(position)),
                    base=ocp.args.JsonSave({"fingerprint": self._base_fingerprint}),
                ),
            )

    def wait(self) -> None:
        """Returns when what was saved is on disk. Raises WeightsError where it could not be written."""
        with self._disk():
            self._manager.wait_until_finished()

    def restore_newest(self, template: TrainState, warn: Callable[[str], None]) -> tuple[TrainState, DataPosition]:
        """The newest checkpoint that can be read, exactly as saved; damaged newer ones are set aside with a warning.

        template: a state of the same shapes, types and shardings, such as the freshly created one. Raises as `restore`
        where none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for number, step in enumerate(steps):
            try:
                found = self.restore(template, step)
            except DamagedCheckpoint as error:
                if number + 1 == len(steps):
                    raise
                warn(f"{error}; going back to step {steps[number + 1]}")
                continue
            for damaged in steps[:number]:
                self._set_aside(damaged)
            return found
        return self.restore(template)

    def restore(self, template: TrainState, step: int | None = None) -> tuple[TrainState, DataPosition]:
        """State and data position of `step`, or of the newest checkpoint, exactly as saved.

        Raises HeadMismatch where another base was trained on, WeightsError where there is no checkpoint or it is of
        another head, DamagedCheckpoint where it cannot be read.
        """
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise WeightsError(f"no checkpoint{'' if step is None else f' of step {step}'} in {self._folder}")
        place = self._folder / str(step)
        with _damage(place):
            facts = self._manager.restore(
                step, args=ocp.args.Composite(position=ocp.args.JsonRestore(), base=ocp.args.JsonRestore())
            )
            position = DataPosition(**facts["position"])
            fingerprint = facts["base"]["fingerprint"]
        if fingerprint != self._base_fingerprint:
            raise HeadMismatch(
                f"checkpoint {place} was trained on base {fingerprint}, but the base is {self._base_fingerprint}"
            )
        abstract = jax.tree.map(ocp.tree.to_shape_dtype_struct, template)
        with _damage(place):
            saved = self._manager.item_metadata(step)["state"]
            if different := _differences(saved.tree, abstract):
                raise WeightsError(f"checkpoint {place} is of another head: {'; '.join(different[:3])}")
            state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))[
                "state"
            ]
        return state, position

    def close(self) -> None:
        """Waits for what is being written."""
        with self._disk():
            self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set_aside(self, step: int) -> None:
        """Renames a damaged checkpoint, so that its number is free and it can still be looked at."""
        if jax.process_index() == 0:
            target = self._folder / f"damaged-{step}"
            shutil.rmtree(target, ignore_errors=True)
            (self._folder / str(step)).rename(target)
        self._manager.reload()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # tensorstore makes ValueErrors of a disk's errors
            raise WeightsError(
                f"cannot write a checkpoint to {self._folder}: {_first_line(error)}; earlier checkpoints are kept"
            ) from error


class DamagedCheckpoint(WeightsError):
    """A checkpoint cannot be read."""


@contextmanager
def _damage(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(f"checkpoint {place} is damaged: {_first_line(error)}") from error


def _differences(saved: Any, wanted: Any) -> list[str]:
    """Leaves that differ in presence, shape or type; `saved` holds orbax's array metadata."""
    there = {leaf.name: f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(saved)}
    here = {
        jax.tree_util.keystr(path, simple=True, separator="."): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(wanted)
    }
    return [
        f"{name} is {there.get(name, 'absent')}, here {here.get(name, 'absent')}"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
