"""Where metrics go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from wandb.proto.wandb_internal_pb2 import Record

from jaxdiff_train.engine.sinks import read_metrics, sinks


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def write(folder: Path, first: int, last: int, **options) -> None:
    """What a run writes that goes on behind `first`."""
    asked = {"tensorboard": False, "wandb_project": None, "settings": {"seed": 1}} | options
    made = sinks(folder, first, **asked)
    for step in range(first + 1, last + 1):
        for sink in made:
            sink.write(step, {"loss": 1 / step})
    for sink in made:
        sink.close()


def test_metrics_go_on_behind_the_steps_that_count(tmp_path):
    write(tmp_path, 0, 5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    write(tmp_path, 3, 6)
    assert read_metrics(tmp_path) == [{"step": step, "loss": 1 / step} for step in range(1, 7)]


def test_event_files_hold_every_step(tmp_path):
    write(tmp_path, 0, 3, tensorboard=True)
    [path] = (tmp_path / "tensorboard").glob("events*")
    data, found = path.read_bytes(), []
    while data:
        # TFRecord: length, its checksum, the record, its checksum.
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + size :]
    assert found == [(step, "loss", pytest.approx(1 / step)) for step in range(1, 4)]


def test_wandb_has_one_run_for_a_folder(tmp_path, offline):
    """A resumed run writes earlier steps anew, under the same id; another folder of the same name is another run."""
    write(tmp_path / "a" / "run", 0, 4, wandb_project="p")
    write(tmp_path / "a" / "run", 2, 5, wandb_project="p")
    write(tmp_path / "b" / "run", 0, 1, wandb_project="p")
    first, second = sorted((tmp_path / "a").glob("run/wandb/offline-run-*/*.wandb"), key=lambda path: path.parent.name)
    [other] = (tmp_path / "b").glob("run/wandb/offline-run-*/*.wandb")
    assert first.name == second.name != other.name
    assert logged(first) == [(step, 1 / step) for step in range(1, 5)]
    assert logged(second) == [(step, 1 / step) for step in range(3, 6)]


def logged(path: Path) -> list[tuple[int, float]]:
    """Steps and losses of a file of W&B: seven bytes, then records as in a log of LevelDB, in its first block."""
    data, at, found = path.read_bytes(), 7, []
    while at < len(data):
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        assert kind == 1, "a record in pieces"
        record = Record.FromString(data[at + 7 : at + 7 + size])
        if record.WhichOneof("record_type") == "history":
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            found.append((values["step"], values["loss"]))
        at += 7 + size
    return found


def test_without_a_login_wandb_is_refused_in_one_line(tmp_path):
    """In a process of its own: W&B remembers what an earlier run was told."""
    ask = "from jaxdiff_train.engine.sinks import log_in_to_wandb; log_in_to_wandb('p')"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env=environment | {"NETRC": str(tmp_path / "netrc")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("jaxdiff.errors.ConfigError: wandb='p': ") and "WANDB_MODE=offline" in last
