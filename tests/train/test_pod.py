"""The whole program, from a converted base and a file of rows to a head, in several processes as in one."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxdiff.diffusion.head_files import load_head
from jaxdiff_convert.convert import convert
from tests.convert.checkpoints import hf_tensors, smollm3_config, write_hf_folder
from tests.train.processes import free_address, run_together
from tests.train.reader_rows import ROWS
from tests.train.test_cli import native

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """What every run is told: a random SmolLM3 that is read in every step, and rows."""
    place = tmp_path_factory.mktemp("pod")
    checkpoint = write_hf_folder(place / "hf", smollm3_config(max_position_embeddings=2048), hf_tensors())
    (place / "rows.jsonl").write_text("\n".join(map(native, ROWS)) + "\n")
    settings = {
        "--base": convert(checkpoint, place / "base"), "--data": place / "rows.jsonl", "--reading": "online",
        "--head-config": "hidden=16,canvas_heads=2,canvas_layers=1", "--steps": 4, "--batch-size": 4, "--warmup": 1,
        "--log-every": 1, "--checkpoint-every": 4,
    }  # fmt: skip
    return [str(word) for pair in settings.items() for word in pair]


def run(words, out, processes, devices, mesh):
    """Loss by step. XLA may end fake devices of one process that wait for each other (see `test_online.py`)."""
    for attempt in range(5):
        folder = out / str(attempt)
        coordinator = free_address()
        launch = [
            ["--coordinator", coordinator, "--processes", str(processes), "--process", str(i)] if processes > 1 else []
            for i in range(processes)
        ]
        told = [*words, "--out", str(folder), "--mesh", mesh]
        program = [sys.executable, "-m", "tests.train.pod_run", str(devices), *told]
        environment = {"JAX_PLATFORMS": "cpu", "JAXDIFF_CACHE": str(out / "cache")}
        commands = [[*program, *more] for more in launch]
        ended = run_together(commands, [environment] * processes, timeout=600, cwd=ROOT)
        status = {status for status, _ in ended}
        if -signal.SIGABRT not in status:
            break
    assert status == {0}, [text[-2000:] for _, text in ended]
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return losses, load_head(folder / "head")


@pytest.fixture(scope="module")
def alone(words, tmp_path_factory):
    losses, head = run(words, tmp_path_factory.mktemp("alone"), 1, 1, "")
    assert len(losses) == 4 and losses[-1] < losses[0]
    return losses, head


@pytest.mark.parametrize(("processes", "devices", "mesh"), [(2, 2, "fsdp=4"), (2, 1, "data=2")])
def test_several_processes_train_what_one_does(words, alone, tmp_path, processes, devices, mesh):
    losses, head = run(words, tmp_path, processes, devices, mesh)
    np.testing.assert_allclose(losses, alone[0], rtol=2e-3)
    assert (head.card["kind"], head.card["base_fingerprint"]) == ("reader", alone[1].card["base_fingerprint"])
