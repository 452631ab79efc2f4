"""LoRA adapters (Hu et al., arXiv 2106.09685) in the layout of PEFT, merged into the weights they were trained on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError, WeightsError

from .naming import HUGGING_FACE, Leaf, leaf_shapes, printable, unwrapped

ADAPTER_CONFIG = "adapter_config.json"
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
# Options of LoRA under which the merged weight is another than W + scale * B A, and the value that leaves it so.
_PLAIN = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "lora_bias": False,
    "use_qalora": False,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
}
# Ways to begin training that also change the weights that the adapter is added to.
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class LowRank:
    """One weight's update, scale * B A. a: [r, in]. b: [out, r]."""

    a: np.ndarray
    b: np.ndarray
    scale: float


@dataclass(frozen=True)
class Adapter:
    """Updates by leaf and layer. rank, alpha: as its configuration states them."""

    path: Path
    base: str | None
    rank: int
    alpha: float
    updates: dict[tuple[Leaf, int | None], LowRank]

    def merge(self, leaf: Leaf, layer: int | None, kernel: np.ndarray) -> np.ndarray:
        """The kernel [in, out] with its update added in float32 and rounded once; itself where it has none."""
        update = self.updates.get((leaf, layer))
        if update is None:
            return kernel
        delta = update.scale * (update.a.T @ update.b.T)
        with np.errstate(over="ignore"):
            return (kernel.astype(np.float32) + delta).astype(kernel.dtype)

    def modules(self) -> list[str]:
        """Names of the kinds of weights that it changes."""
        return sorted({leaf.split("/")[-2] for leaf, _ in self.updates})


def read_adapter(folder: Path, config: BaseConfig) -> Adapter:
    """Reads a PEFT folder: `adapter_config.json` and `adapter_model.safetensors` or `.bin`.

    config: of the model that it is merged into. Raises ConfigError for adapters other than plain LoRA, by name, and
    WeightsError for tensors that are missing, unknown, or do not fit the model.
    """
    from .sources.files import read_json

    values = read_json(folder / ADAPTER_CONFIG)
    _refuse_unsupported(values, str(folder / ADAPTER_CONFIG))
    factors = _factors(folder)
    shapes = leaf_shapes(config)
    updates: dict[tuple[Leaf, int | None], LowRank] = {}
    for module, sides in factors.items():
        match = HUGGING_FACE.match(f"{module}.weight")
        if match is None or match[0].leaf not in shapes or not match[0].leaf.endswith("/kernel"):
            raise WeightsError(f"{folder}: the model has no {printable(module)} to merge an update into")
        rule, layer = match
        assert rule.leaf is not None
        if (layer is not None and layer >= config.num_layers) or (rule.leaf, layer) in updates:
            raise WeightsError(f"{folder}: {module} comes twice, or beyond the {config.num_layers} layers of the model")
        if len(sides) != 2:
            raise WeightsError(f"{folder}: {module} has only one of lora_A and lora_B")
        rows, columns = shapes[rule.leaf][-2:]
        rank = _of_pattern(values.get("rank_pattern"), module, values["r"])
        if sides["A"].shape != (rank, rows) or sides["B"].shape != (columns, rank):
            raise WeightsError(
                f"{folder}: {module} has lora_A {list(sides['A'].shape)} and lora_B {list(sides['B'].shape)} "
                f"instead of {[rank, rows]} and {[columns, rank]}"
            )
        alpha = _of_pattern(values.get("alpha_pattern"), module, values["lora_alpha"])
        scale = alpha / (math.sqrt(rank) if values.get("use_rslora") else rank)
        updates[rule.leaf, layer] = LowRank(sides["A"], sides["B"], scale)
    if not updates:
        raise WeightsError(f"{folder}: the adapter holds no tensors")
    base = values.get("base_model_name_or_path")
    return Adapter(folder, base, values["r"], values["lora_alpha"], updates)


def _factors(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Matrices in float32 by module and side."""
    from .sources.files import weight_tensors

    factors: dict[str, dict[str, np.ndarray]] = {}
    unknown = []
    for tensor in weight_tensors(folder, ("adapter_model.safetensors", "adapter_model.bin")):
        found = _FACTOR.fullmatch(tensor.name)
        if found is None or len(tensor.shape) != 2:
            unknown.append(printable(tensor.name))
            continue
        module = unwrapped(found["module"].removeprefix("base_model.model."))
        matrix = tensor.load().astype(np.float32)
        if not np.isfinite(matrix).all():
            raise WeightsError(f"{folder}: {tensor.name} holds values that are not finite; the file is damaged")
        factors.setdefault(module, {})[found["side"]] = matrix
    if unknown:
        raise WeightsError(f"{folder}: {len(unknown)} tensors are not of a LoRA on matrices, first {unknown[0]}")
    return factors


def _refuse_unsupported(values: dict[str, Any], place: str) -> None:
    if values.get("peft_type") != "LORA":
        raise ConfigError(f"{place}: peft_type={values.get('peft_type')!r} is not supported; known: 'LORA'")
    problems = [f"{key}={values[key]!r}" for key, plain in _PLAIN.items() if values.get(key) not in (plain, None, [])]
    if values.get("bias", "none") != "none":
        problems.append(f"bias={values['bias']!r}")
    start = values.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_THE_BASE):
        problems.append(f"init_lora_weights={start!r}")
    if problems:
        raise ConfigError(f"{place}: {', '.join(problems)} is not supported; only plain LoRA can be merged")
    for key, least in (("r", 1), ("lora_alpha", 0)):
        if isinstance(values.get(key), bool) or not isinstance(values.get(key), int | float) or values[key] < least:
            raise ConfigError(f"{place}: {key}={values.get(key)!r} is not a number of at least {least}")


def _of_pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """The value that PEFT gives a module: of the first pattern that ends its name."""
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(?:.*\.)?(?:{pattern})", module):
            return value
    return default
