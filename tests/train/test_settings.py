"""Settings of a run: read back as written, and errors that name the value."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.errors import ConfigError
from jaxdiff_train.presets import PRESETS
from jaxdiff_train.settings import Source, TrainSettings, read_settings, settings_from_args

sources = st.builds(
    Source,
    path=st.text("abc/._-", min_size=1, max_size=12),
    rows=st.integers(1, 10**6),
    weight=st.sampled_from([0.25, 0.5, 1.0, 3.0]),
)
all_settings = st.builds(
    TrainSettings,
    out=st.sampled_from([Path("runs/a"), Path("b")]),
    head=st.sampled_from(["reader", "residual"]),
    data=st.lists(sources, min_size=1, max_size=3, unique_by=lambda source: source.path).map(tuple),
    steps=st.integers(100, 10**5),
    batch_size=st.integers(1, 512),
    learning_rate=st.floats(1e-6, 1.0),
    weight_decay=st.floats(0, 1),
    warmup=st.integers(0, 99),
    clip_norm=st.floats(0.1, 10),
    seed=st.integers(0, 2**31),
)


@given(all_settings)
def test_json_reads_back_what_was_written(settings):
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@given(sources)
def test_a_source_reads_back_from_its_text(source):
    assert Source.parse(str(source)) == source


def test_the_command_line_goes_over_the_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(
        json.dumps({"out": "runs/a", "steps": 300, "data": ["packs:4", {"path": "sgd.jsonl", "weight": 0.5}]})
    )
    from_file = settings_from_args(["--settings", str(path)])
    assert (from_file.steps, from_file.out) == (300, Path("runs/a"))
    assert from_file.data == (Source("packs", 4), Source("sgd.jsonl", 10_000, 0.5))
    words = ["--steps", "500", "--data", "packs:2", "rows.jsonl:900:0.5"]
    changed = settings_from_args(["--settings", str(path), *words])
    assert changed == dataclasses.replace(
        from_file, steps=500, data=(Source("packs", 2), Source("rows.jsonl", 900, 0.5))
    )
    assert settings_from_args(["--out", "runs/b", "--head", "residual"]) == TrainSettings(
        Path("runs/b"), head="residual"
    )


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_gives_defaults_that_files_and_words_go_over(name, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"steps": 900, "seed": 3}))
    words = ["--out", "a", "--preset", name, "--settings", str(tmp_path / "run.json"), "--seed", "4"]
    assert settings_from_args(words) == TrainSettings.from_dict(PRESETS[name] | {"out": "a", "steps": 900, "seed": 4})


def test_the_optimizer_has_the_settings_values():
    settings = TrainSettings(Path("a"), steps=77, warmup=7, learning_rate=0.3, weight_decay=0.2, clip_norm=2.0)
    optimizer = settings.optimizer_config()
    for name in ("steps", "warmup", "learning_rate", "weight_decay", "clip_norm"):
        assert getattr(optimizer, name) == getattr(settings, name)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"head": "decoder"}, "head='decoder' must be one of reader, residual"),
        ({"steps": 0}, "steps=0 must be an integer >= 1"),
        ({"steps": 2.5}, "steps=2.5 must be an integer"),
        ({"steps": True}, "steps=True must be an integer"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"learning_rate": 0}, "learning_rate=0 must be > 0"),
        ({"learning_rate": "fast"}, "learning_rate='fast' must be a number"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must be >= 0"),
        ({"clip_norm": 0}, "clip_norm=0"),
        ({"warmup": 2000}, "warmup=2000 must be >= 0 and below steps=1400"),
        ({"seed": -1}, "seed=-1"),
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"data": []}, "data is empty"),
        ({"data": "packs"}, "data='packs' must be a list"),
        ({"data": ["a", "a:3"]}, "data names a more than once"),
        ({"data": ["a:0"]}, "rows=0 of data source 'a'"),
        ({"data": ["a:1:0"]}, "weight=0.0 of data source 'a'"),
        ({"data": ["a:1:2.3.4"]}, "'a:1:2.3.4' is not PATH"),
        ({"data": [""]}, "'' is not PATH"),
        ({"data": [{"file": "a"}]}, "must have path"),
        ({"out": 3}, "out=3 must name a folder"),
        ({"optimizer": "sgd"}, "kind='sgd' must be one of adamw, muon"),
        ({"decay": "steps"}, "decay='steps' must be one of cosine, linear, constant, wsd"),
        ({"mesh": "fsdp=0"}, "mesh 'fsdp=0'"),
        ({"remat": "some"}, "remat='some' must be one of none, dots, full"),
        ({"base_dtype": "int8"}, "base_dtype='int8' must be one of float32, bfloat16"),
        ({"batch_size": 9, "microbatches": 2}, "batch_size=9 is not a multiple of microbatches=2"),
        ({"head": "residual", "reading": "online"}, "reading='online' is for the reader"),
        ({"colour": 1, "size": 2}, "unknown settings colour, size"),
    ],
)
def test_impossible_values_are_named(tmp_path, values, words):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"out": "a"} | values))
    with pytest.raises(ConfigError) as caught:
        read_settings(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_the_command_line_names_impossible_values():
    with pytest.raises(ConfigError, match="warmup=50 must be >= 0 and below steps=10"):
        settings_from_args(["--out", "a", "--steps", "10"])
    with pytest.raises(ConfigError, match="rows=0"):
        settings_from_args(["--out", "a", "--data", "a:0"])


@pytest.mark.parametrize(("text", "words"), [("{", "run.json:1: not JSON"), ("[]", "must be a JSON object, not list")])
def test_files_that_hold_no_settings(tmp_path, text, words):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_settings(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_settings(tmp_path / "absent.json")
