"""Collectives of programs whose traffic is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxdiff.sharding import MeshShape, make_mesh
from jaxdiff_train.collectives import read_collectives

ROUNDS, ROWS, WIDTH = 7, 8, 16


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(MeshShape(data=1, fsdp=4), jax.devices()[:4])


def compiled(mesh, function, *arguments):
    shapes = [
        jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec(*spec)))
        for shape, spec in arguments
    ]
    return jax.jit(function).lower(*shapes).compile().as_text()


def test_a_sum_over_rows_is_one_all_reduce_of_its_result(mesh):
    program = compiled(mesh, lambda x: x.sum(0), ((ROWS, WIDTH), ("fsdp",)))
    (found,) = read_collectives(program)
    assert (found.kind, found.size, found.rounds) == ("all-reduce", WIDTH * 4, 1)


def test_a_matrix_of_each_round_is_counted_once_a_round(mesh):
    def layers(x, stacked):
        def layer(x, matrix):
            whole = jax.lax.with_sharding_constraint(matrix, NamedSharding(mesh, PartitionSpec()))
            return jax.lax.with_sharding_constraint(x @ whole, NamedSharding(mesh, PartitionSpec("fsdp"))), None

        return jax.lax.scan(layer, x, stacked)[0]

    program = compiled(mesh, layers, ((ROWS, WIDTH), ("fsdp",)), ((ROUNDS, WIDTH, WIDTH), (None, "fsdp")))
    gathers = [found for found in read_collectives(program) if found.kind == "all-gather"]
    assert [(found.size, found.rounds) for found in gathers] == [(WIDTH * WIDTH * 4, ROUNDS)]


def test_a_program_on_one_device_sends_nothing():
    assert read_collectives(jax.jit(jnp.sum).lower(np.ones(4, np.float32)).compile().as_text()) == []


def test_pieces_of_one_collective_are_counted_once():
    program = """\
%piece (p: f32[4]) -> f32[8] {
  %a = f32[8]{0} all-gather(%p), channel_id=3, dimensions={0}
}
ENTRY %main (p: f32[4]) -> f32[8] {
  %b = (f32[4]{0}, f32[8]{0}) all-gather-start(%p), channel_id=3, dimensions={0}
  %c = f32[8]{0} fusion(%b), kind=kCustom, calls=%piece
  %d = f32[8]{0} all-gather-done(%b)
}
"""
    (found,) = read_collectives(program)
    assert (found.kind, found.size, found.rounds) == ("all-gather", 32, 1)
