"""The default weights in `transformers`, on PyTorch: the side that jaxdiff is compared with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.base.store import cache_dir
from jaxdiff.errors import JaxdiffError
from jaxdiff_convert.fetch import fetch_default_weights

LIBRARIES = ("transformers", "torch")


class Reference:
    """SmolLM2-135M-Instruct read by `transformers` from the very GGUF file that the default base is converted from.

    dtype: "float32" or "bfloat16". threads: of PyTorch; None leaves its own choice. Raises JaxdiffError where PyTorch
    or transformers is not installed.
    """

    def __init__(self, dtype: str = "float32", threads: int | None = None):
        # The file is here; nothing is to be asked of the hub.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            import torch
            import transformers
            from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
        except ImportError as error:
            raise JaxdiffError(f"this needs PyTorch and transformers; `make bench` installs them ({error})") from error
        if threads is not None:
            torch.set_num_threads(threads)
        weights = fetch_default_weights(cache_dir())
        self._torch = torch
        # `from_pretrained` would need accelerate for a GGUF file; what reads the tensors does not.
        config = transformers.AutoConfig.from_pretrained(weights.parent, gguf_file=weights.name)
        self._model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
        tensors = load_gguf_checkpoint(str(weights), return_tensors=True, model_to_load=self._model)["tensors"]
        missing, unexpected = self._model.load_state_dict(tensors, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise JaxdiffError(f"transformers reads {weights.name} with {missing=} {unexpected=}")
        self._model.tie_weights()
        self._model.eval()
        # Both sides write as many tokens as they are asked for.
        self._model.generation_config.eos_token_id = None
        self._model.generation_config.pad_token_id = 0

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """[T, V] float32 for ids [T]."""
        with self._torch.inference_mode():
            output = self._model(self._torch.tensor([list(ids)]))
        return output.logits[0].float().numpy()

    def prefill(self, ids: Sequence[int]) -> int:
        """Reads ids [T] into a KV cache; the most probable next token."""
        with self._torch.inference_mode():
            output = self._model(self._torch.tensor([list(ids)]), use_cache=True, logits_to_keep=1)
        return int(output.logits[0, -1].argmax())

    def greedy(self, ids: Sequence[int], new_tokens: int) -> list[int]:
        """Exactly `new_tokens` tokens after ids [T], over a KV cache."""
        given = self._torch.tensor([list(ids)])
        with self._torch.inference_mode():
            output = self._model.generate(
                given, attention_mask=self._torch.ones_like(given), do_sample=False, max_new_tokens=new_tokens
            )
        return output[0, len(ids) :].tolist()
