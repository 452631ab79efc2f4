"""The search over margins against asking for every one, on fills that behave as the frozen base's do."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.margins import answers_at, best_margin


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-3, 3)), max_size=5),
    st.lists(st.floats(-12, 12), min_size=1, max_size=9, unique=True).map(sorted),
)
def test_all_answers_are_those_of_asking_for_each(fields, margins):
    asked = []

    def fill_at(margin):
        # By how much ` none` beats a value shifts with what was decided before, as in an autoregressive fill.
        asked.append(margin)
        present = []
        for lead, shift in fields:
            present.append(lead + shift * sum(present) <= margin)
        return present

    found = answers_at(fill_at, margins)
    assert len(asked) == len(set(asked))
    if not fields:
        assert len(asked) <= 2
    assert found == [fill_at(margin) for margin in margins]


def test_the_best_margin_is_the_one_with_most_right_and_nearest_to_0():
    assert best_margin({-2.0: 10.0, 0.0: 30.0, 1.0: 30.0, 4.0: 20.0}) == 0.0
    assert best_margin({-8.0: 50.0, 2.0: 30.0}) == -8.0
    assert best_margin({-8.0: 5.0, -2.0: 5.0, 3.0: 5.0}) == -2.0
