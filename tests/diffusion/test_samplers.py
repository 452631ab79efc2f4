"""Ancestral samplers, guidance and credit against a plain Python loop, and their laws."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxdiff.diffusion.credit import Credit, earn, fuse
from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.diffusion.guidance import PLAUSIBLE, guide
from jaxdiff.diffusion.schedules import Cosine, Geometric, LogLinear
from jaxdiff.errors import ConfigError
from tests.diffusion.plain_denoising import (
    MASK,
    NULL,
    B,
    N,
    V,
    alpha,
    assert_equals_plain_loop,
    canvas,
    plain_loop,
    softmax,
    timeless,
    unconditional,
)

# Together they cover every sampler, and the settings that act on one another. Each is compiled once for the file.
CONFIGS = (
    DenoiseConfig(steps=4, guidance=0.8),
    DenoiseConfig(steps=6, top_k=1, credit=2.0, remask=1),
    DenoiseConfig(steps=4, reveal="threshold", threshold=0.4, credit=0.7, guidance=1.5, temperature=0.8),
    DenoiseConfig(steps=5, sampler="ancestral"),
    DenoiseConfig(steps=4, sampler="ancestral", schedule=Cosine(), temperature=1.0, guidance=0.5),
    DenoiseConfig(steps=12, sampler="ancestral_cached", temperature=1.0),
)
CACHED = CONFIGS[-1]
NO_BIAS = jnp.zeros((B, N, V))


@functools.cache
def filler(config):
    return jax.jit(
        lambda tokens, value_mask, keys: denoise(
            timeless, tokens, value_mask, keys, mask_id=MASK, null_id=NULL, config=config, unconditional=unconditional
        )
    )


def keys_of(seed):
    return jax.random.split(jax.random.key(seed), B)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(max_examples=5)
@given(seed=st.integers(0, 1000), masked_share=st.sampled_from([0.0, 0.5, 1.0]))
def test_equals_a_plain_loop_fills_every_value_and_leaves_the_scaffold(config, seed, masked_share):
    tokens, value_mask = (np.asarray(x) for x in canvas(seed, masked_share))
    result = jax.device_get(filler(config)(tokens, value_mask, keys_of(seed)))
    assert_equals_plain_loop(result, plain_loop(timeless, tokens, value_mask, keys_of(seed), config, NO_BIAS))
    slots = value_mask & (tokens == MASK)
    assert (result.tokens[slots] != MASK).all()
    assert (result.trace.tokens[:, ~slots] == tokens[~slots]).all()
    if config.remask == 0:
        # Every value is revealed once, and nothing else ever changes.
        np.testing.assert_array_equal(result.trace.revealed.sum(0), slots)
        before = np.concatenate([tokens[None], result.trace.tokens[:-1]])
        np.testing.assert_array_equal(before != result.trace.tokens, result.trace.revealed)


@pytest.mark.parametrize("config", CONFIGS[2:], ids=str)
@settings(max_examples=3)
@given(seed=st.integers(0, 1000), order=st.permutations(range(B)))
def test_rows_are_independent(config, seed, order):
    """Of their order, and of what stands in the other rows."""
    tokens, value_mask = canvas(seed, 0.9)
    keys, order = keys_of(seed), np.asarray(order)
    together = filler(config)(tokens, value_mask, keys)
    moved = filler(config)(tokens[order], value_mask[order], keys[order])
    np.testing.assert_array_equal(moved.tokens, together.tokens[order])
    np.testing.assert_array_equal(moved.trace.revealed, together.trace.revealed[:, order])
    other_tokens, other_mask = canvas(seed + 1, 0.4)
    mixed = filler(config)(
        other_tokens.at[1].set(tokens[1]), other_mask.at[1].set(value_mask[1]), keys_of(seed + 1).at[1].set(keys[1])
    )
    np.testing.assert_array_equal(mixed.tokens[1], together.tokens[1])


def test_a_longer_canvas_does_not_change_the_draws():
    config = DenoiseConfig(steps=3, sampler="ancestral", temperature=1.0)

    def flat(tokens, t):
        return jnp.zeros((*tokens.shape, 30))

    short, long = (
        denoise(flat, tokens, tokens == 29, jax.random.key(0), mask_id=29, config=config)
        for tokens in (jnp.full((2, 6), 29, jnp.int32), jnp.full((2, 9), 29, jnp.int32))
    )
    np.testing.assert_array_equal(short.tokens, long.tokens[:, :6])
    np.testing.assert_array_equal(short.trace.revealed, long.trace.revealed[..., :6])


@pytest.mark.parametrize("schedule", [LogLinear(), Cosine(eps=0.2)], ids=str)
def test_the_masked_share_follows_the_schedule(schedule):
    """A canvas that is masked at t = 1 keeps a mask until s with chance (1 - alpha_s) / (1 - alpha_1)."""
    steps, rows, length = 5, 500, 16
    tokens = jnp.full((rows, length), 3, jnp.int32)
    config = DenoiseConfig(steps=steps, sampler="ancestral", schedule=schedule)

    def flat(tokens, t):
        return jnp.zeros((*tokens.shape, 4))

    result = denoise(flat, tokens, tokens == 3, jax.random.key(1), mask_id=3, config=config)
    for step in range(steps - 1):
        share = (1 - alpha(schedule, 1 - (step + 1) / steps)) / (1 - alpha(schedule, 1.0))
        error = (share * (1 - share) / (rows * length)) ** 0.5
        assert abs(float((result.trace.tokens[step] == 3).mean()) - share) < 4 * error
    assert (result.tokens != 3).all()


def test_samples_at_temperature_one_have_the_distribution_of_the_process():
    """Two positions that depend on each other, over two steps, against the sum over all ways to reveal them."""
    pair = np.array([[0.0, 1.5], [-1.0, 0.5]])
    odds = jnp.asarray(np.stack([pair, pair.T, [[0.3, -0.4], [0.9, 0.0]]]), jnp.float32)

    def dependent(tokens, t):
        """Logits of each position: by the other's token, or alone where that is masked."""
        other = tokens[:, ::-1]
        own = jnp.where((other < 2)[..., None], odds[jnp.arange(2)[None], jnp.minimum(other, 1)], odds[2][None])
        return jnp.concatenate([own, jnp.full((*tokens.shape, 1), 9.0)], -1)

    def chances(position, other):
        tokens = jnp.full((1, 2), 2, jnp.int32).at[0, 1 - position].set(other)
        return softmax(np.asarray(dependent(tokens, None)[0, position, :2], np.float64))

    rows, chance = 20_000, 0.5
    want = np.zeros((2, 2))
    for a, b in itertools.product(range(2), repeat=2):
        alone = chances(0, 2)[a] * chances(1, 2)[b]
        first, second = chances(0, 2)[a] * chances(1, a)[b], chances(1, 2)[b] * chances(0, b)[a]
        # Both in the first step, one and then the other, or both in the last.
        want[a, b] = (chance**2 + (1 - chance) ** 2) * alone + chance * (1 - chance) * (first + second)
    tokens = jnp.full((rows, 2), 2, jnp.int32)
    config = DenoiseConfig(steps=2, sampler="ancestral", temperature=1.0)
    found = np.asarray(denoise(dependent, tokens, tokens == 2, jax.random.key(3), mask_id=2, config=config).tokens)
    for a, b in itertools.product(range(2), repeat=2):
        share = ((found[:, 0] == a) & (found[:, 1] == b)).mean()
        assert abs(share - want[a, b]) < 4 * (want[a, b] * (1 - want[a, b]) / rows) ** 0.5


