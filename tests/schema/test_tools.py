"""Tool lists: layouts that are read, and one clear line for each that is not."""

import json

import pytest

from jaxdiff.errors import InputError, SchemaError
from jaxdiff.schema.fields import Kind
from jaxdiff.schema.tools import load_tools, parse_tools

WEATHER = {
    "name": "get_weather",
    "description": "Weather at a place",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def test_reads_wrapped_and_bare_definitions():
    wrapped = parse_tools([{"type": "function", "function": WEATHER}])
    bare = parse_tools([WEATHER])
    assert wrapped == bare
    assert wrapped[0].name == "get_weather"
    assert [field.name for field in wrapped[0].fields] == ["city"]
    assert hash(wrapped[0]) == hash(bare[0])


@pytest.mark.parametrize("key", ["inputSchema", "input_schema"])
def test_reads_the_schema_under_the_names_of_other_protocols(key):
    entry = {"name": WEATHER["name"], "description": WEATHER["description"], key: WEATHER["parameters"]}
    assert parse_tools([entry]) == parse_tools([WEATHER])


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object"}, {"type": "object", "properties": {}}])
def test_tool_without_parameters_has_no_fields(parameters):
    assert parse_tools([{"name": "ping", "parameters": parameters}])[0].fields == ()


def test_missing_parameters_and_description():
    tool = parse_tools([{"name": "ping"}])[0]
    assert (tool.description, tool.parameters, tool.fields) == ("", {}, ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "x"}, "tools must be a JSON list"),
        ([], "empty list"),
        ([WEATHER, 3], r"tools\[1\] must be an object, not int"),
        ([{"type": "function", "function": "f"}], r"tools\[0\].function must be an object"),
        ([{"type": "retrieval", "function": WEATHER}], "'retrieval'"),
        ([{"description": "no name"}], r"tools\[0\] has no name"),
        ([{"name": " "}], "has no name"),
        ([{"name": "f", "description": 3}], "description must be a string"),
        ([WEATHER | {"inputSchema": {}}], r"tools\[0\] 'get_weather' has both parameters and inputSchema"),
        ([WEATHER, {"name": "other"}, WEATHER], r"tools\[2\] and tools\[0\] have the same name 'get_weather'"),
    ],
)
def test_refuses_other_layouts(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_tools(data)
    assert "\n" not in str(caught.value)


def test_schema_errors_name_the_tool():
    with pytest.raises(SchemaError, match=r"tools\[1\] 'broken'") as caught:
        parse_tools([WEATHER, {"name": "broken", "parameters": {"additionalProperties": False, "required": ["a"]}}])
    assert caught.value.pointer == "/required/0"


def test_loads_a_file(tmp_path):
    path = tmp_path / "tools.json"
    path.write_text("\ufeff" + json.dumps([WEATHER]), encoding="utf-8")
    assert load_tools(path) == parse_tools([WEATHER])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"name": }]', "line 1, column 11"),
        (b'[\n{"name": "a"},\n]', "line 3, column 1|line 2, column 14"),
        (b"", "line 1, column 1"),
        (b'[{"name": "a", "parameters": NaN}]', "NaN is not a JSON value"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{}", "must be a JSON list"),
        (b"[" * 200000, "not valid JSON"),
    ],
)
def test_refuses_bad_files_in_one_line(tmp_path, content, message):
    path = tmp_path / "tools.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_tools(path)
    assert "tools.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read tool file .*nothing\.json.*No such file"):
        load_tools(tmp_path / "nothing.json")


def test_types_by_other_names_and_nullable():
    (loose,) = parse_tools(
        [
            {
                "name": "f",
                "parameters": {
                    "type": "dict",
                    "properties": {
                        "share": {"type": "float"},
                        "at": {"type": "tuple", "items": {"type": "integer"}},
                        "extra": {"type": "any"},
                        "type": {"type": "String"},
                    },
                    "required": ["share"],
                },
            }
        ]
    )
    assert [(field.name, field.kind) for field in loose.fields] == [
        ("share", Kind.NUMBER), ("at", Kind.ARRAY), ("extra", Kind.STRING), ("type", Kind.STRING),
    ]  # fmt: skip
    assert loose.parameters["properties"]["share"]["type"] == "number"
    (nullable,) = parse_tools(
        [{"name": "f", "parameters": {"properties": {"a": {"type": "string", "nullable": True}}, "required": ["a"]}}]
    )
    assert nullable.parameters["properties"]["a"]["type"] == ["string", "null"]
    with pytest.raises(SchemaError, match="not a valid JSON Schema"):
        parse_tools([{"name": "f", "parameters": {"properties": {"a": {"type": "strng"}}}}])


def test_what_is_no_json_or_nested_without_end_is_refused():
    infinite = {"properties": {"a": {"enum": [1, float("inf")]}}}
    with pytest.raises(SchemaError, match=r"parameters of tools\[0\] 'f' is not JSON"):
        parse_tools([{"name": "f", "parameters": infinite}])
    for depth in (250, 5000):
        deep = {"type": "string"}
        for _ in range(depth):
            deep = {"type": "object", "properties": {"a": deep}}
        with pytest.raises(SchemaError, match=r"nested too deeply|not JSON"):
            parse_tools([{"name": "f", "parameters": deep}])


def test_a_path_that_cannot_be_is_no_file():
    with pytest.raises(InputError, match="cannot read tool file"):
        load_tools("a\0b")
