"""The base against `transformers`, live: fresh random models through conversion, and the real default weights."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import jax
import numpy as np
import pytest
import transformers

from jaxdiff.base.generate import greedy
from jaxdiff.base.store import cache_dir, load_base, read_base
from jaxdiff_convert.convert import convert
from jaxdiff_convert.fetch import fetch_default_weights
from tests.convert.checkpoints import VOCAB, tiny_tokenizer
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


@pytest.fixture(autouse=True)
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


def random_config(seed: int):
    """Sizes, kind of rotary embedding and NoPE layers drawn from `seed`; SmolLM3 where that is even."""
    rng = np.random.default_rng(seed)
    heads, ratio = int(rng.choice([4, 6, 8])), int(rng.choice([1, 2]))
    layers = int(rng.integers(2, 6))
    head_dim = int(rng.choice([8, 16]))
    rope = [
        dict(rope_type="default", rope_theta=float(rng.choice([1e4, 1e5, 5e6]))),
        dict(rope_type="linear", rope_theta=1e4, factor=float(rng.uniform(1, 8))),
        dict(rope_type="dynamic", rope_theta=1e4, factor=2.0),
        YARN | dict(factor=float(rng.uniform(1, 8)), truncate=bool(rng.integers(2))),
        LLAMA3 | dict(factor=float(rng.uniform(1, 8))),
    ][seed % 5]
    sizes = dict(
        vocab_size=VOCAB,
        hidden_size=heads * head_dim,
        intermediate_size=int(rng.integers(20, 80)),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // ratio,
        rms_norm_eps=float(rng.choice([1e-6, 1e-5])),
        tie_word_embeddings=bool(rng.integers(2)),
        rope_parameters=rope,
    )
    if seed % 2:
        return llama(**sizes)
    return smollm3(**sizes, no_rope_layers=rng.integers(0, 2, layers).tolist())


@pytest.mark.parametrize("seed", range(10))
def test_logits_of_random_models(seed, tmp_path, record_property):
    config = random_config(seed)
    model = random_model(config, seed)
    model.save_pretrained(tmp_path / "checkpoint")
    tiny_tokenizer().save(str(tmp_path / "checkpoint" / "tokenizer.json"))
    base = read_base(convert(tmp_path / "checkpoint", tmp_path / "base"))
    ids, valid = padded_batch(VOCAB, seed, length=40)
    expected = one_pass(model, ids, valid)["logits"][valid]
    error = np.abs(np.asarray(base.logits(ids, valid))[valid] - expected).max()
    record_property("max_abs_error", float(error))
    print(f"{seed=} {config.model_type} {config.rope_parameters['rope_type']}: max abs error {error:.2e}")
    assert np.abs(expected).max() > 3
    assert error <= 1e-4


@pytest.fixture(scope="module")
def real_model() -> transformers.PreTrainedModel:
    """The default weights in `transformers`, which reads the same GGUF file."""
    return model_of_gguf(fetch_default_weights(cache_dir()))


def test_greedy_tokens_of_the_real_weights(real_model):
    base = load_base("default")
    texts = [base.encode("The three laws of robotics are"), base.encode("Dear Sir or Madam,\n\n")]
    width = max(map(len, texts))
    ids = np.array([text + [0] * (width - len(text)) for text in texts])
    valid = np.arange(width) < np.array([[len(text)] for text in texts])
    found = np.asarray(greedy(base, ids, valid, 40, stop_ids=()))
    for text, tokens in zip(texts, found, strict=True):
        assert tokens.tolist() == greedy_tokens(real_model, text, 40, end=None)


def test_logits_of_the_real_weights(real_model):
    base = load_base("default")
    ids = np.array([base.encode("A short text about rivers, lakes and 12 seas.")], np.int32)
    valid = np.ones_like(ids, bool)
    expected = one_pass(real_model, ids, valid)["logits"]
    error = np.abs(np.asarray(base.logits(ids)) - expected).max()
    print(f"default base: max abs error {error:.2e}, largest logit {np.abs(expected).max():.1f}")
    assert error <= 1e-3
