"""Said words -> values: laws, tables of cases, and shares right over a sample of the authored packs."""

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Field
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import ValueNotUnderstood, clean_string, parse_value, write_value

SAID = [json.loads(line) for line in (Path(__file__).parent / "data" / "said.jsonl").read_text("utf-8").splitlines()]


def field(name="value", **schema) -> Field:
    schema.setdefault("type", "string")
    return only_field(schema, name)


def only_field(schema, name="value") -> Field:
    (tool,) = parse_tools([{"name": "one", "parameters": {"type": "object", "properties": {name: schema}}}])
    return tool.fields[0]


def outcome(entry) -> str:
    try:
        value = parse_value(entry["say"], field(entry["name"], **entry["schema"]))
    except ValueNotUnderstood:
        return "not understood"
    return "right" if same_value(value, entry["value"]) else "wrong"


@pytest.mark.parametrize("group", sorted({entry["group"] for entry in SAID}))
def test_share_right_on_a_sample_of_the_packs(group):
    entries = [entry for entry in SAID if entry["group"] == group]
    counts = Counter(map(outcome, entries))
    assert counts["right"] >= 0.95 * len(entries), counts
    assert counts["wrong"] <= 0.04 * len(entries), counts
    if group.endswith("as is"):
        assert counts["right"] == len(entries)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("12", 12), (" -7 ", -7), ("+3", 3), ("20.0", 20), ("12,000", 12000), ("1 234 567", 1234567), ("1.2k", 1200),
        ("twelve", 12), ("two hundred and twenty", 220), ("eighteen hundred", 1800), ("a hundred", 100),
        ("minus ten", -10), ("ten below zero", -10), ("a dozen", 12), ("two dozen", 24), ("half a dozen", 6),
        ("a couple of", 2), ("one pair", 1), ("twice", 2), ("20th", 20), ("the third one", 3), ("second", 2),
        ("half a million", 500000), ("a million and a half", 1500000), ("nineteen ninety-five", 1995),
        ("3 lessons a week", 3), ("a mat", 1), ("no changes", 0), ("EPSG:4326", 4326), ("port 9443", 9443),
        ("4 plates (of 12)", 4), ("9" * 40, int("9" * 40)), ("\u22125", -5), ("“8”", 8),
    ],
)  # fmt: skip
def test_integers(said, value):
    found = parse_value(said, field(type="integer"))
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    "said",
    ["", "words", "3-5", "3 or 4", "2.5", "half", "1,2", "2026-08-01", "v2", "12:30", "NaN", "inf", "a few",
     "1e99999", "4x4", "9" * 5000, "1/0", "-", "$", "two \ud800"],
)  # fmt: skip
def test_not_an_integer(said):
    with pytest.raises(ValueNotUnderstood):
        parse_value(said, field(type="integer"))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("19.90 euros", 19.9), ("$3k", 3000), ("€4,750", 4750), ("-$5", -5), ("one and a half", 1.5), ("3e-4", 0.0003),
        ("two thirds", 2 / 3), ("half", 0.5), ("1½", 1.5), ("2 1/2", 2.5), ("zero point oh five", 0.05),
        ("one point two million", 1200000), ("time and a half", 1.5), ("a tenth", 0.1), ("8.1%", 8.1), ("1/4", 0.25),
        ("0.1", 0.1), ("-0.0", 0), ("100000000000000000000001", 100000000000000000000001),
    ],
)  # fmt: skip
def test_numbers(said, value):
    assert parse_value(said, field(type="number")) == value


def test_a_number_beyond_floats_is_refused():
    with pytest.raises(ValueNotUnderstood):
        parse_value("1" + "0" * 320 + ".5", field(type="number"))


