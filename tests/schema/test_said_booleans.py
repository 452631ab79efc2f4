"""What is affirmed and what is denied, in the words of the field; everything else is left open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.said_booleans import said_boolean


@pytest.mark.parametrize(
    ("said", "name", "description", "value"),
    [
        ("Yes, please", "x", "", True), ("off again", "x", "", False), ("no thanks", "x", "", False),
        ("with receipts", "include_receipts", "", True), ("no receipts", "include_receipts", "", False),
        ("receipts left out", "includeReceipts", "", False), ("we don't need a receipt", "receipt", "", False),
        ("without any sauce", "sauce", "", False), ("any sauce", "sauce", "", None),
        ("with no cheese", "cheese", "", False),
        # Words of the description tell as well as those of the name.
        ("a paper copy too", "mail_it", "also post a paper copy", True),
        ("no paper copy", "mail_it", "also post a paper copy", False),
        ("in red", "mail_it", "also post a paper copy", None),
        # Both sides of a description are named.
        ("as a sum", "mean", "mean instead of the sum", False), ("the mean", "mean", "mean instead of the sum", True),
        ("by night", "day", "true for day, false for night flights", False),
        ("not by night", "day", "true for day, false for night flights", True),
        ("comments dropped", "strict", "leave out comments (default true)", True),
        ("comments included", "strict", "leave out comments (default true)", False),
        ("not without receipts", "receipts", "", True), ("don't leave out receipts", "receipts", "", True),
        ("I'd like a receipt", "receipt", "", True), ("no, with a receipt", "receipt", "", True),
        ("never mind the receipt", "receipt", "", False), ("do not ring", "dont_ring", "refrain from ringing", True),
        ("receipt", "no_receipt", "add a receipt", None),
        ("leave early", "early", "", None), ("leave the map aside", "map", "", False),
        ("keep the file", "delete_file", "", False), ("keep the file", "move_file", "", None),
        ("keep the picture", "rotate", "turn the picture", None),
        ("with deleted rows", "without_deleted_rows", "", False), ("rows deleted", "rows", "", False),
        ("no nuts", "nut_free", "", True), ("nut-free", "nuts", "contains nuts", False),
        # Half of a name or a small part of a description is not what the field is about.
        ("in print", "large_print", "", None), ("by post", "mail", "post a paper copy to the owner of the house", None),
        ("no smoking", "no_smoking", "", True), ("smoking allowed", "no_smoking", "", False),
        ("still unread", "read", "", None), ("unread", "mark_read", "", False),
        # What only narrows down is not told by words that want it beside other things.
        ("direct flights only", "direct_only", "only direct flights", True),
        ("direct flights", "direct_only", "only direct flights", True),
        ("also direct flights", "direct_only", "only direct flights", None),
        ("no direct flights", "direct_only", "only direct flights", None),
        ("direct flights aren't necessary", "direct_only", "only direct flights", False),
        # Two denials, alternatives and conditions are left open.
        ("no receipts, no stamps", "receipts_stamps", "", None), ("with or without receipts", "receipts", "", None),
        ("receipts unless they are long", "receipts", "", None), ("", "receipts", "", None),
        ("please", "receipts", "", None),
        ("from low to high", "descending", "notes from high to low", None),
    ],
)  # fmt: skip
def test_said(said, name, description, value):
    assert said_boolean(said, name, description) is value


@given(st.sampled_from(["map", "garden", "tower", "winter tyres"]), st.just("") | st.text(max_size=12))
def test_a_denial_turns_the_value_round(thing, description):
    affirmed = said_boolean(f"with the {thing}", thing.replace(" ", "_"), description)
    denied = said_boolean(f"without the {thing}", thing.replace(" ", "_"), description)
    assert affirmed is None or affirmed is not denied
    if not description:
        assert affirmed and denied is False


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=30))
def test_any_words_are_read(said, name, description):
    assert said_boolean(said, name, description) in (True, False, None)
