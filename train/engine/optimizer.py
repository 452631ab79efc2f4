"""The optimizer: the head is trained, the base is frozen, and every parameter is exactly one of the two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import optax

from jaxdiff.errors import ConfigError
from jaxdiff.sharding import leaf_name

TRAINED = "trained"
FROZEN = "frozen"
# Patterns over "/"-joined paths of {"base": ..., "head": ...}. Statistics of the features are measured, not trained;
# rows of positions are kept as a converted head has them.
_KEPT = r"((.*/)?statistics_[^/]*|position/table)"
LABELS = (
    (r"base/.*", FROZEN),
    (rf"head/{_KEPT}", FROZEN),
    (rf"head/(?!{_KEPT}$).*", TRAINED),
)
# Stacked layers give biases and scales two axes, so their names tell them from matrices.
_NO_DECAY = re.compile(r".*(bias|scale|norm)[^/]*")


KINDS = ("adamw", "muon")
SCHEDULES = ("cosine", "linear", "constant", "wsd")
# Share of the steps in which the schedule "wsd" decays.
_COOLDOWN = 0.2


@dataclass(frozen=True)
class OptimizerConfig:
    """How the head's parameters move.

    kind: "adamw" (arXiv 1711.05101), or "muon" (Jordan et al., 2024; arXiv 2502.16982) for matrices with AdamW for the
    rest. decay: after a linear warm-up to `learning_rate`, "cosine" or "linear" to zero, "constant", or "wsd"
    (constant, then linear to zero over the last fifth; arXiv 2404.06395). Gradients are clipped by their global norm.
    """

    kind: str = "adamw"
    decay: str = "cosine"
    learning_rate: float = 1.5e-3
    steps: int = 1400
    warmup: int = 50
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    b1: float = 0.9
    b2: float = 0.999

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("decay", SCHEDULES)):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name}={getattr(self, name)!r} must be one of {', '.join(known)}")
        for name, positive in (("learning_rate", True), ("steps", True), ("weight_decay", False), ("clip_norm", True)):
            value = getattr(self, name)
            if not (0 < value < float("inf") or (value == 0 and not positive)):
                raise ConfigError(f"{name}={value} must be {'>' if positive else '>='} 0 and finite")
        if not 0 <= self.warmup < self.steps:
            raise ConfigError(f"warmup={self.warmup} must be >= 0 and below steps={self.steps}")
        for name in ("b1", "b2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be in [0, 1)")

    def schedule(self) -> optax.Schedule:
        """Learning rate by step."""
        peak, after = self.learning_rate, self.steps - self.warmup
        if self.decay == "cosine":
            return optax.warmup_cosine_decay_schedule(0.0, peak, self.warmup, self.steps)
        rise = optax.linear_schedule(0.0, peak, self.warmup)
        if self.decay == "linear":
            return optax.join_schedules([rise, optax.linear_schedule(peak, 0.0, after)], [self.warmup])
        if self.decay == "constant":
            return optax.join_schedules([rise, optax.constant_schedule(peak)], [self.warmup])
        cooldown = max(1, round(_COOLDOWN * after))
        fall = optax.linear_schedule(peak, 0.0, cooldown)
        return optax.join_schedules([rise, optax.constant_schedule(peak), fall], [self.warmup, self.steps - cooldown])


def label_leaves(params: Any, table: Sequence[tuple[str, str]] = LABELS) -> Any:
    """The label of every leaf, by the one pattern of `table` that matches its whole path.

    Raises ConfigError naming every leaf that no pattern or more than one matches.
    """
    problems = []

    def label(path: tuple[Any, ...], _: Any) -> str:
        name = leaf_name(path)
        found = [(pattern, label) for pattern, label in table if re.fullmatch(pattern, name)]
        if len(found) != 1:
            problems.append(f"{name} ({' and '.join(pattern for pattern, _ in found) or 'no pattern'})")
            return ""
        return found[0][1]

    labels = jax.tree_util.tree_map_with_path(label, params)
    if problems:
        raise ConfigError(f"parameters without exactly one label: {', '.join(problems)}")
    return labels


def make_optimizer(config: OptimizerConfig, params: Any) -> optax.GradientTransformation:
    """Transformation of gradients of {"base": ..., "head": ...} whose updates are zero for the base.

    Clipping sees the head's gradients alone. Weight decay acts on matrices, not on biases and scales. The base owns no
    optimizer state. Raises ConfigError for parameters that are neither base nor head.
    """
    trained = optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        _moving(config),
    )
    return optax.multi_transform({TRAINED: trained, FROZEN: optax.set_to_zero()}, label_leaves(params))


def _moving(config: OptimizerConfig) -> optax.GradientTransformation:
    if config.kind == "adamw":
        return optax.adamw(config.schedule(), config.b1, config.b2, weight_decay=config.weight_decay, mask=_matrices)
    return optax.contrib.muon(
        config.schedule(),
        weight_decay=config.weight_decay,
        adam_b1=config.b1,
        adam_b2=config.b2,
        # Updates as large as AdamW's, so that both take the same learning rate (arXiv 2502.16982, section 2.2).
        consistent_rms=0.2,
        muon_weight_dimension_numbers=_orthogonalised,
    )


def _orthogonalised(params: Any) -> Any:
    """Matrices from inputs to outputs; tables of embeddings and what is not a matrix are left to AdamW."""

    def numbers(path: tuple[Any, ...], leaf: Any) -> Any:
        name = leaf_name(path)
        if not name.endswith("kernel") or leaf.ndim not in (2, 3) or 1 in leaf.shape:
            return None
        if leaf.ndim == 2:
            return optax.contrib.MuonDimensionNumbers(0, 1)
        # Heads of attention: [in, heads, width], and back [heads, width, out].
        back = name.endswith("out/kernel")
        return optax.contrib.MuonDimensionNumbers((0, 1), 2) if back else optax.contrib.MuonDimensionNumbers(0, (1, 2))

    return jax.tree_util.tree_map_with_path(numbers, params)


def _matrices(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf.ndim >= 2 and not _NO_DECAY.fullmatch(leaf_name(path)), params
    )
