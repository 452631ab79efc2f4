"""LoRA adapters: the merged weights are W + scale * B A by PEFT's formula, and what is not plain LoRA is refused."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from jaxdiff_convert.params import restore
from jaxdiff_convert.sources import open_source

from .checkpoints import (
    BFLOAT16,
    expected_parameters,
    gguf_tensors,
    hf_tensors,
    llama_config,
    write_gguf,
    write_hf_folder,
)

RANK = 4
# What PEFT 0.18 writes for LoraConfig(r=4, lora_alpha=8, target_modules=[...]).
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "some/model",
    "r": RANK,
    "lora_alpha": 8,
    "lora_dropout": 0.05,
    "target_modules": ["q_proj", "down_proj"],
    "bias": "none",
    "fan_in_fan_out": False,
    "use_rslora": False,
    "use_dora": False,
    "use_qalora": False,
    "lora_bias": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
    "init_lora_weights": True,
}
MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.2.self_attn.q_proj", "model.layers.1.mlp.down_proj")


def lora_tensors(weights, modules=MODULES, rank=RANK, prefix="base_model.model.", dtype=np.float32):
    rng = np.random.default_rng(7)
    tensors = {}
    for module in modules:
        rows, columns = weights[f"{module}.weight"].shape
        tensors[f"{prefix}{module}.lora_A.weight"] = rng.normal(size=(rank, columns)).astype(dtype)
        tensors[f"{prefix}{module}.lora_B.weight"] = rng.normal(size=(rows, rank)).astype(dtype)
    return tensors


def write_adapter(folder, tensors, **changes):
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | changes))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def merged(weights, lora, scale, prefix="base_model.model."):
    """PEFT's formula, in float64: W + scale * B A."""
    changed = dict(weights)
    for name in lora:
        if name.endswith(".lora_A.weight"):
            module = name.removesuffix(".lora_A.weight")
            delta = lora[f"{module}.lora_B.weight"].astype(np.float64) @ lora[name].astype(np.float64)
            weight = f"{module.removeprefix(prefix)}.weight"
            changed[weight] = weights[weight].astype(np.float64) + scale * delta
    return changed


@pytest.mark.parametrize(
    ("changes", "scale"),
    [({}, 8 / RANK), ({"use_rslora": True}, 8 / math.sqrt(RANK)), ({"lora_alpha": 3.0}, 3 / RANK)],
)
@pytest.mark.parametrize("layout", ["safetensors", "gguf"])
def test_merging(tmp_path, changes, scale, layout):
    weights = hf_tensors()
    if layout == "gguf":
        source = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(weights))
    else:
        source = write_hf_folder(tmp_path / "source", llama_config(), weights)
    lora = lora_tensors(weights)
    adapter = write_adapter(tmp_path / "adapter", lora, **changes)
    leaves = restore(convert(source, tmp_path / "out", adapter=adapter) / "params")
    expected = expected_parameters(merged(weights, lora, scale))
    plain = expected_parameters(weights)
    changed = [leaf for leaf in expected if not np.array_equal(expected[leaf], plain[leaf])]
    assert changed == ["layers/self_attn/q_proj/kernel", "layers/mlp/down_proj/kernel"]
    for leaf, value in expected.items():
        np.testing.assert_allclose(leaves[leaf], value, rtol=1e-5, atol=1e-5, err_msg=leaf)
    for leaf in set(expected) - set(changed):
        np.testing.assert_array_equal(leaves[leaf], plain[leaf])


def test_halves_are_added_in_float32_and_rounded_once(tmp_path):
    weights = hf_tensors(BFLOAT16)
    lora = lora_tensors(weights, dtype=BFLOAT16)
    source = write_hf_folder(tmp_path / "source", llama_config(), weights)
    adapter = write_adapter(tmp_path / "adapter", lora)
    leaves = restore(convert(source, tmp_path / "out", adapter=adapter) / "params")
    expected = expected_parameters(merged(weights, lora, 2.0))["layers/mlp/down_proj/kernel"].astype(np.float64)
    found = leaves["layers/mlp/down_proj/kernel"]
    assert found.dtype == BFLOAT16
    np.testing.assert_array_less(np.abs(found.astype(np.float64) - expected), 2.0**-8 * np.abs(expected) + 1e-5)


