"""Sizes of the reader head."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import ConfigError

# Tokens of a span are fewer or as many; a value that is said in more is composed.
MAX_SPAN = 48

# What can be left out, to see what it brings.
PARTS = (
    "attention", "name_attention", "definition_attention", "neighbours", "competition", "word_facts", "token_states",
    "key_states", "convolution", "mixing", "contest", "copying",
)  # fmt: skip
CANVAS_LOSSES = ("masked_mean", "nelbo")
CANVAS_ATTENTIONS = ("full", "block_causal")


@dataclass(frozen=True)
class ReaderConfig:
    """Widths of what is read (see `QueryFeatures`), and of the network.

    attention: layers x heads of the base (A). token_states, key_states: widths of the joined states. telling: number
    of telling words. token_facts, token_matches, field_facts, candidate_facts, kinds: numbers of host facts.
    embedding: the base's hidden size. vocab_size: the base's vocabulary. canvas_vocab_size: with <MASK> and <NULL>
    where they are extra rows. hidden: width of the network. canvas_layers, canvas_heads: its bidirectional part.
    canvas_attention: what a value of the canvas sees of the others: `full`, all; `block_causal`, those before it.
    feature_dropout: share of whole input features hidden from a row while training; dropout: of hidden units.
    prompt_dropout: share of training rows whose canvas sees nothing of the query; guidance needs some.
    time_conditioning: whether the canvas is told the noise time. context_layers: bidirectional layers over the query's
    states, before any field looks at them. members: networks from the base's attention to spans, presence and
    candidates, which learn each by itself and whose probabilities are averaged (deep ensembles, Lakshminarayanan et
    al., arXiv 1612.01474); the canvas reads the states of the first.

    without: parts that are left out (see `PARTS`): the keys' own attention, that of their names, that of the query
    to the fields' definitions, attention to neighbouring tokens, the claim against the other fields, what the host
    knows of words, states of the query's tokens and of the keys, the convolution over tokens, the mixing over
    fields, the second look at starts that sees where the other fields would begin, the canvas' copies of query tokens.

    Training: canvas_loss: cross-entropy of masked tokens, their mean or weighted to the NELBO. on_policy: share of
    rows whose canvas was partly filled by the head itself. distillation: weight of the frozen base's own distribution
    of the composed tokens. rivalry: weight of the question which field a token begins, asked beside that of which token
    a field begins with.
    """

    attention: int
    token_states: int
    key_states: int
    telling: int
    token_facts: int
    token_matches: int
    field_facts: int
    candidate_facts: int
    kinds: int
    embedding: int
    vocab_size: int
    canvas_vocab_size: int
    mask_id: int
    null_id: int
    hidden: int = 128
    canvas_layers: int = 2
    canvas_heads: int = 4
    feature_dropout: float = 0.3
    dropout: float = 0.2
    prompt_dropout: float = 0.0
    time_conditioning: bool = True
    context_layers: int = 0
    members: int = 1
    without: tuple[str, ...] = ()
    canvas_loss: str = "masked_mean"
    on_policy: float = 0.0
    distillation: float = 0.0
    rivalry: float = 0.5
    canvas_attention: str = "full"

    def __post_init__(self) -> None:
        if unknown := [part for part in self.without if part not in PARTS]:
            raise ConfigError(f"without={unknown[0]!r} is no part of the reader; known: {', '.join(PARTS)}")
        if self.canvas_loss not in CANVAS_LOSSES:
            raise ConfigError(f"canvas_loss={self.canvas_loss!r} is unknown; known: {', '.join(CANVAS_LOSSES)}")
        if self.canvas_attention not in CANVAS_ATTENTIONS:
            known = ", ".join(CANVAS_ATTENTIONS)
            raise ConfigError(f"canvas_attention={self.canvas_attention!r} is unknown; known: {known}")
        if not 0 <= self.on_policy <= 1:
            raise ConfigError(f"on_policy={self.on_policy} must be in [0, 1]")
        for name in ("distillation", "rivalry"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)} must be >= 0 and finite")
        for name, value in dataclasses.asdict(self).items():
            if name in ("without", "canvas_loss", "on_policy", "distillation", "rivalry", "canvas_attention"):
                continue
            if "dropout" in name:
                if not 0 <= value < 1:
                    raise ConfigError(f"{name}={value} must be in [0, 1)")
            elif name == "time_conditioning":
                if not isinstance(value, bool):
                    raise ConfigError(f"{name}={value!r} must be true or false")
            elif value < 0 or (value == 0 and name not in ("mask_id", "null_id", "canvas_layers", "context_layers")):
                raise ConfigError(f"{name}={value} must be > 0")
        if self.hidden % self.canvas_heads:
            raise ConfigError(f"{self.hidden=} is not a multiple of {self.canvas_heads=}")

    @property
    def extra_rows(self) -> int:
        """Learned embedding rows behind the base's vocabulary."""
        return self.canvas_vocab_size - self.vocab_size

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReaderConfig:
        """Inverse of `to_dict`. Raises ConfigError for unknown or missing keys."""
        try:
            return cls(**(values | {"without": tuple(values.get("without", ()))}))
        except TypeError as error:
            raise ConfigError(f"not a reader configuration: {error}") from error

    @classmethod
    def tiny(cls, **changes: Any) -> ReaderConfig:
        """A few thousand parameters, for tests."""
        values: dict[str, Any] = dict(
            attention=6, token_states=8, key_states=8, telling=5, token_facts=9, token_matches=3, field_facts=12,
            candidate_facts=4, kinds=6, embedding=16, vocab_size=50, canvas_vocab_size=52, mask_id=50, null_id=51,
            hidden=16, canvas_heads=2,
        )  # fmt: skip
        return cls(**(values | changes))
