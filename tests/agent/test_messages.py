import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.agent.messages import Message, RequestedCall, parse_messages
from jaxdiff.errors import InputError

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln", "days": 2}'}}
ASKED = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
RESULT = {"role": "tool", "content": "rain", "tool_call_id": "c1", "name": "weather"}

TEXT = st.text(max_size=12)
SAID = st.text(min_size=1, max_size=12).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def conversations(draw) -> list[dict]:
    messages = [{"role": "system", "content": draw(TEXT)}] if draw(st.booleans()) else []
    number = 0
    for _ in range(draw(st.integers(0, 3))):
        messages.append({"role": "user", "content": draw(SAID), "name": draw(st.none() | TEXT)})
        calls = []
        for arguments in draw(st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=2)):
            number += 1
            given_as = arguments if draw(st.booleans()) else json.dumps(arguments)
            calls.append({"id": f"c{number}", "function": {"name": draw(SAID), "arguments": given_as}})
        content = draw(st.none() | TEXT) if calls else draw(TEXT)
        messages.append({"role": "assistant", "content": content, "tool_calls": calls})
        for call in draw(st.permutations(calls)):
            messages.append({"role": "tool", "content": draw(TEXT), "tool_call_id": call["id"]})
    return [*messages, {"role": "user", "content": draw(SAID)}]


@given(conversations())
def test_what_is_read_is_plain_json_that_reads_back(data):
    messages = parse_messages(data)
    assert [message.role for message in messages] == [entry["role"] for entry in data]
    assert [message.content for message in messages] == [entry["content"] for entry in data]
    written = json.loads(json.dumps([message.to_dict() for message in messages]))
    assert parse_messages(written) == messages
    assert parse_messages(messages) == messages
    for message, entry in zip(messages, data, strict=True):
        for call, given_call in zip(message.tool_calls, entry.get("tool_calls") or (), strict=True):
            arguments = given_call["function"]["arguments"]
            assert call.arguments == (json.loads(arguments) if isinstance(arguments, str) else arguments)


def test_a_text_is_one_message_of_the_user():
    assert parse_messages("Hello") == (Message("user", "Hello"),)


def test_calls_and_results():
    _, asking, result = parse_messages([*ASKED, RESULT])
    assert asking == Message("assistant", None, (RequestedCall("c1", "weather", {"city": "Köln", "days": 2}),))
    assert result == Message("tool", "rain", tool_call_id="c1", name="weather")
    assert asking.to_dict()["tool_calls"] == [CALL]
    assert "tool_calls" not in result.to_dict()


def test_a_call_may_stay_without_a_result():
    assert len(parse_messages([*ASKED, {"role": "user", "content": "Never mind"}])) == 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "messages is an empty list"),
        (3, "messages must be a list of objects or a text, not int"),
        ({"role": "user", "content": "x"}, "must be a list of objects or a text, not dict"),
        (["x"], r"messages\[0\] must be an object, not str"),
        ("  \n", r"messages\[0\]: the user's text is empty"),
        ("a\ud800", r"messages\[0\].content holds a lone surrogate, U\+D800, at character 1"),
        ([{"content": "x"}], r"messages\[0\]: role None is not known; choose from system, user, assistant, tool"),
        ([{"role": "bot", "content": "x"}], r"messages\[0\]: role 'bot' is not known"),
        ([{"role": ["user"], "content": "x"}], r"role \['user'\] is not known"),
        ([{"role": "user"}], r"messages\[0\].content must be text, not None"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"messages\[0\].content must be text, not \[\{"),
        ([{"role": "user", "content": "x", "contents": "y"}], "a message from 'user' has no 'contents'"),
        ([{"role": "user", "content": "x", "tool_calls": [CALL]}], "a message from 'user' has no 'tool_calls'"),
        ([{"role": "user", "content": "x", "name": 3}], r"messages\[0\].name must be text, not 3"),
        ([{"role": "system", "content": "x"}], r"messages\[0\], the last, is from 'system'; needed: user or tool"),
        (ASKED, r"messages\[1\], the last, is from 'assistant'"),
        ([{"role": "assistant", "content": None}, *ASKED[:1]], r"messages\[0\].content must be text"),
        ([*ASKED, RESULT, RESULT], r"messages\[3\]: no call waits for a result with tool_call_id 'c1'"),
        ([RESULT], r"messages\[0\]: no call waits for a result with tool_call_id 'c1'"),
        ([*ASKED, RESULT | {"tool_call_id": "c2"}], r"messages\[2\]: no call waits for .* 'c2'"),
        ([*ASKED, RESULT | {"tool_call_id": None}], r"messages\[2\].tool_call_id must be text, not None"),
        ([*ASKED, RESULT | {"content": None}], r"messages\[2\].content must be text"),
        ([*ASKED, *ASKED], r"messages\[3\]: two calls have the id 'c1'"),
    ],
)  # fmt: skip
def test_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_messages(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("x", r"messages\[1\].tool_calls must be a list, not str"),
        ([7], r"messages\[1\].tool_calls\[0\] must be an object with 'id' and 'function', not 7"),
        ([{"id": "c1"}], "must be an object with 'id' and 'function'"),
        ([CALL | {"type": "code"}], r"tool_calls\[0\] has type 'code'; only 'function' is known"),
        ([CALL | {"id": None}], r"tool_calls\[0\].id must be text, not None"),
        ([CALL | {"id": " "}], r"tool_calls\[0\].id is empty"),
        ([CALL | {"function": {"name": "", "arguments": "{}"}}], r"tool_calls\[0\].function.name is empty"),
        ([CALL | {"function": {"name": "f", "arguments": "{city"}}], r"function.arguments is not JSON: '\{city' \("),
        ([CALL | {"function": {"name": "f", "arguments": "[1]"}}], r"arguments must be a JSON object, not '\[1\]'"),
        ([CALL | {"function": {"name": "f", "arguments": '{"a": NaN}'}}], "NaN is not a JSON value"),
        ([CALL | {"function": {"name": "f", "arguments": {"a": float("inf")}}}], "function.arguments is not JSON"),
        ([CALL | {"function": {"name": "f", "arguments": {"a": {1, 2}}}}], "function.arguments is not JSON"),
        ([CALL | {"function": {"name": "f", "arguments": '{"a": "\\ud800"}'}}], "lone surrogate, U\\+D800"),
        ([CALL | {"function": {"name": "f"}}], "arguments must be a JSON object, not None"),
    ],
)  # fmt: skip
def test_refused_calls(changes, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_messages([ASKED[0], ASKED[1] | {"tool_calls": changes}, ASKED[0]])
    assert "\n" not in str(caught.value)
