"""A schema filled from a text is the call of a tool with those parameters; bad schemas and texts in one line."""

import json

import jsonschema
import pytest

from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.extraction import schema_tool
from jaxdiff.cli import main
from jaxdiff.errors import InputError, SchemaError, UnsupportedSchema
from jaxdiff.schema.paths import value_at
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import few_buckets, reader_head

BASE = tiny_base(0)
SCHEMA = {
    "title": "order",
    "description": "What is ordered.",
    "type": "object",
    "properties": {
        "what": {"type": "string"},
        "colour": {"type": "string", "enum": ["red", "red wine", "blue"]},
        "gift": {"type": "boolean"},
    },
    "required": ["what", "colour"],
}
TEXT = "Paint 12 doors red wine please"


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


@pytest.fixture(scope="module")
def agent():
    return Agent(BASE, reader_head(BASE, 0), None, Options("diffusion"))


def test_it_is_the_call_of_a_tool_of_that_schema(agent):
    extraction = agent.extract(SCHEMA, TEXT)
    tool = {"name": "order", "description": "What is ordered.", "parameters": SCHEMA}
    (call,) = agent(TEXT, tools=[tool], mode="tool").calls
    assert extraction.found == call
    assert extraction.value == call.arguments and {"what", "colour"} <= set(extraction.value)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(extraction.value)
    for pointer, field in extraction.found.fields.items():
        if field.by == "copy":
            said, value = TEXT[slice(*field.source)], extraction.value[pointer[1:]]
            # Words that name a listed value need not be all of it.
            assert said in value if "enum" in SCHEMA["properties"][pointer[1:]] else said == value


ITEM = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "count": {"type": "integer", "minimum": 1}},
    "required": ["name", "count"],
}
NESTED = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {"item": ITEM},
    "type": "object",
    "properties": {
        "buyer": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "items": {"type": "array", "items": {"$ref": "#/definitions/item"}, "minItems": 1, "maxItems": 2},
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    "required": ["buyer", "items"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(3))
def test_a_nested_schema_is_filled_with_what_it_allows(seed):
    extraction = Agent(BASE, reader_head(BASE, seed), None, Options("diffusion")).extract(NESTED, TEXT)
    jsonschema.Draft7Validator(NESTED).validate(extraction.value)
    assert extraction.value["buyer"]["name"] and extraction.value["items"][0]["count"] >= 1
    for pointer, field in extraction.found.fields.items():
        assert 0 <= field.confidence <= 1 and value_at(extraction.value, pointer) is not None


ROOT_MAP = {
    "title": "prices",
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {"amount": {"type": "integer", "minimum": 1}},
        "required": ["amount"],
        "additionalProperties": False,
    },
    "minProperties": 1,
}


def test_a_map_is_filled_with_entries(agent):
    extraction = agent.extract(ROOT_MAP, TEXT)
    jsonschema.Draft202012Validator(ROOT_MAP).validate(extraction.value)
    assert extraction.found.fields
    for pointer, field in extraction.found.fields.items():
        assert 0 <= field.confidence <= 1 and value_at(extraction.value, pointer) is not None


def test_options_and_plain_values(agent):
    extraction = agent.extract(SCHEMA, TEXT, fill="parallel")
    said = json.loads(json.dumps(extraction.to_dict()))
    assert said["value"] == extraction.value
    assert set(said) == {"value", "confidence", "fields", "timing_ms"}
    assert {field["by"] for field in said["fields"].values()} == {"parallel"}
    assert {"prefix", "fill", "total"} <= set(said["timing_ms"])


@pytest.mark.parametrize(
    ("schema", "error", "message"),
    [
        ([], InputError, "must be a JSON object, not list"),
        ({"type": "object"}, InputError, "no properties"),
        ({"type": "array"}, SchemaError, "'array'"),
        ({"properties": {"x": {"$ref": "#/a"}}}, UnsupportedSchema, r"\$ref"),
    ],
)
def test_a_schema_that_cannot_be_filled_is_named(agent, schema, error, message):
    with pytest.raises(error, match=message):
        agent.extract(schema, TEXT)
    with pytest.raises(error, match=message):
        schema_tool(schema)


def test_an_empty_text_is_refused(agent):
    with pytest.raises(InputError, match="the text is empty"):
        agent.extract(SCHEMA, "  ")


def test_a_schema_without_a_title_has_a_name():
    assert schema_tool({"properties": {"x": {"type": "string"}}}).name == "extract"


@pytest.mark.parametrize(
    ("content", "text", "message"),
    [
        (None, "x", "cannot read schema file"),
        ("{", "x", "is not valid JSON"),
        ('{"type": "object"}', "x", "no properties"),
        (json.dumps(SCHEMA), " ", "the text is empty"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(tmp_path, capsys, content, text, message):
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_text(content)
    assert main(["extract", text, "--schema", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and said.err.count("\n") == 1


def test_the_command_prints_what_was_found(tmp_path, capsys, agent, monkeypatch):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(SCHEMA))
    monkeypatch.setattr(Agent, "load", classmethod(lambda cls, base, **options: agent))
    monkeypatch.setattr("jaxdiff.runtime.compilation.keep_compiled_programs", lambda: None)
    assert main(["extract", TEXT, "--schema", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == agent.extract(SCHEMA, TEXT).value
    assert main(["extract", TEXT, "--schema", str(path)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == agent.extract(SCHEMA, TEXT).value
