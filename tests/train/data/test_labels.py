"""Labels of hand-made rows against labels written down by hand."""

import re

import numpy as np
import pytest

from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.labels import label_row
from tests.train.reader_rows import PAINT, SEND, row

# Tokens begin with their space, as those of a byte-level tokenizer do.
QUERY = "Paint 12 doors dark red, with love"
TOKENS = ["Paint", " 12", " doors", " dark", " red", ",", " with", " love"]


def encode(text: str) -> list[int]:
    """One token a character."""
    return [ord(character) for character in text]


def offsets_of(tokens: list[str]) -> list[tuple[int, int]]:
    ends = np.cumsum([len(token) for token in tokens]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def labels_of(arguments: dict, said: dict, query: str = QUERY, tokens: list[str] = TOKENS, tool: dict = PAINT):
    assert "".join(tokens) == query
    return label_row(row(query, arguments, said, tool), parse_tools([tool])[0], offsets_of(tokens), encode)


def test_spans_are_the_tokens_that_hold_the_words():
    found = labels_of(
        {"what": "doors", "count": 12, "colour": "red", "note": "dark red, with"},
        {"what": "doors", "count": "12", "colour": "red", "note": "dark red, with"},
    )
    assert found.start.tolist() == [2, 1, 4, 3, -1]
    assert found.end.tolist() == [2, 1, 4, 6, -1]
    assert found.presence.tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("said", [" doors", "doors "])
def test_a_space_around_the_words_makes_no_difference(said):
    found = labels_of({"what": "doors"}, {"what": said})
    assert (found.start[0], found.end[0]) == (2, 2)


def test_part_of_a_token_is_that_token_and_a_space_alone_is_none():
    found = labels_of({"what": "oor", "note": "x"}, {"what": "oor", "note": " "})
    assert (found.start[0], found.end[0]) == (2, 2)
    assert (found.start[3], found.end[3]) == (-1, -1)


def test_an_absent_field_asks_for_nothing():
    found = labels_of({}, {})
    for part in (found.start, found.end, found.candidate, found.copied):
        assert part.tolist() == [-1] * 5
    assert not found.presence.any() and found.slots == ()


@pytest.mark.parametrize(
    ("colour", "gift", "expected"),
    [("red", True, [0, 0]), ("blue", False, [1, 1]), (" RED WINE ", True, [2, 0]), ("pink", False, [-1, 1])],
)
def test_a_listed_value_is_its_place_in_the_list(colour, gift, expected):
    found = labels_of({"colour": colour, "gift": gift}, {})
    assert found.candidate[[2, 4]].tolist() == expected
    assert found.candidate[[0, 1, 3]].tolist() == [-1] * 3
    assert found.copied[[2, 4]].tolist() == [-1, -1]
    # A listed value is chosen, never composed.
    assert found.slots == ()


@pytest.mark.parametrize(
    ("value", "said", "expected"),
    [
        ("doors", "doors", 1),
        ("DOORS", "doors", 1),
        ("door", "doors", 0),
        ("doors", None, 0),
    ],
)
def test_copied_tells_whether_the_words_give_the_value(value, said, expected):
    found = labels_of({"what": value}, {} if said is None else {"what": said})
    assert found.copied.tolist() == [expected, -1, -1, -1, -1]


def test_words_that_mean_a_number_or_a_list_are_copied():
    number = labels_of({"count": 2}, {"count": "two"}, "two pots", ["two", " pots"])
    assert (number.copied[1], number.start[1], number.end[1]) == (1, 0, 0)
    listed = labels_of(
        {"to": "Bo", "parts": ["red", "blue"]}, {"parts": "red and blue"},
        "red and blue", ["red", " and", " blue"], SEND,
    )  # fmt: skip
    assert listed.copied.tolist() == [0, 1]
    assert (listed.start[1], listed.end[1]) == (0, 2)


@pytest.mark.parametrize(
    ("parts", "to", "place", "further", "copied"),
    [
        (["nails", "glue"], "Bo", (3, 3), ((1, 9, 9),), 1),
        (["glue", "nails"], "Bo", (3, 3), ((1, 9, 9),), 0),
        (["nails", "Glue"], "Bo", (3, 3), ((1, 9, 9),), 1),
        (["nails", "screws"], "Bo", (-1, -1), (), 0),
        (["nails"], "Bo", (3, 3), (), 1),
        (["nails", "Bo"], "Bo", (-1, -1), (), 0),
    ],
    ids=["apart", "other order", "other case", "not said", "one item", "another value's words"],
)
def test_items_apart_have_their_own_places(parts, to, place, further, copied):
    tokens = ["Send", " Bo", " some", " nails", ",", " and", " when", " there", ",", " glue", " too"]
    query = "".join(tokens)
    said = {"to": "Bo"} | ({"parts": "nails"} if len(parts) == 1 else {})
    found = labels_of({"to": to, "parts": parts}, said, query, tokens, SEND)
    assert (found.start[1], found.end[1]) == place
    assert found.further == further and found.copied[1] == copied
    assert (found.start[0], found.end[0]) == (1, 1)


def test_a_slot_holds_the_value_after_a_space():
    found = labels_of({"what": "x", "count": 12}, {})
    fields = parse_tools([PAINT])[0].fields
    assert found.slots == (
        (0, (ord(" "), ord("x")), slot_tokens(fields[0], encode)),
        (1, tuple(encode(" 12")), slot_tokens(fields[1], encode)),
    )
    parts = labels_of({"to": "Bo", "parts": ["a", "b"]}, {}, tool=SEND).slots[1]
    assert parts[:2] == (1, tuple(encode(' ["a", "b"]')))


def test_a_value_longer_than_its_slot_is_not_composed_and_keeps_its_other_labels():
    size = slot_tokens(parse_tools([PAINT])[0].fields[0], encode)
    fits, too_long = "x" * (size - 1), "x" * size
    assert [len(ids) for _, ids, _ in labels_of({"what": fits}, {}).slots] == [size]
    found = labels_of({"what": too_long}, {"what": "doors"})
    assert found.slots == ()
    assert (found.presence[0], found.start[0], found.copied[0]) == (True, 2, 0)


@pytest.mark.parametrize(
    ("said", "value", "description", "kept"),
    [
        ("42.2 km", 42.2, "distance in km", "42.2"),
        ("lot number 77", 77, "number", "77"),
        ("0.5 mm/s", 0.5, "speed in mm/s", "0.5"),
        ("two days", 48, "duration in hours", "two days"),
        ("half an hour", 30, "minutes", "half an hour"),
        ("three thousand euros", 3000, "amount", "three thousand"),
    ],
)
def test_of_a_number_the_words_that_its_value_needs(said, value, description, kept):
    pieces = [("" if i == 0 else " ") + word for i, word in enumerate(f"for {said} now".split(" "))]
    # Digits and points are tokens of their own, and so is a space in front of them.
    tokens = [part for piece in pieces for part in re.findall(r"\s?[A-Za-z/]+|\s|[\d.]", piece)]
    schema = {"type": "number", "description": description}
    tool = {"name": "measure", "description": "", "parameters": {"type": "object", "properties": {"x": schema}}}
    query = "".join(tokens)
    found = labels_of({"x": value}, {"x": said}, query, tokens, tool)
    offsets = offsets_of(tokens)
    assert query[offsets[found.start[0]][0] : offsets[found.end[0]][1]].strip() == kept
    assert tokens[found.start[0]].strip() and tokens[found.end[0]].strip()
