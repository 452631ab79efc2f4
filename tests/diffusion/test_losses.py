"""Losses of the canvas against a plain loop, a closed form, and the integral that the NELBO weight stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.diffusion.corruption import forward_corrupt
from jaxdiff.diffusion.losses import masked_cross_entropy, nelbo
from jaxdiff.diffusion.schedules import SCHEDULES, schedule_by_name

B, N, V, MASK = 4, 6, 9, 8


def example():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, V - 1, (B, N))
    value_mask = rng.random((B, N)) < 0.7
    corrupted = np.where(value_mask & (rng.random((B, N)) < 0.6), MASK, tokens)
    # <MASK> in the scaffold is not a prediction to score.
    value_mask[0, 0], corrupted[0, 0] = False, MASK
    logits = rng.normal(size=(B, N, V)).astype(np.float32) * 3
    return tuple(jnp.asarray(x) for x in (logits, tokens.astype(np.int32), corrupted.astype(np.int32), value_mask))


def losses_by_loop(logits, tokens, corrupted, value_mask):
    logits = np.asarray(logits, np.float64)
    for b in range(B):
        for n in range(N):
            if value_mask[b, n] and corrupted[b, n] == MASK:
                chances = np.exp(logits[b, n]) / np.exp(logits[b, n]).sum()
                yield b, -np.log(chances[int(tokens[b, n])])


def test_cross_entropy_equals_a_plain_loop():
    data = example()
    want = [value for _, value in losses_by_loop(*data)]
    assert len(want) > 5
    assert masked_cross_entropy(*data, MASK) == pytest.approx(np.mean(want), rel=1e-5)


def test_nelbo_equals_a_plain_loop():
    data, t = example(), jnp.asarray([0.2, 0.5, 0.9, 1.0])
    # For the log-linear schedule the weight is 1 / t.
    want = sum(value / float(t[b]) for b, value in losses_by_loop(*data)) / int(data[3].sum())
    assert nelbo(*data, MASK, schedule_by_name("log_linear"), t) == pytest.approx(want, rel=1e-4)


def test_cross_entropy_of_a_tiny_case_in_closed_form():
    logits = jnp.asarray([[[0.0, np.log(3.0)], [5.0, -5.0]]])
    tokens = jnp.asarray([[0, 1]], jnp.int32)
    corrupted = jnp.asarray([[1, 1]], jnp.int32)
    # One masked value position, where the right token has a quarter of the mass.
    value_mask = jnp.asarray([[True, False]])
    assert masked_cross_entropy(logits, tokens, corrupted, value_mask, 1) == pytest.approx(np.log(4.0), rel=1e-6)


def test_nothing_masked_costs_nothing():
    logits, tokens, _, value_mask = example()
    assert masked_cross_entropy(logits, tokens, tokens, value_mask, MASK) == 0


def test_gradient_is_zero_exactly_where_nothing_is_predicted():
    logits, tokens, corrupted, value_mask = example()
    predicted = np.asarray(value_mask & (corrupted == MASK))
    for grad in (
        jax.grad(masked_cross_entropy)(logits, tokens, corrupted, value_mask, MASK),
        jax.grad(nelbo)(logits, tokens, corrupted, value_mask, MASK, schedule_by_name("cosine"), jnp.full((B,), 0.5)),
    ):
        assert (np.asarray(grad)[~predicted] == 0).all()
        assert (np.abs(np.asarray(grad)[predicted]).sum(axis=-1) > 0).all()


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_nelbo_of_a_uniform_guess_is_the_logarithm_of_the_vocabulary(name):
    # E[weight * masked] integrates to exp(-sigma(0)) - exp(-sigma(1)), nearly 1, for every schedule. Importance-sampled
    # times make the weight constant, so few draws suffice; the density of t is the weight over its integral.
    schedule, rows, length = schedule_by_name(name), 2000, 100
    u = (jnp.arange(rows, dtype=jnp.float32) + 0.5) / rows
    t, slope = jax.vmap(jax.value_and_grad(schedule.importance_time))(u)
    tokens = jnp.zeros((rows, length), jnp.int32)
    value_mask = jnp.ones((rows, length), bool)
    corrupted = forward_corrupt(schedule, jax.random.key(0), tokens, value_mask, t, 6)
    logits = jnp.zeros((1, length, 7))
    row_losses = jax.vmap(lambda z, time: nelbo(logits, tokens[:1], z[None], value_mask[:1], 6, schedule, time[None]))(
        corrupted, t
    )
    assert (row_losses * slope).mean() == pytest.approx(np.log(7), rel=0.02)
