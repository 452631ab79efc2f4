"""Dates and times in the format that the description asks for; strftime is the independent reference."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.dates import asked_format, read_time, write_as


def written(text: str, description: str):
    asked = asked_format(description)
    assert asked is not None, description
    return write_as(text, asked)


@pytest.mark.parametrize(
    ("text", "description", "wanted"),
    [
        ("3 March 2025", "day, YYYY-MM-DD", "2025-03-03"), ("the 20th of July 1969", "(YYYYMMDD)", "19690720"),
        ("March 9th, 2025", "MM/DD/YYYY", "03/09/2025"), ("Monday 1 June 2026", "dd.mm.yyyy", "01.06.2026"),
        ("2026-11-02", "DD/MM/YYYY", "02/11/2026"), ("25/06/2026", "YYYY-MM-DD", "2026-06-25"),
        ("August 11", "MM-DD", "08-11"),
        ("29 February", "MM-DD", "02-29"), ("in January 2026", "month, YYYY-MM", "2026-01"),
        ("the third of May 2026", "YYYY/MM/DD", "2026/05/03"),
        ("9 April 2025", "'DD Month YYYY'", "09 April 2025"), ("7 January 2026", "DD Mon YYYY", "07 Jan 2026"),
        ("March 3, 1720", "YYYY-MM-DD", "1720-03-03"), ("week 3 of 1998", "YYYY-Www", "1998-W03"),
        ("11/2025", "YYYY-MM", "2025-11"), ("5/6/2026", "DD/MM/YYYY", "05/06/2026"),
        ("quarter past seven in the morning", "HH:MM", "07:15"), ("half past nine in the evening", "hh:mm", "21:30"),
        ("noon", "HH:MM", "12:00"), ("midnight", "HH:MM", "00:00"), ("12 am", "HH:MM", "00:00"),
        ("8:15 p.m.", "HH:MM", "20:15"),
        ("twenty to six in the evening", "HH:MM", "17:40"), ("9:30", "HH:MM", "09:30"), ("16:40", "HH:MM", "16:40"),
        ("7 pm", "HH:MM:SS", "19:00:00"),
        ("seven thirty in the evening", "HH:MM", "19:30"), ("two at night", "HH:MM", "02:00"),
        ("11 at night", "HH:MM", "23:00"),
        ("8 am on 12 May 2026", "YYYY-MM-DDTHH:MM", "2026-05-12T08:00"),
        ("the end of June 2026", "YYYY-MM-DD", "2026-06-30"),
        ("the last day of February 2024", "YYYY-MM-DD", "2024-02-29"),
        ("May the third, twenty twenty-four", "YYYY-MM-DD", "2024-05-03"), ("18.30", "HH:MM", "18:30"),
        ("1830 hours", "HH:MM", "18:30"), ("0700", "HH:MM", "07:00"), ("8 this evening", "HH:MM", "20:00"),
        ("ten to eight tonight", "HH:MM", "19:50"), ("eight-thirty in the morning", "HH:MM", "08:30"),
        ("January 30, 2027 at 6:10 am", "YYYY-MM-DD HH:MM", "2027-01-30 06:10"),
        ("midnight at the start of 1 May 2027", "YYYY-MM-DD HH:MM", "2027-05-01 00:00"),
    ],
)  # fmt: skip
def test_determined(text, description, wanted):
    assert written(text, description) == wanted


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("tomorrow", "YYYY-MM-DD"), ("in two weeks", "YYYY-MM-DD"), ("Monday", "YYYY-MM-DD"),
        ("3 March", "YYYY-MM-DD"), ("today", "YYYY-MM"),
        ("05/06/2026", "YYYY-MM-DD"), ("31 February 2026", "YYYY-MM-DD"), ("half past nine", "HH:MM"),
        ("seven", "HH:MM"), ("", "YYYY-MM-DD"),
        ("25:00", "HH:MM"), ("3 March 2025", "YYYY-MM-DD HH:MM"), ("14 am", "HH:MM"), ("12:34:56", "HH:MM"),
        ("May 2026", "YYYY-MM-DD"), ("the end of June", "YYYY-MM-DD"), ("2561", "HH:MM"), ("8 tomorrow", "HH:MM"),
    ],
)  # fmt: skip
def test_not_determined(text, description):
    assert written(text, description) is None


@pytest.mark.parametrize(
    "description", ["", "the day as said", "MM:SS", "a DD", "HH:MM AM/PM", "SUMMARY", "time in ms"]
)
def test_no_format_asked(description):
    assert asked_format(description) is None


def test_format_keyword():
    asked = asked_format("", "date")
    assert asked is not None and write_as("1 May 2026", asked) == "2026-05-01"


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    st.sampled_from(["%d %B %Y", "%B %d, %Y", "%d %b %Y", "%Y-%m-%d", "%A, %d %B %Y", "the %d of %B %Y"]),
    st.sampled_from(
        [("YYYY-MM-DD", "%Y-%m-%d"), ("DD/MM/YYYY", "%d/%m/%Y"), ("YYYYMMDD", "%Y%m%d"), ("YYYY-MM", "%Y-%m")]
    ),
)
def test_dates_agree_with_strftime(moment, said, asked):
    description, reference = asked
    assert written(moment.strftime(said), description) == moment.strftime(reference)


@given(st.times(), st.sampled_from(["%H:%M", "%I:%M %p", "%I:%M%p", "at %H:%M"]))
def test_times_agree_with_strftime(moment, said):
    read = read_time(moment.strftime(said))
    assert read is not None and read[0] == moment.replace(second=0, microsecond=0) and not read[1]
