"""The source model in `transformers`, on PyTorch: what a conversion is compared with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.errors import WeightsError

from .adapter import Adapter


class TorchModel:
    """A Hugging Face folder or GGUF file, in float32, with `adapter` merged into it.

    layers: their number. Raises WeightsError where PyTorch or transformers is not installed or cannot load the model.
    """

    def __init__(self, src: Path, adapter: Adapter | None = None):
        # The files are here; nothing is to be asked of the hub.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            import torch
            import transformers
        except ImportError as error:
            raise WeightsError(
                f"comparing states needs PyTorch and transformers ({error}): pip install 'jaxdiff[convert]'"
            ) from error
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch = torch
        try:
            load = _load_folder if src.is_dir() else _load_gguf
            self._model, missing = load(torch, transformers, src)
        except Exception as error:  # of every kind that a damaged or foreign checkpoint can bring about
            raise WeightsError(f"{src}: transformers cannot load it: {' '.join(str(error).split())[:300]}") from error
        if missing:
            raise WeightsError(f"{src}: transformers finds other tensors than it expects, among them {missing[0]}")
        self._model.eval()
        self.layers = len(self._model.model.layers)
        if adapter is not None:
            self._merge(adapter)

    def states(self, ids: list[int]) -> dict[str, np.ndarray]:
        """Of one text: the embedding, after every layer and the final norm [T, D], and the logits [T, V]; float64."""
        seen: dict[str, np.ndarray] = {}

        def keep(stage: str) -> Any:
            def hook(module: Any, given: Any, output: Any) -> None:
                state = output[0] if isinstance(output, tuple) else output
                seen[stage] = state[0].double().numpy()

            return hook

        model = self._model.model
        stages = {"embedding": model.embed_tokens, "final norm": model.norm, "logits": self._model.lm_head}
        stages |= {f"layer {number}": layer for number, layer in enumerate(model.layers, start=1)}
        hooks = [module.register_forward_hook(keep(stage)) for stage, module in stages.items()]
        with self._torch.inference_mode():
            self._model(input_ids=self._torch.tensor([ids]), use_cache=False)
        for hook in hooks:
            hook.remove()
        return seen

    def _merge(self, adapter: Adapter) -> None:
        for (leaf, layer), update in adapter.updates.items():
            parts = leaf.removesuffix("/kernel").removeprefix("layers/").split("/")
            module = self._model if layer is None else self._model.model.layers[layer]
            weight = module.get_submodule(".".join(parts)).weight
            delta = self._torch.from_numpy(update.b) @ self._torch.from_numpy(update.a)
            with self._torch.no_grad():
                weight += update.scale * delta


def _load_folder(torch: Any, transformers: Any, src: Path) -> tuple[Any, list[str]]:
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        src, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    return model, [name for kind in info.values() for name in kind]


def _load_gguf(torch: Any, transformers: Any, src: Path) -> tuple[Any, list[str]]:
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    # `from_pretrained` would need accelerate for a GGUF file; what reads the tensors does not.
    config = transformers.AutoConfig.from_pretrained(src.parent, gguf_file=src.name)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    tensors = load_gguf_checkpoint(str(src), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    return model, [*unexpected, *(set(missing) - tied)]
