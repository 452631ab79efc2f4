"""Each filter of next-token logits equals that of `transformers` on the same logits, ties and extremes included."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LlamaForCausalLM
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from jaxdiff.base.sampling import (
    Sampling,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
)
from tests.parity.hf_models import llama

VOCAB = 49152
IDS = np.random.default_rng(1).integers(0, VOCAB, (4, 50)).astype(np.int32)


def logits_of(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "usual":
        return (3 * rng.normal(size=(4, VOCAB))).astype(np.float32)
    if kind == "peaked":
        return (20 * rng.normal(size=(4, VOCAB))).astype(np.float32)
    if kind == "ties":
        # Powers of two as shares, which float32 adds without rounding.
        return (np.log(2) * rng.integers(-3, 4, (4, 64))).round(6).astype(np.float32)
    if kind == "equal":
        return np.zeros((4, 64), np.float32)
    logits = rng.normal(size=(4, 64)).astype(np.float32)
    logits[:, ::3] = -np.inf
    logits[:, 1] = 1e4
    return logits


@pytest.fixture(autouse=True)
def stable_sort(monkeypatch):
    """Which of equal logits top-p leaves out is open in `transformers`, as the order of equals in `torch.sort` is."""
    monkeypatch.setattr(torch, "sort", functools.partial(torch.sort, stable=True))


@pytest.mark.parametrize("kind", ["usual", "peaked", "ties", "equal", "extreme"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        *[(lambda x, k=k: keep_top_k(x, k), TopKLogitsWarper(k)) for k in (1, 40, 60000)],
        *[(lambda x, p=p: keep_top_p(x, p), TopPLogitsWarper(p)) for p in (0.05, 0.5, 0.9, 0.999)],
        *[(lambda x, p=p: keep_min_p(x, p), MinPLogitsWarper(p)) for p in (0.01, 0.3, 1.0)],
        *[
            (lambda x, t=t: filter_logits(x, Sampling(temperature=t)), TemperatureLogitsWarper(t))
            for t in (0.01, 0.7, 5.0)
        ],
        *[
            (
                lambda x, p=p: penalize_repetition(x, IDS % x.shape[1], np.ones(IDS.shape, bool), p),
                RepetitionPenaltyLogitsProcessor(p),
            )
            for p in (0.5, 1.3)
        ],
    ],
)
def test_a_filter(kind, ours, theirs):
    logits = logits_of(kind)
    ids = torch.from_numpy(IDS % logits.shape[1]).long()
    expected = theirs(ids, torch.from_numpy(logits)).numpy()
    found = np.asarray(ours(jnp.asarray(logits)))
    np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["usual", "peaked", "extreme"])
def test_the_order_of_generate(kind):
    """All filters on, in the order in which `generate` puts them."""
    logits = logits_of(kind)
    ids = IDS % logits.shape[1]
    settings = dict(temperature=0.8, top_k=50, top_p=0.9, min_p=0.02, repetition_penalty=1.2)
    wanted = GenerationConfig(do_sample=True, **settings)
    model = LlamaForCausalLM(llama())
    processors = model._get_logits_processor(wanted, input_ids_seq_length=ids.shape[1], prefix_allowed_tokens_fn=None)
    expected = processors(torch.from_numpy(ids).long(), torch.from_numpy(logits.copy())).numpy()
    penalized = penalize_repetition(jnp.asarray(logits), ids, np.ones(ids.shape, bool), 1.2)
    found = np.asarray(filter_logits(penalized, Sampling(**settings)))
    np.testing.assert_array_equal(found == -np.inf, expected == -np.inf)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert 0 < (found > -np.inf).sum(axis=1).min() <= (found > -np.inf).sum(axis=1).max() <= 50
