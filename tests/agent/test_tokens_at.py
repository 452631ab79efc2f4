"""Which tokens say a part of a text."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.agent.prompting import tokens_at


def pieces(query, cuts):
    bounds = [0, *sorted({cut for cut in cuts if 0 < cut < len(query)}), len(query)]
    return list(pairwise(bounds))


@given(st.text("ab ", min_size=1, max_size=20), st.lists(st.integers(0, 20)), st.integers(0, 20), st.integers(0, 20))
def test_tokens_at_covers_what_is_said_and_no_more(query, cuts, one, other):
    start, end = sorted((min(one, len(query)), min(other, len(query))))
    offsets = pieces(query, cuts)
    found = tokens_at(offsets, query, start, end)
    letters = {index for index in range(start, end) if query[index] != " "}
    if not letters:
        assert found is None
    else:
        owners = [number for number, (first, last) in enumerate(offsets) if letters & set(range(first, last))]
        assert found == (owners[0], owners[-1])


def test_tokens_at_with_leading_spaces_and_a_lone_space():
    query = "in 5 days"
    offsets = [(0, 2), (2, 3), (3, 4), (4, 9)]
    assert tokens_at(offsets, query, 3, 4) == (2, 2)
    assert tokens_at(offsets, query, 2, 4) == (2, 2)
    assert tokens_at(offsets, query, 5, 9) == (3, 3)
    assert tokens_at(offsets, query, 3, 9) == (2, 3)
    assert tokens_at(offsets, query, 2, 3) is None