@pytest.mark.parametrize(
    ("said", "name", "description", "value"),
    [
        ("20%", "rate", "as a decimal, e.g. 0.05 for 5%", 0.2), ("20%", "rate", "in percent, e.g. 6.5 for 6.5%", 20),
        ("20 per cent", "x", "", 20), ("a quarter", "percent", "", 25), ("a quarter", "share", "between 0 and 1", 0.25),
        ("half an hour", "duration_minutes", "", 30), ("two hours", "length", "length in minutes", 120),
        ("an hour and a half", "minutes", "", 90), ("1 hour 20 minutes", "minutes", "", 80),
        ("an hour and ten minutes", "minutes", "", 70), ("3 lessons a week", "lessons", "", 3),
        ("90 minutes", "hours", "", 1.5),
        ("ten minutes", "timeout_s", "", 600), ("0.3 s", "wait_ms", "", 300), ("a fortnight", "days", "", 14),
        ("a week (168 hours)", "hours", "", 168), ("five years", "months", "", 60), ("a day", "nights", "", 1),
        ("800 m", "max_km", "", 0.8), ("two kilos", "weight_grams", "", 2000), ("300m", "cpu", "CPU in cores", 0.3),
        ("3 m", "price", "asking price", 3000000), ("3 m", "height", "", 3), ("4 GB", "mb", "1 GB = 1024 MB", 4096),
        ("480 BC", "year", "negative for BC", -480), ("33.75 S", "latitude", "", -33.75), ("in May", "month", "", 5),
        ("7 in the evening", "hour", "", 19), ("60 km/h", "speed", "in km/h", 60),
        ("95 °C", "heat", "degrees Celsius; 40 if missing", 95), ("three acres", "plot_m2", "", 12140.5692672),
        ("1 kB (1024 bytes)", "size", "in bytes", 1024), ("50,000 euros", "budget", "in thousands of euros", 50),
        ("25 basis points", "spread", "in percent", 0.25), ("70 cm", "height", "body height [cm]", 70),
        ("50 cents", "price", "in euros", 0.5), ("5 euros", "fee_cents", "", 500), ("99 cents", "fee", "in cents", 99),
        ("6 months", "age", "", 0.5), ("18 years", "age", "", 18), ("5 kg", "weight", "", 5),
        ("three quarters", "score", "between 0 and 1", 0.75),
        ("two centuries", "years", "", 200), ("the third week", "week", "", 3), ("1.8 m", "height_cm", "", 180),
        ("2.5 million", "sales_millions", "", 2.5),
        ("500 square metres", "plot_ha", "", 0.05),
    ],
)  # fmt: skip
def test_units_follow_the_field(said, name, description, value):
    assert parse_value(said, field(name, type="number", description=description)) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("a month", "days"), ("20 minutes", "distance_m"), ("2 hours 5 km", "minutes"), ("1 5", "minutes"),
        ("60 km/h", "speed_m"), ("twice a day", "step_hours"), ("the 19th century", "year"), ("3 gallons", "litres"),
        ("70 °F", "celsius"), ("70 F", "celsius"), ("half past six", "hour"), ("ten below", "level"), ("4/5", "rating"),
        ("2 cm", "x"), ("5%", "interest_rate"), ("25 basis points", "spread"),
    ],
)  # fmt: skip
def test_units_that_do_not_fit(said, name):
    with pytest.raises(ValueNotUnderstood):
        parse_value(said, field(name, type="number"))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("Dark Blue", "dark_blue"), ("dark-blue", "dark_blue"), ("two", 2), ("2", 2), ("null", None), ("TRUE", True),
        ("Friday", "fri"), ("+", "+"), ("A", "A"), ("a", "a"),
    ],
)  # fmt: skip
def test_candidates(said, value):
    schema = {"enum": ["dark_blue", 2, None, True, "fri", "+", "a", "A"]}
    found = parse_value(said, only_field(schema))
    assert found == value and type(found) is type(value)


def test_booleans_and_unlisted_words():
    flag = field(type="boolean")
    assert parse_value("Yes", flag) is True and parse_value("off", flag) is False and parse_value("true", flag) is True
    for wanted in (flag, field(enum=["a", "b"])):
        with pytest.raises(ValueNotUnderstood, match="'maybe'"):
            parse_value("maybe", wanted)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (" Paris, ", "Paris"), ('"as it is"', "as it is"), ("'tis", "'tis"), ("Acme Inc.", "Acme Inc."),
        ("7 p.m.", "7 p.m."),
        ('kids\' bike 16"', 'kids\' bike 16"'), ("e2e (firefox)", "e2e (firefox)"), ("firefox)", "firefox"),
        ("::", "::"),
        ("'Q3 plan'!A1", "'Q3 plan'!A1"), ('"open', "open"), ("Thanks!", "Thanks!"), ("", ""), ('""', ""), (";", ";"),
    ],
)  # fmt: skip
def test_strings_stay_as_said(said, kept):
    assert clean_string(said) == kept


