"""A base on a mesh of devices: what each device holds, what each process reads, and that the model is the same."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdiff.base.generate import greedy
from jaxdiff.base.store import load_base, read_base
from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError, InputError, WeightsError
from jaxdiff.sharding import MeshShape, ShardingRules, make_mesh
from jaxdiff_convert.chunks import chunk_shape
from jaxdiff_convert.params import flattened, save
from tests.base.numpy_model import random_params
from tests.base.sharded_process import IDS

ROOT = Path(__file__).parents[2]
MESHES = "data=1,fsdp=8 data=1,tensor=8 data=2,fsdp=2,tensor=2"


def start(log: Path, folder: Path, meshes: str, *more: str, devices: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.base.sharded_process", str(folder), meshes, *more]
    # Into files: processes that wait for one another must not wait for a pipe that nobody reads.
    with open(log, "w") as output:
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)


def answers(process: subprocess.Popen[bytes], log: Path) -> list[dict]:
    try:
        status = process.wait(timeout=240)
    finally:
        process.kill()
    output = log.read_text()
    assert status == 0, output[-2000:]
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_logits_and_bytes_on_eight_devices(tiny_folder, tmp_path):
    whole = read_base(tiny_folder)
    logits, size = np.asarray(whole.logits(IDS)), {name: leaf.nbytes for name, leaf in flattened(whole.params).items()}
    found = answers(start(tmp_path / "log", tiny_folder, MESHES, devices=8), tmp_path / "log")
    assert [answer["mesh"] for answer in found] == MESHES.split()
    # One of 8 parts, or of 2 by 2 with two copies; norms are whole everywhere.
    for answer, parts in zip(found, (8, 8, 4), strict=True):
        np.testing.assert_allclose(np.asarray(answer["logits"]), logits, atol=1e-5 * np.abs(logits).max())
        for name, held in answer["on_a_device"].items():
            assert held == (size[name] if name.endswith("scale") else size[name] // parts), (answer["mesh"], name)
    assert found[-1]["written"] == np.asarray(greedy(whole, IDS, IDS > 0, 4, stop_ids=())).tolist()


def test_each_of_two_processes_reads_its_own_half(tiny_folder, tmp_path):
    config = BaseConfig.tiny(vocab_size=288, hidden_size=256, intermediate_size=1024, head_dim=64)
    folder = with_params(tiny_folder, tmp_path / "base", flattened(random_params(config)), config)
    logits = np.asarray(read_base(folder).logits(IDS))
    size = sum(path.stat().st_size for path in (folder / "params").rglob("*") if path.is_file())
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{listener.getsockname()[1]}"
    meshes = "data=1,fsdp=4 data=1,tensor=4"
    logs = [tmp_path / f"log{number}" for number in range(2)]
    processes = [start(log, folder, meshes, "2", str(n), coordinator, devices=2) for n, log in enumerate(logs)]
    for found in [answers(process, log) for process, log in zip(processes, logs, strict=True)]:
        for answer in found:
            np.testing.assert_allclose(np.asarray(answer["logits"]), logits, atol=1e-5 * np.abs(logits).max())
            assert size / 3 < answer["read"] < 0.65 * size, answer["mesh"]


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((36, 2048, 11008), 2), ((36, 11008, 2048), 2), ((36, 2048, 512), 2), ((128256, 2048), 2), ((30, 576, 1536), 4)],
)
def test_parts_of_a_mesh_share_their_edges_with_chunks(shape, itemsize):
    chunk = chunk_shape(shape, itemsize)
    assert 16 * 1024 <= np.prod(chunk) * itemsize <= 512 * 1024
    for size, piece in zip(shape[-2:], chunk[-2:], strict=True):
        assert size % piece == 0
        # A part of four devices is a whole number of chunks.
        assert (size // 4) % piece == 0
    assert len(shape) == 2 or chunk[0] == 1


def test_parameters_of_zeros_are_found_on_a_mesh_too(tiny_folder, tmp_path):
    mesh = make_mesh(MeshShape.parse("fsdp=2,tensor=2"), jax.devices()[:4])
    params = flattened(jax.tree.map(np.asarray, read_base(tiny_folder).params))
    # A part of zeros is a weight like any other.
    params["layers/mlp/up_proj/kernel"] = params["layers/mlp/up_proj/kernel"].copy()
    params["layers/mlp/up_proj/kernel"][:, :16] = 0
    folder = with_params(tiny_folder, tmp_path / "part", params)
    np.testing.assert_array_equal(read_base(folder, mesh=mesh).params["layers"]["mlp"]["up_proj"]["kernel"][:, :16], 0)
    params["layers/mlp/down_proj/kernel"] = np.zeros_like(params["layers/mlp/down_proj/kernel"])
    folder = with_params(tiny_folder, tmp_path / "whole", params)
    with pytest.raises(WeightsError, match="nothing but zeros in layers/mlp/down_proj/kernel"):
        read_base(folder, mesh=mesh)


def with_params(source: Path, folder: Path, params: dict[str, np.ndarray], config: BaseConfig | None = None) -> Path:
    """A converted folder as `source`, with other parameters."""
    folder.mkdir()
    card = json.loads((source / "base.json").read_text()) | {"files": {}}
    if config is not None:
        card["config"] = config.to_dict()
    (folder / "base.json").write_text(json.dumps(card))
    (folder / "tokenizer.json").write_text((source / "tokenizer.json").read_text())
    save(folder / "params", params)
    return folder


def test_what_is_no_mesh_or_no_rules_is_refused(tiny_folder):
    mesh = make_mesh(MeshShape(), jax.devices()[:1])
    rules = ShardingRules(((".*", ()),))
    with pytest.raises(InputError, match=r"mesh='fsdp=8': expected a jax\.sharding\.Mesh"):
        load_base(tiny_folder, mesh="fsdp=8")
    with pytest.raises(InputError, match=r"expected jaxdiff\.sharding\.ShardingRules"):
        load_base(tiny_folder, mesh=mesh, rules={"layers": None})
    with pytest.raises(InputError, match="no mesh is given"):
        load_base(tiny_folder, rules=rules)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ((("embed_tokens/.*", ("tensor", None)),), "no sharding rule for parameter 'layers/input_layernorm/scale'"),
        (((".*", ("model",)),), "does not fit a mesh of the axes data, fsdp, tensor"),
        (((".*", ("fsdp", "fsdp")),), "can be named once"),
    ],
)
def test_rules_that_do_not_fit_are_refused(table, message, tiny_folder):
    with pytest.raises(ConfigError, match=message):
        load_base(tiny_folder, mesh=make_mesh(MeshShape(), jax.devices()[:1]), rules=ShardingRules(table))


def test_other_rules_hold(tiny_folder):
    mesh = make_mesh(MeshShape.parse("tensor=4,data=1"), jax.devices()[:4])
    rules = ShardingRules((("embed_tokens/embedding", ("tensor",)), (".*", ())))
    base = load_base(tiny_folder, mesh=mesh, rules=rules, dtype="bfloat16")
    assert base.embedding.addressable_shards[0].data.shape == (72, 32)
    assert base.embedding.dtype == "bfloat16"
    kernel = base.params["layers"]["mlp"]["up_proj"]["kernel"]
    assert kernel.addressable_shards[0].data.shape == kernel.shape
