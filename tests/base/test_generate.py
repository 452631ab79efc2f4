"""Greedy decoding in one loop on the device against a plain Python loop without a cache."""

import numpy as np
import pytest

from jaxdiff.base import generate
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import greedy
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError
from tests.base.numpy_model import random_params
from tests.convert.checkpoints import tiny_tokenizer

NEW = 6
VALID = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], bool)
IDS = np.random.default_rng(2).integers(0, 97, VALID.shape).astype(np.int32)


@pytest.fixture(scope="module")
def base() -> FrozenBase:
    config = BaseConfig.tiny(max_positions=40, eos_token_ids=(96, 95))
    return FrozenBase(config, random_params(config, seed=1), tiny_tokenizer(), name="small", fingerprint="0" * 64)


def by_python_loop(base: FrozenBase, ids: np.ndarray, valid: np.ndarray, new: int) -> np.ndarray:
    """The whole text is read again for every token."""
    texts = [list(row[real]) for row, real in zip(ids, valid, strict=True)]
    width = ids.shape[1] + new
    for _ in range(new):
        padded = np.array([text + [0] * (width - len(text)) for text in texts])
        lengths = np.array([len(text) for text in texts])
        logits = np.asarray(base.logits(padded, np.arange(width) < lengths[:, None]))
        for text, row, length in zip(texts, logits, lengths, strict=True):
            text.append(int(row[length - 1].argmax()))
    return np.array([text[-new:] for text in texts])


@pytest.fixture(scope="module")
def endless(base) -> np.ndarray:
    return by_python_loop(base, IDS, VALID, NEW)


def test_equals_the_python_loop(base, endless):
    found = greedy(base, IDS, VALID, NEW, stop_ids=())
    assert found.shape == (3, NEW) and found.dtype == np.int32
    np.testing.assert_array_equal(found, endless)
    assert len({tuple(row) for row in endless}) == 3


def test_one_row_alone(base, endless):
    np.testing.assert_array_equal(greedy(base, IDS[1:2, :2], VALID[1:2, :2], NEW, stop_ids=())[0], endless[1])


def test_padding_on_the_left(base, endless):
    ids, valid = np.roll(IDS, 1, axis=1), np.roll(VALID, 1, axis=1)
    np.testing.assert_array_equal(greedy(base, ids[2:], valid[2:], NEW, stop_ids=())[0], endless[2])


@pytest.mark.parametrize("when", [0, 2, NEW - 1])
def test_a_row_ends_at_its_stop_token(base, endless, when):
    stop = int(endless[0, when])
    expected = endless.copy()
    for row in expected:
        ends = np.flatnonzero(row == stop)
        if ends.size:
            row[ends[0] + 1 :] = 98
    # 98 lies outside the vocabulary: it can only be padding.
    np.testing.assert_array_equal(greedy(base, IDS, VALID, NEW, stop_ids=(98, stop)), expected)


def test_all_rows_ended(base, endless):
    stops = sorted({int(token) for token in endless[:, 0]})
    found = np.asarray(greedy(base, IDS, VALID, NEW, stop_ids=stops))
    np.testing.assert_array_equal(found[:, 0], endless[:, 0])
    assert (found[:, 1:] == stops[0]).all()


def test_stops_at_the_bases_own_end_tokens(base):
    ends = base.config.eos_token_ids
    np.testing.assert_array_equal(greedy(base, IDS, VALID, NEW), greedy(base, IDS, VALID, NEW, stop_ids=ends))
    stop = int(greedy(base, IDS, VALID, 1, stop_ids=())[0, 0])
    config = BaseConfig.tiny(max_positions=40, eos_token_ids=(stop,))
    other = FrozenBase(config, base.params, base.tokenizer, name="small", fingerprint="0" * 64)
    assert (np.asarray(greedy(other, IDS, VALID, NEW))[0] == stop).all()


def test_traced_once(base, monkeypatch):
    traces = []
    decoding = generate.masks.decoding

    def counted(*arguments):
        traces.append(1)
        return decoding(*arguments)

    monkeypatch.setattr(generate.masks, "decoding", counted)
    greedy(base, IDS[:2, :3], VALID[:2, :3], 3)
    once = len(traces)
    assert once > 0
    greedy(base, IDS[1:, 1:4], VALID[1:, :3], 3)
    assert len(traces) == once


@pytest.mark.parametrize(
    ("ids", "valid", "new", "message"),
    [
        ([[1, 2]], [[True, True]], 0, "max_new_tokens=0 must be >= 1"),
        ([[1, 2]], [[True, True]], 39, "41 tokens: the base reads at most 40"),
        ([[1, 2], [3, 4]], [[True, True], [False, False]], 3, "row 1 holds no token"),
        ([[1, 97]], [[True, True]], 3, "outside the vocabulary"),
    ],
)
def test_refused_input(base, ids, valid, new, message):
    with pytest.raises(InputError, match=message):
        greedy(base, ids, valid, new)
