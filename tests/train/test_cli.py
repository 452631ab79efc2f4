"""The command line on a tiny base: from a file of rows to a head that answers; and what cannot be done, in one line."""

import importlib.util
import json
import re
from pathlib import Path

import jax
import pytest

from jaxdiff.agent.agent import Agent
from jaxdiff.diffusion.head_files import load_head
from jaxdiff.errors import HeadMismatch
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train import cli
from jaxdiff_train.heads import reader, source
from tests.agent.frozen_fills import tiny_base
from tests.train.reader_rows import PAINT, ROWS

RUN = {"--steps": "3", "--batch-size": "4", "--warmup": "1", "--checkpoint-every": "2"}


def native(given) -> str:
    """A row in the format of data files."""
    return json.dumps({
        "id": given.query,
        "source": "test",
        "tools": [{"type": "function", "function": given.tool}],
        "messages": [{"role": "user", "content": given.query}],
        "calls": [{"name": given.tool["name"], "arguments": given.arguments}],
    })  # fmt: skip


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.fixture
def place(tiny, tmp_path, monkeypatch):
    """A folder with `rows.jsonl`, where everything is kept; the tiny base and three validation rows stand for all."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(native, ROWS)) + "\n")
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "load_base", lambda name, dtype, mesh: tiny)
    monkeypatch.setattr("jaxdiff.agent.agent.load_base", lambda name, dtype: tiny)
    # This would outlast the test.
    monkeypatch.setattr(cli, "keep_compiled_programs", lambda: None)
    rows = [(given, parse_tools([given.tool])[0]) for given in ROWS[:2]]
    monkeypatch.setattr(cli, "validation_rows", lambda: [*rows, (ROWS[2], None)])
    return tmp_path


def run(place, changes: dict[str, str] | None = None) -> int:
    words = {"--out": str(place / "run"), "--data": str(place / "rows.jsonl")} | RUN | (changes or {})
    return cli.main([word for pair in words.items() for word in pair])


def test_a_head_is_trained_that_the_agent_accepts(place, capsys, monkeypatch):
    traces = []
    reader_loss = reader.reader_loss
    monkeypatch.setattr(reader, "reader_loss", lambda *given: traces.append(1) or reader_loss(*given))
    with monkeypatch.context() as interrupted:
        interrupted.setattr(cli, "save_head", interrupt)
        assert run(place) == 130
    printed = capsys.readouterr()
    assert "rows: 5 rows; left out: none" in printed.out and re.search(r"step 3/3  .*  loss \d", printed.out)
    assert printed.err == "interrupted; the same command goes on from the last checkpoint\n"
    # All rows fit one size of batch.
    assert len(traces) == 1
    assert not (place / "run" / "head").exists()

    assert run(place) == 0
    assert "resumed at step 3" in capsys.readouterr().out and len(traces) == 1

    folder = place / "run" / "head"
    card = load_head(folder).card
    assert (card["kind"], card["base_name"]) == ("reader", "tiny")
    (data,) = card["data"]
    assert (data["name"], data["rows"], data["licence"]) == ("rows", 5, "not known to this program")
    assert re.fullmatch("[0-9a-f]{64}", data["sha256"])
    assert {path.name for path in (place / "run").iterdir()} >= {
        "checkpoints",
        "head",
        "metrics.jsonl",
        "settings.json",
    }
    assert card["validation"]["rows"].startswith("3 rows")
    assert card["validation"]["percent_right"]["whole_call"] <= 66.7
    assert card["recipe"]["steps"] == 3 and str(place) not in json.dumps(card)

    with jax.numpy_dtype_promotion("strict"):
        agent = Agent.load("tiny", tools=[PAINT], head=folder)
        result = agent("Paint 12 doors red")
    assert result.calls[0].name == "paint"
    assert result.calls[0].arguments["colour"] in PAINT["parameters"]["properties"]["colour"]["enum"]
    monkeypatch.setattr("jaxdiff.agent.agent.load_base", lambda name, dtype: tiny_base(1))
    with pytest.raises(HeadMismatch, match="trained on tiny"):
        Agent.load("tiny", tools=[PAINT], head=folder)


def test_what_is_asked_for_during_training_is_there_afterwards(place, capsys):
    """Evaluation by the path that answers, a trace, event files; a head with every option of its loss."""
    options = (
        "prompt_dropout=0.5,time_conditioning=false,on_policy=0.5,distillation=0.2,canvas_loss=nelbo,without=mixing"
    )
    asked = RUN | {"--out": str(place / "run"), "--data": str(place / "rows.jsonl"), "--head-config": options}
    asked |= {"--steps": "5", "--evaluate-every": "2"}
    words = [word for pair in asked.items() for word in pair]
    assert cli.main([*words, "--profile", "--tensorboard"]) == 0
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    evaluated = {line["step"]: line for line in lines if "validation_whole_call" in line}
    assert sorted(evaluated) == [2, 4]
    assert all(0 <= line["validation_field"] <= 100 for line in evaluated.values())
    assert all("distilled" in line for line in lines if "loss" in line)
    assert list((place / "run" / "profile").rglob("*.xplane.pb"))
    assert list((place / "run" / "tensorboard").glob("events*"))
    loaded = load_head(place / "run" / "head")
    assert loaded.config["prompt_dropout"] == 0.5 and loaded.config["without"] == ["mixing"]
    assert set(loaded.card["validation"]["percent_found"]) >= {"start", "presence"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--steps": "0"}, "steps=0 must be an integer >= 1"),
        ({"--warmup": "9"}, "warmup=9"),
        ({"--head": "decoder"}, "head='decoder'"),
        ({"--data": "absent.jsonl"}, "cannot read absent.jsonl"),
        ({"--data": "a.jsonl:none"}, "cannot read a.jsonl:none"),
        ({"--head-config": "hiden=16"}, "head_config: 'hiden' is unknown"),
        ({"--head-config": "dropout=1.5"}, "dropout=1.5 must be in [0, 1)"),
        ({"--head-config": "hidden=130"}, "is not a multiple of self.canvas_heads=4"),
        ({"--head": "residual", "--head-config": "prompt_attention=true"}, "prompt_attention=true is for converted"),
        ({"--out": "gs://bucket/run"}, "out='gs://bucket/run' must name a folder; mount the bucket"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(place, capsys, changes, message):
    assert run(place, changes) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert message in printed
    assert not (place / "run").exists()


def test_a_file_without_usable_rows_is_said_in_one_line(place, capsys):
    (place / "rows.jsonl").write_text("{}\n")
    assert run(place) == 2
    assert capsys.readouterr().err.startswith(f"error: {place}/rows.jsonl:1: not a row")
    (place / "rows.jsonl").write_text("")
    assert run(place) == 2
    assert "rows.jsonl: no row can be used" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_other_rows(place, capsys):
    assert run(place) == 0
    rows = (place / "rows.jsonl").read_text().splitlines()
    (place / "rows.jsonl").write_text("\n".join(rows[:-1]) + "\n")
    assert run(place) == 2
    said = capsys.readouterr().err
    assert f"{place}/run holds a run with rows='" in said and said.count("\n") == 1


def test_a_folder_that_cannot_be_is_named_before_anything_is_read(place, capsys):
    assert run(place, {"--out": str(place / "rows.jsonl" / "run")}) == 2
    assert f"{place}/rows.jsonl is not a folder that can be written into" in capsys.readouterr().err
    assert not (place / "cache").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_is_one_line(place, capsys, monkeypatch):
    monkeypatch.setattr(cli, "save_head", lambda *_: Path("/dev/full").write_text("head"))
    assert run(place) == 2
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


def test_missing_packages_are_named_before_anything_is_read(place, capsys, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "grain" else find_spec(name))
    assert run(place) == 2
    assert capsys.readouterr().err.startswith("error: training needs grain: pip install 'jaxdiff[train]'")
    assert not (place / "run").exists()
