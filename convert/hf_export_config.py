"""BaseConfig -> the JSON files of a Hugging Face folder: the way back from `hf_config`."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer

from jaxdiff.config import BaseConfig

from .hf_config import ROPE_PARAMETERS


def hf_config(config: BaseConfig, dtype: str) -> dict[str, Any]:
    """Content of `config.json`, in the spelling that `transformers` 4 and 5 and llama.cpp read.

    A model without NoPE layers is a Llama to them, any other a SmolLM3.
    """
    nope = not all(config.rope_layers)
    values: dict[str, Any] = {
        "architectures": ["SmolLM3ForCausalLM" if nope else "LlamaForCausalLM"],
        "model_type": "smollm3" if nope else "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope.theta,
        "rope_scaling": _rope_scaling(config),
        "tie_word_embeddings": config.tie_embeddings,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "bos_token_id": None,
        "eos_token_id": _one_or_list(config.eos_token_ids),
        "pad_token_id": None,
        "torch_dtype": dtype,
        "use_cache": True,
    }
    if nope:
        values |= {
            "no_rope_layers": [int(rope) for rope in config.rope_layers],
            "layer_types": ["full_attention"] * config.num_layers,
            "use_sliding_window": False,
            "sliding_window": None,
        }
    return values


def generation_config(config: BaseConfig) -> dict[str, Any]:
    """Content of `generation_config.json`."""
    return {"eos_token_id": _one_or_list(config.eos_token_ids)} if config.eos_token_ids else {}


def tokenizer_config(config: BaseConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """Content of `tokenizer_config.json`, without the chat template, which is a file of its own."""
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_positions,
        "clean_up_tokenization_spaces": False,
    }
    ends = [tokenizer.id_to_token(token) for token in config.eos_token_ids]
    return values | ({"eos_token": ends[0]} if ends and ends[0] is not None else {})


def _rope_scaling(config: BaseConfig) -> dict[str, Any] | None:
    if config.rope.kind == "default":
        return None
    values = {theirs: getattr(config.rope, ours) for theirs, ours in ROPE_PARAMETERS[config.rope.kind].items()}
    return {"rope_type": config.rope.kind} | {key: value for key, value in values.items() if value is not None}


def _one_or_list(ids: tuple[int, ...]) -> int | list[int] | None:
    if not ids:
        return None
    return ids[0] if len(ids) == 1 else list(ids)
