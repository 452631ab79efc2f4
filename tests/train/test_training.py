"""A run on one device compiles its step once, though the base was put on a device and the first state was not."""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff_train.heads.training import BatchSource, Show, train_head
from jaxdiff_train.settings import TrainSettings


class Numbers:
    def batch(self, step, rows=slice(None)):
        return np.random.default_rng(step).normal(size=(4, 3)).astype(np.float32)[rows]


def loss(params, key, batch):
    return jnp.mean((batch @ params["kernel"]) ** 2), {}


def test_the_step_is_compiled_once(tmp_path, caplog):
    base = jax.device_put({"scale": jnp.ones(())}, jax.devices()[0])
    source = BatchSource("base", base, lambda base, batch: batch * base["scale"], Numbers())
    settings = TrainSettings(tmp_path, steps=4, batch_size=4, warmup=1, checkpoint_every=4)
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        trained = train_head(settings, source, None, {"kernel": jnp.eye(3)}, loss, Show(lambda line: None))
    compiled = [record for record in caplog.messages if "Finished XLA compilation of jit(step)" in record]
    assert len(compiled) == 1
    assert not np.array_equal(trained.params["kernel"], np.eye(3))
