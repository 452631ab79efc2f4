"""GGUF files: row order, dequantisation, metadata, tokenizer, and every refusal."""

import json

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize
from tokenizers import Tokenizer

from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff_convert.convert import convert
from jaxdiff_convert.params import restore
from jaxdiff_convert.sources import open_source

from .checkpoints import (
    BFLOAT16,
    HEADS,
    HIDDEN,
    KV_HEADS,
    SPECIAL,
    TEMPLATE,
    VOCAB,
    expected_parameters,
    finish,
    gguf_tensors,
    hf_tensors,
    llama_config,
    tiny_tokenizer,
    to_llama_cpp_rows,
    write_gguf,
    write_hf_folder,
    write_metadata,
)

QUANTISED = {
    "token_embd.weight": GGMLQuantizationType.Q8_0,
    "blk.0.attn_q.weight": GGMLQuantizationType.Q4_1,
    "blk.1.attn_k.weight": GGMLQuantizationType.Q4_1,
    "blk.2.attn_k.weight": GGMLQuantizationType.Q8_0,
    "blk.1.ffn_down.weight": GGMLQuantizationType.Q4_1,
    "blk.2.ffn_up.weight": GGMLQuantizationType.F16,
}


def decode_block(kind, block):
    """One block of 32 values, from the format's definition."""
    scale = float(np.frombuffer(block[:2], "<f2")[0])
    if kind == GGMLQuantizationType.Q8_0:  # scale, 32 signed bytes
        return [np.float32(scale) * np.float32(byte - 256 if byte > 127 else byte) for byte in block[2:34]]
    minimum = float(np.frombuffer(block[2:4], "<f2")[0])  # Q4_1: scale, minimum, low nibbles first, then the high ones
    nibbles = [byte & 15 for byte in block[4:20]] + [byte >> 4 for byte in block[4:20]]
    return [np.float32(scale) * np.float32(nibble) + np.float32(minimum) for nibble in nibbles]


def decode(tensor):
    """A quantised tensor of a file, block by block in plain Python."""
    raw = bytes(tensor.data.tobytes())
    shape = tuple(reversed(tensor.shape.tolist()))
    if tensor.tensor_type == GGMLQuantizationType.F16:
        return np.frombuffer(raw, "<f2").astype(np.float32).reshape(shape)
    size = {GGMLQuantizationType.Q8_0: 34, GGMLQuantizationType.Q4_1: 20}[tensor.tensor_type]
    values = [
        value for start in range(0, len(raw), size) for value in decode_block(tensor.tensor_type, raw[start:][:size])
    ]
    return np.asarray(values, np.float32).reshape(shape)


def test_equals_the_safetensors_of_the_same_weights(tmp_path):
    tensors = hf_tensors()
    from_gguf = convert(write_gguf(tmp_path / "tiny.gguf", gguf_tensors(tensors)), tmp_path / "a")
    from_hf = convert(write_hf_folder(tmp_path / "hf", llama_config(), tensors), tmp_path / "b")
    cards = [json.loads((folder / "base.json").read_text()) for folder in (from_gguf, from_hf)]
    assert cards[0]["fingerprint"] == cards[1]["fingerprint"]
    assert BaseConfig.from_dict(cards[0]["config"]) == BaseConfig.from_dict(cards[1]["config"])
    assert cards[0]["name"] == "tiny"
    assert (from_gguf / "chat_template.jinja").read_text() == TEMPLATE


def test_own_output_matrix(tmp_path):
    tensors = hf_tensors(tied=False)
    out = convert(write_gguf(tmp_path / "tiny.gguf", gguf_tensors(tensors)), tmp_path / "out")
    np.testing.assert_array_equal(restore(out / "params")["lm_head/kernel"], tensors["lm_head.weight"].T)


