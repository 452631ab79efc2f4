"""The greedy assignment that the exact one is compared with."""

from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ablation import assign_greedily
from jaxdiff.agent import presence
from jaxdiff.agent.assignment import assign
from tests.agent.test_assignment import plain_total, span, spans
from tests.agent.test_presence import TEXT, fields, words_of


@given(st.lists(st.lists(spans(), max_size=3), max_size=5))
def test_field_by_field_is_never_better_than_together(possible):
    together, greedy = (
        [one for one in chosen if one is not None] for chosen in (assign(possible), assign_greedily(possible))
    )
    assert len(greedy) == len(together) and plain_total(greedy) <= plain_total(together) + 1e-9


def test_the_surest_field_first_can_be_worse():
    """The first takes what the second needs, though it had other words that are almost as good."""
    possible = [[span(0, 0, -0.1), span(1, 1, -0.2)], [span(0, 0, -0.3)]]
    assert [one.first for one in assign_greedily(possible)] == [0, 0] and [one.first for one in assign(possible)] == [
        1,
        0,
    ]


def test_answering_takes_the_assignment_that_is_put_in_its_place():
    asked = []
    with patch.object(
        presence, "assign", lambda possible, cost: asked.append(len(possible)) or assign_greedily(possible, cost)
    ):
        presence.take(words_of([[0, 1, 0, 0], [0, 0, 0, 1]], fields(a=TEXT, b=TEXT)), np.array([0.9, 0.9]))
    assert asked == [2]
