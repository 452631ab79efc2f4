"""Filters of next-token logits against plain loops over one row at a time."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.base.sampling import (
    Sampling,
    choose,
    filter_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
)
from jaxdiff.errors import InputError

VOCAB = 8
# Few different values, so that ties are frequent; some far apart, and tokens that are impossible already.
LOGIT = st.sampled_from([-40.0, -3.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0, 60.0, -np.inf])
ROW = st.lists(LOGIT, min_size=VOCAB, max_size=VOCAB).filter(lambda row: max(row) > -np.inf)
ROWS = st.lists(ROW, min_size=3, max_size=3).map(lambda rows: np.array(rows, np.float32))
# A program is compiled for each.
SHARE = st.sampled_from([0.01, 0.1, 0.25, 0.3, 0.5, 0.9, 0.999])
PENALTY = st.sampled_from([0.3, 1.5, 4.0])
top_k, top_p, min_p = (jax.jit(keep, static_argnums=1) for keep in (keep_top_k, keep_top_p, keep_min_p))
penalized = jax.jit(penalize_repetition, static_argnums=3)


def probabilities(row: np.ndarray) -> np.ndarray:
    weights = np.exp(row.astype(np.float64) - row.max())
    return weights / weights.sum()


def kept(found: jax.Array, given_logits: np.ndarray) -> list[list[int]]:
    """Ids that are left, row by row; whatever is left has not changed."""
    found = np.asarray(found)
    left = found > -np.inf
    np.testing.assert_array_equal(found[left], given_logits[left])
    return [np.flatnonzero(row).tolist() for row in left]


@given(ROWS, st.sampled_from([1, 2, 3, 5, VOCAB, VOCAB + 3]))
def test_top_k(logits, k):
    expected = []
    for row in logits:
        least = sorted(row, reverse=True)[min(k, VOCAB) - 1]
        expected.append([i for i, logit in enumerate(row) if logit >= least and logit > -np.inf])
    assert kept(top_k(logits, k), logits) == expected


@given(ROWS, SHARE)
def test_top_p(logits, p):
    found = kept(top_p(logits, p), logits)
    for row, ids in zip(logits, found, strict=True):
        # From the least probable on; the smaller id goes first among equals.
        order = sorted(range(VOCAB), key=lambda i: (row[i], i))
        left, gone = order.copy(), 0.0
        near = False
        for token in order[:-1]:
            gone += probabilities(row)[token]
            near = near or abs(gone - (1 - p)) < 1e-6
            if gone > 1 - p:
                break
            left.remove(token)
        # On the very edge float32 may round to either side.
        assert near or ids == sorted(i for i in left if row[i] > -np.inf)
        assert order[-1] in ids


@given(ROWS, SHARE)
def test_min_p(logits, p):
    found = kept(min_p(logits, p), logits)
    for row, ids in zip(logits, found, strict=True):
        share = probabilities(row) / probabilities(row).max()
        certain = [i for i in range(VOCAB) if share[i] >= p * (1 + 1e-6) and row[i] > -np.inf]
        possible = [i for i in range(VOCAB) if share[i] >= p * (1 - 1e-6) and row[i] > -np.inf]
        assert set(certain) <= set(ids) <= set(possible)
        assert int(row.argmax()) in ids


@given(ROWS, st.lists(st.integers(0, VOCAB - 1), min_size=4, max_size=4), PENALTY)
def test_repetition_penalty(logits, ids, penalty):
    block = np.array([ids] * len(logits), np.int32)
    valid = np.array([[True, False, True, True]] * len(logits))
    found = np.asarray(penalized(logits, block, valid, penalty))
    for row, changed in zip(logits, found, strict=True):
        for token in range(VOCAB):
            expected = row[token]
            if token in (ids[0], ids[2], ids[3]):
                expected = expected * penalty if expected < 0 else expected / penalty
            np.testing.assert_allclose(changed[token], expected, rtol=1e-6)


def test_filters_follow_one_another():
    """Each filter sees what the one before has left: temperature, top-k, top-p, min-p."""
    logits = np.array([[4.0, 3.5, 3.0, 1.0, 0.5, 0.0, -1.0, -2.0]], np.float32)
    halved = logits / 2
    three = [0, 1, 2]
    assert kept(filter_logits(jnp.asarray(logits), Sampling(temperature=2.0, top_k=3)), halved) == [three]
    # Of the three, the last has 24%; among all eight it would have 17%.
    share = probabilities(halved[0, :3])[2]
    assert probabilities(halved[0])[2] < 0.2 < share
    chosen = Sampling(temperature=2.0, top_k=3, top_p=1 - 0.2)
    assert kept(filter_logits(jnp.asarray(logits), chosen), halved) == [three]
    chosen = Sampling(temperature=2.0, top_k=3, top_p=1 - 0.3, min_p=0.9)
    assert kept(filter_logits(jnp.asarray(logits), chosen), halved) == [[0]]


def test_nothing_on_changes_nothing():
    logits = np.random.default_rng(0).normal(size=(2, VOCAB)).astype(np.float32)
    np.testing.assert_array_equal(filter_logits(jnp.asarray(logits), Sampling(temperature=1.0)), logits)


def test_temperature_zero_takes_the_most_probable_after_the_penalty():
    logits = jnp.array([[2.0, 1.5, 0.0], [0.0, -1.0, -1.5]], jnp.float32)
    ids, valid = np.array([[0, 0], [0, 1]], np.int32), np.array([[True, True], [True, False]])
    key = jax.random.key(0)
    assert choose(key, logits, ids, valid, Sampling()).tolist() == [0, 0]
    assert choose(key, logits, ids, valid, Sampling(repetition_penalty=2.0, top_k=1)).tolist() == [1, 0]


@settings(max_examples=10)
@given(st.integers(0, 2**31 - 1))
def test_what_is_filtered_out_is_never_chosen(seed):
    logits = jnp.zeros((64, VOCAB), jnp.float32).at[:, :3].set(0.5)
    none = np.zeros((64, 1), np.int32), np.zeros((64, 1), bool)
    chosen = choose(jax.random.key(seed), logits, *none, Sampling(temperature=0.7, top_k=3))
    assert set(chosen.tolist()) <= {0, 1, 2}


def test_tokens_are_chosen_as_often_as_they_are_probable():
    row = np.array([1.0, 0.0, -1.0, 2.0], np.float32)
    draws = 20000
    none = np.zeros((draws, 1), np.int32), np.zeros((draws, 1), bool)
    logits = jnp.broadcast_to(jnp.asarray(row), (draws, 4))
    chosen = choose(jax.random.key(3), logits, *none, Sampling(temperature=2.0))
    shares = np.bincount(np.asarray(chosen), minlength=4) / draws
    np.testing.assert_allclose(shares, probabilities(row / 2), atol=0.015)


def test_extreme_values_give_no_nan():
    logits = jnp.array([[3e38, -3e38, 0.0, -jnp.inf]], jnp.float32)
    none = np.zeros((1, 1), np.int32), np.zeros((1, 1), bool)
    everything = Sampling(1e-5, top_k=2, top_p=1e-9, min_p=1.0, repetition_penalty=1e-3)
    for one in (Sampling(temperature=1e-5), Sampling(1e6, top_p=1e-9), everything):
        assert not np.isnan(filter_logits(logits / 1e30, one)).any()
        assert choose(jax.random.key(0), logits / 1e30, *none, one).tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(temperature=-0.1), "temperature=-0.1 must be 0 or >= 1e-05"),
        (dict(temperature=1e-40), "temperature=1e-40 must be"),
        (dict(temperature=float("nan")), "temperature=nan must be a finite number"),
        (dict(temperature="hot"), "temperature='hot' must be a finite number"),
        (dict(temperature=True), "temperature=True must be a finite number"),
        (dict(top_k=-1), "top_k=-1 must be >= 0"),
        (dict(top_k=2.0), "top_k=2.0 must be an integer"),
        (dict(top_p=0), r"top_p=0 must be in \(0, 1\]"),
        (dict(top_p=1.01), r"top_p=1.01 must be in \(0, 1\]"),
        (dict(min_p=-0.1), r"min_p=-0.1 must be in \[0, 1\]"),
        (dict(min_p=1.5), "min_p=1.5"),
        (dict(repetition_penalty=0), "repetition_penalty=0 must be > 0"),
        (dict(repetition_penalty=float("inf")), "repetition_penalty=inf must be a finite number"),
    ],
)
def test_impossible_values(changes, message):
    with pytest.raises(InputError, match=message):
        Sampling(**changes)


def test_equal_options_share_a_program():
    assert hash(Sampling(temperature=1)) == hash(Sampling(temperature=1.0))
    assert dataclasses.replace(Sampling(), top_k=3) == Sampling(top_k=3)
