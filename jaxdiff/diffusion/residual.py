"""The `residual` head: denoises a canvas from the base's states at the canvas positions.

States that the frozen base has at the (fully masked) canvas, plus token, time and position embeddings, go through
residual GELU blocks, or bidirectional attention blocks, to logits. Parameters are a plain nested dict, the functions
are pure.

Shapes: B rows, N canvas positions, D base hidden size, H head hidden size, V canvas vocabulary.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.features import Features, Prediction
from jaxdiff.diffusion.losses import masked_cross_entropy, masked_positions, nelbo
from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError

Params = dict[str, Any]

BLOCKS = ("residual", "bidirectional")
VOCABULARIES = ("frozen", "own")
OBJECTIVES = ("cross_entropy", "nelbo")
LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class ResidualConfig:
    """Sizes and switches of the head.

    input_size: D. vocab_size: V, which counts <MASK> and <NULL>. mask_id, null_id: their ids.
    block: `residual`, x + Linear(LayerNorm(GELU(Linear(x)))) at each position alone; `bidirectional`, pre-norm
        attention over all canvas positions and a GELU network of four times the width.
    vocabulary: `frozen`, tokens go in and out by the base's tied embedding rows and small adapters, with two learned
        rows for <MASK> and <NULL>, which no base was trained on; `own`, learned matrices with an output bias.
    steps: the time embedding is a table of steps + 1 rows, row floor(t * steps); the last is reached at t = 1 alone.
    objective: `cross_entropy` on masked positions, or weighted to the `nelbo`.
    fully_masked_share: share of training rows at t = 1, where answering starts.
    Raises ConfigError, naming the value.
    """

    input_size: int
    vocab_size: int
    mask_id: int
    null_id: int
    hidden_size: int = 1024
    num_blocks: int = 2
    num_heads: int = 8
    block: str = "residual"
    vocabulary: str = "frozen"
    steps: int = 4
    objective: str = "cross_entropy"
    fully_masked_share: float = 0.5

    def __post_init__(self) -> None:
        def check(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        for name in ("input_size", "vocab_size", "hidden_size", "num_blocks", "num_heads", "steps"):
            check(getattr(self, name) >= 1, f"{name}={getattr(self, name)} must be >= 1")
        for name in ("mask_id", "null_id"):
            check(
                0 <= getattr(self, name) < self.vocab_size,
                f"{name}={getattr(self, name)} is not below {self.vocab_size=}",
            )
        check(self.mask_id != self.null_id, f"{self.mask_id=} equals {self.null_id=}")
        check(self.hidden_size % 2 == 0, f"{self.hidden_size=} must be even for sinusoidal positions")
        check(self.hidden_size % self.num_heads == 0, f"{self.hidden_size=} is not a multiple of {self.num_heads=}")
        check(self.block in BLOCKS, f"{self.block=} is unknown; known: {', '.join(BLOCKS)}")
        check(self.vocabulary in VOCABULARIES, f"{self.vocabulary=} is unknown; known: {', '.join(VOCABULARIES)}")
        check(self.objective in OBJECTIVES, f"{self.objective=} is unknown; known: {', '.join(OBJECTIVES)}")
        check(0 <= self.fully_masked_share <= 1, f"{self.fully_masked_share=} must lie in [0, 1]")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ResidualConfig:
        """Inverse of `to_dict`. Raises ConfigError for unknown or missing keys."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"not a residual head configuration: {error}") from error

    @classmethod
    def for_base(cls, base: BaseConfig, **changes: Any) -> ResidualConfig:
        """The head of a base, with `changes` to the defaults."""
        return cls(
            input_size=base.hidden_size, vocab_size=base.canvas_vocab_size, mask_id=base.mask_id, null_id=base.null_id,
            **changes,
        )  # fmt: skip

    @classmethod
    def tiny(cls, **changes: Any) -> ResidualConfig:
        """A few thousand parameters, for tests; fits `BaseConfig.tiny()`."""
        values: dict[str, Any] = dict(hidden_size=16, num_heads=2)
        return cls.for_base(BaseConfig.tiny(), **(values | changes))