def test_patterns_of_rank_and_alpha(tmp_path):
    weights = hf_tensors()
    lora = lora_tensors(weights, MODULES[:1]) | lora_tensors(weights, MODULES[2:], rank=2)
    patterns = {"rank_pattern": {"down_proj": 2}, "alpha_pattern": {r"layers\.1\.mlp\.down_proj": 6}}
    adapter = write_adapter(tmp_path / "adapter", lora, **patterns)
    updates = open_source(write_hf_folder(tmp_path / "source", llama_config(), weights), adapter).adapter.updates
    assert {key: update.scale for key, update in updates.items()} == {
        ("layers/self_attn/q_proj/kernel", 0): 2.0,
        ("layers/mlp/down_proj/kernel", 1): 3.0,
    }


def test_command_line_converts_and_compares(tmp_path, capsys):
    weights = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), weights)
    adapter = write_adapter(tmp_path / "adapter", lora_tensors(weights))
    assert main([str(source), str(tmp_path / "out"), "--adapter", str(adapter)]) == 0
    assert main(["compare", str(source), str(tmp_path / "out"), "--adapter", str(adapter)]) == 0
    assert main(["compare", str(source), str(tmp_path / "out")]) == 1
    assert "29 tensors, 3 beyond the relative tolerance 0; the fingerprint matches" in capsys.readouterr().out
    origin = json.loads((tmp_path / "out" / "base.json").read_text())["source"]
    assert origin == f"{source} with the adapter {adapter}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3' is not supported"),
        ({"use_dora": True}, "use_dora=True is not supported"),
        ({"fan_in_fan_out": True, "bias": "all"}, "fan_in_fan_out=True, bias='all' is not supported"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\] is not supported"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights='pissa_niter_4' is not supported"),
        ({"r": 0}, "r=0 is not a number of at least 1"),
        ({"lora_alpha": None}, "lora_alpha=None is not a number"),
    ],
)
def test_what_is_not_plain_lora_is_refused_by_name(tmp_path, changes, message):
    weights = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), weights)
    adapter = write_adapter(tmp_path / "adapter", lora_tensors(weights), **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        convert(source, tmp_path / "out", adapter=adapter)
    assert str(caught.value).startswith(str(adapter / "adapter_config.json"))
    assert not (tmp_path / "out").exists()


def renamed(tensors, old, new):
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lora: renamed(lora, "lora_A", "lora_magnitude_vector"), "3 tensors are not of a LoRA on matrices"),
        (lambda lora: renamed(lora, "q_proj", "qkv_proj"), r"the model has no model\.layers\.0\.self_attn\.qkv_proj"),
        (lambda lora: renamed(lora, "layers.2", "layers.3"), "beyond the 3 layers"),
        (lambda lora: dict(list(lora.items())[1:]), "has only one of lora_A and lora_B"),
        (lambda lora: {name: tensor[:, :3] for name, tensor in lora.items()}, r"lora_A \[4, 3\] and lora_B \[32, 3\]"),
        (lambda lora: {name: tensor * np.float32(np.inf) for name, tensor in lora.items()}, "not finite"),
        (lambda lora: {}, "the adapter holds no tensors"),
        (lambda lora: lora_tensors({"lm_head.weight": np.ones((288, 32))}, ["lm_head"]), "has no lm_head to merge"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, message):
    weights = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), weights)
    adapter = write_adapter(tmp_path / "adapter", change(lora_tensors(weights)))
    with pytest.raises(WeightsError, match=message):
        convert(source, tmp_path / "out", adapter=adapter)


def test_an_adapter_alone_is_no_checkpoint(tmp_path):
    adapter = write_adapter(tmp_path / "adapter", lora_tensors(hf_tensors()))
    with pytest.raises(WeightsError, match="holds an adapter alone; convert its base model and name this folder"):
        convert(adapter, tmp_path / "out")
