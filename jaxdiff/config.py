"""Sizes and switches of the frozen base and of the heads: frozen dataclasses, checked when built."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import ConfigError

ROPE_KINDS = ("default", "linear", "dynamic", "yarn", "llama3")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding (Su et al., arXiv 2104.09864) and its length extensions.

    kind: one of `ROPE_KINDS`. `dynamic` is the plain embedding up to the original length and refused beyond it.
    YaRN: Peng et al., arXiv 2309.00071. llama3: the piecewise rule of the Llama 3.1 release.
    """

    kind: str = "default"
    theta: float = 10000.0
    factor: float = 1.0
    original_max_positions: int | None = None
    # YaRN
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True
    # llama3
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        _require(self.kind in ROPE_KINDS, f"rope type {self.kind!r} is not supported; known: {', '.join(ROPE_KINDS)}")
        _require(self.theta > 0, f"{self.theta=} must be > 0")
        _require(self.factor >= 1, f"{self.factor=} must be >= 1")


@dataclass(frozen=True)
class BaseConfig:
    """The frozen decoder-only language model: SmolLM3, SmolLM2 and other Llama-type models.

    rope_layers: per layer, True where rotary embedding is applied (False is a NoPE layer, arXiv 2501.18795).
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope_layers: tuple[bool, ...]
    rope: RopeConfig = RopeConfig()
    rms_norm_eps: float = 1e-5
    max_positions: int = 8192
    tie_embeddings: bool = True
    eos_token_ids: tuple[int, ...] = ()
    # Reserved vocabulary entries for <MASK> and <NULL>; None: the head owns two extra rows, ids vocab_size, vocab_size
    # + 1.
    mask_token_id: int | None = None
    null_token_id: int | None = None

    def __post_init__(self) -> None:
        sizes = (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_layers",
            "num_heads",
            "num_kv_heads",
            "head_dim",
        )
        for name in sizes:
            _require(getattr(self, name) > 0, f"{name}={getattr(self, name)} must be > 0")
        grouped = self.num_heads % self.num_kv_heads == 0
        _require(grouped, f"{self.num_heads=} is not a multiple of {self.num_kv_heads=}")
        _require(self.head_dim % 2 == 0, f"{self.head_dim=} must be even for rotary embedding")
        _require(len(self.rope_layers) == self.num_layers, f"{len(self.rope_layers)=} differs from {self.num_layers=}")
        _require(
            (self.mask_token_id is None) == (self.null_token_id is None),
            f"{self.mask_token_id=} and {self.null_token_id=} must be given together",
        )

    @property
    def mask_id(self) -> int:
        """Id of <MASK> on a canvas."""
        return self.vocab_size if self.mask_token_id is None else self.mask_token_id

    @property
    def null_id(self) -> int:
        """Id of <NULL>, which fills a slot behind its value."""
        return self.vocab_size + 1 if self.null_token_id is None else self.null_token_id

    @property
    def canvas_vocab_size(self) -> int:
        """Number of ids that may stand on a canvas: the vocabulary, and <MASK> and <NULL> where they are extra rows."""
        return self.vocab_size + (2 if self.mask_token_id is None else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BaseConfig:
        """Inverse of `to_dict`. Raises ConfigError for unknown or missing keys."""
        values = dict(values)
        try:
            rope = RopeConfig(**values.pop("rope"))
            values["rope_layers"] = tuple(bool(x) for x in values["rope_layers"])
            values["eos_token_ids"] = tuple(int(x) for x in values.get("eos_token_ids", ()))
            return cls(rope=rope, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"not a base configuration: {error}") from error

    @classmethod
    def smollm2_135m(cls) -> BaseConfig:
        """SmolLM2-135M-Instruct, the embedded default."""
        return cls(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_layers=30, num_heads=9, num_kv_heads=3,
            head_dim=64, rope_layers=(True,) * 30, rope=RopeConfig(theta=100000.0), eos_token_ids=(2,),
        )  # fmt: skip

    @classmethod
    def smollm3_3b(cls) -> BaseConfig:
        """SmolLM3-3B: every fourth layer without rotary embedding."""
        return cls(
            vocab_size=128256, hidden_size=2048, intermediate_size=11008, num_layers=36, num_heads=16, num_kv_heads=4,
            head_dim=128, rope_layers=tuple((i + 1) % 4 != 0 for i in range(36)), rope=RopeConfig(theta=5000000.0),
            rms_norm_eps=1e-6, max_positions=65536, eos_token_ids=(128012,), mask_token_id=128016, null_token_id=128017,
        )  # fmt: skip

    @classmethod
    def tiny(cls, **changes: Any) -> BaseConfig:
        """A few thousand parameters, for tests."""
        values: dict[str, Any] = dict(
            vocab_size=97, hidden_size=32, intermediate_size=64, num_layers=4, num_heads=4, num_kv_heads=2,
            head_dim=8, rope_layers=(True, True, True, False), max_positions=256, eos_token_ids=(2,),
        )  # fmt: skip
        return cls(**(values | changes))