def test_quantised_tensors_are_decoded_to_float32(tmp_path):
    file = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors()), QUANTISED)
    decoded = {tensor.name: decode(tensor) for tensor in GGUFReader(file).tensors if tensor.name in QUANTISED}
    assert sorted(decoded) == sorted(QUANTISED)
    tensors = hf_tensors()
    tensors["model.embed_tokens.weight"] = decoded["token_embd.weight"]
    tensors["model.layers.1.mlp.down_proj.weight"] = decoded["blk.1.ffn_down.weight"]
    tensors["model.layers.2.mlp.up_proj.weight"] = decoded["blk.2.ffn_up.weight"]
    expected = expected_parameters(tensors)
    rows = {"q": ("blk.0.attn_q.weight", 0, HEADS), "k": ("blk.1.attn_k.weight", 1, KV_HEADS)}
    for letter, (name, layer, heads) in rows.items():
        kernel = expected[f"layers/self_attn/{letter}_proj/kernel"][layer]
        order = to_llama_cpp_rows(np.arange(kernel.shape[1])[:, None], heads)[:, 0]
        kernel[:, order] = decoded[name].T
    expected["layers/self_attn/k_proj/kernel"][2][:, to_llama_cpp_rows(np.arange(16)[:, None], KV_HEADS)[:, 0]] = (
        decoded["blk.2.attn_k.weight"].T
    )
    leaves = restore(convert(file, tmp_path / "out") / "params")
    for name, value in expected.items():
        assert leaves[name].dtype == np.float32
        np.testing.assert_allclose(leaves[name], value, rtol=1e-6, atol=1e-7, err_msg=name)


# Size of a block in bytes and values, and where its scales (float16) are, which must be finite.
BLOCKS = {
    "Q4_0": (18, 32, [0]),
    "Q4_1": (20, 32, [0, 2]),
    "Q5_0": (22, 32, [0]),
    "Q5_1": (24, 32, [0, 2]),
    "Q8_0": (34, 32, [0]),
    "Q2_K": (84, 256, [80, 82]),
    "Q3_K": (110, 256, [108]),
    "Q4_K": (144, 256, [0, 2]),
    "Q5_K": (176, 256, [0, 2]),
    "Q6_K": (210, 256, [208]),
    "F32": (4, 1, None),
    "F16": (2, 1, None),
    "BF16": (2, 1, None),
}


def random_rows(name, rng, rows=24, columns=512):
    """Bytes [rows, bytes of a row]: every bit pattern of the quantised parts, finite scales."""
    size, block, scales = BLOCKS[name]
    if scales is None:
        dtype = {"F32": np.float32, "F16": np.float16, "BF16": BFLOAT16}[name]
        return rng.normal(size=(rows, columns)).astype(dtype).view(np.uint8)
    raw = rng.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
    for at in scales:
        raw[:, at : at + 2] = rng.normal(size=(len(raw), 1)).astype("<f2").view(np.uint8)
    return raw.reshape(rows, -1)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_common_quantisation(tmp_path, name):
    """Blocks of random bits come out as `gguf.quants` decodes them, in float32 and in their places."""
    kind, rows = GGMLQuantizationType[name], random_rows(name, np.random.default_rng(3))
    writer = GGUFWriter(tmp_path / "tiny.gguf", "llama")
    write_metadata(writer)
    writer.add_tensor("output_norm.weight", np.ones(7, np.float32))
    writer.add_tensor("token_embd.weight", rows, raw_dtype=kind)
    finish(writer)
    norm, tensor = open_source(tmp_path / "tiny.gguf").tensors
    values = tensor.load()
    assert (tensor.name, tensor.shape, tensor.dtype) == ("token_embd.weight", (24, 512), "float32")
    assert (values.shape, values.dtype) == ((24, 512), np.float32)
    np.testing.assert_array_equal(values, dequantize(rows, kind).reshape(24, 512))
    np.testing.assert_array_equal(norm.load(), np.ones(7, np.float32))
    assert np.isfinite(values).all()
    assert len(np.unique(values)) > 100


