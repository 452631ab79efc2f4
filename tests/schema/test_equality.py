"""Laws of the one rule for equal calls."""

from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.equality import same_call, same_value

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


@given(values)
def test_reflexive(value):
    assert same_value(value, value)


@given(values, values)
def test_symmetric(a, b):
    assert same_value(a, b) == same_value(b, a)


@given(st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=12))
def test_case_and_outer_space_are_forgiven(text):
    assert same_value(text, f" {text.upper()}\n")


def test_what_is_not_forgiven():
    assert same_value(1, 1.0) and same_value([1.0], [1])
    assert not same_value(True, 1) and not same_value(False, 0) and not same_value(None, False)
    assert not same_value("1", 1) and not same_value("a b", "ab") and not same_value("a.", "a")
    assert not same_value([1, 2], [2, 1]) and not same_value([1], [1, 1])
    assert same_call({"a": 1, "b": "X"}, {"b": "x", "a": 1.0})
    assert not same_call({"a": 1}, {"a": 1, "b": None}) and not same_call({"A": 1}, {"a": 1})
    assert same_call({"a": {"b": ["X "]}}, {"a": {"b": ["x"]}})
