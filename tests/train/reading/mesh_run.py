"""Trains a tiny reader with the base read in every step, once on one fake device and once on a mesh of four, and prints
both loss curves as JSON. A program of its own: XLA may end it (see `test_online.py`)."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxdiff.sharding import BASE_RULES, MeshShape, batch_sharding, make_mesh
from jaxdiff_train.heads.reader import train_reader
from jaxdiff_train.heads.training import BatchSource, Show
from jaxdiff_train.reading.online import TokenBatches, TokenRows, read_online
from jaxdiff_train.settings import TrainSettings
from tests.agent.frozen_fills import tiny_base
from tests.train.reader_rows import ROWS

COUNT = 4


def main(folder: Path) -> None:
    """Trains in `folder` and prints."""
    jax.config.update("jax_num_cpu_devices", 4)
    tiny = tiny_base(0)
    tokens = TokenBatches(tiny, [TokenRows(tiny, ROWS, "rows")], [1.0], COUNT, seed=0)
    losses = []
    for mesh in (None, make_mesh(MeshShape(data=2, fsdp=2), jax.devices()[:4])):
        params = tiny.params
        if mesh is not None:
            params = jax.device_put(params, BASE_RULES.shardings(mesh, params))
            assert batch_sharding(mesh).num_devices == 4
        source = BatchSource("tiny", params, read_online(tiny.module.clone(mesh=mesh)), tokens, mesh)
        settings = TrainSettings(folder / str(mesh is None), steps=4, batch_size=COUNT, warmup=1, log_every=1)
        lines: list[str] = []
        trained = train_reader(settings, tiny.config, source, Show(lines.append))
        losses.append([float(line.split("  loss ")[1].split()[0]) for line in lines])
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.params))
    print(json.dumps(losses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