def test_the_cached_sampler_predicts_less_and_says_the_same():
    calls = []

    def counted(tokens, t):
        jax.debug.callback(lambda: calls.append("network"))
        return timeless(tokens, t)

    config = dataclasses.replace(CACHED, steps=30)
    tokens, value_mask = canvas(5, 1.0)
    cached, plain = (
        denoise(
            counted, tokens, value_mask, keys_of(5), mask_id=MASK, config=dataclasses.replace(config, sampler=sampler)
        )
        for sampler in ("ancestral_cached", "ancestral")
    )
    jax.effects_barrier()
    for name in ("revealed", "tokens", "confidence"):
        np.testing.assert_array_equal(getattr(cached.trace, name), getattr(plain.trace, name))
    needed, all_steps = int(cached.trace.predicted.sum()), int(plain.trace.predicted.sum())
    assert len(calls) == needed + all_steps
    # One at the start, and one after each step but the last that revealed something.
    assert needed == 1 + int(plain.trace.revealed.any(axis=(1, 2)).sum()) - 1 < all_steps


def test_without_guidance_nothing_more_is_computed():
    def never(tokens, t):
        pytest.fail("predicted without the query")

    tokens, value_mask = canvas(3, 1.0)
    config = DenoiseConfig(steps=2)
    plain = denoise(timeless, tokens, value_mask, keys_of(0), mask_id=MASK, config=config)
    same = denoise(timeless, tokens, value_mask, keys_of(0), mask_id=MASK, config=config, unconditional=never)
    np.testing.assert_array_equal(plain.tokens, same.tokens)
    np.testing.assert_array_equal(plain.confidence, same.confidence)