def init(key: Array, config: ResidualConfig) -> Params:
    """Random parameters: a nested dict of float32 arrays."""
    keys = iter(jax.random.split(key, 5 + 4 * config.num_blocks))
    d, h = config.input_size, config.hidden_size
    params: Params = {
        "input": _linear_init(next(keys), d, h),
        "time": {"table": _rows_init(next(keys), config.steps + 1, h)},
        **{f"block_{i}": _block_init([next(keys) for _ in range(4)], config) for i in range(config.num_blocks)},
    }
    if config.vocabulary == "frozen":
        params["token"] = _linear_init(next(keys), d, h)
        params["output"] = _linear_init(next(keys), h, d)
        params["extra_rows"] = {"table": _rows_init(next(keys), 2, d)}
    else:
        params["token"] = {"table": _rows_init(next(keys), config.vocab_size, h)}
        params["output"] = _linear_init(next(keys), h, config.vocab_size)
    return params


def predict(params: Params, config: ResidualConfig, features: Features, tokens: Array, t: Array) -> Prediction:
    """Logits for every canvas position.

    features: `canvas_states` [B, N, D] and, for the frozen vocabulary, `embedding` [vocab, D].
    tokens: [B, N] int32 canvas; negative ids are read as 0. t: [B] float32 in [0, 1].
    Returns a Prediction with `logits` [B, N, V] float32 alone. Raises ConfigError if a feature is missing.
    """
    if features.canvas_states is None:
        raise ConfigError("the residual head needs canvas_states")
    row = jnp.clip(jnp.floor(t * config.steps).astype(jnp.int32), 0, config.steps)
    x = _linear(params["input"], features.canvas_states.astype(jnp.float32))
    x = x + _embed(params, config, features, jnp.maximum(tokens, 0))
    x = x + params["time"]["table"][row][:, None, :] + sinusoidal_positions(tokens.shape[1], config.hidden_size)[None]
    for i in range(config.num_blocks):
        block = params[f"block_{i}"]
        x = _residual_block(block, x) if config.block == "residual" else _attention_block(block, config, features, x)
    return Prediction(logits=_logits(params, config, features, x))


