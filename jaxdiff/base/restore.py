"""Parameters from disk onto one device or onto a mesh, where every process reads its own parts alone."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import Mesh, SingleDeviceSharding

from jaxdiff.base.module import SmolLM
from jaxdiff.base.quantised import SCALE_SUFFIX
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError, WeightsError
from jaxdiff.sharding import BASE_RULES, ShardingRules, leaf_name

# Read at a time besides the largest parameter, so that the host never holds the model twice.
_READ_AHEAD_GB = 1


def parameter_shapes(config: BaseConfig, storage: str = "float") -> dict[str, Any]:
    """Shapes and types of all parameters of a base, without making them. storage: one of `card.STORAGES`."""
    module = SmolLM(config, storage=storage)
    ids = np.zeros((1, 1), np.int32)
    mask = np.ones((1, 1, 1), bool)
    return jax.eval_shape(lambda: module.init(jax.random.key(0), ids, ids, mask, method="logits"))["params"]


def parameter_shardings(shapes: dict[str, Any], mesh: Mesh | None, rules: ShardingRules) -> dict[str, Any]:
    """Where each parameter goes: the first device, or parts of `mesh`. Raises ConfigError where rules do not fit."""
    if mesh is None:
        return jax.tree.map(lambda _: SingleDeviceSharding(jax.local_devices()[0]), shapes)
    return rules.shardings(mesh, shapes)


def restore(path: Path, expected: dict[str, Any], dtype: Any, shardings: dict[str, Any]) -> dict[str, Any]:
    """The parameters in the orbax checkpoint `path`, each placed by its sharding.

    expected: shapes of the parameters. dtype: of them all but quantised matrices and their scales. A process reads the
    parts of its own devices alone. Raises WeightsError where the checkpoint has other parameters, or where one was
    never written out.
    """
    # Orbax warns that a checkpoint written elsewhere is read with other shardings; that is what is asked for here.
    logging.getLogger("absl").setLevel(logging.ERROR)

    def wanted_leaf(path: tuple[Any, ...], leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        quantised = leaf.dtype == np.int8 or path[-1].key.endswith(SCALE_SUFFIX)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype if quantised else dtype, sharding=sharding)

    wanted = jax.tree_util.tree_map_with_path(wanted_leaf, expected, shardings)
    largest = max(4 * leaf.size for leaf in jax.tree.leaves(expected))
    with ocp.StandardCheckpointer(restore_concurrent_gb=_READ_AHEAD_GB + largest // 10**9) as checkpointer:
        # Orbax finds out while it reads, and then leaves tracebacks of its unfinished reads on the terminal.
        _require_fitting(path, checkpointer.metadata(path.resolve()).item_metadata.tree, expected)
        restored: dict[str, Any] = checkpointer.restore(path.resolve(), wanted)
    _require_written(path, restored)
    return restored


def check_mesh(mesh: Any, rules: Any) -> None:
    """Raises InputError unless `mesh` is a mesh or None, and `rules` a table of rules; rules need a mesh."""
    if mesh is not None and not isinstance(mesh, Mesh):
        raise InputError(f"mesh={mesh!r}: expected a jax.sharding.Mesh, see jaxdiff.sharding.make_mesh")
    if not isinstance(rules, ShardingRules):
        raise InputError(f"rules={rules!r}: expected jaxdiff.sharding.ShardingRules")
    if mesh is None and rules is not BASE_RULES:
        raise InputError("rules say where parameters live on a mesh, but no mesh is given")


def _require_fitting(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    stored, expected = _sizes(found), _sizes(wanted)
    differing = sorted(leaf for leaf in stored.keys() | expected.keys() if stored.get(leaf) != expected.get(leaf))
    if differing:
        leaf = differing[0]
        raise WeightsError(
            f"{path}: parameters do not fit the configuration ({len(differing)} in all), first {leaf}: "
            f"stored {stored.get(leaf)}, expected {expected.get(leaf)}"
        )


def _require_written(path: Path, params: dict[str, Any]) -> None:
    """Pages that were never written, as after a crash, read as zeros."""
    names = [leaf_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    # One device's part may well be zero: all processes look at all parts, and come to the same answer.
    written = jax.device_get(_any_of_each(jax.tree.leaves(params)))
    empty = [name for name, anything in zip(names, written, strict=True) if not anything]
    if empty:
        raise WeightsError(f"{path}: nothing but zeros in {', '.join(empty)}; convert the checkpoint again")


@jax.jit
def _any_of_each(leaves: list[Any]) -> list[Any]:
    return [jnp.any(leaf != 0) for leaf in leaves]


def _sizes(tree: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {leaf_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
