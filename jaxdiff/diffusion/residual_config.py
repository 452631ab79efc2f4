"""Sizes and switches of the `residual` head."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError

BLOCKS = ("residual", "bidirectional")
VOCABULARIES = ("frozen", "own")
OBJECTIVES = ("cross_entropy", "nelbo")


@dataclass(frozen=True)
class ResidualConfig:
    """Sizes and switches of the head.

    input_size: D. vocab_size: V, which counts <MASK> and <NULL>. mask_id, null_id: their ids.
    block: `residual`, x + Linear(LayerNorm(GELU(Linear(x)))) at each position alone; `bidirectional`, pre-norm
        attention over all canvas positions and a GELU network of four times the width.
    prompt_attention: whether the canvas also attends, once before the blocks, to the base's states of the prompt.
    field_positions: rows of a table of positions within a slot, the last for all behind it; 0 where there is none.
    position_rows: rows of the sinusoidal positions that are kept as a checkpoint had them; all others are computed.
    vocabulary: `frozen`, tokens go in and out by the base's tied embedding rows and small adapters, with two learned
        rows for <MASK> and <NULL>, which no base was trained on; `own`, learned matrices with an output bias.
    steps: the time embedding is a table of steps + 1 rows, row floor(t * steps); the last is reached at t = 1 alone.
    objective: `cross_entropy` on masked positions, or weighted to the `nelbo`.
    fully_masked_share: share of training rows at t = 1, where answering starts.
    sampled_vocabulary: how many tokens beside those of the batch a training step scores; None for all.
    prompt_dropout: share of training rows without the base's states; guidance needs some.
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
    prompt_attention: bool = False
    field_positions: int = 0
    position_rows: int = 0
    vocabulary: str = "frozen"
    steps: int = 4
    objective: str = "cross_entropy"
    fully_masked_share: float = 0.5
    sampled_vocabulary: int | None = None
    prompt_dropout: float = 0.0

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
        for name in ("field_positions", "position_rows"):
            check(getattr(self, name) >= 0, f"{name}={getattr(self, name)} must be >= 0")
        check(self.vocabulary in VOCABULARIES, f"{self.vocabulary=} is unknown; known: {', '.join(VOCABULARIES)}")
        check(self.objective in OBJECTIVES, f"{self.objective=} is unknown; known: {', '.join(OBJECTIVES)}")
        check(
            self.sampled_vocabulary is None or self.sampled_vocabulary >= 1, f"{self.sampled_vocabulary=} must be >= 1"
        )
        check(0 <= self.fully_masked_share <= 1, f"{self.fully_masked_share=} must lie in [0, 1]")
        check(0 <= self.prompt_dropout < 1, f"{self.prompt_dropout=} must be in [0, 1)")

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
