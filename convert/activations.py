"""States of a converted base beside those of the source model in `transformers`, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.base.store import read_base
from jaxdiff.errors import InputError, WeightsError

from .adapter import read_adapter
from .compare import cosine
from .torch_model import TorchModel


@dataclass(frozen=True)
class StateDifference:
    """After one stage of the model. max_abs: largest absolute difference; max_relative: over the largest value.

    cosine: the least over the tokens.
    """

    stage: str
    max_abs: float
    max_relative: float
    cosine: float
    within: bool


def compare_activations(
    src: Path,
    out: Path,
    *,
    text: str | None = None,
    tokens: int = 64,
    seed: int = 0,
    tolerance: float = 1e-4,
    adapter: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[StateDifference]:
    """Embedding, every layer, the final norm and the logits, both sides in float32, in the order of computation.

    src: the checkpoint, which `transformers` runs on PyTorch. out: the converted folder. text: what both read; without
    it, `tokens` random ids of `seed`. tolerance: greatest difference over the largest value of the stage. adapter: the
    LoRA that was merged. report: called with the number of stages done and their total. Raises WeightsError,
    InputError, ConfigError.
    """
    import jax

    base = read_base(out, dtype="float32")
    if text is not None:
        ids = base.encode(text)
    elif tokens > 0:
        ids = np.random.default_rng(seed).integers(0, base.config.vocab_size, tokens).tolist()
    else:
        raise InputError(f"{tokens=} must be at least 1")
    if not ids:
        raise InputError("the text has no tokens")
    model = TorchModel(src, None if adapter is None else read_adapter(adapter, base.config))
    if model.layers != base.config.num_layers:
        raise WeightsError(f"{out} has {base.config.num_layers} layers, {src} has {model.layers}")
    with jax.default_matmul_precision("highest"):
        ours = _states(base, ids)
    theirs = model.states(ids)
    differences = []
    for done, (stage, found) in enumerate(ours.items(), start=1):
        differences.append(_difference(stage, theirs[stage], found, tolerance))
        report(done, len(ours))
    return differences


def _states(base: Any, ids: list[int]) -> dict[str, np.ndarray]:
    import jax.numpy as jnp

    from jaxdiff.base import masks

    checked, valid = base.check_ids([ids])
    layers = tuple(range(1, base.config.num_layers + 1))
    variables = {"params": base.params}
    output = base.module.apply(variables, checked, masks.positions(valid), masks.causal(valid), taps=layers)
    states = {"embedding": jnp.take(base.embedding, checked[0], axis=0)}
    states |= {f"layer {number}": output.taps[0, :, number - 1] for number in layers}
    states["final norm"] = output.hidden[0]
    states["logits"] = base.module.apply(variables, output.hidden, method="unembed")[0]
    return {stage: np.asarray(value, np.float64) for stage, value in states.items()}


def _difference(stage: str, expected: np.ndarray, found: np.ndarray, tolerance: float) -> StateDifference:
    if expected.shape != found.shape:
        raise WeightsError(f"{stage}: states of shape {found.shape} instead of {expected.shape}")
    error, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
    relative = error / largest if largest else error
    rows = zip(expected, found, strict=True)
    least = min(cosine(float(a @ b), float(a @ a), float(b @ b)) for a, b in rows)
    # Written so that a value that is not a number counts as beyond.
    return StateDifference(stage, error, relative, least, bool(relative <= tolerance))