def loss(
    params: Params, config: ResidualConfig, schedule: NoiseSchedule, key: Array, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """Corrupt the batch and score its reconstruction: (scalar, metrics).

    Metrics: `masked_share` of the value positions, `accuracy` on the masked ones, and of those `accuracy_fully_masked`
    in rows at t = 1 (0 where there are none). No gradient reaches the features.
    """
    features = jax.lax.stop_gradient(batch.features)
    tokens, mask_id = batch.labels.tokens, config.mask_id
    value_mask = features.canvas.value_mask & features.canvas.exists
    corrupted, t = corrupt_batch(
        schedule, key, tokens, value_mask, mask_id, fully_masked_share=config.fully_masked_share
    )
    logits = predict(params, config, features, corrupted, t).logits
    if config.objective == "nelbo":
        value = nelbo(logits, tokens, corrupted, value_mask, mask_id, schedule, t)
    else:
        value = masked_cross_entropy(logits, tokens, corrupted, value_mask, mask_id)
    masked = masked_positions(corrupted, value_mask, mask_id)
    at_start = masked & (t == 1.0)[:, None]
    right = logits.argmax(-1) == tokens
    return value, {
        "masked_share": _share(masked, value_mask),
        "accuracy": _share(right & masked, masked),
        "accuracy_fully_masked": _share(right & at_start, at_start),
    }


def sinusoidal_positions(length: int, width: int) -> Array:
    """[length, width] float32: sine in even, cosine in odd columns, base 10000 (Vaswani et al., arXiv 1706.03762)."""
    frequency = jnp.exp(jnp.arange(0, width, 2, dtype=jnp.float32) * (-jnp.log(10000.0) / width))
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency[None]
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(length, width)


def _share(part: Array, whole: Array) -> Array:
    return part.sum(dtype=jnp.float32) / jnp.maximum(whole.sum(dtype=jnp.float32), 1.0)


def _linear_init(key: Array, inputs: int, outputs: int) -> Params:
    return {
        "kernel": jax.nn.initializers.lecun_normal()(key, (inputs, outputs), jnp.float32),
        "bias": jnp.zeros(outputs, jnp.float32),
    }


def _rows_init(key: Array, rows: int, width: int) -> Array:
    return 0.02 * jax.random.normal(key, (rows, width), jnp.float32)


def _norm_init(width: int) -> Params:
    return {"scale": jnp.ones(width, jnp.float32), "bias": jnp.zeros(width, jnp.float32)}


def _block_init(keys: list[Array], config: ResidualConfig) -> Params:
    h = config.hidden_size
    if config.block == "residual":
        return {"inner": _linear_init(keys[0], h, h), "norm": _norm_init(h), "outer": _linear_init(keys[1], h, h)}
    return {
        "norm_attention": _norm_init(h),
        "qkv": _linear_init(keys[0], h, 3 * h),
        "out": _linear_init(keys[1], h, h),
        "norm_wide": _norm_init(h),
        "wide": _linear_init(keys[2], h, 4 * h),
        "narrow": _linear_init(keys[3], 4 * h, h),
    }


def _linear(params: Params, x: Array) -> Array:
    return jnp.matmul(x, params["kernel"]) + params["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def _layer_norm(params: Params, x: Array) -> Array:
    x = jax.nn.standardize(x, axis=-1, epsilon=LAYER_NORM_EPS)
    return x * params["scale"][None, None] + params["bias"][None, None]


def _residual_block(params: Params, x: Array) -> Array:
    inner = jax.nn.gelu(_linear(params["inner"], x), approximate=False)
    return x + _linear(params["outer"], _layer_norm(params["norm"], inner))


def _attention_block(params: Params, config: ResidualConfig, features: Features, x: Array) -> Array:
    rows, length, width = x.shape
    qkv = _linear(params["qkv"], _layer_norm(params["norm_attention"], x))
    q, k, v = jnp.split(qkv.reshape(rows, length, 3 * config.num_heads, -1), 3, axis=2)
    attended = jax.nn.dot_product_attention(q, k, v, mask=features.canvas.exists[:, None, None, :])
    x = x + _linear(params["out"], attended.reshape(rows, length, width))
    wide = jax.nn.gelu(_linear(params["wide"], _layer_norm(params["norm_wide"], x)), approximate=False)
    return x + _linear(params["narrow"], wide)


def _frozen_rows(features: Features) -> Array:
    if features.embedding is None:
        raise ConfigError("the residual head with a frozen vocabulary needs the base's embedding")
    return features.embedding


def _embed(params: Params, config: ResidualConfig, features: Features, tokens: Array) -> Array:
    """[B, N] -> [B, N, H]."""
    if config.vocabulary == "own":
        return params["token"]["table"][tokens]
    embedding, extra = _frozen_rows(features), params["extra_rows"]["table"]
    rows = embedding[jnp.minimum(tokens, embedding.shape[0] - 1)].astype(jnp.float32)
    rows = jnp.where((tokens == config.mask_id)[..., None], extra[0][None, None], rows)
    rows = jnp.where((tokens == config.null_id)[..., None], extra[1][None, None], rows)
    return _linear(params["token"], rows)


def _logits(params: Params, config: ResidualConfig, features: Features, x: Array) -> Array:
    """[B, N, H] -> [B, N, V] float32."""
    x = _linear(params["output"], x)
    if config.vocabulary == "own":
        return x
    embedding, extra = _frozen_rows(features), params["extra_rows"]["table"]
    logits = jnp.einsum("bnd,vd->bnv", x.astype(embedding.dtype), embedding, preferred_element_type=jnp.float32)
    missing = config.vocab_size - embedding.shape[0]
    logits = jnp.pad(logits, ((0, 0), (0, 0), (0, missing)))
    learned = jnp.einsum("bnd,vd->bnv", x, extra)
    return logits.at[..., jnp.asarray([config.mask_id, config.null_id])].set(learned)
