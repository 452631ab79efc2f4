"""Reading rows: what is kept, what is dropped and why, and errors that name the line."""

import copy
import json
from collections import Counter

import pytest

from jaxdiff.errors import InputError
from jaxdiff_train.data.rows import read_json_lines, read_rows, supported

BOOK = {
    "name": "book_table",
    "description": "Book a table.",
    "parameters": {
        "type": "object",
        "properties": {"people": {"type": "integer", "minimum": 1}, "place": {"type": "string"}},
        "required": ["people"],
    },
}
OTHER = {"name": "cancel", "description": "Cancel.", "parameters": {"type": "object", "properties": {}}}


def record(number=0, **changes):
    plain = {
        "id": f"demo-{number}",
        "source": "demo",
        "tools": [{"type": "function", "function": tool} for tool in (OTHER, BOOK)],
        "messages": [{"role": "user", "content": "A table for 4 at Luigi's"}],
        "calls": [{"name": "book_table", "arguments": {"people": 4, "place": "Luigi's"}}],
    }
    return copy.deepcopy(plain) | changes


def with_parameters(parameters, arguments):
    tool = {"type": "function", "function": BOOK | {"parameters": parameters}}
    return record(tools=[tool], calls=[{"name": "book_table", "arguments": arguments}])


def user(*contents):
    return [{"role": "user", "content": content} for content in contents]


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        path = tmp_path / "rows.jsonl"
        path.write_text(
            "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8"
        )
        return path

    return write


def test_a_kept_row_has_the_called_tool_and_the_spans(write):
    system = {"role": "system", "content": "Be brief."}
    (row,), dropped = read_rows(write(record(messages=[system, *record()["messages"]])))
    assert row.tool == BOOK
    assert (row.id, row.source, row.suite) == ("demo-0", "demo", None)
    assert row.arguments == {"people": 4, "place": "Luigi's"}
    assert {name: row.query[slice(*span)] for name, span in row.spans.items()} == {"people": "4", "place": "Luigi's"}
    assert not dropped


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("no call", record(calls=[])),
        ("one tool is called twice", record(calls=record()["calls"] * 2)),
        ("several turns", record(messages=user("A table", "for 4 at Luigi's"))),
        ("empty query", record(messages=user(" "))),
        ("long query", record(messages=user("a" * 501))),
        ("called tool is not listed", record(calls=[{"name": "call_taxi", "arguments": {}}])),
        ("number of properties", record(calls=[{"name": "cancel", "arguments": {}}])),
        (
            "argument that is not declared",
            record(calls=[{"name": "book_table", "arguments": {"people": 4, "day": "Luigi's"}}]),
        ),
        (
            "refers to another call's result",
            record(calls=[{"name": "book_table", "arguments": {"people": 4, "place": "$var_1.result$"}}]),
        ),
        (
            "number of properties",
            with_parameters({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(9)}}, {}),
        ),
        ("unsupported schema", with_parameters({"type": "object", "properties": {"a": {"$ref": "x.json"}}}, {"a": {}})),
        ("bad schema", with_parameters({"type": "object", "properties": {"a": {"type": "text"}}}, {"a": ""})),
        ("arguments do not validate", record(calls=[{"name": "book_table", "arguments": {"people": 0}}])),
        ("arguments do not validate", record(calls=[{"name": "book_table", "arguments": {"place": "Luigi's"}}])),
        (
            "value from the system message",
            record(
                messages=[{"role": "system", "content": "Places: tb.17"}, *user("The usual for 4")],
                calls=[{"name": "book_table", "arguments": {"people": 4, "place": "tb.17"}}],
            ),
        ),
    ],
)
def test_dropped_rows_are_counted_by_reason(write, reason, line):
    rows, dropped = read_rows(write(record(), line))
    assert [row.id for row in rows] == ["demo-0"]
    assert dropped == Counter({reason: 1})


def test_calls_of_different_tools_are_rows_of_one_group(write):
    other = BOOK | {"name": "call_taxi"}
    tools = [{"type": "function", "function": tool} for tool in (OTHER, BOOK, other)]
    calls = [{"name": name, "arguments": {"people": 4}} for name in ("call_taxi", "book_table", "cancel")]
    rows, dropped = read_rows(write(record(tools=tools, calls=calls)))
    assert [(row.id, row.group, row.tool["name"]) for row in rows] == [
        ("demo-0/0", "demo-0", "call_taxi"),
        ("demo-0/1", "demo-0", "book_table"),
    ]
    assert {row.query for row in rows} == {record()["messages"][0]["content"]}
    assert dropped == {"number of properties": 1}


def test_longest_query_and_most_properties_are_kept(write):
    parameters = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(8)}}
    rows, _ = read_rows(write(record(messages=user("a" * 500)), with_parameters(parameters, {"p0": "Luigi's"})))
    assert len(rows) == 2


def test_a_larger_sample_holds_every_smaller_one_and_the_seed_matters(write):
    path = write(*(record(number) for number in range(40)))

    def sample(limit, seed):
        return [row.id for row in read_rows(path, limit, seed)[0]]

    assert len(sample(10, 1)) == 10
    assert set(sample(10, 1)) < set(sample(20, 1))
    assert sample(10, 1) == sample(10, 1) != sample(10, 2)
    assert sample(None, 1) == sample(100, 1) == [f"demo-{number}" for number in range(40)]
    assert read_rows(path, 10, 1)[1] == {"sampled out": 30}
    assert sample(10, 1) == sorted(sample(10, 1), key=sample(None, 1).index)


def test_a_sample_is_filled_up_where_rows_are_dropped(write):
    path = write(*(record(number, calls=[] if number % 2 else record()["calls"]) for number in range(40)))
    rows, dropped = read_rows(path, 15, 3)
    assert len(rows) == 15
    assert not any(int(row.id.removeprefix("demo-")) % 2 for row in rows)
    assert dropped["no call"] + dropped["sampled out"] == 25
    assert len(read_rows(path, 30, 3)[0]) == 20


def test_a_limit_below_one_is_refused(write):
    with pytest.raises(InputError, match="limit=0"):
        read_rows(write(record()), 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [("{'id': 1}", "not JSON"), ("[1]", "expected a JSON object, not list"), ('{"id": "x"}', "not a row")],
)
def test_bad_lines_are_named(write, line, words):
    path = write(record(), "", line)
    with pytest.raises(InputError, match=words) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}:3: ")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl"):
        list(read_json_lines(tmp_path / "absent.jsonl"))


def test_supported_tells_what_can_be_guaranteed():
    assert supported(BOOK)
    nested = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}}
    assert supported(BOOK | {"parameters": nested})
    elsewhere = {"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}, "required": ["a"]}
    assert not supported(BOOK | {"parameters": elsewhere})
