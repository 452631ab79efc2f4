"""`compare --activations`: the same states as PyTorch computes, and the first layer that differs is named."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from jaxdiff_convert.activations import compare_activations
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from tests.convert.checkpoints import gguf_tensors, hf_tensors, llama_config, write_gguf, write_hf_folder
from tests.convert.test_adapter import lora_tensors, write_adapter

from .hf_models import YARN, llama, random_model, smollm3


def save_model(config, folder, seed=3):
    model = random_model(config, seed=seed)
    model.save_pretrained(folder)
    words = {f"w{index}": index for index in range(config.vocab_size)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("config", [smollm3(rope_parameters=YARN), llama(tie_word_embeddings=False)])
def test_states_agree(tmp_path, capsys, config):
    source = save_model(config, tmp_path / "source")
    out = convert(source, tmp_path / "out")
    calls = []
    differences = compare_activations(source, out, tokens=20, report=lambda *done: calls.append(done))
    stages = ["embedding", "layer 1", "layer 2", "layer 3", "final norm", "logits"]
    assert [state.stage for state in differences] == stages
    assert calls == [(done, 6) for done in range(1, 7)]
    assert differences[0].max_abs == 0
    for state in differences:
        assert state.within
        assert state.max_relative < 1e-5
        assert state.cosine > 1 - 1e-8
    assert main(["compare", str(source), str(out), "--activations", "--text", "w3 w5 w7"]) == 0
    assert "6 stages, all within the tolerance" in capsys.readouterr().out


def test_the_first_layer_beyond_the_tolerance_is_named(tmp_path, capsys):
    """The weights of layer 2 alone differ between the checkpoint and the conversion."""
    source = save_model(smollm3(), tmp_path / "source")
    out = convert(source, tmp_path / "out")
    model = random_model(smollm3(), seed=3)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[5] *= 1.1
    model.save_pretrained(source)
    differences = compare_activations(source, out)
    assert [state.within for state in differences] == [True, True, False, False, False, False]
    assert main(["compare", str(source), str(out), "--activations"]) == 1
    assert "first beyond the tolerance: layer 2 (4 of 6 stages)" in capsys.readouterr().out
    assert main(["compare", str(source), str(out), "--activations", "--tolerance", "10"]) == 0


@pytest.mark.parametrize("layout", ["folder", "gguf"])
def test_adapters_and_gguf(tmp_path, layout):
    tensors = {name: tensor * np.float32(0.2) for name, tensor in hf_tensors().items()}
    if layout == "gguf":
        source = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(tensors))
    else:
        source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    adapter = write_adapter(tmp_path / "adapter", lora_tensors(tensors))
    out = convert(source, tmp_path / "out", adapter=adapter)
    assert all(state.within for state in compare_activations(source, out, adapter=adapter))
    plain = compare_activations(source, out)
    assert [state.within for state in plain[:2]] == [True, False]


def test_what_transformers_cannot_load_is_one_line(tmp_path, capsys):
    """It would fill what it does not find with random numbers."""
    tensors = {f"_orig_mod.{name}": tensor for name, tensor in hf_tensors().items()}
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    out = convert(source, tmp_path / "out")
    assert main(["compare", str(source), str(out), "--activations"]) == 2
    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert "transformers finds other tensors than it expects" in error