@pytest.mark.parametrize("name", ["I8", "Q8_1"])
def test_what_cannot_be_dequantised_is_refused(tmp_path, name):
    writer = GGUFWriter(tmp_path / "tiny.gguf", "llama")
    write_metadata(writer)
    tensors = gguf_tensors(hf_tensors())
    size = {"I8": HIDDEN, "Q8_1": HIDDEN // 32 * 40}[name]
    writer.add_tensor("token_embd.weight", np.zeros((VOCAB, size), np.uint8), raw_dtype=GGMLQuantizationType[name])
    for other, weight in list(tensors.items())[1:]:
        writer.add_tensor(other, weight)
    finish(writer)
    with pytest.raises(WeightsError, match=rf"quantisation {name} is not supported") as caught:
        convert(tmp_path / "tiny.gguf", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_tokenizer_equals_one_built_by_hand(tmp_path):
    out = convert(write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors())), tmp_path / "out")
    ours, expected = Tokenizer.from_file(str(out / "tokenizer.json")), tiny_tokenizer()
    for text in ("<|im_start|>the the\n12 121 3.12<|im_end|>", "it's  naïve 日本語\t", "", " the", "<|endoftext|>"):
        assert ours.encode(text).ids == expected.encode(text).ids
        assert ours.decode(ours.encode(text).ids, skip_special_tokens=False) == text
    assert ours.encode("12").tokens == ["1", "2"]  # digits stand apart although a merge joins them
    assert ours.decode(ours.encode("<|im_start|>the").ids) == "the"
    assert {token.content for token in ours.get_added_tokens_decoder().values()} == set(SPECIAL)


def test_rope_scaling_and_head_size(tmp_path):
    tensors = gguf_tensors(hf_tensors())
    scaling = {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}
    scaling |= {"llama.rope.scaling.original_context_length": 128, "llama.attention.key_length": 8}
    config = open_source(write_gguf(tmp_path / "yarn.gguf", tensors, metadata=scaling)).config
    assert config.rope == RopeConfig(kind="yarn", theta=100000.0, factor=4.0, original_max_positions=128)
    linear = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.0}
    assert open_source(write_gguf(tmp_path / "linear.gguf", tensors, metadata=linear)).config.rope == RopeConfig(
        kind="linear", theta=100000.0, factor=2.0
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"architecture": "qwen2"}, ConfigError, "GGUF architecture 'qwen2' is not supported; known: llama"),
        ({"pre": "llama-bpe"}, WeightsError, "pre-tokenizer 'llama-bpe' is not supported; known: smollm"),
        ({"metadata": {"llama.expert_count": 8}}, ConfigError, r"llama\.expert_count=8 is not supported"),
        (
            {"metadata": {"llama.attention.value_length": 4}},
            ConfigError,
            r"value_length=4 differs from the head size 8",
        ),
        ({"metadata": {"llama.rope.scaling.type": "longrope"}}, ConfigError, "rope scaling type 'longrope'"),
        ({"metadata": {"llama.rope.scaling.type": "linear"}}, ConfigError, r"lacks llama\.rope\.scaling\.factor"),
    ],
)
def test_refusals_name_file_and_value(tmp_path, changes, error, message):
    file = write_gguf(tmp_path / "tiny.gguf", gguf_tensors(hf_tensors()), **changes)
    with pytest.raises(error, match=rf"tiny\.gguf: .*{message}"):
        convert(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frequency_factors_are_refused(tmp_path):
    """Llama 3.1 files carry their scaled frequencies as a tensor; to leave it out would change every answer."""
    tensors = gguf_tensors(hf_tensors()) | {"rope_freqs.weight": np.ones(4, np.float32)}
    with pytest.raises(WeightsError, match=r"1 unknown: rope_freqs\.weight$"):
        convert(write_gguf(tmp_path / "tiny.gguf", tensors), tmp_path / "out")


@pytest.mark.parametrize("kept", [0, 3, 50, 600, 4000, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, kept):
    whole = write_gguf(tmp_path / "whole.gguf", gguf_tensors(hf_tensors())).read_bytes()
    (tmp_path / "tiny.gguf").write_bytes(whole[: kept if kept > 1 or kept == 0 else int(len(whole) * kept)])
    with pytest.raises(WeightsError, match=r"tiny\.gguf: damaged or incomplete GGUF file: ") as caught:
        convert(tmp_path / "tiny.gguf", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
