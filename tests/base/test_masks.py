"""Masks against loops that spell out who may see whom."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxdiff.base import masks
from tests.base.numpy_model import causal_by_loop, positions_by_loop

valid_rows = arrays.arrays(bool, (2, 5))
streams = arrays.arrays(np.int32, (2, 5), elements=st.integers(-1, 2))


@given(valid_rows)
def test_causal(valid):
    np.testing.assert_array_equal(masks.causal(valid), causal_by_loop(valid))


@given(valid_rows)
def test_positions_count_valid_tokens(valid):
    np.testing.assert_array_equal(masks.positions(valid), positions_by_loop(valid))


@given(streams, valid_rows)
def test_streams(stream, valid):
    expected = causal_by_loop(valid)
    for b in range(2):
        for query in range(5):
            for key in range(query):
                expected[b, query, key] &= stream[b, key] in (-1, stream[b, query])
    np.testing.assert_array_equal(masks.streams(stream, valid), expected)


def test_streams_as_drawn():
    drawn = """
        x . . . .
        x x . . .
        x x x . .
        x x x x .
        x x . . x
    """
    expected = np.array([[cell == "x" for cell in line.split()] for line in drawn.strip().splitlines()])
    found = masks.streams(np.array([[-1, -1, 0, 0, 1]], np.int32), np.ones((1, 5), bool))
    np.testing.assert_array_equal(found[0], expected)


@given(valid_rows, arrays.arrays(bool, (2, 3)), st.booleans())
def test_after_prefix(valid, prefix_valid, shared):
    prefix_valid = prefix_valid[:1] if shared else prefix_valid
    block = causal_by_loop(valid)
    found = masks.after_prefix(block, valid, prefix_valid)
    assert found.shape == (2, 5, 8)
    np.testing.assert_array_equal(found[:, :, 3:], block)
    for b in range(2):
        for query in range(5):
            for key in range(3):
                assert found[b, query, key] == (valid[b, query] and prefix_valid[0 if shared else b, key])


@given(arrays.arrays(bool, (2, 6)), st.integers(0, 5))
def test_decoding(cache_valid, index):
    found = masks.decoding(cache_valid, np.int32(index))
    assert found.shape == (2, 1, 6)
    for b in range(2):
        for slot in range(6):
            assert found[b, 0, slot] == (cache_valid[b, slot] or slot == index)