def test_guidance_needs_an_unconditional_predictor():
    tokens, value_mask = canvas()
    with pytest.raises(ConfigError, match=r"guidance=0\.5"):
        denoise(timeless, tokens, value_mask, keys_of(0), mask_id=MASK, config=DenoiseConfig(guidance=0.5))


LOGITS = arrays.arrays(np.float32, (5,), elements=st.floats(-5, 5, width=32))


@settings(max_examples=25)
@given(LOGITS, LOGITS, st.floats(0, 4))
def test_guidance_is_the_renormalised_power_of_plausible_tokens(given_query, without, weight):
    got = softmax(np.asarray(guide(jnp.asarray(given_query), jnp.asarray(without), weight), np.float64))
    told = softmax(given_query.astype(np.float64))
    assume(np.abs(told / told.max() - PLAUSIBLE).min() > 1e-5)
    want = told ** (1 + weight) * softmax(without.astype(np.float64)) ** -weight * (told >= PLAUSIBLE * told.max())
    np.testing.assert_allclose(got, want / want.sum(), rtol=1e-3, atol=1e-6)


def test_a_forbidden_token_stays_forbidden():
    got = guide(jnp.asarray([-jnp.inf, 1.0, 2.0]), jnp.asarray([-jnp.inf, 3.0, 0.0]), 1.0)
    assert got[0] == -np.inf
    np.testing.assert_allclose(got[2] - got[1], 5, rtol=1e-5)


def test_an_implausible_token_is_not_lifted_however_much_the_query_makes_it_likelier():
    given_query, without = jnp.asarray([5.0, 4.0, -2.0, -3.0]), jnp.asarray([5.0, 4.0, -90.0, -jnp.inf])
    got = guide(given_query, without, 2.0)
    assert np.argsort(got).tolist() == [3, 2, 1, 0] and got[2] < got[1] - 1000


@settings(max_examples=25)
@given(st.lists(LOGITS, min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 2))
def test_credit_of_few_tokens_is_that_of_the_whole_vocabulary(logits, decay, power):
    credit, whole = Credit.none((4, 1, 1)), np.zeros(5)
    for step, scores in enumerate(logits):
        given_logits = jnp.asarray(scores)[None, None]
        credit = earn(credit, jnp.int32(step), given_logits, jnp.ones((1, 1), bool), decay=decay, power=power)
        best = scores.argmax()
        whole *= decay
        whole[best] += softmax(scores.astype(np.float64))[best] ** power
        got = fuse(credit, given_logits, 0.7)[0, 0]
        np.testing.assert_allclose(got, scores + 0.7 * np.log(1 + whole), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"sampler": "gibbs"}, "gibbs"),
        ({"guidance": -0.1}, "guidance=-0.1"),
        ({"guidance": float("nan")}, "guidance=nan"),
        ({"credit": float("inf")}, "credit=inf"),
        ({"credit_decay": 1.1}, "credit_decay=1.1"),
        ({"credit_power": -1.0}, "credit_power=-1.0"),
        ({"sampler": "ancestral", "reveal": "threshold"}, "reveal='threshold' has no meaning"),
        ({"sampler": "ancestral", "top_k": 2}, "top_k=2 has no meaning"),
        ({"sampler": "ancestral", "remask": 1}, "remask=1 has no meaning"),
        ({"sampler": "ancestral_cached", "credit": 0.7}, "credit=0.7 has no meaning"),
        ({"padding": "first"}, "padding='first' is unknown"),
        ({"schedule": Geometric()}, "schedule=Geometric"),
    ],
)
def test_settings_without_meaning_are_refused_by_name(changes, named):
    with pytest.raises(ConfigError, match=named.replace("(", r"\(")):
        DenoiseConfig(**changes)


@pytest.mark.parametrize(
    "config, named",
    [(DenoiseConfig(guidance=1.0), "prompt dropout"), (CACHED, "time conditioning")],
    ids=["guidance", "cached"],
)
def test_a_head_that_was_not_trained_for_it_is_refused(config, named):
    with pytest.raises(ConfigError, match=named):
        config.check_head(prompt_dropout=0.0, time_conditioning=True)
    config.check_head(prompt_dropout=0.1, time_conditioning=False)
