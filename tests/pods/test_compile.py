"""The training step of SmolLM3-3B, compiled for TPUs that are not there. Needs `libtpu`: `make pods`."""

import json
import subprocess
import sys

import pytest

CHIP = 16e9


@pytest.fixture(scope="module")
def report():
    command = [
        sys.executable,
        "-m",
        "jaxdiff_train",
        "compile",
        "--topology",
        "v5e:4x4",
        "--batch-size",
        "32",
        "--json",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_the_3b_step_fits_chips_of_16_gb(report):
    memory = report["bytes_per_chip"]
    assert report["fits"] and memory["all"] <= CHIP
    # Three billion parameters in bfloat16, divided by 16.
    assert memory["base"] == pytest.approx(3.08e9 * 2 / 16, rel=0.01)
    assert memory["all"] >= memory["base"] + memory["temporary"] > 0


def test_no_collective_gathers_the_whole_base_at_once(report):
    largest = max(kind["largest"] for kind in report["collectives"].values())
    # The token embedding is the largest that is ever whole on a chip.
    assert 0 < largest <= 128256 * 2048 * 2 < report["base_bytes"] / 10


def test_the_matrices_are_sent_layer_by_layer(report):
    gathered = report["collectives"]["all-gather"]["bytes"] + report["collectives"]["collective-permute"]["bytes"]
    assert gathered > report["base_bytes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topology", "v5e:4x4", "--mesh", "fsdp=5"], "does not fit 16 devices"),
        (["--topology", "v9z:4x4"], "cannot compile for v9z:4x4"),
    ],
)
def test_what_cannot_be_compiled_is_said_in_one_line(words, said):
    command = [sys.executable, "-m", "jaxdiff_train", "compile", *words]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
    assert found.returncode == 2 and len(lines) == 1 and said in lines[0]
