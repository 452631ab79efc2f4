"""Tensors of `pytorch_model.bin` files, read by PyTorch without running code from them."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxdiff.errors import WeightsError

from .tensor import SourceTensor


def torch_tensors(files: Iterable[Path]) -> Iterator[SourceTensor]:
    """All tensors of `files`, in order, as numpy arrays over memory-mapped storage. Raises WeightsError."""
    for file in files:
        yield from state_tensors(load_state(file), file)


def state_tensors(state: dict[str, Any], file: Path) -> Iterator[SourceTensor]:
    """All tensors of a state dict. Raises WeightsError for anything in it that is no tensor; file: for its message."""
    import torch

    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor):
            raise WeightsError(f"{file}: {name!r} is a {type(tensor).__name__}, not a tensor")
        dtype = str(tensor.dtype).removeprefix("torch.")
        yield SourceTensor(name, tuple(tensor.shape), dtype, functools.partial(_to_numpy, torch, tensor))


def load_state(file: Path) -> dict[str, Any]:
    """The dict in a file that `torch.save` wrote.

    Raises WeightsError if PyTorch is not installed, and for a file that is damaged or holds anything but tensors and
    plain values (which could run code when unpickled).
    """
    try:
        import torch
    except ImportError as error:
        raise WeightsError(f"{file}: reading it needs PyTorch: pip install 'jaxdiff[convert]'") from error
    try:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            # Files from before PyTorch 1.6 are plain pickles, which cannot be mapped.
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        first_line = str(error).split("\n")[0].split(". ")[0]
        raise WeightsError(f"{file}: refused, it holds more than tensors: {first_line}") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{file}: damaged or incomplete: {' '.join(str(error).split())}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{file}: holds a {type(state).__name__} instead of a dict of tensors")
    return state


def _to_numpy(torch: Any, tensor: Any) -> np.ndarray:
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:  # numpy knows it only through ml_dtypes
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
