"""Meshes and sharding rules, without devices where possible."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from jaxdiff.base.restore import parameter_shapes
from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError
from jaxdiff.sharding import AXES, BASE_RULES, MeshShape, batch_sharding, make_mesh

MESH = AbstractMesh((2, 4, 4), AXES)


@pytest.mark.parametrize(
    ("text", "devices", "sizes"),
    [
        ("", 8, (8, 1, 1)),
        ("fsdp=4", 8, (2, 4, 1)),
        ("data=1,fsdp=-1,tensor=2", 8, (1, 4, 2)),
        ("data=1,fsdp=2,tensor=4", 8, (1, 2, 4)),
    ],
)
def test_an_open_axis_takes_what_the_others_leave(text, devices, sizes):
    assert MeshShape.parse(text).sizes(devices) == sizes


@pytest.mark.parametrize("text", ["model=2", "fsdp", "fsdp=0", "fsdp=x", "fsdp=2,fsdp=2", "data=-1,fsdp=-1", "data=-2"])
def test_an_impossible_mesh_is_refused_by_name(text):
    with pytest.raises(ConfigError, match="mesh"):
        MeshShape.parse(text)


@pytest.mark.parametrize("text", ["fsdp=3", "data=2,fsdp=2,tensor=1"])
def test_a_mesh_that_does_not_fit_the_devices_is_refused(text):
    with pytest.raises(ConfigError, match="does not fit 8 devices"):
        MeshShape.parse(text).sizes(8)


def test_every_large_parameter_of_the_3b_base_is_divided_over_fsdp_and_tensor():
    shapes = parameter_shapes(BaseConfig.smollm3_3b())
    shardings = BASE_RULES.shardings(MESH, shapes)
    for leaf, sharding in zip(jax.tree.leaves(shapes), jax.tree.leaves(shardings), strict=True):
        divided = set(filter(None, sharding.spec))
        assert divided == ({"fsdp", "tensor"} if leaf.size > 10**6 else set())


def test_a_projection_and_the_one_back_divide_the_same_units():
    assert BASE_RULES.spec(MESH, "layers/mlp/up_proj/kernel", (2, 64, 128)) == PartitionSpec(None, "fsdp", "tensor")
    assert BASE_RULES.spec(MESH, "layers/mlp/down_proj/kernel", (2, 128, 64)) == PartitionSpec(None, "tensor", "fsdp")


def test_a_dimension_that_does_not_divide_stays_whole():
    assert BASE_RULES.spec(MESH, "embed_tokens/embedding", (97, 64)) == PartitionSpec(None, "fsdp")


def test_a_parameter_without_a_rule_is_named():
    with pytest.raises(ConfigError, match="layers/mlp/gate/bias"):
        BASE_RULES.spec(MESH, "layers/mlp/gate/bias", (4,))


def test_a_batch_is_divided_over_data_and_fsdp():
    mesh = make_mesh(MeshShape(), jax.devices()[:1])
    rows = jax.device_put(jnp.zeros((4, 3)), batch_sharding(mesh))
    assert mesh.axis_names == AXES
    assert rows.sharding.spec == PartitionSpec(("data", "fsdp"))
