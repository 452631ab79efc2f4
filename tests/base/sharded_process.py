"""One process of a sharded load: loads a base onto meshes of fake CPU devices and prints what it saw as JSON.

Run by tests, which give the folder, the meshes (separated by blanks), and the number of processes with this one's.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxdiff.base.generate import greedy
from jaxdiff.base.store import read_base
from jaxdiff.sharding import MeshShape, make_mesh

IDS = np.random.default_rng(1).integers(5, 250, (2, 11)).astype(np.int32)


def bytes_read() -> int:
    """Bytes that this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


def main(folder: str, meshes: str, processes: str = "1", process: str = "0", coordinator: str = "") -> None:
    jax.config.update("jax_default_matmul_precision", "highest")
    if int(processes) > 1:
        jax.distributed.initialize(coordinator, int(processes), int(process))
    # Once already, so that what is counted below are the parameters and not modules.
    read_base(Path(folder), mesh=make_mesh(MeshShape.parse(meshes.split()[0])))
    for shape in meshes.split():
        mesh = make_mesh(MeshShape.parse(shape))
        before = bytes_read()
        base = read_base(Path(folder), mesh=mesh)
        read = bytes_read() - before
        leaves = jax.tree_util.tree_leaves_with_path(base.params)
        first = jax.local_devices()[0]
        logits = multihost_utils.process_allgather(base.logits(IDS), tiled=True)
        # A text goes on from a cache that GSPMD has divided; once, for it compiles long.
        goes_on = processes == "1" and shape == meshes.split()[-1]
        found = {
            "mesh": shape,
            "read": read,
            "on_a_device": {
                jax.tree_util.keystr(path, simple=True, separator="/"): sum(
                    shard.data.nbytes for shard in leaf.addressable_shards if shard.device == first
                )
                for path, leaf in leaves
            },
            "logits": np.asarray(logits).tolist(),
            "written": np.asarray(greedy(base, IDS, IDS > 0, 4, stop_ids=())).tolist() if goes_on else None,
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
