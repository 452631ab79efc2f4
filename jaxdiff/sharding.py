"""Where arrays live on many devices: one mesh of three axes, and one table of rules for all parameters.

data: other rows on other devices, parameters repeated. fsdp: other rows too, and each device keeps a part of every
matrix, gathered layer by layer when it is used (ZeRO-3, arXiv 1910.02054). tensor: heads and inner units are divided
(Megatron, arXiv 1909.08053). XLA's partitioner (GSPMD, arXiv 2105.04663) turns the rules into collectives.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdiff.errors import ConfigError

AXES = ("data", "fsdp", "tensor")
# Rows of a batch are divided over both.
BATCH_AXES = ("data", "fsdp")


@dataclass(frozen=True)
class MeshShape:
    """Devices along each axis; at most one of them is -1, which takes what is left."""

    data: int = -1
    fsdp: int = 1
    tensor: int = 1

    def __post_init__(self) -> None:
        sizes = [getattr(self, axis) for axis in AXES]
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            raise ConfigError(f"mesh {self}: axes must be positive, at most one of them -1")

    def __str__(self) -> str:
        return ",".join(f"{axis}={getattr(self, axis)}" for axis in AXES)

    @classmethod
    def parse(cls, text: str) -> MeshShape:
        """From `fsdp=4,tensor=2`; an axis that is not named keeps its default. Raises ConfigError."""
        sizes: dict[str, int] = {}
        for part in filter(None, text.split(",")):
            axis, _, size = part.partition("=")
            if axis not in AXES or axis in sizes or not re.fullmatch(r"-1|[1-9]\d*", size):
                raise ConfigError(f"mesh {text!r}: {part!r} is not one of {', '.join(AXES)} with its number of devices")
            sizes[axis] = int(size)
        return cls(**sizes)

    def sizes(self, devices: int) -> tuple[int, int, int]:
        """Devices along data, fsdp and tensor, of `devices` in all. Raises ConfigError where they do not fit."""
        sizes = [getattr(self, axis) for axis in AXES]
        known = math.prod(size for size in sizes if size != -1)
        if -1 in sizes and devices % known == 0:
            sizes[sizes.index(-1)] = devices // known
        if math.prod(sizes) != devices:
            raise ConfigError(f"mesh {self} does not fit {devices} devices")
        data, fsdp, tensor = sizes
        return data, fsdp, tensor


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of `devices` (by default all, of all hosts), neighbours on the chip's network kept near each other.

    Raises ConfigError where the shape does not fit them.
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh(
        shape.sizes(len(devices)), AXES, axis_types=(jax.sharding.AxisType.Auto,) * len(AXES), devices=devices
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Rows, the first axis, divided over data and fsdp."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def divide_rows(x: jax.Array, mesh: Mesh | None, axis: int = 0) -> jax.Array:
    """`x` with its rows, along `axis`, divided over data and fsdp; as it is where there is no mesh.

    Where an fsdp mesh divides both rows and matrices, this tells the partitioner to gather the matrices.
    """
    if mesh is None:
        return x
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH_AXES)))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


@dataclass(frozen=True)
class ShardingRules:
    """Pattern over the "/"-joined path of a parameter -> mesh axis of each dimension, None where it is not divided.

    The first pattern that matches the whole path counts.
    """

    table: tuple[tuple[str, tuple[str | None, ...]], ...]

    def spec(self, mesh: Mesh, path: str, shape: Sequence[int]) -> PartitionSpec:
        """Raises ConfigError for a path that no pattern matches, and for axes that the mesh lacks or that come twice.

        A dimension that its axis does not divide evenly stays whole.
        """
        for pattern, axes in self.table:
            if re.fullmatch(pattern, path):
                named = [axis for axis in axes if axis]
                if len(set(named)) < len(named) or not set(named) <= set(mesh.axis_names):
                    raise ConfigError(
                        f"sharding rule {axes} for parameter {path!r} does not fit a mesh of the axes "
                        f"{', '.join(mesh.axis_names)}; each can be named once"
                    )
                kept = zip(axes, shape, strict=False)
                return PartitionSpec(*(axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in kept))
        raise ConfigError(f"no sharding rule for parameter {path!r}")

    def shardings(self, mesh: Mesh, tree: Any) -> Any:
        """A sharding for every array (or its shape) of `tree`."""
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: NamedSharding(mesh, self.spec(mesh, leaf_name(path), np.shape(leaf))), tree
        )


# Matrices are [layers, in, out]: a projection into heads or inner units divides its outputs over `tensor`, the one back
# its inputs, so that one sum over `tensor` a projection pair is enough.
BASE_RULES = ShardingRules(
    (
        (r"embed_tokens/embedding", ("tensor", "fsdp")),
        (r"layers/(self_attn/[qkv]|mlp/(gate|up))_proj/kernel", (None, "fsdp", "tensor")),
        (r"layers/(self_attn/o|mlp/down)_proj/kernel", (None, "tensor", "fsdp")),
        (r"lm_head/kernel", ("fsdp", "tensor")),
        # Of matrices held as int8: one number for each output, where that output is.
        (r"embed_tokens/embedding_scale|lm_head/kernel_scale", ("tensor",)),
        (r"layers/(self_attn/[qkv]|mlp/(gate|up))_proj/kernel_scale", (None, "tensor")),
        (r"layers/(self_attn/o|mlp/down)_proj/kernel_scale", (None, "fsdp")),
        (r"(layers/(input|post_attention)_layernorm|norm)/scale", ()),
    )
)


def leaf_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf in a tree, "layers/self_attn/q_proj/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
