"""Writes tests/base/golden with `transformers`: python -m tests.parity.make_golden [SmolLM2-135M-Instruct.Q4_1.gguf]

Run it when a case is added. The greedy tokens are made from the file that the default base is fetched from; without an
argument it is fetched.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from jaxdiff.base.store import cache_dir
from jaxdiff_convert.fetch import fetch_default_weights
from tests.parity.hf_models import (
    LLAMA3,
    YARN,
    greedy_tokens,
    llama,
    model_of_gguf,
    one_pass,
    padded_batch,
    random_model,
    smollm3,
)

GOLDEN = Path(__file__).parent.parent / "base" / "golden"

MODELS = {
    "smollm3_nope_gqa4": smollm3(num_key_value_heads=1, no_rope_layers=[1, 1, 0]),
    "smollm3_yarn_gqa2": smollm3(rope_parameters=YARN, head_dim=16, intermediate_size=32),
    "smollm3_untied_gqa1": smollm3(num_key_value_heads=4, tie_word_embeddings=False),
    "llama_gqa3": llama(hidden_size=48, num_attention_heads=6, num_key_value_heads=2),
    "llama_llama3_gqa2": llama(rope_parameters=LLAMA3, head_dim=16, intermediate_size=32),
    "llama_linear_gqa1": llama(
        rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0), num_key_value_heads=4, head_dim=12
    ),
}
ROPES = {
    "default": dict(rope_type="default", rope_theta=1e5),
    "linear": dict(rope_type="linear", rope_theta=1e4, factor=3.0),
    "dynamic": dict(rope_type="dynamic", rope_theta=1e4, factor=2.0),
    "llama3": LLAMA3,
    "yarn": YARN,
    "yarn_large_theta": YARN | dict(rope_theta=5e6, factor=2.0, original_max_position_embeddings=32768),
    "yarn_betas": YARN | dict(beta_fast=4.0, beta_slow=0.5),
    "yarn_not_truncated": YARN | dict(truncate=False),
    "yarn_attention_factor": YARN | dict(attention_factor=1.5),
    "yarn_mscale": YARN | dict(mscale=1.2, mscale_all_dim=0.7),
}
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "1, 2, 3, 4, 5,",
    "Water boils at 100 degrees Celsius, which is",
    "Q: Who wrote Hamlet?\nA:",
    '{"name": "get_weather", "arguments": {"city": "',
    "Die Hauptstadt von Österreich heißt",
]
CHATS = ["Reply with one word: is the sky blue?", "Name three fruits."]
NEW_TOKENS = 40


def write_models() -> None:
    for seed, (name, config) in enumerate(MODELS.items()):
        model = random_model(config, seed)
        ids, valid = padded_batch(config.vocab_size, seed)
        weights = {f"weights/{key}": value.numpy() for key, value in model.state_dict().items()}
        if config.tie_word_embeddings:
            del weights["weights/lm_head.weight"]
        found = one_pass(model, ids, valid)
        np.savez_compressed(
            GOLDEN / f"{name}.npz", config=json.dumps(config.to_dict()), ids=ids, valid=valid, **weights, **found
        )


def write_ropes() -> None:
    written = {}
    for name, parameters in ROPES.items():
        config = llama(rope_parameters=parameters, head_dim=16)
        rotary = LlamaRotaryEmbedding(config)
        written[name] = {
            "config": config.to_dict(),
            "inverse_frequencies": rotary.inv_freq.tolist(),
            "attention_factor": rotary.attention_scaling,
        }
    write_json("rope.json", written)


def write_greedy(weights: Path) -> None:
    model = model_of_gguf(weights)
    tokenizer = transformers.AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    texts = []
    for prompt in PROMPTS:
        texts.append({"prompt": prompt, "ids": tokenizer(prompt, add_special_tokens=False)["input_ids"]})
    for question in CHATS:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        texts.append({"prompt": prompt, "ids": tokenizer(prompt, add_special_tokens=False)["input_ids"]})
    for text in texts:
        text["new_ids"] = greedy_tokens(model, text["ids"], NEW_TOKENS, end=tokenizer.eos_token_id)
    written = {
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "transformers": transformers.__version__,
        "new_tokens": NEW_TOKENS,
        "texts": texts,
    }
    write_json("greedy.json", written)


def write_json(name: str, content: Any) -> None:
    (GOLDEN / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    write_models()
    write_ropes()
    write_greedy(Path(sys.argv[1]) if len(sys.argv) > 1 else fetch_default_weights(cache_dir()))
