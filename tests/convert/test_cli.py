"""`jaxdiff convert` and `jaxdiff convert compare`: exit status, output, and what a comparison finds."""

import shutil

import numpy as np
import pytest

from jaxdiff.base.card import read_card
from jaxdiff.config import BaseConfig
from jaxdiff_convert.card import write_card
from jaxdiff_convert.cli import main
from jaxdiff_convert.compare import compare
from jaxdiff_convert.params import restore, save

from .checkpoints import gguf_tensors, hf_tensors, llama_config, write_gguf, write_hf_folder


@pytest.fixture
def source(tmp_path):
    return write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_converts_and_compares(tmp_path, source, capsys):
    assert run(source, tmp_path / "out") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert run("compare", source, tmp_path / "out") == 0
    assert "29 tensors, 0 beyond the relative tolerance 0; the fingerprint matches" in capsys.readouterr().out


def test_gguf(tmp_path, capsys):
    file = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors()))
    assert run(file, tmp_path / "out", "--name", "tiny") == 0
    assert run("compare", file, tmp_path / "out") == 0


@pytest.mark.parametrize(("dtype", "half_unit"), [("bfloat16", 2.0**-8), ("float16", 2.0**-11)])
def test_rounding_is_measured_and_tolerated(tmp_path, source, dtype, half_unit):
    assert run(source, tmp_path / "out", "--dtype", dtype) == 0
    comparison = compare(source, tmp_path / "out")
    assert comparison.passed
    assert comparison.tolerance == half_unit
    weight = hf_tensors()["model.embed_tokens.weight"]
    stored = restore(tmp_path / "out" / "params")["embed_tokens/embedding"].astype(np.float64)
    (embedding,) = (tensor for tensor in comparison.tensors if tensor.leaf == "embed_tokens/embedding")
    assert embedding.max_abs == np.abs(stored - weight).max() > 0
    assert embedding.max_relative == embedding.max_abs / np.abs(weight).max()


def replace_parameters(out, name, index, value):
    """Another value under the same card, as if the conversion had gone wrong."""
    leaves, card = restore(out / "params"), read_card(out)
    leaves[name][index] = value
    shutil.rmtree(out / "params")
    save(out / "params", leaves)
    keys = ("name", "dtype", "source", "fingerprint")
    write_card(out, config=BaseConfig.from_dict(card["config"]), **{key: card[key] for key in keys})


@pytest.mark.parametrize("value", [0.123, np.nan])
def test_a_changed_value_fails(tmp_path, source, capsys, value):
    run(source, tmp_path / "out")
    replace_parameters(tmp_path / "out", "layers/mlp/up_proj/kernel", (1, 0, 0), value)
    capsys.readouterr()
    assert run("compare", source, tmp_path / "out") == 1
    assert "29 tensors, 1 beyond the relative tolerance 0; the fingerprint does NOT match" in capsys.readouterr().out
    (beyond,) = (tensor for tensor in compare(source, tmp_path / "out").tensors if not tensor.within)
    assert beyond.name == "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(("keep", "message"), [(10, "has 10 bytes instead of"), (None, "is missing")])
def test_a_damaged_folder(tmp_path, source, capsys, keep, message):
    run(source, tmp_path / "out")
    largest = max((tmp_path / "out" / "params").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    if keep is None:
        largest.unlink()
    else:
        largest.write_bytes(largest.read_bytes()[:keep])
    capsys.readouterr()
    assert run("compare", source, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert f"out is damaged: {largest.relative_to(tmp_path / 'out').as_posix()} {message}" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "out"], "no such checkpoint: nowhere"),
        (["source", "source"], "source exists already"),
        (["compare", "source", "nowhere"], "nowhere is not a converted base"),
        (["compare", "source", "source"], "source is not a converted base"),
    ],
)
def test_errors_are_one_line(source, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(source.parent)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert error.startswith("error: ")
    assert message in error


def test_wrong_usage_exits(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["only-one"])
