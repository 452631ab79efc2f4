"""From the settings of a run to its batches: the data, read before training or in every step, and the mesh."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import load_base
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.errors import ConfigError, InputError
from jaxdiff.sharding import MeshShape, batch_sharding, make_mesh, replicated

from ..data.packs import PAIR_PACKS, ROLE_PACKS, TRAIN_PACKS, expand_packs
from ..data.rows import Row, read_rows, supported
from ..data.variations import vary_packs
from ..engine.feed import host_rows
from ..engine.flops import peak_flops
from ..reading.batches import label_store
from ..reading.features import progress_line
from ..reading.online import TokenBatches, TokenRows, read_online, reading_flops
from ..reading.stored import attach_embedding, frozen_part
from ..reading.teacher import TeacherStore, extract_teacher
from ..settings import PACKS_SOURCE, PAIRS_SOURCE, ROLES_SOURCE, VARIED_SOURCE, Source, TrainSettings
from .options import head_options
from .recipes import RECIPES
from .training import BatchSource

# Of the rows that come with the package; a file of rows may be anybody's.
LICENCE = "Apache-2.0 (authored for this project)"


# Sources that come with the package: how their rows are made, and of which packs.
_EXPAND = {
    PACKS_SOURCE: (expand_packs, TRAIN_PACKS),
    VARIED_SOURCE: (vary_packs, TRAIN_PACKS),
    PAIRS_SOURCE: (expand_packs, PAIR_PACKS),
    ROLES_SOURCE: (expand_packs, ROLE_PACKS),
}


@dataclass(frozen=True)
class Prepared:
    """A base that is loaded, the batches of a run, and what its card says of the data."""

    base: FrozenBase
    batches: BatchSource
    data: list[dict[str, Any]]


def training_mesh(settings: TrainSettings) -> Mesh | None:
    """The mesh of all devices, None for a single one that needs none. Raises ConfigError."""
    if not settings.mesh and jax.device_count() == 1:
        return None
    return make_mesh(MeshShape.parse(settings.mesh))


def prepare(settings: TrainSettings, features: Path, say: Callable[[str], None]) -> Prepared:
    """Loads the base, reads the data, and reads it through the base where that is done before training.

    features: folder in which what the base says is kept. Raises JaxdiffError.
    """
    mesh = training_mesh(settings)
    online = settings.reading == "online"
    # Refused before the rows are read, not after.
    host_rows(
        settings.batch_size // settings.microbatches,
        None if mesh is None else batch_sharding(mesh),
        "a batch" if settings.microbatches == 1 else f"each of {settings.microbatches} microbatches",
    )
    # Rows that are read beforehand are read by every process for itself, on its own device.
    base = load_base(settings.base, dtype=settings.base_dtype or None, mesh=mesh if online else None)
    recipe = RECIPES[settings.head]
    data, parts = [], []
    for source in settings.data:
        name, rows = load_source(source, settings.seed, say)
        part: Any = (
            TokenRows(base, rows, name) if online else recipe.extract(base, rows, features, name, progress_line(name))
        )
        if len(part) < len(rows):
            say(f"{name}: {len(rows) - len(part)} of {len(rows)} rows are too long to be read")
        parts.append(part)
        data.append({
            "name": name,
            "rows": len(part),
            "sha256": data_hash(part.rows),
            "licence": LICENCE if source.path in _EXPAND else "not known to this program",
        })  # fmt: skip
    weights = [source.weight for source in settings.data]
    make: Any = TokenBatches if online else recipe.batches
    taught = {"teachers": teachers} if (teachers := _teachers(settings, base, parts, features)) else {}
    drawn = make(base, parts, weights, settings.batch_size, settings.seed, **taught)
    say(
        f"{drawn.rows()} rows, {settings.steps} steps of {settings.batch_size}"
        + (f", mesh {mesh.shape}" if mesh else "")
    )
    frozen = base.params if online else frozen_part(base)
    if mesh is not None and not online:
        # By way of the host: what lies on a device of one process cannot be laid on those of all.
        frozen = jax.device_put(jax.device_get(frozen), replicated(mesh))
    batches = BatchSource(
        fingerprint=base.fingerprint,
        base=frozen,
        read=read_online(base.module.clone(mesh=mesh)) if online else attach_embedding,
        rows=drawn,
        mesh=mesh,
        flops=partial(reading_flops, base.config) if online else None,
        peak=peak_flops(jax.devices()),
    )
    return Prepared(base, batches, data)


def _teachers(
    settings: TrainSettings, base: FrozenBase, parts: Sequence[Any], features: Path
) -> list[TeacherStore] | None:
    """What the base itself would write in the rows of each part, where the head's configuration asks for it."""
    if settings.head != "reader" or not head_options(settings.head_config, ReaderConfig).get("distillation"):
        return None
    if settings.reading == "online":
        raise ConfigError("distillation learns from rows that were read before; it needs reading='stored'")
    return [
        extract_teacher(
            base, part, [label.slots for label in label_store(base, part)], features, source.path.rpartition("/")[2],
            progress_line("teacher"),
        )
        for part, source in zip(parts, settings.data, strict=True)
    ]  # fmt: skip


def load_source(source: Source, seed: int, say: Callable[[str], None]) -> tuple[str, list[Row]]:
    """Name and rows of a part of the data mix. Raises InputError where nothing is left of it."""
    if source.path in _EXPAND:
        name = source.path
        expand, path = _EXPAND[name]
        expanded = expand(path, source.rows, seed)
        rows = [row for row in expanded if supported(row.tool)]
        if len(rows) < len(expanded):
            say(f"{name}: {len(expanded) - len(rows)} of {len(expanded)} rows have a schema that is not supported")
    else:
        name = Path(source.path).stem
        rows, dropped = read_rows(source.path, source.rows, seed)
        say(f"{name}: {len(rows)} rows; left out: " + (", ".join(f"{n} {why}" for why, n in dropped.items()) or "none"))
    if not rows:
        raise InputError(f"{source.path}: no row can be used")
    return name, rows


def data_hash(rows: Sequence[Row]) -> str:
    """SHA-256 of tools, queries and arguments, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.tool, row.query, row.arguments], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
