"""Runs of several processes on loopback, each with fake devices of its own, are the run of one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("distributed_run.py")


def run(out, processes, devices, mesh):
    """Loss by step."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    launch = [[coordinator, str(processes), str(i)] if processes > 1 else [] for i in range(processes)]
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(out), str(devices), mesh, *words],
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for words in launch
    ]
    try:
        said = [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()
    assert all(process.returncode == 0 for process in started), said
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    losses = run(out, 1, 1, "")
    assert len(losses) == 20 and losses[-1] < 0.9 * losses[0]
    return losses, dict(np.load(out / "head.npz"))


@pytest.mark.parametrize(
    ("processes", "devices", "mesh"),
    [(1, 4, "fsdp=2"), (2, 2, "fsdp=2"), (2, 2, "fsdp=4"), (2, 4, "tensor=2"), (4, 2, "fsdp=8")],
)
def test_the_loss_curve_is_that_of_one_process(tmp_path, alone, processes, devices, mesh):
    losses = run(tmp_path, processes, devices, mesh)
    np.testing.assert_allclose(losses, alone[0], rtol=2e-4)
    for name, kernel in np.load(tmp_path / "head.npz").items():
        np.testing.assert_allclose(kernel, alone[1][name], atol=2e-4)
