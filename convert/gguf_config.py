"""GGUF metadata of the `llama` architecture -> BaseConfig."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError

from .hf_config import MOST_LAYERS

_ROPE_KINDS = {"none": "default", "linear": "linear", "yarn": "yarn"}


def base_config_from_gguf(get: Callable[[str], Any], tie_embeddings: bool, place: str) -> BaseConfig:
    """Sizes and switches of a GGUF file.

    get: value of a metadata key, None where absent. tie_embeddings: the file has no output matrix of its own.
    place: name of the file, for messages. Raises ConfigError for another architecture and for missing or
    unsupported values, which it names.
    """
    architecture = get("general.architecture")
    if architecture != "llama":
        raise ConfigError(f"{place}: GGUF architecture {architecture!r} is not supported; known: llama")

    def need(key: str) -> Any:
        value = get(f"llama.{key}")
        if value is None:
            raise ConfigError(f"{place}: GGUF metadata lacks llama.{key}")
        return value

    heads, hidden_size, layers = (need(key) for key in ("attention.head_count", "embedding_length", "block_count"))
    if layers > MOST_LAYERS:
        raise ConfigError(f"{place}: llama.block_count={layers} is more than {MOST_LAYERS}")
    head_dim = get("llama.attention.key_length") or hidden_size // max(1, heads)
    _refuse_unsupported(get, head_dim, place)
    tokens = get("tokenizer.ggml.tokens")
    eos_token_ids = (get("tokenizer.ggml.eos_token_id"), get("tokenizer.ggml.eot_token_id"))
    try:
        return BaseConfig(
            vocab_size=get("llama.vocab_size") or len(tokens or ()),
            hidden_size=hidden_size,
            intermediate_size=need("feed_forward_length"),
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=get("llama.attention.head_count_kv") or heads,
            head_dim=head_dim,
            rope_layers=(True,) * layers,
            rope=_rope(get, place),
            rms_norm_eps=_shortest(need("attention.layer_norm_rms_epsilon")),
            max_positions=need("context_length"),
            tie_embeddings=tie_embeddings,
            eos_token_ids=tuple(dict.fromkeys(token for token in eos_token_ids if token is not None)),
        )
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _shortest(value: float) -> float:
    """GGUF stores float32; the shortest decimal that gives it back is what the author wrote (1e-05)."""
    return float(str(np.float32(value)))


def _refuse_unsupported(get: Callable[[str], Any], head_dim: int, place: str) -> None:
    problems = []
    if (rotated := get("llama.rope.dimension_count")) not in (None, head_dim):
        problems.append(f"llama.rope.dimension_count={rotated} differs from the head size {head_dim}")
    if (value_length := get("llama.attention.value_length")) not in (None, head_dim):
        problems.append(f"llama.attention.value_length={value_length} differs from the head size {head_dim}")
    for key in ("llama.expert_count", "llama.attention.sliding_window"):
        if get(key):
            problems.append(f"{key}={get(key)} is not supported")
    if problems:
        raise ConfigError(f"{place}: {'; '.join(problems)}")


def _rope(get: Callable[[str], Any], place: str) -> RopeConfig:
    theta = _shortest(get("llama.rope.freq_base") or 10000.0)
    scaling = get("llama.rope.scaling.type") or "none"
    if scaling not in _ROPE_KINDS:
        raise ConfigError(f"rope scaling type {scaling!r} is not supported; known: {', '.join(_ROPE_KINDS)}")
    if scaling == "none":
        return RopeConfig(theta=theta)
    factor = get("llama.rope.scaling.factor")
    if factor is None:
        raise ConfigError(f"rope scaling type {scaling!r} lacks llama.rope.scaling.factor")
    original = get("llama.rope.scaling.original_context_length") if scaling == "yarn" else None
    return RopeConfig(kind=_ROPE_KINDS[scaling], theta=theta, factor=_shortest(factor), original_max_positions=original)
