"""The language model once more, in plain numpy and float64: what the Flax module must equal."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxdiff.base.module import SmolLM
from jaxdiff.base.restore import parameter_shapes
from jaxdiff.config import BaseConfig


@dataclass
class Pass:
    """states: after every layer [L][B, T, D]. hidden: after the final norm. log_attention: [L][B, H, T, S]."""

    states: list[np.ndarray]
    hidden: np.ndarray
    log_attention: list[np.ndarray]
    logits: np.ndarray


def random_params(config: BaseConfig, seed: int = 0) -> dict[str, Any]:
    """Parameters large enough that attention is far from uniform, with norms away from 1."""
    rng = np.random.default_rng(seed)

    def draw(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct) -> np.ndarray:
        noise = rng.normal(size=shape.shape)
        if path[-1].key == "scale":
            return (1 + 0.2 * noise).astype(np.float32)
        if path[-1].key == "embedding":
            return noise.astype(np.float32)
        return (1.5 * noise / np.sqrt(shape.shape[-2])).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, parameter_shapes(config))


def numpy_pass(
    config: BaseConfig, params: dict[str, Any], ids: np.ndarray, positions: np.ndarray, mask: np.ndarray
) -> Pass:
    """One uncached pass over ids [B, T]; rotary embedding of the default kind. mask: [B, T, T] bool."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    batch, length = ids.shape
    groups = config.num_heads // config.num_kv_heads
    frequencies = config.rope.theta ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    # Each pair of dimensions is one complex number, turned by the angle.
    turn = np.exp(1j * positions[:, :, None, None] * frequencies)

    def norm(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * scale

    def rotate(x: np.ndarray) -> np.ndarray:
        half = config.head_dim // 2
        turned = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([turned.real, turned.imag], -1)

    x = params["embed_tokens"]["embedding"][ids]
    states, log_attention = [], []
    for number in range(config.num_layers):
        layer = jax.tree.map(lambda leaf, number=number: leaf[number], params["layers"])
        h = norm(x, layer["input_layernorm"]["scale"])
        q, k, v = (
            (h @ layer["self_attn"][f"{name}_proj"]["kernel"]).reshape(batch, length, -1, config.head_dim)
            for name in "qkv"
        )
        if config.rope_layers[number]:
            q, k = rotate(q), rotate(k)
        attention, mixed = [], []
        for head in range(config.num_heads):
            scores = q[:, :, head] @ k[:, :, head // groups].swapaxes(1, 2) / np.sqrt(config.head_dim)
            scores = np.where(mask, scores, -np.inf)
            scores -= scores.max(-1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
            attention.append(scores)
            mixed.append(np.exp(scores) @ v[:, :, head // groups])
        x = x + np.concatenate(mixed, -1) @ layer["self_attn"]["o_proj"]["kernel"]
        h = norm(x, layer["post_attention_layernorm"]["scale"])
        gate, up = (h @ layer["mlp"][f"{name}_proj"]["kernel"] for name in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ layer["mlp"]["down_proj"]["kernel"]
        states.append(x)
        log_attention.append(np.stack(attention, 1))
    hidden = norm(x, params["norm"]["scale"])
    output = params["embed_tokens"]["embedding"].T if config.tie_embeddings else params["lm_head"]["kernel"]
    return Pass(states, hidden, log_attention, hidden @ output)


def causal_by_loop(valid: np.ndarray) -> np.ndarray:
    """[B, T, T] bool, by its definition; padding attends to itself."""
    rows, length = valid.shape
    mask = np.zeros((rows, length, length), bool)
    for b in range(rows):
        for query in range(length):
            for key in range(length):
                mask[b, query, key] = query == key or (key < query and valid[b, query] and valid[b, key])
    return mask


def positions_by_loop(valid: np.ndarray) -> np.ndarray:
    """[B, T] int32: how many valid tokens stand before; padding repeats the last position."""
    positions = np.zeros(valid.shape, np.int32)
    for b, row in enumerate(valid):
        seen = 0
        for t, token in enumerate(row):
            seen += token
            positions[b, t] = max(seen - 1, 0)
    return positions


def read(config: BaseConfig, params: dict[str, Any], *block: Any, dtype: Any = np.float32, **into: Any) -> Any:
    """The Flax module's output for ids, positions and mask; one program per shape."""
    taps = into.pop("taps", ())
    return _read(config, dtype, taps, params, block, into)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _read(config: BaseConfig, dtype: Any, taps: tuple[int, ...], params: Any, block: Any, into: Any) -> Any:
    return SmolLM(config, dtype).apply({"params": params}, *block, taps=taps, **into)
