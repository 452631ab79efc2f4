"""Finding the diffusion head in a checkpoint file: PyTorch's or safetensors, alone or among other things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxdiff.errors import WeightsError

from .sources import FLOAT_DTYPES, SourceTensor
from .sources.safetensors_files import safetensors_tensors

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
# Where training programs put the state dict beside optimizer and step.
_STATE_KEYS = ("model_state_dict", "state_dict", "model", "diffusion_head")
# What `torch.compile` and distributed training put before and into names.
_WRAPPERS = ("_orig_mod", "module")
HEADS_KEY = "num_heads"


@dataclass(frozen=True)
class HeadState:
    """A head's tensors by their names without prefix.

    dtype: name of the type that all share, else float32. ignored: how many tensors of other modules stood beside them.
    num_heads: of attention, where the file says so.
    """

    tensors: dict[str, np.ndarray]
    dtype: str
    ignored: int
    num_heads: int | None


def read_head_state(file: Path) -> HeadState:
    """Raises WeightsError for what is no such file, is damaged, or holds values that are not finite."""
    if not file.is_file():
        raise WeightsError(f"{file}: {'is a folder; give the file in it' if file.is_dir() else 'no such file'}")
    if file.suffix == ".safetensors":
        found, ignored = _head_tensors(list(safetensors_tensors([file])), file)
        num_heads = _heads_in_metadata(file)
    elif file.suffix in TORCH_SUFFIXES:
        found, ignored = _head_tensors(list(_torch_tensors(file)), file)
        num_heads = None
    else:
        known = ", ".join((".safetensors", *TORCH_SUFFIXES))
        raise WeightsError(f"{file}: not a head's checkpoint; known endings: {known}")
    strange = [f"{name} ({tensor.dtype})" for name, tensor in found.items() if tensor.dtype not in FLOAT_DTYPES]
    if strange:
        raise WeightsError(f"{file}: unsupported types: {', '.join(strange[:4])}; supported: {', '.join(FLOAT_DTYPES)}")
    dtypes = {tensor.dtype for tensor in found.values()}
    arrays = {name: tensor.load() for name, tensor in found.items()}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(f"{file}: values that are not finite in {', '.join(broken[:8])}")
    return HeadState(arrays, dtypes.pop() if len(dtypes) == 1 else "float32", ignored, num_heads)


def _torch_tensors(file: Path) -> Iterator[SourceTensor]:
    from .sources.torch_bin import load_state, state_tensors

    state = load_state(file)
    for key in _STATE_KEYS:
        if isinstance(state.get(key), dict):
            state = state[key]
            break
    return state_tensors({str(name): value for name, value in state.items()}, file)


def _head_tensors(tensors: list[SourceTensor], file: Path) -> tuple[dict[str, SourceTensor], int]:
    """The head's tensors, and the number of others: where names say `diffusion_head`, the rest is not its."""
    named = [(tensor, *_without_prefix(tensor.name)) for tensor in tensors]
    inside = [(name, tensor) for tensor, name, prefixed in named if prefixed]
    chosen = inside or [(name, tensor) for tensor, name, _ in named]
    found: dict[str, Any] = {}
    for name, tensor in chosen:
        if name in found:
            raise WeightsError(f"{file}: {name} twice, as {found[name].name} and as {tensor.name}")
        found[name] = tensor
    return found, len(tensors) - len(found)


def _without_prefix(name: str) -> tuple[str, bool]:
    """The name inside the head, and whether `diffusion_head` stood before it."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    prefixed = "diffusion_head" in parts
    return ".".join(parts[parts.index("diffusion_head") + 1 :] if prefixed else parts), prefixed


def _heads_in_metadata(file: Path) -> int | None:
    try:
        with safe_open(file, framework="np") as opened:
            stated = (opened.metadata() or {}).get(HEADS_KEY, "")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: damaged or incomplete safetensors file: {error}") from error
    return int(stated) if stated.isdecimal() else None
