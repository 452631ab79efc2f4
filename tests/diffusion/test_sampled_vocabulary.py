"""Sampled vocabularies: each entry once, and unbiased."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.diffusion.sampled_vocabulary import sample_vocabulary

VOCAB = 50
sample = jax.jit(sample_vocabulary, static_argnums=(2, 3))


@settings(max_examples=30)
@given(st.lists(st.integers(-3, VOCAB - 1), min_size=6, max_size=6), st.sampled_from([1, 20, 500]), st.integers(0, 99))
def test_holds_each_known_token_once_and_weighs_as_the_whole(known, draws, seed):
    drawn = sample(jax.random.key(seed), jnp.asarray(known, jnp.int32).reshape(2, 3), VOCAB, draws)
    ids, log_weight = np.asarray(drawn.ids), np.asarray(drawn.log_weight)
    assert ids.shape == log_weight.shape == (min(6 + draws, VOCAB),)
    real = ids[ids >= 0]
    assert len(set(real)) == len(real) and (real < VOCAB).all()
    wanted = {token for token in known if token >= 0}
    assert wanted <= set(real)
    weight = dict(zip(ids.tolist(), np.exp(log_weight).tolist(), strict=True))
    assert all(weight[token] == 1 for token in wanted)
    assert (log_weight[ids < 0] == -np.inf).all()
    if set(real) > wanted:
        assert sum(np.exp(log_weight)) == pytest.approx(VOCAB, rel=1e-5)


def test_the_weighted_sum_is_unbiased():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=VOCAB), jnp.float32)
    known = jnp.asarray([3, 3, 7, -1], jnp.int32)

    def estimate(key):
        drawn = sample_vocabulary(key, known, VOCAB, 10)
        return jnp.exp(scores[drawn.ids] + drawn.log_weight).sum()

    estimates = jax.vmap(estimate)(jax.random.split(jax.random.key(1), 4000))
    error = estimates.std() / np.sqrt(4000)
    assert abs(estimates.mean() - jnp.exp(scores).sum()) < 4 * error
    assert error < 0.01 * jnp.exp(scores).sum()


def test_a_vocabulary_that_is_known_throughout_needs_no_draws():
    drawn = sample(jax.random.key(0), jnp.arange(VOCAB, dtype=jnp.int32), VOCAB, 5)
    assert sorted(drawn.ids.tolist()) == list(range(VOCAB)) and (drawn.log_weight == 0).all()
