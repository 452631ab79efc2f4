"""Names -> ISO codes."""

import pytest

from jaxdiff.schema.codes import Code, asked_code, write_code


@pytest.mark.parametrize(
    ("name", "description", "code"),
    [
        ("country", "two-letter ISO country code", Code.COUNTRY),
        ("country", "ISO country code, three letters", Code.COUNTRY_3),
        ("country", "three-letter country code", Code.COUNTRY_3),
        ("sell", "three-letter code of the currency handed in", Code.CURRENCY),
        ("language", "ISO 639-1 code", Code.LANGUAGE),
        ("to_language", "language of the country (ISO 639-1 code)", Code.LANGUAGE),
        ("currency", "ISO code such as EUR", Code.CURRENCY), ("currency", "currency code or name", None),
        ("target", "code of the language wanted", Code.LANGUAGE), ("x", "country codes (ISO)", Code.COUNTRY),
        ("tongue", "language code", Code.LANGUAGE), ("colour", "code of the colour", None),
        ("country", "where", None),
        ("zip", "postal code", None),
    ],
)  # fmt: skip
def test_what_is_asked(name, description, code):
    assert asked_code(name, description) is code


@pytest.mark.parametrize(
    ("said", "code", "wanted"),
    [
        ("the Netherlands", Code.COUNTRY, "NL"), ("Czech Republic", Code.COUNTRY, "CZ"),
        ("Slovenia", Code.COUNTRY_3, "SVN"),
        ("in German", Code.LANGUAGE, "de"), ("Swiss francs", Code.CURRENCY, "CHF"), ("yen", Code.CURRENCY, "JPY"),
        ("dollars", Code.CURRENCY, None), ("Canadian dollars (CAD)", Code.CURRENCY, "CAD"),
        ("usd", Code.CURRENCY, "usd"),
        ("Atlantis", Code.COUNTRY, None),
    ],
)  # fmt: skip
def test_written(said, code, wanted):
    assert write_code(said, code) == wanted


def test_letters_follow_the_example():
    assert write_code("euros", Code.CURRENCY, "three-letter code, e.g. 'usd'") == "eur"
