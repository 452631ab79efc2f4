"""Checkpoints of the head, its optimizer and the data position, tied to the base that they were trained on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxdiff.errors import HeadMismatch, InputError, WeightsError

from .state import TrainState


@dataclass(frozen=True)
class DataPosition:
    """Where the stream of batches stands: `seed` orders the rows of an epoch, the next batch is `step` of `epoch`."""

    seed: int
    epoch: int = 0
    step: int = 0


class Checkpoints:
    """The newest `keep` checkpoints of one run in `folder`.

    Each is written under a temporary name and renamed when complete, so an interrupted write leaves the one before it.
    base_fingerprint: identity of the frozen base; a checkpoint of another base is refused.
    """

    def __init__(self, folder: str | Path, base_fingerprint: str, keep: int = 2):
        self._folder = Path(folder).absolute()
        self._base_fingerprint = base_fingerprint
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, cleanup_tmp_directories=True, enable_async_checkpointing=False
            ),
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
        """Writes `state` under its own step; returns when it is on disk.

        Raises InputError where the folder holds this or a later step: it belongs to another run, or was not resumed.
        """
        latest = self.latest_step()
        if latest is not None and latest >= int(state.step):
            raise InputError(f"{self._folder} already holds step {latest}: resume it or choose another folder")
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                position=ocp.args.JsonSave(dataclasses.asdict(position)),
                base=ocp.args.JsonSave({"fingerprint": self._base_fingerprint}),
            ),
        )

    def restore(self, template: TrainState, step: int | None = None) -> tuple[TrainState, DataPosition]:
        """State and data position of `step`, or of the newest checkpoint, exactly as saved.

        template: a state of the same shapes and types, such as the freshly created one. Raises HeadMismatch where
        another base was trained on, WeightsError where there is no checkpoint, or it is damaged or of another head.
        """
        step = self.latest_step() if step is None else step
        if step is None or step not in self._manager.all_steps():
            raise WeightsError(f"no checkpoint{'' if step is None else f' of step {step}'} in {self._folder}")
        place = self._folder / str(step)
        try:
            facts = self._manager.restore(
                step, args=ocp.args.Composite(position=ocp.args.JsonRestore(), base=ocp.args.JsonRestore())
            )
            position = DataPosition(**facts["position"])
            fingerprint = facts["base"]["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"checkpoint {place} is damaged: {_first_line(error)}") from error
        if fingerprint != self._base_fingerprint:
            raise HeadMismatch(
                f"checkpoint {place} was trained on base {fingerprint}, but the base is {self._base_fingerprint}"
            )
        abstract = jax.tree.map(ocp.tree.to_shape_dtype_struct, template)
        try:
            saved = self._manager.item_metadata(step)["state"]
            if different := _differences(saved.tree, abstract):
                raise WeightsError(f"checkpoint {place} is of another head: {'; '.join(different[:3])}")
            state = self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))[
                "state"
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"checkpoint {place} is damaged: {_first_line(error)}") from error
        return state, position

    def close(self) -> None:
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
