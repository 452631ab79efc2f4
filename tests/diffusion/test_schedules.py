"""Noise schedules against closed forms, derivatives and MDLM's own transformation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.diffusion.corruption import corrupt_batch, forward_corrupt, sample_times
from jaxdiff.diffusion.schedules import SCHEDULES, LogLinear, schedule_by_name
from jaxdiff.errors import ConfigError

NAMES = tuple(SCHEDULES)
TIMES = np.linspace(0.0, 1.0, 21)
EPS = 1e-3
CLOSED_FORMS = {
    "log_linear": lambda t: -np.log(1 - (1 - EPS) * t),
    "cosine": lambda t: -np.log(EPS + (1 - EPS) * np.cos(np.pi * t / 2)),
    "cosine_squared": lambda t: -np.log(EPS + (1 - EPS) * np.cos(np.pi * t / 2) ** 2),
    "linear": lambda t: 10 * t,
    "geometric": lambda t: 1e-3 ** (1 - t) * 20**t,
}


@pytest.mark.parametrize("name", NAMES)
def test_total_noise_is_the_closed_form(name):
    schedule = schedule_by_name(name)
    np.testing.assert_allclose(schedule.total_noise(TIMES), CLOSED_FORMS[name](TIMES), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_rate_is_the_derivative_of_the_total(name):
    schedule = schedule_by_name(name)
    times = jnp.asarray(TIMES[:-1], jnp.float32)
    derivative = jax.vmap(jax.grad(schedule.total_noise))(times)
    np.testing.assert_allclose(schedule.rate_noise(times), derivative, rtol=1e-4, atol=1e-6)
    # Independent of autodiff too: central differences of the closed form in float64.
    inner, h = TIMES[1:-1], 1e-5
    central = (CLOSED_FORMS[name](inner + h) - CLOSED_FORMS[name](inner - h)) / (2 * h)
    np.testing.assert_allclose(schedule.rate_noise(inner), central, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_masked_at_0_and_nearly_all_at_1(name):
    schedule = schedule_by_name(name)
    assert 0 <= schedule.move_chance(0.0) <= 1.001e-3
    assert 0.9989 <= schedule.move_chance(1.0) <= 1.0
    assert np.isfinite(schedule.total_noise(1.0)) and np.isfinite(schedule.rate_noise(1.0))


def test_usual_geometric_maximum_masks_only_63_percent():
    assert schedule_by_name("geometric", sigma_max=1.0).move_chance(1.0) == pytest.approx(1 - np.exp(-1), abs=1e-5)


@settings(max_examples=40)
@given(st.sampled_from(NAMES), st.floats(0, 1), st.floats(0, 1))
def test_move_chance_never_falls(name, a, b):
    schedule = schedule_by_name(name)
    low, high = schedule.move_chance(jnp.sort(jnp.asarray([a, b], jnp.float32)))
    assert low <= high + 1e-6


@settings(max_examples=40)
@given(st.sampled_from(NAMES), st.floats(0.01, 0.95))
def test_time_of_inverts_total_noise(name, t):
    schedule = schedule_by_name(name)
    assert schedule.time_of(schedule.total_noise(t)) == pytest.approx(t, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_importance_time_makes_the_nelbo_weight_constant(name):
    schedule = schedule_by_name(name)
    u = jnp.linspace(0.1, 0.9, 17)
    times, slopes = jax.vmap(jax.value_and_grad(schedule.importance_time))(u)
    constant = np.asarray(schedule.nelbo_weight(times) * slopes)
    np.testing.assert_allclose(constant, constant.mean(), rtol=2e-3)


def test_importance_time_is_that_of_mdlm():
    u = np.linspace(0, 1, 11)
    sigma_max = -np.log1p(-(1 - EPS))
    log_chance = u * np.log1p(-np.exp(-sigma_max)) + (1 - u) * np.log1p(-np.exp(-EPS))
    log_linear = -np.expm1(np.log1p(-np.exp(log_chance))) / (1 - EPS)
    np.testing.assert_allclose(schedule_by_name("log_linear").importance_time(u), log_linear, rtol=1e-4)

    log_chance = u * np.log1p(-np.exp(-10.0)) + (1 - u) * np.log1p(-np.exp(-1e-2))
    linear = (-np.log1p(-np.exp(log_chance)) - 1e-2) / (10 - 1e-2)
    schedule = schedule_by_name("linear", sigma_min=1e-2)
    np.testing.assert_allclose(schedule.importance_time(u), linear, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_importance_time_stays_in_the_unit_interval(name):
    times = schedule_by_name(name).importance_time(jnp.linspace(0, 1, 101))
    assert np.isfinite(times).all() and times.min() >= 0 and times.max() <= 1
    assert (np.diff(times) >= -1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_masked_share_is_the_move_chance(name):
    schedule = schedule_by_name(name)
    t = jnp.asarray([0.0, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0])
    tokens = jnp.broadcast_to(jnp.arange(40_000, dtype=jnp.int32) % 50, (len(t), 40_000))
    value_mask = jnp.arange(40_000) % 2 == 0
    corrupted = forward_corrupt(schedule, jax.random.key(3), tokens, jnp.broadcast_to(value_mask, tokens.shape), t, 50)
    share = (corrupted == 50)[:, value_mask].mean(axis=1)
    # Five standard deviations of 20,000 draws are at most 0.018.
    np.testing.assert_allclose(share, 1 - np.exp(-CLOSED_FORMS[name](np.asarray(t))), atol=0.018)
    assert (corrupted[:, ~value_mask] == tokens[:, ~value_mask]).all()
    assert ((corrupted == tokens) | (corrupted == 50)).all()


@pytest.mark.parametrize("antithetic", [True, False])
@pytest.mark.parametrize("share, rows", [(0.0, 0), (0.1, 3), (0.25, 8), (1.0, 30)])
def test_a_fixed_number_of_rows_starts_fully_masked(antithetic, share, rows):
    t = sample_times(jax.random.key(0), 30, antithetic=antithetic, fully_masked_share=share)
    assert t.shape == (30,) and (t == 1).sum() == rows
    assert t.min() >= 1e-3


def test_antithetic_times_fall_one_in_each_interval():
    t = sample_times(jax.random.key(1), 16, fully_masked_share=0.0)
    assert sorted(np.floor(np.asarray(t) * 16).astype(int)) == list(range(16))
    assert not np.array_equal(t, np.sort(t))


def test_rows_at_time_1_are_masked_without_exception():
    tokens = jnp.zeros((64, 2000), jnp.int32)
    value_mask = jnp.arange(2000) < 1990
    value_mask = jnp.broadcast_to(value_mask, tokens.shape)
    corrupted, t = corrupt_batch(LogLinear(), jax.random.key(2), tokens, value_mask, 7, fully_masked_share=0.5)
    full = np.asarray(t == 1)
    assert full.sum() == 32
    assert ((corrupted == 7)[full] == value_mask[full]).all()
    assert not ((corrupted == 7)[~full] == value_mask[~full]).all(axis=1).any()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_impossible_share_is_refused(share):
    with pytest.raises(ConfigError, match="fully_masked_share"):
        sample_times(jax.random.key(0), 4, fully_masked_share=share)


@pytest.mark.parametrize(
    "name, values",
    [
        ("sigmoid", {}), ("linear", {"eps": 0.1}), ("log_linear", {"eps": 0.0}), ("cosine", {"eps": 1.0}),
        ("cosine_squared", {"eps": -1.0}), ("linear", {"sigma_max": 0.0}), ("geometric", {"sigma_min": 0.0}),
    ],
)  # fmt: skip
def test_unknown_or_impossible_schedules_are_refused(name, values):
    with pytest.raises(ConfigError):
        schedule_by_name(name, **values)


def test_schedules_are_hashable_and_comparable():
    assert schedule_by_name("cosine") == schedule_by_name("cosine", eps=1e-3)
    assert len({schedule_by_name(name) for name in NAMES}) == len(NAMES)
    assert all(dataclasses.is_dataclass(schedule) for schedule in SCHEDULES.values())
