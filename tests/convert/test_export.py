"""Back to Hugging Face: round trips are exact, files are those that other readers expect, refusals leave nothing."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from transformers import PreTrainedTokenizerFast

from jaxdiff.base.card import read_card
from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from jaxdiff_convert.export import export_base
from jaxdiff_convert.hf_config import base_config_from_hf
from jaxdiff_convert.hf_export_config import generation_config, hf_config

from .checkpoints import (
    BFLOAT16,
    TEMPLATE,
    gguf_tensors,
    hf_tensors,
    llama_config,
    smollm3_config,
    write_gguf,
    write_hf_folder,
)


def tensors_of(folder):
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
@pytest.mark.parametrize("shard_bytes", [10**9, 20_000])
def test_round_trip_is_bit_exact(tmp_path, dtype, tied, shard_bytes):
    tensors = hf_tensors(dtype, tied=tied)
    source = write_hf_folder(tmp_path / "source", smollm3_config(tie_word_embeddings=tied), tensors)
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    first = convert(source, tmp_path / "first")
    back = export_base(first, tmp_path / "back", shard_bytes=shard_bytes)
    exported = tensors_of(back)
    assert sorted(exported) == sorted(tensors)
    for name, tensor in tensors.items():
        assert exported[name].dtype == tensor.dtype
        np.testing.assert_array_equal(exported[name].view(np.uint8), tensor.view(np.uint8), err_msg=name)
    second = convert(back, tmp_path / "second")
    for key in ("config", "dtype", "fingerprint"):
        assert read_card(second)[key] == read_card(first)[key]
    for file in ("tokenizer.json", "chat_template.jinja"):
        assert (second / file).read_text() == (first / file).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "first", "second", "source"]


def test_shards_and_their_index(tmp_path):
    first = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "first")
    back = export_base(first, tmp_path / "back", shard_bytes=20_000)
    index = json.loads((back / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in back.glob("*.safetensors"))
    assert files == [f"model-{number + 1:05d}-of-{len(files):05d}.safetensors" for number in range(len(files))]
    assert len(files) > 3
    for name in files:
        held = load_file(back / name)
        assert {tensor for tensor, file in index["weight_map"].items() if file == name} == set(held)
        assert sum(tensor.nbytes for tensor in held.values()) <= 20_000 or len(held) == 1
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in hf_tensors().values())
    assert json.loads((back / "config.json").read_text())["torch_dtype"] == "float32"


def test_from_gguf(tmp_path):
    """What llama.cpp reordered comes out in the order of Hugging Face."""
    tensors = hf_tensors()
    first = convert(write_gguf(tmp_path / "tiny.gguf", gguf_tensors(tensors)), tmp_path / "first")
    exported = tensors_of(export_base(first, tmp_path / "back"))
    assert all(np.array_equal(exported[name], tensor) for name, tensor in tensors.items())


def test_tokenizer_as_transformers_loads_it(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    (source / "chat_template.jinja").write_text(TEMPLATE)
    back = export_base(convert(source, tmp_path / "first"), tmp_path / "back")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(back)
    assert tokenizer.chat_template == TEMPLATE
    assert (tokenizer.eos_token, tokenizer.model_max_length) == ("<|im_end|>", 512)
    assert tokenizer.decode(tokenizer("the 12<|im_end|>")["input_ids"]) == "the 12<|im_end|>"


ROPES = st.one_of(
    st.builds(RopeConfig, theta=st.sampled_from([1e4, 5e6])),
    st.builds(RopeConfig, kind=st.just("linear"), factor=st.sampled_from([1.0, 2.5])),
    st.builds(RopeConfig, kind=st.just("dynamic"), factor=st.just(4.0), original_max_positions=st.just(64)),
    st.builds(
        RopeConfig,
        kind=st.just("yarn"),
        factor=st.sampled_from([2.0, 8.0]),
        original_max_positions=st.just(128),
        beta_fast=st.sampled_from([32.0, 24.0]),
        attention_factor=st.sampled_from([None, 1.5]),
        mscale=st.sampled_from([None, 0.7]),
        truncate=st.booleans(),
    ),
    st.builds(
        RopeConfig,
        kind=st.just("llama3"),
        factor=st.just(8.0),
        original_max_positions=st.just(64),
        low_freq_factor=st.sampled_from([1.0, 2.0]),
    ),
)


@given(
    rope=ROPES,
    rope_layers=st.lists(st.booleans(), min_size=1, max_size=4).map(tuple),
    tied=st.booleans(),
    head_dim=st.sampled_from([4, 16]),
    ends=st.lists(st.integers(0, 90), unique=True, max_size=3).map(tuple),
)
def test_configuration_comes_back(rope, rope_layers, tied, head_dim, ends):
    config = BaseConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_layers=len(rope_layers), num_heads=4, num_kv_heads=2,
        head_dim=head_dim, rope_layers=rope_layers, rope=rope, tie_embeddings=tied, eos_token_ids=ends,
        rms_norm_eps=1e-6, max_positions=512,
    )  # fmt: skip
    values = json.loads(json.dumps(hf_config(config, "bfloat16")))
    assert base_config_from_hf(values, "config.json", generation_config(config)) == config


def test_command_line(tmp_path, capsys):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    assert main([str(source), str(tmp_path / "first")]) == 0
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "back"), "--format", "safetensors"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "first"), str(tmp_path / "back")]
    assert main(["compare", str(tmp_path / "back"), str(tmp_path / "first")]) == 0
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "back")]) == 2
    assert "back exists already" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "back"), "--overwrite", "--shard-size", "1e-5"]) == 0
    assert len(list((tmp_path / "back").glob("*.safetensors"))) > 1
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "first"), "--overwrite"]) == 2
    assert "first is not a Hugging Face folder and is therefore not overwritten" in capsys.readouterr().err
    assert main(["export", str(source), str(tmp_path / "other")]) == 2
    assert "source is not a converted base" in capsys.readouterr().err


def test_a_damaged_base_leaves_nothing(tmp_path, monkeypatch):
    first = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "first")
    with pytest.raises(ConfigError, match="shard_bytes=0 must be at least 1"):
        export_base(first, tmp_path / "back", shard_bytes=0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(WeightsError, match=r"has 0 MB free; exporting needs \d+ MB"):
        export_base(first, tmp_path / "back")
    monkeypatch.undo()
    for file in (first / "params").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(WeightsError, match=r"params: .*(damaged|cannot be read)"):
        export_base(first, tmp_path / "back")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "source"]
