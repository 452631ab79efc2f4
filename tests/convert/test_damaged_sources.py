"""Folders that are no whole checkpoint: one line that names the file, and nothing written."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxdiff.errors import WeightsError
from jaxdiff_convert.convert import convert

from .checkpoints import hf_tensors, llama_config, write_hf_folder


@pytest.fixture
def source(tmp_path):
    return write_hf_folder(tmp_path / "source", llama_config(), hf_tensors(), shards=2)


def assert_refused(source, message):
    with pytest.raises(WeightsError, match=message) as caught:
        convert(source, source.parent / "out")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in source.parent.iterdir()) == [source.name]


def test_no_such_path(tmp_path):
    with pytest.raises(WeightsError, match=r"no such checkpoint: .*nowhere"):
        convert(tmp_path / "nowhere", tmp_path / "out")


def test_neither_folder_nor_gguf(tmp_path):
    (tmp_path / "model.onnx").write_text("")
    assert_refused(tmp_path / "model.onnx", r"model\.onnx: neither a Hugging Face folder nor a \.gguf file")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_missing_file(source, file):
    (source / file).unlink()
    assert_refused(source, rf"source has no {file}")


def test_no_weights(tmp_path):
    assert_refused(
        write_hf_folder(tmp_path / "source", llama_config()), r"neither model\.safetensors nor pytorch_model"
    )


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_damaged_configuration(source, content):
    (source / "config.json").write_text(content, encoding="latin-1")
    assert_refused(source, r"config\.json: (not valid JSON|not a JSON object|cannot be read)")


def test_a_damaged_tokenizer(source):
    (source / "tokenizer.json").write_text("{}")
    assert_refused(source, r"damaged tokenizer\.json")


def test_a_tokenizer_larger_than_the_vocabulary(source):
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["beyond"] = 288
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert_refused(source, r"token id 288 is beyond the vocabulary of the weights \(288\)")


def test_a_missing_shard(source):
    (source / "model-00002-of-00002.safetensors").unlink()
    assert_refused(source, r"1 shards are missing: model-00002-of-00002\.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_shard(source, keep):
    file = source / "model-00001-of-00002.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert_refused(source, r"model-00001-of-00002\.safetensors: damaged or incomplete safetensors file")


@pytest.mark.parametrize(
    "index", [{}, {"weight_map": {}}, {"weight_map": {"model.norm.weight": "../other.safetensors"}}]
)
def test_a_damaged_index(source, index):
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    assert_refused(source, r"index\.json: (weight_map is missing|shards outside the folder: \.\./other)")


def test_an_integer_tensor(tmp_path):
    tensors = hf_tensors()
    tensors["model.norm.weight"] = np.ones(32, np.int8)
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    assert_refused(source, r"1 tensors have an unsupported dtype, first model\.norm\.weight \(I8\)")


def test_safetensors_are_preferred_to_pickles(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    (source / "pytorch_model.bin").write_bytes(b"never read")
    convert(source, tmp_path / "out")


def test_pickles_without_pytorch_name_the_extra(tmp_path, monkeypatch):
    source = write_hf_folder(tmp_path / "source", llama_config())
    save_file({}, source / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert_refused(source, r"needs PyTorch: pip install 'jaxdiff\[convert\]'")
