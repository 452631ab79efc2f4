"""The denoising loop against a plain Python loop, and its laws."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.errors import ConfigError
from tests.diffusion.plain_denoising import MASK, NULL, B, N, V, assert_equals_plain_loop, canvas, plain_loop, predict

# Each is compiled once for the whole file; together they cover every option, and the options that act on one another.
CONFIGS = (
    DenoiseConfig(steps=1),
    DenoiseConfig(steps=4),
    DenoiseConfig(steps=3, top_k=2),
    DenoiseConfig(steps=6, remask=2),
    DenoiseConfig(steps=5, top_k=2, remask=1, temperature=0.7),
    DenoiseConfig(steps=5, reveal="threshold", threshold=0.3),
    DenoiseConfig(steps=4, reveal="threshold", threshold=0.4, remask=1),
    DenoiseConfig(steps=4, reveal="threshold", threshold=0.9, temperature=2.0),
    DenoiseConfig(steps=4, padding="ranked"),
    DenoiseConfig(steps=5, padding="ranked", top_k=1, remask=1),
    DenoiseConfig(steps=4, padding="ranked", reveal="threshold", threshold=0.3),
)
SAMPLED = CONFIGS[4]
NO_BIAS = jnp.zeros((B, N, V))


@functools.cache
def filler(config):
    return jax.jit(
        lambda tokens, value_mask, key, bias: denoise(
            predict, tokens, value_mask, key, mask_id=MASK, null_id=NULL, config=config, bias=bias
        )
    )


def forbid_half(seed):
    forbidden = np.random.default_rng(seed).random((B, N, V)) < 0.5
    forbidden[..., 0] = False
    return jnp.where(jnp.asarray(forbidden), -jnp.inf, 0.0)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(max_examples=12)
@given(seed=st.integers(0, 1000), masked_share=st.sampled_from([0.3, 0.7, 1.0]), biased=st.booleans())
def test_equals_a_plain_loop(config, seed, masked_share, biased):
    tokens, value_mask = canvas(seed, masked_share)
    bias = forbid_half(seed) if biased else NO_BIAS
    keys = jax.random.split(jax.random.key(seed), B)
    result = filler(config)(tokens, value_mask, keys, bias)
    assert_equals_plain_loop(result, plain_loop(predict, tokens, value_mask, keys, config, bias))

    slots = np.asarray(value_mask & (tokens == MASK))
    assert (np.asarray(result.tokens)[slots] != MASK).all()
    assert (np.asarray(result.tokens)[~slots] == np.asarray(tokens)[~slots]).all()
    assert (np.asarray(result.confidence)[~slots] == 1).all()
    assert not np.asarray(result.trace.revealed)[:, ~slots].any()


def test_without_bias_and_jit_the_result_is_the_same():
    tokens, value_mask = canvas(8)
    config = CONFIGS[1]
    eager = denoise(predict, tokens, value_mask, jax.random.key(0), mask_id=MASK, null_id=NULL, config=config)
    compiled = filler(config)(tokens, value_mask, jax.random.split(jax.random.key(1), B), NO_BIAS)
    np.testing.assert_array_equal(eager.tokens, compiled.tokens)
    np.testing.assert_allclose(eager.confidence, compiled.confidence, atol=1e-6)


def test_padding_comes_last():
    """However sure it is: three of four positions are padding, and the fourth depends on how much of it is seen."""

    def tail(tokens, t):
        padded = (tokens == 3).sum(axis=1)[:, None]
        word = jnp.where(padded > 0, -1.0, 1.0)
        logits = jnp.zeros((*tokens.shape, 5)).at[:, 1:, 3].set(9.0)
        return logits.at[:, :1, 2].set(word)

    tokens = jnp.full((2, 4), 4, jnp.int32)
    config = DenoiseConfig(steps=3)

    def fill(config):
        result = denoise(tail, tokens, tokens == 4, jax.random.key(0), mask_id=4, null_id=3, config=config)
        return np.asarray(result.tokens[0]).tolist(), np.asarray(result.trace.revealed[:, 0]).astype(int).tolist()

    last, ranked = (fill(dataclasses.replace(config, padding=padding)) for padding in ("last", "ranked"))
    assert last == ([2, 3, 3, 3], [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    assert ranked == ([0, 3, 3, 3], [[0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])


def test_forbidden_tokens_are_never_chosen():
    tokens, value_mask = canvas(4, 1.0)
    bias = jnp.full((V,), -jnp.inf).at[jnp.asarray([2, 5])].set(0.0)
    bias = jnp.broadcast_to(bias, (B, N, V))
    seen = set()
    for seed in range(20):
        result = filler(CONFIGS[7])(tokens, value_mask, jax.random.split(jax.random.key(seed), B), bias)
        seen |= set(np.asarray(result.tokens)[np.asarray(value_mask)].tolist())
    assert seen == {2, 5}


def test_traced_once_over_repeated_calls():
    traces = []

    @jax.jit
    def fill(tokens, value_mask, key):
        traces.append("denoise")
        return denoise(predict, tokens, value_mask, key, mask_id=MASK, config=DenoiseConfig(remask=1))

    for seed in range(4):
        fill(*canvas(seed), jax.random.key(seed))
    assert traces == ["denoise"]


def test_same_key_same_result_and_another_key_another():
    tokens, value_mask = canvas(1, 1.0)

    def fill(seed, config):
        return np.asarray(filler(config)(tokens, value_mask, jax.random.split(jax.random.key(seed), B), NO_BIAS).tokens)

    np.testing.assert_array_equal(fill(0, SAMPLED), fill(0, SAMPLED))
    assert (fill(0, SAMPLED) != fill(1, SAMPLED)).any()
    np.testing.assert_array_equal(fill(0, CONFIGS[1]), fill(1, CONFIGS[1]))


def test_noise_differs_between_rows_positions_and_steps():
    def flat(tokens, t):
        return jnp.zeros((*tokens.shape, 1000))

    tokens = jnp.full((4, 40), 999, jnp.int32)
    result = denoise(
        flat, tokens, tokens == 999, jax.random.key(0), mask_id=999, config=DenoiseConfig(steps=4, temperature=1.0)
    )
    # 160 draws of 999 equally likely tokens repeat a dozen times; one key used twice would repeat a quarter or more.
    assert len(np.unique(result.tokens)) > 130


@pytest.mark.parametrize("config", [SAMPLED, CONFIGS[-1]], ids=str)
def test_a_row_does_not_depend_on_the_others(config):
    tokens, value_mask = canvas(2, 0.9)
    keys = jax.random.split(jax.random.key(5), B)
    together = filler(config)(tokens, value_mask, keys, NO_BIAS)
    other = canvas(77, 0.2)
    for row in range(B):
        mixed_tokens, mixed_mask = other[0].at[0].set(tokens[row]), other[1].at[0].set(value_mask[row])
        mixed_keys = jax.random.split(jax.random.key(9), B).at[0].set(keys[row])
        mixed = filler(config)(mixed_tokens, mixed_mask, mixed_keys, NO_BIAS)
        np.testing.assert_array_equal(mixed.tokens[0], together.tokens[row])
        np.testing.assert_array_equal(mixed.trace.revealed[:, 0], together.trace.revealed[:, row])


def test_a_longer_canvas_does_not_change_the_draws():
    def plain(tokens, t):
        return jnp.zeros((*tokens.shape, 50))

    config = DenoiseConfig(steps=1, temperature=1.0)
    short, long = (
        denoise(plain, tokens, tokens == 49, jax.random.key(0), mask_id=49, config=config).tokens
        for tokens in (jnp.full((2, 5), 49, jnp.int32), jnp.full((2, 9), 49, jnp.int32))
    )
    np.testing.assert_array_equal(short, long[:, :5])


def test_steps_after_the_last_mask_change_nothing_and_predict_nothing():
    calls = []

    def counted(tokens, t):
        jax.debug.callback(lambda time: calls.append(float(time)), t[0])
        return predict(tokens, t)

    tokens, value_mask = canvas(3, 1.0)
    config = DenoiseConfig(steps=12, top_k=3)
    result = denoise(counted, tokens, value_mask, jax.random.key(0), mask_id=MASK, config=config)
    jax.effects_barrier()
    needed = math.ceil(int(value_mask.sum(axis=1).max()) / 3)
    assert needed < 12
    np.testing.assert_allclose(sorted(calls, reverse=True), [(12 - step) / 12 for step in range(needed)], rtol=1e-6)
    assert not result.trace.revealed[needed:].any()
    assert (result.trace.tokens[needed - 1 :] == result.tokens[None]).all()


def test_a_filled_canvas_is_returned_as_it_is():
    tokens, value_mask = canvas(0, 0.0)

    def never(tokens, t):
        jax.debug.callback(lambda: pytest.fail("predicted"))
        return predict(tokens, t)

    result = denoise(never, tokens, value_mask, jax.random.key(0), mask_id=MASK, config=DenoiseConfig())
    jax.effects_barrier()
    np.testing.assert_array_equal(result.tokens, tokens)
    assert (result.confidence == 1).all()


def test_remasking_masks_the_least_certain_and_lets_it_change():
    # Position 0 says 1 while position 1 is masked, and 2 once it is not; it is revealed first and revised later.
    def revise(tokens, t):
        seen = (tokens[:, 1] != 3).astype(jnp.float32)[:, None]
        first = jnp.asarray([[0.0, 1.0, 0.0, 0.0]]) + seen * jnp.asarray([[0.0, 0.0, 9.0, 0.0]])
        second = jnp.asarray([[0.9, 0.0, 0.0, 0.0]])
        third = jnp.asarray([[0.5, 0.0, 0.0, 0.0]])
        return jnp.stack([first, second, third], axis=1)

    tokens = jnp.full((1, 3), 3, jnp.int32)
    still = denoise(revise, tokens, tokens == 3, jax.random.key(0), mask_id=3, config=DenoiseConfig(steps=3, top_k=1))
    assert still.tokens.tolist() == [[1, 0, 0]]
    config = DenoiseConfig(steps=4, top_k=1, remask=1)
    revised = denoise(revise, tokens, tokens == 3, jax.random.key(0), mask_id=3, config=config)
    assert revised.trace.tokens[1].tolist() == [[3, 0, 3]]
    assert revised.tokens.tolist() == [[2, 0, 0]]


def test_plain_uint32_keys_work_and_misfit_keys_are_refused():
    tokens, value_mask = canvas(1, 1.0)
    fill = filler(SAMPLED)
    plain, typed = (fill(tokens, value_mask, key, NO_BIAS) for key in (jax.random.PRNGKey(3), jax.random.key(3)))
    np.testing.assert_array_equal(plain.tokens, typed.tokens)
    with pytest.raises(ConfigError, match=r"key\.shape"):
        denoise(predict, tokens, value_mask, jax.random.split(jax.random.key(3), 2), mask_id=MASK, config=SAMPLED)


@pytest.mark.parametrize(
    "field, value",
    [
        ("steps", 0), ("reveal", "random"), ("top_k", 0), ("threshold", 1.5), ("temperature", -1.0),
        ("temperature", float("inf")), ("remask", -1),
    ],
)  # fmt: skip
def test_impossible_configurations_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(DenoiseConfig(), **{field: value})


def test_top_k_with_threshold_is_refused():
    with pytest.raises(ConfigError, match="top_k"):
        DenoiseConfig(reveal="threshold", top_k=2)
