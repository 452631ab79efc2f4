"""Exported folders in `transformers`: the same logits, from float32 and from the stored type."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer

from jaxdiff.base.store import read_base
from jaxdiff_convert.convert import convert
from jaxdiff_convert.export import export_base

from .hf_models import LLAMA3, YARN, llama, padded_batch, random_model, smollm3

MODELS = {
    "smollm3": smollm3(),
    "smollm3-yarn-untied": smollm3(rope_parameters=YARN, tie_word_embeddings=False),
    "llama": llama(),
    "llama3-untied": llama(rope_parameters=LLAMA3, tie_word_embeddings=False),
}


def save_model(model, folder):
    model.save_pretrained(folder)
    words = {f"w{index}": index for index in range(model.config.vocab_size)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(ids).long()).logits.float().numpy()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shard_bytes", [10**9, 10_000])
def test_logits_of_the_exported_model(tmp_path, name, shard_bytes):
    model = random_model(MODELS[name], seed=3)
    base = convert(save_model(model, tmp_path / "source"), tmp_path / "base")
    back = export_base(base, tmp_path / "back", shard_bytes=shard_bytes)
    loaded, report = AutoModelForCausalLM.from_pretrained(
        back, dtype="float32", attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values()), report
    assert type(loaded) is type(model)
    ids, _ = padded_batch(model.config.vocab_size, seed=5)
    expected = logits(model, ids)
    np.testing.assert_allclose(logits(loaded.eval(), ids), expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(read_base(base).logits(ids)), expected, atol=1e-4)
    assert AutoTokenizer.from_pretrained(back).eos_token_id == 2 == loaded.generation_config.eos_token_id


def test_the_stored_type_is_kept(tmp_path):
    model = random_model(smollm3(), seed=4).to(torch.bfloat16)
    base = convert(save_model(model, tmp_path / "source"), tmp_path / "base")
    back = export_base(base, tmp_path / "back")
    loaded = AutoModelForCausalLM.from_pretrained(back, dtype="auto")
    assert json.loads((base / "base.json").read_text())["dtype"] == "bfloat16"
    assert loaded.dtype == torch.bfloat16
    weights = model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in loaded.state_dict().items())
