"""The training step: examples a second with the base read in the step, shares of base and head, MFU, and scaling.

Rows are those of the training packs. The step is the one that `python -m train --reading online` runs; the head alone
is the same step over features that were read before. With --devices, the step runs on meshes of 1, 2, 4 ... fake CPU
devices with the same rows on each (a process each): their cores are shared, so N devices have N times the work, and the
efficiency is N times the time of one device divided by the time of all, 1.0 where dividing costs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from typing import Any

from benchmarks import report
from jaxdiff.errors import JaxdiffError


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step", description=__doc__)
    parser.add_argument("--base", default="default", help="name or converted folder (default: default)")
    parser.add_argument("--dtype", help="in which the base is held and computes (default: as stored)")
    parser.add_argument("--head-dtype", default="float32", help="in which the head computes (default: float32)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8], help="rows a step (default: 8)")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed (default: 3)")
    parser.add_argument("--devices", type=int, nargs="*", default=[], help="numbers of fake devices to scale over")
    parser.add_argument("--one", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(measure(**json.loads(options.one))), flush=True)
        return
    asked = {"base": options.base, "dtype": options.dtype, "head_dtype": options.head_dtype, "steps": options.steps}
    shown = report.table(
        f"Training step, base {options.base}", "rows, devices", "examples/s", "step s", "base %", "head %", "MFU %"
    )
    figures: list[dict[str, Any]] = []
    for rows in options.batch_sizes:
        found = _in_process(asked | {"rows": rows, "mesh": ""}, None)
        figures.append({"rows": rows, "devices": 1} | found)
        _show(shown, f"{rows}, 1", found)
    scaling = []
    for count in options.devices:
        rows = options.batch_sizes[0]
        found = _in_process(asked | {"rows": rows * count, "mesh": f"data={count}"}, count)
        scaling.append({"rows": rows * count, "devices": count} | found)
        _show(shown, f"{rows * count}, {count} fake", found)
    for entry in scaling:
        first = scaling[0]
        work = entry["devices"] / first["devices"]
        entry["efficiency"] = round(work * first["step_seconds"] / entry["step_seconds"], 3)
    report.publish("train_step", shown, asked | {"steps": figures, "scaling": scaling}, ("optax",))


def _show(shown: Any, name: str, found: dict[str, Any]) -> None:
    mfu = "" if found["mfu"] is None else f"{100 * found['mfu']:.1f}"
    head = 100 * found["head_seconds"] / found["step_seconds"]
    shown.add_row(
        name,
        f"{found['examples_per_second']:.2f}",
        f"{found['step_seconds']:.3f}",
        f"{100 - head:.0f}",
        f"{head:.0f}",
        mfu,
    )


def _in_process(asked: dict[str, Any], devices: int | None) -> dict[str, Any]:
    """What a fresh process measures, on `devices` fake CPU devices or on what there is."""
    environment = dict(os.environ)
    if devices is not None:
        environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "benchmarks.train_step", "--one", json.dumps(asked)]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if ended.returncode or not lines:
        raise JaxdiffError(f"measuring {asked} failed with status {ended.returncode}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def measure(base: str, dtype: str | None, head_dtype: str, steps: int, rows: int, mesh: str) -> dict[str, Any]:
    """Seconds of the whole step and of the head's part, and what follows from them."""
    import jax
    import jax.numpy as jnp

    from jaxdiff.agent.reading import reader_config
    from jaxdiff.base.frozen import FrozenBase
    from jaxdiff.base.store import load_base
    from jaxdiff.diffusion.reader import head as reader
    from jaxdiff.diffusion.schedules import schedule_by_name
    from jaxdiff.sharding import MeshShape, batch_sharding, make_mesh
    from jaxdiff_train.data.packs import TRAIN_PACKS, expand_packs
    from jaxdiff_train.data.rows import supported
    from jaxdiff_train.engine.feed import place
    from jaxdiff_train.engine.flops import peak_flops
    from jaxdiff_train.engine.optimizer import make_optimizer
    from jaxdiff_train.engine.placement import state_shardings
    from jaxdiff_train.engine.state import TrainState
    from jaxdiff_train.engine.step import make_step
    from jaxdiff_train.heads.reader import reader_loss
    from jaxdiff_train.reading.online import TokenBatches, TokenRows, read_online, reading_flops
    from jaxdiff_train.settings import TrainSettings

    devices = make_mesh(MeshShape.parse(mesh)) if mesh else None
    frozen: FrozenBase = load_base(base, dtype=dtype, mesh=devices)
    # Rows of one padded size, so that one program is timed.
    source = TokenRows(frozen, [r for r in expand_packs(TRAIN_PACKS, 1, 0) if supported(r.tool)], "packs")
    batches = TokenBatches(frozen, [source], [1.0], rows, seed=0)
    drawn = batches.batch(0)
    settings = TrainSettings("unused", batch_size=rows)  # type: ignore[arg-type]
    config = reader_config(frozen.config)
    params = reader.init(jax.random.key(0), config)
    optimizer = make_optimizer(settings.optimizer_config(), {"base": {}, "head": params})
    loss = partial(reader_loss, config, schedule_by_name("log_linear"), jnp.dtype(head_dtype))
    read = read_online(frozen.module.clone(mesh=devices))
    sharding = None if devices is None else batch_sharding(devices)
    batch = place(drawn, rows, sharding)

    def seconds(read: Any, given: Any, batch: Any) -> float:
        # A step uses its state up; one that is bound to no device would be compiled for twice.
        state = TrainState.create(jax.tree.map(jnp.copy, params), optimizer, 0, ema=True)
        state = jax.device_put(state, jax.local_devices()[0])
        places = None
        if devices is not None:
            places = state_shardings(devices, state)
            state = jax.device_put(state, places)
        step = make_step(loss, optimizer, read=read, state_shardings=places)
        state, metrics = step(state, given, batch)
        jax.block_until_ready(metrics)
        started = time.perf_counter()
        for _ in range(steps):
            state, metrics = step(state, given, batch)
        jax.block_until_ready((state, metrics))
        return (time.perf_counter() - started) / steps

    whole = seconds(read, frozen.params, batch)
    ready = jax.block_until_ready(jax.jit(read)(frozen.params, batch))
    head = seconds(lambda _, seen: seen, {}, ready)
    flops, peak = reading_flops(frozen.config, drawn), peak_flops(jax.devices())
    return {
        "examples_per_second": round(rows / whole, 3),
        "step_seconds": round(whole, 4),
        "head_seconds": round(head, 4),
        "reading_tflop": round(flops / 1e12, 3),
        "mfu": None if peak is None else round(flops / whole / peak, 4),
        "device": jax.devices()[0].device_kind,
    }


if __name__ == "__main__":
    raise SystemExit(report.run(main))