@given(st.text(max_size=20))
def test_cleaning_twice_changes_nothing(text):
    assert clean_string(clean_string(text)) == clean_string(text)


@given(st.integers())
def test_written_integers_are_read_back(value):
    assert parse_value(write_value(value), field(type="integer")) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_written_numbers_are_read_back(value):
    assert parse_value(write_value(value), field(type="number")) == value


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_written_lists_of_numbers_are_read_back(values):
    assert parse_value(write_value(values), field(type="array", items={"type": "number"})) == values


@given(st.lists(st.text(max_size=8).filter(lambda text: clean_string(text) == text), max_size=5))
def test_written_lists_of_strings_are_read_back(values):
    assert parse_value(write_value(values), field(type="array", items={"type": "string"})) == values


@settings(max_examples=300)
@given(
    st.text(max_size=30),
    st.sampled_from(
        [
            {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"enum": ["a", 1]},
            {"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": "number"}},
            {"type": "string", "description": "YYYY-MM-DD HH:MM"}, {"type": "string",
            "description": "country code (ISO)"},
        ]
    ),
)  # fmt: skip
def test_any_text_is_read_or_refused(text, schema):
    wanted = only_field(schema)
    try:
        parse_value(text, wanted)
    except ValueNotUnderstood as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("said", "description", "value"),
    [
        ("the hall and the kitchen", "rooms to clean", ["hall", "kitchen"]), ("a kite, tea", "gifts", ["kite", "tea"]),
        ("the value red", "colours", ["red"]), ("the nurse and Ann", "contacts to call", None),
        ("the news list", "lists to read", None), ("Bo and my son Ike", "drivers", None),
        ("everything but tea", "gifts", None), ("the EU and Chad", "country codes (ISO)", ["EU", "TD"]),
    ],
)  # fmt: skip
def test_items_said_with_an_article(said, description, value):
    wanted = field("values", type="array", items={"type": "string"}, description=description)
    if value is None:
        with pytest.raises(ValueNotUnderstood):
            parse_value(said, wanted)
    else:
        assert parse_value(said, wanted) == value


def test_the_last_part_of_a_path_is_the_name():
    hour = replace(field("hour", type="integer"), name="visits[0].hour")
    flag = replace(field("verified", type="boolean"), name="guests[1].verified")
    tags = replace(field("tags", type="array", items={"type": "string"}), name="post.tags")
    assert parse_value("7 in the evening", hour) == 19 and parse_value("not verified", flag) is False
    assert parse_value("the tags red and blue", tags) == ["red", "blue"]


@pytest.mark.parametrize(
    ("said", "type", "value"),
    [
        ("3 and a half and 4", "number", [3.5, 4]), ("5 to 10", "integer", None), ("5 to 10", "number", [5, 10]),
        ("all but 3", "integer", None), ("pears but no plums", "string", None), ("tea, milk etc.", "string", None),
        ("tea + milk", "string", ["tea", "milk"]), ("- tea\n- milk", "string", ["tea", "milk"]),
        ("'but', also tea", "string", ["but", "tea"]),
    ],
)  # fmt: skip
def test_lists_that_are_more_or_less(said, type, value):
    wanted = field("things", type="array", items={"type": type})
    if value is None:
        with pytest.raises(ValueNotUnderstood):
            parse_value(said, wanted)
    else:
        assert parse_value(said, wanted) == value


def test_names_without_a_code_are_handed_on():
    wanted = field("country", description="two-letter country code")
    assert parse_value("Chad", wanted) == "TD" and parse_value("XK", wanted) == "XK"
    with pytest.raises(ValueNotUnderstood, match="'Dutch'"):
        parse_value("Dutch", wanted)


def test_labelling_speed():
    wanted = field("count", type="integer", description="how many")
    texts = [str(number) for number in range(2000)]
    parse_value("5", wanted)
    start = time.process_time()
    for text in texts:
        parse_value(text, wanted)
    # A few microseconds each.
    assert (time.process_time() - start) / len(texts) < 2e-4
