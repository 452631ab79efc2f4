"""What tools are described in besides JSON Schema."""

import pytest

from jaxdiff.errors import SchemaError
from jaxdiff.schema.normal.dialects import LOOSE, OPENAPI, as_json_schema
from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.normalise import normalise


@pytest.mark.parametrize(
    ("schema", "members", "others"),
    [
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "string", "nullable": False}, ["a"], [None]),
        ({"type": "string", "enum": ["a", None], "nullable": True}, ["a", None], ["b"]),
        ({"allOf": [{"type": "integer"}], "nullable": True}, [1, None], ["a"]),
        ({"type": "object", "properties": {"nullable": {"type": "integer", "nullable": True}}},
         [{"nullable": None}, {"nullable": 1}], [{"nullable": "a"}, None]),
        ({"type": "array", "items": {"type": "integer", "nullable": True}}, [[None, 1]], [None, ["a"]]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 5, "exclusiveMaximum": False},
         [2, 5], [1, 6]),
        ({"enum": [{"nullable": True}]}, [{"nullable": True}], [{}]),
    ],
    ids=str,
)  # fmt: skip
def test_nullable(schema, members, others):
    node = normalise(schema, dialect=OPENAPI)
    assert all(contains(node, value) for value in members)
    assert not any(contains(node, value) for value in others)


def test_nullable_says_nothing_in_json_schema():
    assert not contains(normalise({"type": "string", "nullable": True}), None)


@pytest.mark.parametrize(
    ("schema", "members", "others"),
    [
        ({"type": "dict", "properties": {"x": {"type": "float"}}, "required": ["x"]},
         [{"x": 0.5}], [{}, {"x": "a"}, []]),
        ({"type": "tuple", "items": {"type": "integer"}}, [[1, 2]], [["a"]]),
        ({"type": "any"}, [1, None, "a", [], {}], []),
        ({"type": "List[int]"}, [[1]], [[0.5]]),
    ],
    ids=str,
)  # fmt: skip
def test_loose_types(schema, members, others):
    node = normalise(schema, dialect=LOOSE)
    assert all(contains(node, value) for value in members)
    assert not any(contains(node, value) for value in others)


def test_loose_types_must_be_a_schema_at_all():
    with pytest.raises(SchemaError, match="not an object"):
        normalise([1], dialect=LOOSE)


def test_a_uri_changes_nothing():
    schema = {"type": "integer"}
    assert as_json_schema(schema, "http://json-schema.org/draft-04/schema#") == (
        schema, "http://json-schema.org/draft-04/schema#",
    )  # fmt: skip
    assert not contains(normalise(schema, dialect="http://json-schema.org/draft-04/schema#"), 1.0)
    assert contains(normalise(schema), 1.0)
