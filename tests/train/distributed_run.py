"""One process of a training run on fake devices: `distributed_run.py OUT DEVICES MESH [COORDINATOR PROCESSES PROCESS]`.

Trains a small head on batches of plain numbers, so that runs of any number of processes can be compared. With
TERMINATED=STEP in the environment, the process sends itself SIGTERM when it makes that step's batch, and takes its time
over every batch, as a pod does that is told to leave.
"""

import os
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import TrainingStopped
from jaxdiff.sharding import MeshShape, make_mesh
from jaxdiff_train.heads.training import BatchSource, Show, train_head
from jaxdiff_train.launch import launch_from_args, start
from jaxdiff_train.settings import TrainSettings

ROWS, WIDTH = 16, 512


class Numbers:
    """Rows that depend on step and place alone."""

    def batch(self, step, rows=slice(None)):
        if terminated := os.environ.get("TERMINATED"):
            time.sleep(0.3)
            if step == int(terminated):
                os.kill(os.getpid(), signal.SIGTERM)
        drawn = np.random.default_rng(step).normal(size=(ROWS, WIDTH)).astype(np.float32)
        return drawn[rows]


def loss(params, key, batch):
    noise = jax.random.normal(key, batch.shape)
    made = jnp.tanh(batch @ params["first"]["kernel"]) @ params["second"]["kernel"]
    return jnp.mean((made + 0.01 * noise - batch[:, ::-1]) ** 2), {"size": jnp.mean(batch**2)}


def main(out, devices, mesh, *launch):
    jax.config.update("jax_num_cpu_devices", int(devices))
    words = [word for pair in zip(("--coordinator", "--processes", "--process"), launch, strict=False) for word in pair]
    start(launch_from_args(words)[0])
    settings = TrainSettings(
        Path(out), steps=20, batch_size=ROWS, warmup=2, learning_rate=3e-4, checkpoint_every=10, log_every=1, mesh=mesh
    )
    random = np.random.default_rng(0)
    params = {
        # Large enough to be divided over fsdp.
        "first": {"kernel": jnp.asarray(random.normal(size=(WIDTH, 8192)) / 30, jnp.float32)},
        "second": {"kernel": jnp.asarray(random.normal(size=(8192, WIDTH)) / 90, jnp.float32)},
    }
    source = BatchSource("base", {}, lambda base, batch: batch, Numbers(), make_mesh(MeshShape.parse(mesh)))
    try:
        trained = train_head(settings, source, None, params, loss, Show(print))
    except TrainingStopped:
        sys.exit(143)
    if jax.process_index() == 0:
        np.savez(settings.out / "head.npz", **{name: leaf["kernel"] for name, leaf in trained.params.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
