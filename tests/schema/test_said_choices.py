"""Which candidate words name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.said_choices import said_choice


@pytest.mark.parametrize(
    ("said", "candidates", "value"),
    [
        ("an oak table, please", ["oak", "pine"], "oak"), ("oaks", ["oak", "pine"], "oak"),
        ("made of pine-wood", ["oak", "pine"], "pine"), ("Express-delivery", ["express", "normal"], "express"),
        ("black tea", ["tea", "black_tea", "coffee"], "black_tea"), ("tea", ["tea", "black_tea"], "tea"),
        ("the H.264 codec", ["h264", "av1"], "h264"), ("dry-cleaning", ["wash", "dry_clean"], "dry_clean"),
        ("the length of the rope", ["rope_length", "rope_weight"], "rope_length"),
        ("temp", ["temperature", "pressure"], "temperature"), ("maximum", ["min", "max"], "max"),
        ("every day", ["daily", "weekly"], "daily"), ("each year", ["yearly", "monthly"], "yearly"),
        ("centimetres", ["mm", "cm", "in"], "cm"), ("inches", ["mm", "cm", "in"], "in"),
        ("degrees Celsius", ["°C", "°F"], "°C"), ("miles", ["km", "mi"], "mi"), ("yrs", ["days", "years"], "years"),
        ("a d12", [6, 12], 12), ("12", [6, 12], 12), ("1.2", [1, 2], None),
        # Left open: other words, several candidates, denials, alternatives, heads of compounds, other numbers.
        ("maple", ["oak", "pine"], None), ("oak and pine", ["oak", "pine"], None), ("not oak", ["oak", "pine"], None),
        ("cheaper than oak", ["oak", "pine"], None), ("half-dry", ["dry", "sweet"], None),
        ("every two days", ["daily", "weekly"], None), ("in feet", ["in", "cm"], None), ("", ["a"], None),
        ("extra large", ["large", "xl"], None), ("car", ["cargo", "bus"], None), ("business trip", ["bus"], None),
        ("half day", ["half_day", "day"], "half_day"), ("prod", ["production", "test"], "production"),
        ("a b c", ["a", "x"], None), ("truth", [True, None], None),
    ],
)  # fmt: skip
def test_named(said, candidates, value):
    place = said_choice(said, tuple(candidates))
    assert (None if place is None else candidates[place]) == value


@given(
    st.text(max_size=30),
    st.lists(st.text(max_size=8) | st.integers(-9, 99) | st.none() | st.booleans(), max_size=5, unique=True),
)
def test_any_words_are_read(said, candidates):
    place = said_choice(said, tuple(candidates))
    assert place is None or 0 <= place < len(candidates)


@given(st.permutations(["red_wine", "white_wine", "rose", "beer"]))
def test_the_order_of_candidates_does_not_matter(candidates):
    for said, value in [("a white wine", "white_wine"), ("some roses", "rose"), ("wines", None)]:
        place = said_choice(said, tuple(candidates))
        assert (None if place is None else candidates[place]) == value
