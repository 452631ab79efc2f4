"""One said list -> its items."""

import pytest

from jaxdiff.schema.lists import split_list


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("A, B and C", ["A", "B", "C"]), ("A, B, and C", ["A", "B", "C"]), ("a or b", ["a", "b"]),
        ("x & y", ["x", "y"]),
        ("Polar Lifts and Hoist & Sons", ["Polar Lifts", "Hoist & Sons"]),
        ("one; two, three; four", ["one", "two, three", "four"]),
        ('"a, b" and "c"', ['"a, b"', '"c"']), ("first\nsecond\n", ["first", "second"]),
        ("[red, green]", ["red", "green"]),
        ("the kitchen and the hall", ["kitchen", "hall"]), ("a.mp4 and b.mp4", ["a.mp4", "b.mp4"]), ("solo", ["solo"]),
        ("driver's license and mum's card", ["driver's license", "mum's card"]),
        ("open it, then close it", ["open it", "close it"]),
        ("day1.mkv then day2.mkv", ["day1.mkv", "day2.mkv"]), ("only Ann", ["Ann"]),
        ("both tea and milk, please", ["tea", "milk"]), ("tea and milk too", ["tea", "milk"]),
        ("tags red and blue", ["red", "blue"]),
        ("arts and crafts, music", ["arts and crafts", "music"]), (" , ", []), ("sandy, Anders", ["sandy", "Anders"]),
    ],
)  # fmt: skip
def test_words(text, items):
    assert split_list(text, numeric=False, name="tags") == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("(7.25, 3, -1)", ["7.25", "3", "-1"]), ("1,2,3", ["1", "2", "3"]),
        ("41,000, 38,500 and 12,250", ["41,000", "38,500", "12,250"]),
        ("41,000", ["41,000"]), ("60/22.5/17.5", ["60", "22.5", "17.5"]), ("1-3-2", ["1", "3", "2"]),
        ("2 2 4", ["2", "2", "4"]),
        ("150 to 210", ["150", "210"]), ("5, 10 and 15 km", ["5 km", "10 km", "15 km"]),
        ("60%, 35% and 5%", ["60%", "35%", "5%"]),
        ("two, one and four", ["two", "one", "four"]), ("100,200,300", ["100", "200", "300"]),
    ],
)  # fmt: skip
def test_numbers(text, items):
    assert [item.strip() for item in split_list(text, numeric=True)] == items
