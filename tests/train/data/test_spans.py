"""Where values are said, and whether those words give them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.leaves import fields_of
from jaxdiff_train.data.labels import label_source
from jaxdiff_train.data.spans import find_items, find_spans


@pytest.mark.parametrize(
    ("query", "arguments", "said"),
    [
        ("fly to paris, please", {"city": "Paris"}, {"city": "paris"}),
        ("fly to new\u00a0york", {"city": "New York"}, {"city": "new\u00a0york"}),
        ("Parisian food", {"city": "Paris"}, {}),
        ("play 88 keys", {"playlist": "88 keys"}, {"playlist": "88 keys"}),
        ("a cat, a cat", {"pet": "cat"}, {}),
        ("a bird, a bird", {"pet": "bird"}, {"pet": (2, 6)}),
        ("in India", {"country": "IN"}, {}),
        ("in India (IN)", {"country": "IN"}, {"country": "IN"}),
        ("level b2 please", {"level": "B2"}, {"level": "b2"}),
        ("wifi on", {"wifi": True}, {}),
        ("a table for 4", {"people": 4}, {"people": "4"}),
        ("a table for 4.", {"people": 4}, {"people": "4"}),
        ("a table for Four", {"people": 4}, {"people": "Four"}),
        ("twenty-one people", {"people": 21}, {"people": "twenty-one"}),
        ("two thousand and five people", {"people": 2005}, {"people": "two thousand and five"}),
        ("scale one point five", {"scale": 1.5}, {"scale": "one point five"}),
        ("pay $1,000 now", {"amount": 1000}, {"amount": "1,000"}),
        ("pay 1000.50", {"amount": 1000.5}, {"amount": "1000.50"}),
        ("cool to -2 or more", {"degrees": -2}, {"degrees": "-2"}),
        ("at 2.5", {"a": 2, "b": 5}, {}),
        ("on 2024-05-12 at 8:30", {"a": 5, "b": 8, "c": 2024}, {}),
        ("the 4th of 4", {"n": 4}, {"n": (11, 12)}),
        ("tip of 15%", {"tip": 0.15}, {"tip": "15%"}),
        ("tip of 15 percent", {"tip": 15}, {"tip": "15"}),
        ("that one, 1 room", {"rooms": 1}, {"rooms": "1"}),
        ("2 rooms for 2", {"rooms": 2}, {}),
        ("more than any float: 5", {"n": 10**400, "m": 5}, {"m": "5"}),
        ("2 rooms for 2", {"rooms": 2, "people": 2}, {"rooms": (0, 1), "people": (12, 13)}),
        ("a room for 2", {"rooms": 2, "people": 2}, {"rooms": "2", "people": "2"}),
        ("York, not New York", {"start": "New York", "end": "York"}, {"start": (10, 18), "end": (0, 4)}),
        ("red, green and blue", {"colours": ["red", "blue"]}, {"colours": "red, green and blue"}),
        ("red and blue", {"colours": ["blue", "red"]}, {"colours": "red and blue"}),
        ("1, 2 and 2", {"numbers": [1, 2, 2]}, {"numbers": "1, 2 and 2"}),
        ("1 and 2", {"numbers": [1, 2, 2]}, {}),
        ("4 items: 1, 4, 9", {"numbers": [1, 4, 9]}, {"numbers": "1, 4, 9"}),
        ("red wine with the fish and whatever else is blue", {"colours": ["red", "blue"]}, {}),
        ("nothing", {"list": [], "object": {"a": 1}, "text": " ", "missing": None}, {}),
    ],
)
def test_find_spans(query, arguments, said):
    spans = find_spans(query, arguments)
    assert {
        name: span if isinstance(said.get(name), tuple) else query[slice(*span)] for name, span in spans.items()
    } == said


words = st.text("abé1", min_size=1, max_size=4)


@given(st.lists(words, min_size=1, max_size=3), st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_a_string_said_once_is_found_where_it_is(value, before, after):
    text = " ".join(value)
    query = " ".join([*before, text, *after])
    span = find_spans(query, {"field": text}).get("field")
    if span is None:
        assert f" {query} ".count(f" {text} ") != 1 or query.count(text) > 1
    else:
        assert query[slice(*span)].casefold() == text.casefold()
        assert all(not side.isalnum() for side in (query[: span[0]][-1:], query[span[1] :][:1]) if side)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["{}", "{:,}"]))
def test_a_number_in_digits_is_found(number, form):
    said = form.format(number)
    query = f"set it to {said}, please"
    assert find_spans(query, {"level": number}) == {"level": (10, 10 + len(said))}


PARAMETERS = {
    "type": "object",
    "properties": {
        "people": {"type": "integer"},
        "place": {"type": "string"},
        "meal": {"type": "string", "enum": ["lunch", "dinner"]},
        "outside": {"type": "boolean"},
    },
}


@pytest.mark.parametrize(
    ("field", "value", "said", "label"),
    [
        ("people", 4, "four", 1),
        ("people", 4, "4", 1),
        ("people", 8, "four", 0),
        ("people", 4, "cosy", 0),
        ("people", 4, None, 0),
        ("place", "Luigi's", "Luigi's", 1),
        ("place", "Luigi's", "luigi's", 1),
        ("place", "Luigi's Trattoria", "Luigi's", 0),
    ],
)
def test_label_source(field, value, said, label):
    query = f"Book {said} and so on"
    span = None if said is None else (5, 5 + len(said))
    fields = {entry.name: entry for entry in fields_of(PARAMETERS)}
    assert label_source(query, span, fields[field], value) == label


@pytest.mark.parametrize(
    ("query", "items", "said"),
    [
        ("add eggs to it, oh, and milk too", ["milk", "eggs"], ["eggs", "milk"]),
        ("mix 3 of these, then come back with 12 more", [12, 3], ["3", "12"]),
        ("add New York to it, then after lunch also York", ["York", "New York"], ["New York", "York"]),
        ("add eggs to it", ["eggs"], []),
        ("add eggs to it", ["eggs", "milk"], []),
        ("add a 2 here and there a 2, and much later 7", [2, 7], []),
        ("add a 2 here and there a 2, and much later 7", [2, 2, 7], ["2", "2", "7"]),
        ("eggs", ["eggs", "eggs"], []),
        ("a true story of b", [True, "b"], []),
    ],
)
def test_items_that_stand_apart(query, items, said):
    found = find_items(query, items)
    assert [query[slice(*place)] for place in found] == said and found == sorted(found)
    for place in found:
        assert find_items(query, items, [place]) == []
