"""A killed conversion leaves nothing at its place; another one succeeds; two at once do not collide."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxdiff.errors import WeightsError
from jaxdiff_convert.convert import convert
from jaxdiff_convert.export import export_base
from jaxdiff_convert.params import restore

from .checkpoints import expected_parameters, hf_tensors, llama_config, write_hf_folder

# Converts argv[1] to argv[2] (or exports it), and at the stage argv[3] writes the file argv[4] and waits to be killed.
INTERRUPTED = """
import pathlib, sys, time
from jaxdiff_convert import convert as module, replacing, slab_handler
from jaxdiff_convert.export import export_base

def wait(*_, **__):
    pathlib.Path(sys.argv[4]).touch()
    time.sleep(600)

stage = sys.argv[3]
if stage == "writing":
    chunk_shape, seen = slab_handler.chunk_shape, []
    slab_handler.chunk_shape = lambda *leaf: (seen.append(leaf), chunk_shape(*leaf) if len(seen) < 5 else wait())[1]
if stage == "saved":
    module.fingerprint = wait
if stage == "unstaged":
    module.write_card = wait
if stage == "replacing":
    rename, calls = replacing.os.rename, []
    replacing.os.rename = lambda old, new: (calls.append(new), rename(old, new) if len(calls) == 1 else wait())
report = (lambda done, total: wait() if done == 7 else None) if stage == "assembling" else (lambda done, total: None)
if stage == "exporting":
    export_base(sys.argv[1], sys.argv[2], report=lambda done, total: wait() if done == 7 else None)
else:
    module.convert(sys.argv[1], sys.argv[2], overwrite=stage == "replacing", report=report)
"""

ENSURE = """
import pathlib, sys
from jaxdiff_convert.registry import ensure_base
print(ensure_base(sys.argv[1], pathlib.Path(sys.argv[2])))
"""


def kill_at(stage, source, out, marker):
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, source, out, stage, marker])
    try:
        deadline = time.monotonic() + 300
        while not marker.exists():
            assert process.poll() is None, "the conversion ended by itself"
            assert time.monotonic() < deadline, "the conversion did not get to the stage"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("stage", ["assembling", "writing", "saved", "unstaged"])
def test_killed_while_converting(tmp_path, stage):
    tensors = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    folder = tmp_path / "bases"
    kill_at(stage, source, folder / "out", tmp_path / "marker")
    assert not (folder / "out").exists()
    assert (folder / ".out.partial" / "staging").exists() == (stage != "unstaged")
    assert (folder / ".out.partial" / "params").exists() == (stage in ("saved", "unstaged"))
    out = convert(source, folder / "out")
    np.testing.assert_array_equal(restore(out / "params")["norm/scale"], tensors["model.norm.weight"])
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_killed_while_exporting(tmp_path):
    base = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "base")
    folder = tmp_path / "exports"
    kill_at("exporting", base, folder / "out", tmp_path / "marker")
    assert not (folder / "out").exists()
    out = export_base(base, folder / "out")
    assert sorted(load_file(out / "model.safetensors")) == sorted(hf_tensors())
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_killed_while_replacing(tmp_path):
    """Between moving the old base away and the new one in: the next run puts the old one back."""
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    folder = tmp_path / "bases"
    out = convert(source, folder / "out", name="old")
    kill_at("replacing", source, out, tmp_path / "marker")
    damaged = hf_tensors() | {"unknown": np.zeros(1, np.float32)}
    with pytest.raises(WeightsError, match="1 unknown: unknown"):
        convert(write_hf_folder(tmp_path / "damaged", llama_config(), damaged), out, overwrite=True)
    assert json.loads((out / "base.json").read_text())["name"] == "old"
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_two_processes_convert_once(tmp_path):
    tensors = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    command = [sys.executable, "-c", ENSURE, source, tmp_path / "cache"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert sum("first use" in errors for _, errors in outputs) == 1
    leaves = restore(Path(outputs[0][0].strip()) / "params")
    expected = expected_parameters(tensors)
    assert all(np.array_equal(leaves[name], value) for name, value in expected.items())
    assert len(list((tmp_path / "cache" / "bases").iterdir())) == 1
