"""Sizes are rounded up to the list and refused beyond it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.base.buckets import CANDIDATES, FIELDS, TOKENS, bucket
from jaxdiff.errors import InputError


@given(st.sampled_from([TOKENS, FIELDS, CANDIDATES]), st.data())
def test_smallest_that_holds(sizes, data):
    size = data.draw(st.integers(0, sizes[-1]))
    found = bucket(size, sizes, "things")
    assert found == min(candidate for candidate in sizes if candidate >= size)


@pytest.mark.parametrize("sizes", [TOKENS, FIELDS, CANDIDATES])
def test_too_many_are_refused_by_name(sizes):
    assert list(sizes) == sorted(set(sizes))
    with pytest.raises(InputError, match=f"things: {sizes[-1] + 1} is more than the largest supported, {sizes[-1]}"):
        bucket(sizes[-1] + 1, sizes, "things")
