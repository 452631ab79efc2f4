"""Runs of several processes on loopback, each with fake devices of its own, are the run of one process."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train.processes import free_address, run_together

PROGRAM = Path(__file__).with_name("distributed_run.py")


def run(out, processes, devices, mesh, terminated=None):
    """Loss by step. terminated: (process, step) of a SIGTERM, upon which all must leave with status 143."""
    coordinator = free_address()
    launch = [[coordinator, str(processes), str(i)] if processes > 1 else [] for i in range(processes)]
    ended = run_together(
        [[sys.executable, str(PROGRAM), str(out), str(devices), mesh, *words] for words in launch],
        [{"JAX_PLATFORMS": "cpu"} | _told(terminated, number) for number in range(processes)],
        timeout=120,
    )
    assert {status for status, _ in ended} == {143 if terminated else 0}, ended
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def _told(terminated, number):
    if terminated is None:
        return {}
    # Whoever gets no signal is as slow as the one that does.
    return {"TERMINATED": str(terminated[1] if number == terminated[0] else -1)}


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


def test_all_processes_leave_after_the_same_step_when_one_is_told_to(tmp_path, alone):
    before = run(tmp_path, 2, 2, "fsdp=4", terminated=(1, 5))
    stopped = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit())
    assert 0 < stopped < 20 and len(before) == stopped
    losses = run(tmp_path, 2, 2, "fsdp=4")
    np.testing.assert_allclose(losses, alone[0], rtol=2e-4)
