"""Small random models of `transformers`, and everything that one pass of them computes."""

import copy
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import (
    AutoConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

torch.set_num_threads(2)

SIZES = dict(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=0,
    eos_token_id=2,
    pad_token_id=3,
    attn_implementation="eager",
)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    original_max_position_embeddings=64,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
)


def smollm3(**changes: Any) -> SmolLM3Config:
    """A tiny SmolLM3, the second of its three layers without rotary embedding."""
    default = SIZES | dict(num_key_value_heads=2, no_rope_layers=[1, 0, 1])
    rope = dict(rope_type="default", rope_theta=5e6)
    return SmolLM3Config(**copy.deepcopy(default | dict(rope_parameters=rope) | changes))


def llama(**changes: Any) -> LlamaConfig:
    """A tiny Llama, as SmolLM2 is one."""
    default = SIZES | dict(num_key_value_heads=2, tie_word_embeddings=True)
    rope = dict(rope_type="default", rope_theta=1e5)
    return LlamaConfig(**copy.deepcopy(default | dict(rope_parameters=rope) | changes))


def random_model(config: SmolLM3Config | LlamaConfig, seed: int) -> PreTrainedModel:
    """float32, with weights large enough that attention is far from uniform, and norms away from 1.

    They are no larger, because then float32 itself is more than 1e-4 away from float64, in `transformers` too.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = SmolLM3ForCausalLM if isinstance(config, SmolLM3Config) else LlamaForCausalLM
    model = kind(config).eval().to(torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.copy_(1 + 0.2 * noise)
            else:
                weight.copy_(0.5 * noise if "embed" in name or "lm_head" in name else noise / weight.shape[1] ** 0.5)
    return model


def model_of_gguf(file: Path) -> PreTrainedModel:
    """The float32 Llama of a GGUF file, by the reader of `transformers` (whose `from_pretrained` needs accelerate)."""
    model = LlamaForCausalLM(AutoConfig.from_pretrained(file.parent, gguf_file=file.name)).eval()
    tensors = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ValueError(f"{file}: {missing=} {unexpected=}")
    model.tie_weights()
    return model


def greedy_tokens(model: PreTrainedModel, ids: list[int], new_tokens: int, end: int | None) -> list[int]:
    """The new tokens alone, the token `end` last where the text ends there."""
    given = torch.tensor([ids])
    output = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        do_sample=False,
        max_new_tokens=new_tokens,
        eos_token_id=end,
        pad_token_id=2,
    )
    return output[0, len(ids) :].tolist()


def padded_batch(vocab_size: int, seed: int, length: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Four rows of ids and which of them are tokens: all, padded on the right, on the left, in the middle."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, (4, length))
    valid = np.ones((4, length), bool)
    valid[1, length - 5 :] = False
    valid[2, :4] = False
    valid[3, 3:6] = False
    return ids.astype(np.int32), valid


def one_pass(model: PreTrainedModel, ids: np.ndarray, valid: np.ndarray, layer: int = 1) -> dict[str, np.ndarray]:
    """Logits, hidden states, rotary tables, and what goes into and comes out of the parts of one layer."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: torch.nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            given = args[0] if args else kwargs["hidden_states"]
            seen[f"{name}_in"] = given
            seen[f"{name}_out"] = output[0] if isinstance(output, tuple) else output

        return hook

    block = model.model.layers[layer]
    parts = {
        "norm": block.input_layernorm,
        "attention": block.self_attn,
        "mlp": block.mlp,
        "final_norm": model.model.norm,
    }
    hooks = [part.register_forward_hook(keep(name), with_kwargs=True) for name, part in parts.items()]
    valid_tensor = torch.from_numpy(valid)
    positions = (valid_tensor.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(ids).long(),
            attention_mask=valid_tensor.long(),
            position_ids=positions,
            output_hidden_states=True,
            use_cache=False,
        )
        cos, sin = model.model.rotary_emb(output.logits, positions)
    for hook in hooks:
        hook.remove()
    seen |= {"logits": output.logits, "cos": cos, "sin": sin, "states": torch.stack(output.hidden_states[1:-1])}
    return {name: tensor.numpy() for name, tensor in seen.items()}
