"""Names of units that mean the same, and units that a field does not ask for."""

import pytest

from jaxdiff.schema.unit_names import foreign_unit, named_units


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("centimetres", "cm"), ("centimeter", "centimetre"), ("in feet", "ft"), ("inches", "in"),
        ("degrees Celsius", "°C"),
        ("light years", "ly"), ("yrs", "year"), ("per hour", "hours"), ("parsec", "pc"),
    ],
)  # fmt: skip
def test_the_same_unit(one, other):
    assert named_units(one) & named_units(other)


@pytest.mark.parametrize(("one", "other"), [("cm", "mm"), ("miles", "km"), ("apples", "apples"), ("", "m")])
def test_not_the_same_unit(one, other):
    assert not named_units(one) & named_units(other)


@pytest.mark.parametrize(
    ("words", "field", "foreign"),
    [
        (("gallons",), "volume in litres", True), (("gallons",), "fuel, gallons", False),
        (("°", "c"), "in celsius", False),
        (("f",), "in degrees celsius", True), (("f",), "aperture", False), (("people",), "guests", False),
        ((), "", False),
        (("light", "years"), "distance in parsec", True), (("pixels",), "width", False),
    ],
)  # fmt: skip
def test_foreign(words, field, foreign):
    assert foreign_unit(words, field) is foreign
