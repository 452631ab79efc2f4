"""Compiles the training step for devices that are not there. A program of its own: see `compile_cli`.

`python -m jaxdiff_train.ahead_of_time SETTINGS` prints one JSON object: memory by kind, collectives, operations.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from jaxdiff.agent.evidence import TELLING_WORDS
from jaxdiff.agent.key_block import CANDIDATE_TOKENS, Block
from jaxdiff.agent.query_features import QueryFacts
from jaxdiff.agent.reading import reader_config
from jaxdiff.agent.word_facts import CANDIDATE_WORDS, FIELD_FACTS, TOKEN_FACTS, TOKEN_MATCHES
from jaxdiff.base.module import SmolLM
from jaxdiff.base.restore import parameter_shapes
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.features import Canvas, Labels
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.schedules import schedule_by_name
from jaxdiff.errors import JaxdiffError
from jaxdiff.sharding import BASE_RULES, MeshShape, batch_sharding, make_mesh

from .collectives import Collective, read_collectives
from .compile_cli import CompileSettings
from .engine.optimizer import OptimizerConfig, make_optimizer
from .engine.placement import state_shardings
from .engine.state import TrainState
from .engine.step import make_step
from .heads.reader import reader_loss
from .reading.batches import CANDIDATES, CANVAS
from .reading.online import FIELDS, TokenBatch, read_online, reading_flops

MODELS = {"smollm3-3b": BaseConfig.smollm3_3b, "smollm2-135m": BaseConfig.smollm2_135m}
# Bytes of high-bandwidth memory a chip, from the maker's data sheets.
CHIP_MEMORY = {"v4": 32e9, "v5e": 16e9, "v5p": 95e9, "v6e": 32e9}


def report(settings: CompileSettings) -> dict[str, Any]:
    """Compiles, and says what the compiler found. Raises JaxdiffError for impossible settings."""
    devices = topologies.get_topology_desc(platform="tpu", topology_name=settings.topology).devices
    mesh = make_mesh(MeshShape.parse(settings.mesh), devices)
    config = MODELS[settings.model]()
    step, arguments = training_step(settings, config, mesh)
    started = time.monotonic()
    compiled = step.lower(*arguments).compile()
    seconds = time.monotonic() - started
    memory = compiled.memory_analysis()
    sizes = {
        "base": _bytes_per_chip(arguments[1]),
        "head, optimizer, average": _bytes_per_chip(arguments[0]),
        "batch": _bytes_per_chip(arguments[2]),
        "temporary": memory.temp_size_in_bytes,
        "program": memory.generated_code_size_in_bytes,
    }
    # Outputs take the place of the state, which is donated.
    sizes["all"] = sum(sizes.values()) + memory.output_size_in_bytes - memory.alias_size_in_bytes
    available = CHIP_MEMORY[settings.topology.split(":")[0]]
    return {
        "topology": settings.topology,
        "model": settings.model,
        "mesh": str(MeshShape.parse(settings.mesh)),
        "bytes_per_chip": sizes,
        "collectives": _by_kind(read_collectives(compiled.as_text())),
        "base_bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arguments[1])),
        "flops_per_chip": reading_flops(config, arguments[2]) / len(devices),
        "chip_memory": available,
        "fits": sizes["all"] <= available,
        "compile_seconds": seconds,
    }


def training_step(settings: CompileSettings, config: BaseConfig, mesh: Mesh) -> tuple[Any, tuple[Any, Any, Any]]:
    """The jitted step, and shapes of its arguments (state, base, batch) with their places on the mesh."""
    head = reader_config(config)
    params = jax.eval_shape(partial(reader.init, config=head), jax.random.key(0))
    optimizer = make_optimizer(OptimizerConfig(), {"base": {}, "head": params})
    state = jax.eval_shape(lambda p: TrainState.create(p, optimizer, 0, ema=True), params)
    places = state_shardings(mesh, state)
    step = make_step(
        partial(reader_loss, head, schedule_by_name("log_linear"), jnp.bfloat16),
        optimizer,
        read=read_online(SmolLM(config, jnp.bfloat16, mesh=mesh)),
        microbatches=settings.microbatches,
        remat=settings.remat,
        state_shardings=places,
    )
    shapes = parameter_shapes(config)
    base = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16, sharding=place),
        shapes,
        BASE_RULES.shardings(mesh, shapes),
    )
    rows = batch_sharding(mesh)
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows), batch_shapes(settings)
    )
    state = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), state, places
    )
    return step, (state, base, batch)


def batch_shapes(settings: CompileSettings) -> TokenBatch:
    """Shapes of a batch of tokens, as `TokenBatches` makes them."""
    rows, slots, query = settings.batch_size, settings.slots, settings.query

    def array(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((rows, *shape), dtype)

    ids, real, flag = partial(array, np.int32), partial(array, np.float32), partial(array, np.bool_)
    by_field = ids(FIELDS)
    return TokenBatch(
        prefix_ids=ids(settings.prefix),
        prefix_valid=flag(settings.prefix),
        telling=ids(len(TELLING_WORDS)),
        block=Block(
            ids=ids(slots),
            positions=ids(slots),
            stream=ids(slots),
            valid=flag(slots),
            keys=by_field,
            names=by_field,
            definitions=ids(FIELDS, 2),
            opening=ids(),
            copy=ids(),
            query_ids=ids(query),
            query_valid=flag(query),
            field_valid=flag(FIELDS),
            candidate_slots=ids(FIELDS, CANDIDATES, CANDIDATE_TOKENS),
            candidate_first=ids(FIELDS, CANDIDATES),
        ),
        facts=QueryFacts(
            token_ids=ids(query),
            token_mask=flag(query),
            token_shape=real(query, TOKEN_FACTS),
            token_matches=real(FIELDS, query, TOKEN_MATCHES),
            field_facts=real(FIELDS, FIELD_FACTS),
            field_kind=by_field,
            field_mask=flag(FIELDS),
            candidate_words=real(FIELDS, CANDIDATES, CANDIDATE_WORDS),
            candidate_mask=flag(FIELDS, CANDIDATES),
        ),
        canvas=Canvas(field=ids(CANVAS), offset=ids(CANVAS), exists=flag(CANVAS)),
        labels=Labels(
            tokens=ids(CANVAS),
            start=by_field,
            end=by_field,
            presence=flag(FIELDS),
            candidate=by_field,
            copied=by_field,
            further=ids(query),
        ),
    )


def _by_kind(found: Sequence[Collective]) -> dict[str, dict[str, int]]:
    kinds: dict[str, dict[str, int]] = {}
    for one in found:
        entry = kinds.setdefault(one.kind, {"count": 0, "bytes": 0, "largest": 0})
        entry["count"] += 1
        entry["bytes"] += one.size * one.rounds
        entry["largest"] = max(entry["largest"], one.size)
    return kinds


def _bytes_per_chip(tree: Any) -> int:
    return sum(
        int(np.prod(leaf.sharding.shard_shape(leaf.shape))) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)
    )


if __name__ == "__main__":
    try:
        print(json.dumps(report(CompileSettings(**json.loads(sys.argv[1])))))
    except JaxdiffError as error:
        raise SystemExit(str(error)) from error
