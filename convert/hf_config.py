"""Hugging Face `config.json` -> BaseConfig, for the model types `smollm3` and `llama`."""

from __future__ import annotations

from typing import Any

from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError

MOST_LAYERS = 4096
"""Beyond this, the number is damage, and what is made for each layer would fill the memory."""

# What `transformers` assumes where config.json is silent.
_DEFAULT_THETA = {"smollm3": 2_000_000.0, "llama": 10_000.0}
_DEFAULT_MAX_POSITIONS = {"smollm3": 32768, "llama": 2048}
# transformers' name of a rope parameter -> ours; the ones that it reads for the kind.
ROPE_PARAMETERS = {
    "default": {},
    "linear": {"factor": "factor"},
    "dynamic": {"factor": "factor", "original_max_position_embeddings": "original_max_positions"},
    "yarn": {
        "factor": "factor",
        "original_max_position_embeddings": "original_max_positions",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
        "mscale": "mscale",
        "mscale_all_dim": "mscale_all_dim",
        "truncate": "truncate",
    },
    "llama3": {
        "factor": "factor",
        "original_max_position_embeddings": "original_max_positions",
        "low_freq_factor": "low_freq_factor",
        "high_freq_factor": "high_freq_factor",
    },
}
_REQUIRED_ROPE_PARAMETERS = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
}
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TYPES = (
    ((*_SIZES, "num_key_value_heads", "head_dim", "max_position_embeddings"), (int,), "an integer"),
    (("rms_norm_eps", "rope_theta"), (int, float), "a number"),
    (("tie_word_embeddings",), (bool,), "true or false"),
)


def base_config_from_hf(values: dict[str, Any], place: str, generation: dict[str, Any] | None = None) -> BaseConfig:
    """Sizes and switches of a SmolLM3 or Llama-type checkpoint.

    values: content of `config.json`. generation: content of `generation_config.json`, whose end-of-sequence ids are
    added. place: name of the file, for messages. Raises ConfigError that names every unsupported or missing value.
    """
    try:
        return _base_config(values, place, generation or {})
    except ConfigError:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(f"{place}: a value of the wrong type: {error}") from error


def _base_config(values: dict[str, Any], place: str, generation: dict[str, Any]) -> BaseConfig:
    model_type = values.get("model_type")
    if model_type not in _DEFAULT_THETA:
        known = ", ".join(_DEFAULT_THETA)
        raise ConfigError(f"{place}: model_type={model_type!r} is not supported; known: {known}")
    problems = [f"{key} is missing" for key in _SIZES if values.get(key) is None]
    for keys, types, article in _TYPES:
        wrong = [key for key in keys if values.get(key) is not None and type(values[key]) not in types]
        problems += [f"{key}={values[key]!r} is not {article}" for key in wrong]
    problems += _unsupported(values)
    if not problems and values["num_hidden_layers"] > MOST_LAYERS:
        problems.append(f"num_hidden_layers={values['num_hidden_layers']} is more than {MOST_LAYERS}")
    if problems:
        raise ConfigError(f"{place}: {'; '.join(problems)}")
    heads, tied = values["num_attention_heads"], values.get("tie_word_embeddings")
    max_positions = values.get("max_position_embeddings") or _DEFAULT_MAX_POSITIONS[model_type]
    try:
        return BaseConfig(
            vocab_size=values["vocab_size"],
            hidden_size=values["hidden_size"],
            intermediate_size=values["intermediate_size"],
            num_layers=values["num_hidden_layers"],
            num_heads=heads,
            num_kv_heads=values.get("num_key_value_heads") or (4 if model_type == "smollm3" else heads),
            head_dim=values.get("head_dim") or values["hidden_size"] // max(1, heads),
            rope_layers=_rope_layers(values, model_type),
            rope=_rope(values, _DEFAULT_THETA[model_type], max_positions),
            rms_norm_eps=1e-6 if values.get("rms_norm_eps") is None else values["rms_norm_eps"],
            max_positions=max_positions,
            tie_embeddings=model_type == "smollm3" if tied is None else tied,
            eos_token_ids=_eos_token_ids(values, generation),
        )
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _unsupported(values: dict[str, Any]) -> list[str]:
    problems = [f"{key}=true is not supported" for key in ("attention_bias", "mlp_bias") if values.get(key)]
    if values.get("hidden_act", "silu") != "silu":
        problems.append(f"hidden_act={values['hidden_act']!r} is not supported (only 'silu')")
    if values.get("use_sliding_window"):
        problems.append("use_sliding_window=true is not supported")
    others = sorted(set(values.get("layer_types") or ()) - {"full_attention"})
    if others:
        problems.append(f"layer_types {', '.join(map(repr, others))} are not supported (only 'full_attention')")
    if values.get("quantization_config"):
        method = values["quantization_config"].get("quant_method", "unknown")
        problems.append(f"quantization_config (quant_method={method!r}) is not supported")
    return problems


def _rope_layers(values: dict[str, Any], model_type: str) -> tuple[bool, ...]:
    num_layers = values["num_hidden_layers"]
    if model_type == "llama":
        return (True,) * num_layers
    flags = values.get("no_rope_layers")
    if flags is None:
        interval = values.get("no_rope_layer_interval", 4)
        return tuple((layer + 1) % interval != 0 for layer in range(num_layers))
    if len(flags) < num_layers:
        raise ConfigError(f"no_rope_layers has {len(flags)} entries for {num_layers} layers")
    return tuple(bool(flag) for flag in flags[:num_layers])


def _rope(values: dict[str, Any], default_theta: float, max_positions: int) -> RopeConfig:
    parameters = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    if kind not in ROPE_PARAMETERS:
        raise ConfigError(f"rope type {kind!r} is not supported; known: {', '.join(ROPE_PARAMETERS)}")
    partial = parameters.get("partial_rotary_factor", values.get("partial_rotary_factor"))
    if partial not in (None, 1, 1.0):
        raise ConfigError(f"partial_rotary_factor={partial} is not supported (only 1.0)")
    missing = [key for key in _REQUIRED_ROPE_PARAMETERS.get(kind, ()) if parameters.get(key) is None]
    if missing:
        raise ConfigError(f"rope type {kind!r} lacks {', '.join(missing)}")
    given = {ours: parameters[key] for key, ours in ROPE_PARAMETERS[kind].items() if parameters.get(key) is not None}
    if "original_max_position_embeddings" in ROPE_PARAMETERS[kind]:
        given.setdefault("original_max_positions", values.get("original_max_position_embeddings") or max_positions)
    if kind == "yarn":
        given.setdefault("factor", max_positions / given["original_max_positions"])
    theta = parameters.get("rope_theta") or values.get("rope_theta") or default_theta
    return RopeConfig(kind=kind, theta=float(theta), **given)


def _eos_token_ids(values: dict[str, Any], generation: dict[str, Any]) -> tuple[int, ...]:
    ids: dict[int, None] = {}
    for given in (values.get("eos_token_id"), generation.get("eos_token_id")):
        listed = given if isinstance(given, list) else [given]
        if any(token is not None and type(token) is not int for token in listed):
            raise ConfigError(f"eos_token_id={given!r} is not an integer or a list of them")
        ids.update(dict.fromkeys(token for token in listed if token is not None))
    return tuple(ids)
