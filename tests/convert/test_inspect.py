"""`inspect` says what is there before anything is converted, and finds what was damaged after it."""

import json

import gguf
import pytest

from jaxdiff.errors import WeightsError
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from jaxdiff_convert.inspect import inspect, verify
from jaxdiff_convert.params import restore, space_needed
from jaxdiff_convert.sources import open_source

from .checkpoints import (
    BFLOAT16,
    gguf_tensors,
    hf_tensors,
    llama_config,
    smollm3_config,
    write_gguf,
    write_hf_folder,
)
from .test_adapter import lora_tensors, write_adapter

VALUES = sum(tensor.size for tensor in hf_tensors().values())


def test_sharded_safetensors(tmp_path):
    source = write_hf_folder(tmp_path / "source", smollm3_config(), hf_tensors(BFLOAT16), shards=3)
    facts = inspect(source)
    assert facts["weights"].startswith("3 shards (safetensors), ")
    assert facts["architecture"] == "SmolLM3"
    assert facts["layers"] == "3, hidden 32, inner 64"
    assert facts["heads"] == "4, 2 for keys and values, of 8"
    assert facts["vocabulary"] == "288, output matrix tied"
    assert facts["positions"] == "512, rotary embedding default, theta 100000; 1 layers without"
    assert facts["tensors"] == f"29 with {VALUES:,} values"
    assert facts["types"] == "bfloat16 (29)"
    assert facts["tokenizer"] == "BPE, 288 tokens, 5 added, two of them reserved"
    assert facts["chat template"] == "none"
    needed = space_needed(open_source(source).config, "bfloat16")
    assert facts["converted"] == f"bfloat16, {2 * VALUES / 1e6:.1f} MB; converting needs {needed / 1e6:.1f} MB of disk"


def test_quantised_gguf(tmp_path):
    kinds = {"token_embd.weight": gguf.GGMLQuantizationType.Q8_0, "blk.0.ffn_up.weight": gguf.GGMLQuantizationType.Q4_0}
    file = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors(tied=False)), kinds)
    facts = inspect(file)
    assert facts["weights"].startswith("1 file (gguf), ")
    assert facts["types"] == "F32 (28), Q8_0 (1), Q4_0 (1)"
    assert facts["vocabulary"] == "288, output matrix of its own"
    assert facts["chat template"] == "yes"
    assert facts["converted"].startswith("float32, ")


def test_adapters(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    adapter = write_adapter(tmp_path / "adapter", lora_tensors(hf_tensors()))
    merged = "LoRA, r=4, lora_alpha=8, 3 matrices (down_proj, q_proj), trained on some/model"
    assert inspect(source, adapter)["adapter"] == merged
    assert inspect(adapter) == {
        "adapter": "LORA, r=4, lora_alpha=8",
        "changes": "down_proj, q_proj",
        "its base": "some/model",
        "to merge it": f"convert its base with --adapter {adapter}",
    }


def test_a_converted_base(tmp_path, capsys):
    out = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "out", name="small")
    facts = inspect(out)
    assert (facts["converted base"], facts["converted from"]) == ("small", str(tmp_path / "source"))
    assert facts["parameters"] == f"11 arrays with {VALUES:,} values"
    assert facts["fingerprint"] == json.loads((out / "base.json").read_text())["fingerprint"]
    assert main(["inspect", str(out), "--verify"]) == 0
    assert "verified        every parameter is as it was converted" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "source"), "--verify"]) == 2
    assert "--verify needs a converted base" in capsys.readouterr().err


def test_a_flipped_bit_is_found(tmp_path, capsys):
    """Of the same size, so that nothing but reading it can tell."""
    out = convert(write_hf_folder(tmp_path / "source", llama_config(), hf_tensors()), tmp_path / "out")
    value = restore(out / "params")["layers/mlp/up_proj/kernel"][1, 5].tobytes()
    (file,) = (path for path in (out / "params").rglob("*") if path.is_file() and value in path.read_bytes())
    data = bytearray(file.read_bytes())
    data[data.index(value)] ^= 1
    file.write_bytes(data)
    inspect(out)
    with pytest.raises(WeightsError, match=r"out is damaged: fingerprint \w+ instead of \w+$"):
        verify(out)
    assert main(["inspect", str(out), "--verify"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_cannot_be_converted_is_said_beforehand(tmp_path, capsys):
    tensors = hf_tensors()
    del tensors["model.norm.weight"]
    assert main(["inspect", str(write_hf_folder(tmp_path / "a", llama_config(), tensors))]) == 2
    assert "1 missing: model.norm.weight" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == f"error: no such checkpoint: {tmp_path / 'nowhere'}\n"
