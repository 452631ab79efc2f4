"""Calls inside text: what is written in a layout's way is read back, whatever the values hold."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff_train.data.formats.conversations import embedded_objects
from jaxdiff_train.data.formats.glaive import convert as convert_glaive
from jaxdiff_train.data.formats.records import UnreadableRecord, read_literal
from jaxdiff_train.data.formats.toolace import read_calls

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["it's", 'a "b"', "f(x=1), [", "\\"])
)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.fixed_dictionaries({"key": PLAIN})
FEW = settings(max_examples=25)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "max-results", "from", "class_"]), VALUES, max_size=3)
NAMES = ["search", "search (new) V2", "Some API/v1"]


@FEW
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), ARGUMENTS), min_size=1, max_size=3), st.sampled_from([json.dumps, repr])
)
def test_bracketed_calls_are_read_back(calls, write):
    text = ", ".join(
        f"{name}({', '.join(f'{key}={write(value)}' for key, value in arguments.items())})" for name, arguments in calls
    )
    found = read_calls(f"[{text}]", NAMES)
    assert found == [{"name": name, "arguments": arguments} for name, arguments in calls]


@pytest.mark.parametrize("text", ["Sure, here you are.", "[1, 2]", "[smiles]", "see [f(a=1)] above", "[]", ""])
def test_text_is_no_call(text):
    assert read_calls(text, NAMES) == []


@pytest.mark.parametrize(
    "text", ["[search(a=1]", "[search(a=)]", "[search(1)]", "[search(a=1), and more]", "[search(a=b)]"]
)
def test_broken_calls_are_said(text):
    with pytest.raises(UnreadableRecord):
        read_calls(text, NAMES)


def test_a_function_that_is_not_listed_is_read_too():
    assert read_calls("[Other API(a=1)]", NAMES) == [{"name": "Other API", "arguments": {"a": 1}}]


@FEW
@given(ARGUMENTS)
def test_single_quoted_arguments_are_read_back(arguments):
    written = json.dumps(arguments).replace("<", "").replace("'", "\\'")
    record = {
        "system": 'SYSTEM: functions -\n{"name": "f", "description": "", "parameters": {}}',
        "chat": 'USER: go\n\n\nASSISTANT: <functioncall> {"name": "f", "arguments": \'' + written + "'} <|endoftext|>",
    }
    (call,) = convert_glaive(record, "0", "glaive")["calls"]
    assert call == {"name": "f", "arguments": json.loads(json.dumps(arguments).replace("<", ""))}


@FEW
@given(VALUES)
def test_literals_are_read_in_json_and_in_python(value):
    assert read_literal(json.dumps(value)) == read_literal(repr(value)) == value


@pytest.mark.parametrize("text", ["{'a': b}", "f(1)", "{", "__import__('os')", "{1: 2}", "1 + 1"])
def test_no_code_is_a_literal(text):
    with pytest.raises(UnreadableRecord):
        read_literal(text)


@FEW
@given(st.lists(st.fixed_dictionaries({"name": PLAIN, "x": VALUES}), max_size=2))
def test_objects_stand_in_text(objects):
    found, rest = embedded_objects("Use [these]: " + " and ".join(map(json.dumps, objects)) + ". {not json}")
    assert found == objects
    assert rest == "Use [these]: " + " and ".join("" for _ in objects) + ". {not json}"
