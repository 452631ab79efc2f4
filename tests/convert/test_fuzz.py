"""Damaged headers: refused in one line, or read as an independent reader reads the same bytes; never a crash or a hang.

`MUTATIONS` files of each kind, each with one to three changes where the format describes itself.
"""

import time

import gguf
import numpy as np
import pytest
from safetensors.numpy import save

from jaxdiff.errors import JaxdiffError
from jaxdiff_convert.params import assemble
from jaxdiff_convert.sources import open_source
from jaxdiff_convert.staging import Staging

from .checkpoints import llama_config, to_llama_cpp_rows, write_hf_folder
from .independent_readers import read_gguf, read_safetensors

MUTATIONS = 1200
VOCAB, HIDDEN, INNER, HEADS, KV_HEADS = 12, 8, 8, 2, 1
SHAPES = {
    "model.embed_tokens.weight": (VOCAB, HIDDEN),
    "model.layers.0.input_layernorm.weight": (HIDDEN,),
    "model.layers.0.self_attn.q_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.0.self_attn.k_proj.weight": (HIDDEN // 2, HIDDEN),
    "model.layers.0.self_attn.v_proj.weight": (HIDDEN // 2, HIDDEN),
    "model.layers.0.self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "model.layers.0.post_attention_layernorm.weight": (HIDDEN,),
    "model.layers.0.mlp.gate_proj.weight": (INNER, HIDDEN),
    "model.layers.0.mlp.up_proj.weight": (INNER, HIDDEN),
    "model.layers.0.mlp.down_proj.weight": (HIDDEN, INNER),
    "model.norm.weight": (HIDDEN,),
}
GGUF_NAMES = dict(
    zip(
        SHAPES,
        (
            "token_embd.weight",
            *(
                f"blk.0.{part}.weight"
                for part in (
                    "attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate ffn_up ffn_down".split()
                )
            ),
            "output_norm.weight",
        ),
        strict=True,
    )
)  # fmt: skip
EXTREMES = [0, 1, 2, 7, 8, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


def tensors():
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def small_safetensors():
    """The bytes of a whole file, and how many of them describe the rest."""
    data = save(tensors(), metadata={"format": "pt"})
    return data, 8 + int.from_bytes(data[:8], "little")


def small_gguf(file):
    """As `small_safetensors`."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(1)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*(chr(ord("a") + index) for index in range(VOCAB - 1)), "ab"])
    writer.add_token_types([1] * VOCAB)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(2)
    for name, tensor in tensors().items():
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
        writer.add_tensor(GGUF_NAMES[name], to_llama_cpp_rows(tensor, heads) if heads else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = file.read_bytes()
    return data, len(data) - sum(tensor.nbytes for tensor in tensors().values())


def mutated(data, header, rng):
    """One to three changes, most of them in the header."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, min(header, len(data)) if rng.random() < 0.95 else len(data)))
        span = int(rng.integers(1, 40))
        match rng.integers(0, 9):
            case 0 | 1:
                data[at] = int(rng.integers(0, 256))
            case 2 | 3:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 4:
                data[at : at + 8] = int(rng.choice(np.array(EXTREMES, np.uint64))).to_bytes(8, "little")
            case 5:
                data[at : at + 4] = int(rng.choice(np.array(EXTREMES, np.uint64)) % 2**32).to_bytes(4, "little")
            case 6:
                del data[at : at + span]
            case 7:
                data[at:at] = data[at // 2 : at // 2 + span]
            case 8:
                digits = [index for index in range(header) if index < len(data) and data[index : index + 1].isdigit()]
                data[int(rng.choice(digits or [at]))] = ord(str(rng.integers(0, 10)))
        if not data:
            return b""
    return bytes(data) if rng.random() < 0.97 else bytes(data[: rng.integers(0, len(data))])


def parameters(source, folder):
    return assemble(source, "float32", Staging(folder), lambda done, total: None)


def stacked(found):
    """Parameters of the one layer, from tensors under Hugging Face's names."""
    expected = {
        "embed_tokens/embedding": found["model.embed_tokens.weight"],
        "norm/scale": found["model.norm.weight"],
    }
    for name in SHAPES:
        if name.startswith("model.layers.0."):
            leaf = "layers/" + name.removeprefix("model.layers.0.").removesuffix(".weight").replace(".", "/")
            norm = leaf.endswith("norm")
            expected[f"{leaf}/{'scale' if norm else 'kernel'}"] = found[name][None] if norm else found[name].T[None]
    return expected


def assert_same(leaves, expected):
    assert sorted(leaves) == sorted(expected)
    for leaf, value in expected.items():
        np.testing.assert_array_equal(leaves[leaf], value.astype(np.float32), err_msg=leaf)


def fuzz(tmp_path, data, header, open_mutated, independent):
    """Number of mutations that were accepted, all of them as the independent reader reads them."""
    rng = np.random.default_rng(20)
    accepted = 0
    for number in range(MUTATIONS):
        changed = mutated(data, header, rng)
        started = time.perf_counter()
        try:
            source = open_mutated(changed)
            leaves = parameters(source, tmp_path / f"staging{number}")
        except JaxdiffError as error:
            assert "\n" not in str(error), f"mutation {number}"
        except Exception as error:
            raise AssertionError(f"mutation {number} ends with {type(error).__name__}: {error}") from error
        else:
            accepted += 1
            try:
                independent(changed, source, leaves)
            except Exception as error:
                raise AssertionError(f"mutation {number} is read otherwise by an independent reader") from error
        assert time.perf_counter() - started < 20, f"mutation {number} hangs"
    return accepted


def test_safetensors(tmp_path):
    config = llama_config(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=1)
    config |= {"num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS}
    folder = write_hf_folder(tmp_path / "source", config)

    def open_mutated(data):
        (folder / "model.safetensors").write_bytes(data)
        return open_source(folder)

    def independent(data, source, leaves):
        found = read_safetensors(data)
        assert_same(leaves, stacked(found))

    data, header = small_safetensors()
    independent(data, None, parameters(open_mutated(data), tmp_path / "whole"))
    assert fuzz(tmp_path, data, header, open_mutated, independent) > 10


def test_gguf(tmp_path):
    file = tmp_path / "tiny.gguf"
    data, header = small_gguf(file)

    def open_mutated(data):
        # A file that is mapped must not be written over.
        file.unlink(missing_ok=True)
        file.write_bytes(data)
        return open_source(file)

    def independent(data, source, leaves):
        metadata, found = read_gguf(data)
        config = source.config
        assert config.rms_norm_eps == pytest.approx(metadata["llama.attention.layer_norm_rms_epsilon"])
        assert config.rope.theta == pytest.approx(metadata.get("llama.rope.freq_base", 10000.0))
        assert config.max_positions == metadata["llama.context_length"]
        assert config.num_heads == metadata["llama.attention.head_count"]
        named = {name: found[ours] for name, ours in GGUF_NAMES.items()}
        for name, heads in (("q_proj", config.num_heads), ("k_proj", config.num_kv_heads)):
            name = f"model.layers.0.self_attn.{name}.weight"
            order = to_llama_cpp_rows(np.arange(len(named[name]))[:, None], heads)[:, 0]
            straight = np.empty_like(named[name])
            straight[order] = named[name]
            named[name] = straight
        assert_same(leaves, stacked(named))

    independent(data, open_mutated(data), parameters(open_mutated(data), tmp_path / "whole"))
    assert fuzz(tmp_path, data, header, open_mutated, independent) > 10


@pytest.mark.parametrize("depth", [50, 100_000])
def test_nested_arrays(tmp_path, depth):
    """Arrays of arrays of arrays, as deep as the file is long."""
    key = b"general.architecture"
    head = b"GGUF" + (3).to_bytes(4, "little") + (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
    head += len(key).to_bytes(8, "little") + key + (9).to_bytes(4, "little")
    nest = ((9).to_bytes(4, "little") + (1).to_bytes(8, "little")) * depth
    (tmp_path / "deep.gguf").write_bytes(head + nest)
    with pytest.raises(JaxdiffError, match=r"deep\.gguf: ") as caught:
        open_source(tmp_path / "deep.gguf")
    assert "\n" not in str(caught.value)
