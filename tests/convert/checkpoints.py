"""Tiny random checkpoints in the layouts of Hugging Face and llama.cpp, and the parameters they must become."""

import json
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

VOCAB, HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 288, 32, 64, 3, 4, 2, 8
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|reserved_special_token_1|>",
    "<|reserved_special_token_0|>",
]
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("1", "2")]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def llama_config(**changes: Any) -> dict[str, Any]:
    """A `config.json` as `transformers` 4 wrote it."""
    values = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 100000,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "eos_token_id": 2,
    }
    return values | changes


def smollm3_config(**changes: Any) -> dict[str, Any]:
    """As `llama_config`, with what SmolLM3 adds."""
    added = {
        "architectures": ["SmolLM3ForCausalLM"],
        "model_type": "smollm3",
        "no_rope_layers": [1, 1, 0],
        "no_rope_layer_interval": 3,
        "use_sliding_window": False,
        "sliding_window": None,
        "layer_types": ["full_attention"] * LAYERS,
    }
    return llama_config(**added) | changes


def hf_tensors(dtype: Any = np.float32, *, tied: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under Hugging Face's names, in PyTorch's layout [out, in]."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    tensors = {"model.embed_tokens.weight": normal(VOCAB, HIDDEN)}
    for layer in range(LAYERS):
        tensors |= {
            f"model.layers.{layer}.input_layernorm.weight": normal(HIDDEN),
            f"model.layers.{layer}.self_attn.q_proj.weight": normal(HEADS * HEAD_DIM, HIDDEN),
            f"model.layers.{layer}.self_attn.k_proj.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"model.layers.{layer}.self_attn.v_proj.weight": normal(KV_HEADS * HEAD_DIM, HIDDEN),
            f"model.layers.{layer}.self_attn.o_proj.weight": normal(HIDDEN, HEADS * HEAD_DIM),
            f"model.layers.{layer}.post_attention_layernorm.weight": normal(HIDDEN),
            f"model.layers.{layer}.mlp.gate_proj.weight": normal(INNER, HIDDEN),
            f"model.layers.{layer}.mlp.up_proj.weight": normal(INNER, HIDDEN),
            f"model.layers.{layer}.mlp.down_proj.weight": normal(HIDDEN, INNER),
        }
    tensors["model.norm.weight"] = normal(HIDDEN)
    if not tied:
        tensors["lm_head.weight"] = normal(VOCAB, HIDDEN)
    return tensors


def expected_parameters(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameter dict, flat, written out from the naming convention alone."""
    expected = {
        "embed_tokens/embedding": tensors["model.embed_tokens.weight"],
        "norm/scale": tensors["model.norm.weight"],
    }
    for norm in ("input_layernorm", "post_attention_layernorm"):
        expected[f"layers/{norm}/scale"] = np.stack(
            [tensors[f"model.layers.{layer}.{norm}.weight"] for layer in range(LAYERS)]
        )
    for block, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down"))):
        for name in names:
            expected[f"layers/{block}/{name}_proj/kernel"] = np.stack(
                [np.transpose(tensors[f"model.layers.{layer}.{block}.{name}_proj.weight"]) for layer in range(LAYERS)]
            )
    if "lm_head.weight" in tensors:
        expected["lm_head/kernel"] = np.transpose(tensors["lm_head.weight"])
    return expected


def tokens() -> list[str]:
    """Vocabulary of the tiny byte-level tokenizer: special tokens, the 256 bytes, merges, filled up to VOCAB."""
    known = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in MERGES)]
    return known + [f"unused{index}" for index in range(VOCAB - len(known))]


def tiny_tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer like SmolLM2's."""
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens())}, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return tokenizer


def write_hf_folder(
    folder: Path, config: dict[str, Any], tensors: dict[str, np.ndarray] | None = None, *, shards: int = 0
) -> Path:
    """Configuration, tokenizer and, if given, weights: one safetensors file, or `shards` of them with an index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tiny_tokenizer().to_str())
    if tensors is None:
        return folder
    if not shards:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def to_llama_cpp_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """Row order of Q and K in GGUF files, as llama.cpp's converter makes it from Hugging Face's."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def gguf_tensors(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Hugging Face tensors under GGUF names, rows of Q and K reordered."""
    names = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    renamed = {"token_embd.weight": tensors["model.embed_tokens.weight"]}
    for layer in range(LAYERS):
        for theirs, ours in names.items():
            weight = tensors[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                weight = to_llama_cpp_rows(weight, HEADS if ours == "attn_q" else KV_HEADS)
            renamed[f"blk.{layer}.{ours}.weight"] = weight
    renamed["output_norm.weight"] = tensors["model.norm.weight"]
    if "lm_head.weight" in tensors:
        renamed["output.weight"] = tensors["lm_head.weight"]
    return renamed


def write_gguf(
    file: Path,
    tensors: dict[str, np.ndarray],
    kinds: dict[str, gguf.GGMLQuantizationType] | None = None,
    *,
    architecture: str = "llama",
    pre: str = "smollm",
    metadata: dict[str, Any] | None = None,
) -> Path:
    """A GGUF file of `tensors` (GGUF names); `kinds` names the quantisation of some. metadata: more keys and values."""
    writer = gguf.GGUFWriter(file, architecture)
    write_metadata(writer, pre)
    for key, value in (metadata or {}).items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
        add(key, value)
    for name, weight in tensors.items():
        kind = (kinds or {}).get(name)
        data = weight if kind is None else gguf.quants.quantize(weight, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    finish(writer)
    return file


def write_metadata(writer: gguf.GGUFWriter, pre: str = "smollm") -> None:
    """Sizes, tokenizer and chat template of the tiny model."""
    writer.add_vocab_size(VOCAB)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens())
    writer.add_token_types([3] * len(SPECIAL) + [1] * (VOCAB - len(SPECIAL)))
    writer.add_token_merges([f"{left} {right}" for left, right in MERGES])
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def finish(writer: gguf.GGUFWriter) -> None:
    """Writes what was added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
