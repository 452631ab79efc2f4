"""Strings with a `format` or a `pattern`; jsonschema, `re` and datetime are the independent references."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import FormatChecker

from jaxdiff.schema.said_formats import asked_text_format, write_format, write_pattern


@pytest.mark.parametrize(
    ("said", "asked", "written"),
    [
        ("an hour and a half", "duration", "PT1H30M"), ("90 minutes", "duration", "PT90M"),
        ("half an hour", "duration", "PT30M"), ("two weeks", "duration", "P2W"), ("1.5 days", "duration", "P1DT12H"),
        ("a year and six months", "duration", "P1Y6M"), ("two and a half weeks", "duration", "P17DT12H"),
        ("PT5M", "duration", "PT5M"), ("zero minutes", "duration", "PT0S"), ("3 apples", "duration", None),
        ("half a second", "duration", None), ("the first hour", "duration", None), ("soon", "duration", None),
        ("3 May 2024, 6 pm UTC", "date-time", "2024-05-03T18:00:00Z"),
        ("half past six in the evening on 3 May 2024 +02:00", "date-time", "2024-05-03T18:30:00+02:00"),
        ("3 May 2024 at noon GMT+2", "date-time", "2024-05-03T12:00:00+02:00"),
        ("3 May 2024 18:00", "date-time", None), ("18:30 UTC", "time", "18:30:00Z"), ("18:30", "time", None),
        ("2024-05-03T18:00:00Z", "date-time", "2024-05-03T18:00:00Z"),
        ("ann@example.org.", "email", "ann@example.org"), ("ann at example.org", "email", None),
        ("https://example.org/a?b=c,", "uri", "https://example.org/a?b=c"), ("10.0.0.300", "ipv4", None),
        ("10.0.0.1", "ipv4", "10.0.0.1"), ("a.", "regex", "a."),
    ],
)  # fmt: skip
def test_formats(said, asked, written):
    assert write_format(said, asked) == written


@pytest.mark.parametrize(
    ("said", "pattern", "written"),
    [
        ("AB123", "^[A-Z]{2}[0-9]{3}$", "AB123"), ("ab 123", "^[A-Z]{2}[0-9]{3}$", "AB123"),
        ("ab-123.", "^[A-Z]{2}-[0-9]{3}$", "AB-123"), ("X", "^[a-z]$", "x"), ("x", "^[0-9]+$", None),
        ("12 34", "^[0-9 ]+$", "12 34"), ("aB1", "^(?:AB1|ab1)$", None), ("any", r"(.)\1", "any"),
    ],
)  # fmt: skip
def test_patterns(said, pattern, written):
    assert write_pattern(said, pattern) == written


@given(st.text("aB1 -.", max_size=6), st.sampled_from(["^[A-Z0-9]+$", "^[a-z]", "^[a-z]+-?[0-9]*$", "1", "^.{3}$"]))
def test_what_is_written_has_the_pattern(said, pattern):
    written = write_pattern(said, pattern)
    assert written is None or re.search(pattern, written)
    if re.search(pattern, said):
        assert written == said


@given(st.text(max_size=20), st.sampled_from(["email", "ipv4", "ipv6", "uuid", "date-time", "time", "duration", "uri"]))
def test_what_is_written_has_the_format(said, asked):
    written = write_format(said, asked)
    assert written is None or FormatChecker().conforms(written, asked)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 14))
def test_moments_agree_with_datetime(moment, hours):
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours)))
    said = f"{moment:%d %B %Y at %H:%M:%S} UTC{hours:+d}"
    written = write_format(said, "date-time")
    assert written is not None and datetime.fromisoformat(written) == moment


@pytest.mark.parametrize(
    ("keyword", "description", "asked"),
    [
        ("email", "", "email"), ("", "length as ISO 8601 duration", "duration"),
        ("", "YYYY-MM-DDTHH:MM:SSZ", "date-time"),
        ("phone", "", ""), ("", "YYYY-MM-DD", ""),
    ],
)  # fmt: skip
def test_asked(keyword, description, asked):
    assert asked_text_format(keyword, description) == asked
