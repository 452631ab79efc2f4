"""`config.json` -> BaseConfig, held against what `transformers` makes of the same file, and every refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, SmolLM3Config

from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError
from jaxdiff_convert.hf_config import base_config_from_hf

from .checkpoints import llama_config, smollm3_config

CLASSES = {"llama": LlamaConfig, "smollm3": SmolLM3Config}
SIZES = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "beta_fast": 24.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


@pytest.mark.parametrize("model_type", CLASSES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 777, "tie_word_embeddings": False},
        {"rope_theta": 5e6, "rope_scaling": None, "tie_word_embeddings": True},
        {"rope_theta": 5e6, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1234.0}},
        {"rope_theta": 5e6, "rope_scaling": YARN, "max_position_embeddings": 512},
        {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}, "max_position_embeddings": 1024},
    ],
)
def test_agrees_with_transformers(model_type, changes):
    """Also where the file is silent: `transformers` fills in the model type's defaults."""
    values = {"model_type": model_type, **SIZES, **changes}
    ours = base_config_from_hf(values, "config.json")
    given = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    theirs = CLASSES[model_type].from_dict(given)
    assert ours.num_kv_heads == theirs.num_key_value_heads
    assert ours.rms_norm_eps == theirs.rms_norm_eps
    assert ours.max_positions == theirs.max_position_embeddings
    assert ours.tie_embeddings == theirs.tie_word_embeddings
    assert ours.head_dim == (getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads)
    flags = getattr(theirs, "no_rope_layers", [1] * theirs.num_hidden_layers)
    assert ours.rope_layers == tuple(bool(flag) for flag in flags)
    parameters = theirs.rope_parameters
    assert (ours.rope.kind, ours.rope.theta) == (parameters["rope_type"], parameters["rope_theta"])
    assert ours.rope.factor == parameters.get("factor", 1.0)
    if ours.rope.kind in ("yarn", "llama3"):
        assert ours.rope.original_max_positions == parameters["original_max_position_embeddings"]


@pytest.mark.parametrize("model_type", CLASSES)
def test_reads_what_transformers_writes(model_type):
    config = CLASSES[model_type](
        **SIZES, num_key_value_heads=4, rope_parameters={"rope_type": "default", "rope_theta": 99.0}
    )
    ours = base_config_from_hf(config.to_dict(), "config.json")
    assert (ours.rope, ours.num_layers, ours.num_kv_heads) == (RopeConfig(theta=99.0), 8, 4)


def test_named_models():
    """The published configurations give the named constructors (mask and null come from the tokenizer)."""
    smollm2 = llama_config(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192,
    )  # fmt: skip
    assert base_config_from_hf(smollm2, "config.json") == BaseConfig.smollm2_135m()
    smollm3 = smollm3_config(
        vocab_size=128256, hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16,
        num_key_value_heads=4, max_position_embeddings=65536, rope_theta=5000000.0, rms_norm_eps=1e-6,
        no_rope_layers=[1, 1, 1, 0] * 9, layer_types=["full_attention"] * 36, eos_token_id=128012,
    )  # fmt: skip
    expected = BaseConfig.smollm3_3b().to_dict() | {"mask_token_id": None, "null_token_id": None}
    assert base_config_from_hf(smollm3, "config.json") == BaseConfig.from_dict(expected)


def test_no_rope_layers_by_interval_and_by_list():
    by_interval = base_config_from_hf(smollm3_config(no_rope_layers=None, no_rope_layer_interval=2), "c")
    assert by_interval.rope_layers == (True, False, True)
    assert base_config_from_hf(smollm3_config(no_rope_layers=[0, 1, 0, 1]), "c").rope_layers == (False, True, False)


def test_yarn_and_llama3_parameters():
    yarn = YARN | {"beta_slow": 2.0, "attention_factor": 1.5, "mscale": 0.7, "mscale_all_dim": 0.9, "truncate": False}
    assert base_config_from_hf(llama_config(rope_scaling=yarn), "c").rope == RopeConfig(
        kind="yarn", theta=100000.0, factor=4.0, original_max_positions=128, beta_fast=24.0, beta_slow=2.0,
        attention_factor=1.5, mscale=0.7, mscale_all_dim=0.9, truncate=False,
    )  # fmt: skip
    llama3 = LLAMA3 | {"low_freq_factor": 2.0, "high_freq_factor": 5.0}
    assert base_config_from_hf(llama_config(rope_scaling=llama3), "c").rope == RopeConfig(
        kind="llama3", theta=100000.0, factor=8.0, original_max_positions=128, low_freq_factor=2.0, high_freq_factor=5.0
    )
    no_factor = {"rope_type": "yarn", "original_max_position_embeddings": 128}
    assert base_config_from_hf(llama_config(rope_scaling=no_factor), "c").rope.factor == 512 / 128


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen3"}, "model_type='qwen3' is not supported; known: smollm3, llama"),
        ({"attention_bias": True}, "attention_bias=true is not supported"),
        ({"mlp_bias": True}, "mlp_bias=true is not supported"),
        ({"use_sliding_window": True}, "use_sliding_window=true is not supported"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "'sliding_attention' are not supported"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu' is not supported"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config .*'gptq'"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope type 'longrope' is not supported"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "'llama3' lacks low_freq_factor, high_freq_factor"),
        ({"rope_scaling": {"rope_type": "linear"}}, "'linear' lacks factor"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5 is not supported"),
        ({"no_rope_layers": [1, 1]}, "no_rope_layers has 2 entries for 3 layers"),
        ({"vocab_size": None, "hidden_size": None}, "vocab_size is missing; hidden_size is missing"),
        ({"hidden_size": "32", "head_dim": 8.0}, "hidden_size='32' is not an integer; head_dim=8.0 is not an integer"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000 is more than 4096"),
        ({"num_attention_heads": 0}, "num_heads=0 must be > 0"),
        ({"num_key_value_heads": 3}, "num_heads=4 is not a multiple of"),
        ({"attention_bias": True, "hidden_act": "relu"}, "attention_bias=true .*; hidden_act='relu'"),
    ],
)
def test_refusals_name_file_and_value(changes, message):
    with pytest.raises(ConfigError, match=rf"^here/config\.json: .*{message}"):
        base_config_from_hf(smollm3_config(**changes), "here/config.json")


STRANGE = st.sampled_from(
    [None, True, -1, 0, 3, 2.5, "", "32", [], [1], {}, {"rope_type": "yarn", "factor": "x"}, 1e400]
)


@pytest.mark.parametrize("write", [llama_config, smollm3_config])
@given(data=st.data())
def test_strange_values_are_refused_or_read(write, data):
    """Whatever stands in a file: a configuration, or ConfigError."""
    values = write()
    keys = sorted([*values, "rope_parameters", "head_dim", "quantization_config", "partial_rotary_factor"])
    changes = data.draw(st.dictionaries(st.sampled_from(keys), STRANGE, max_size=3))
    try:
        config = base_config_from_hf(values | changes, "config.json", data.draw(st.sampled_from([{}, changes])))
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert BaseConfig.from_dict(config.to_dict()) == config
