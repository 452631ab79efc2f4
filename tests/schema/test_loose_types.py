"""Types as people write them: each kind of word, what is optional, what is required, and nothing guessed."""

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.schema.fields import Kind
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.loose_types import json_schema, parameters_schema, read_type
from jaxdiff.schema.loose_values import fit_arguments, fit_value

STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


@pytest.mark.parametrize(
    ("text", "schema", "optional"),
    [
        ("str", STRING, False),
        ("String", STRING, False),
        ("int", INTEGER, False),
        ("float", NUMBER, False),
        ("bool", {"type": "boolean"}, False),
        ("dict", {"type": "object"}, False),
        ("Dict[str, int]", {"type": "object"}, False),
        ("list", {"type": "array"}, False),
        ("any", {}, False),
        ("str, optional", STRING, True),
        ("int (optional)", INTEGER, True),
        ("int, default=5", INTEGER, True),
        ("Optional[str]", STRING, True),
        ("str | None", STRING, True),
        ("List[int], optional", {"type": "array", "items": INTEGER}, True),
        ("typing.List[List[float]]", {"type": "array", "items": {"type": "array", "items": NUMBER}}, False),
        ("list of strings", {"type": "array", "items": STRING}, False),
        ("List[Dict[str, int]]", {"type": "array", "items": {"type": "object"}}, False),
        ("Set[str]", {"type": "array", "uniqueItems": True, "items": STRING}, False),
        ("Tuple[int, int]", {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2}, False),
        ("Tuple[int, ...]", {"type": "array", "items": INTEGER}, False),
        ("Tuple[str, int]", {"type": "array", "prefixItems": [STRING, INTEGER]}, False),
        ("int or float", NUMBER, False),
        ("Union[int, float]", NUMBER, False),
        ("int | str", {"type": ["integer", "string"]}, False),
        ("Union[str, List[str]]", {"anyOf": [STRING, {"type": "array", "items": STRING}]}, False),
        ("Literal['m', 'ft']", {"enum": ["m", "ft"]}, False),
        ("Callable[[float], float]", {}, False),
        ("np.ndarray", {}, False),
        ("a number of things", {}, False),
        ("", {}, False),
    ],
)
def test_type_words(text, schema, optional):
    assert read_type(text) == (schema, optional)
    jsonschema.Draft202012Validator.check_schema(schema)


@settings(max_examples=30)
@given(st.text(alphabet="strinflo[],| ()'\"0.:optina", max_size=30))
def test_any_text_gives_a_valid_schema(text):
    jsonschema.Draft202012Validator.check_schema(read_type(text)[0])


SCALARS = st.sampled_from([("str", STRING), ("int", INTEGER), ("float", NUMBER), ("bool", {"type": "boolean"})])


@settings(max_examples=30)
@given(SCALARS, st.integers(0, 3))
def test_lists_nest(scalar, depth):
    text, schema = scalar
    for _ in range(depth):
        text, schema = f"List[{text}]", {"type": "array", "items": schema}
    assert read_type(text) == (schema, False)
    assert read_type(f"Optional[{text}]") == read_type(f"{text}, optional") == (schema, True)


def test_flat_parameters_require_what_has_no_default_and_is_not_optional():
    found = parameters_schema({
        "type": {"type": "str", "description": "Kind of thing."},
        "count": {"type": "int, optional", "description": ""},
        "unit": {"type": "str", "description": "", "default": "m"},
        "empty": {"type": "int", "description": "", "default": ""},
        "said": {"type": "float", "description": "Share. Defaults to 0.5."},
        "note": {"type": "str", "description": "Optional. A note."},
        "told": {"type": "str", "required": False},
    })  # fmt: skip
    assert found["required"] == ["type"]
    assert found["properties"]["unit"]["default"] == "m"
    assert "default" not in found["properties"]["empty"]
    assert found["properties"]["said"]["default"] == 0.5
    assert [field.kind for field in fields_of(found)] == [
        "string", "integer", "string", "integer", "number", "string", "string",
    ]  # fmt: skip


def test_schemas_with_loose_types_keep_what_else_they_say():
    found = parameters_schema({
        "type": "dict",
        "properties": {
            "size": {"type": "float", "minimum": 1, "required": True, "enum": []},
            "tags": {"type": "list", "items": {"type": "str"}, "title": None},
            "place": {"type": "dict", "properties": {"x": {"type": "int"}}, "required": ["x"]},
        },
        "required": None,
    })  # fmt: skip
    assert found == {
        "type": "object",
        "properties": {
            "size": {"type": "number", "minimum": 1},
            "tags": {"type": "array", "items": STRING},
            "place": {"type": "object", "properties": {"x": INTEGER}, "required": ["x"]},
        },
        "required": ["size"],
    }


@pytest.mark.parametrize("nothing", [None, {}, {"type": "object"}, {"type": "dict", "properties": {}, "required": []}])
def test_functions_without_parameters(nothing):
    assert parameters_schema(nothing) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("kind", "description", "default"),
    [
        ("int", "How many. Defaults to 3.", 3),
        ("int", "How many (default: 3)", 3),
        ("str", "Unit, default is 'km'", "km"),
        ("str", "Unit (default: km)", "km"),
        ("bool", "Whether. Default is False.", False),
        ("float", "Default value is 0.5, or more.", 0.5),
        ("int", "Defaults to a few.", None),
        ("int", "Default is 'km'", None),
        ("str", "Defaults to the current day of the user.", None),
        ("str", "Default: None", None),
        ("str", "A defaulted loan", None),
    ],
)
def test_defaults_that_only_the_description_states(kind, description, default):
    schema, _ = json_schema({"type": kind, "description": description})
    assert schema.get("default") == default
    assert type(schema.get("default")) is type(default)


def test_unknown_types_may_be_anything():
    (field,) = fields_of(parameters_schema({"f": {"type": "Callable[[float], float]"}}))
    assert field.kind is Kind.STRING


@pytest.mark.parametrize("broken", ["object", [1], 3])
def test_what_is_no_schema_is_said(broken):
    with pytest.raises(ValueError, match="not an object"):
        parameters_schema(broken)


@pytest.mark.parametrize(
    ("value", "schema", "fitted"),
    [
        ("40.7", NUMBER, 40.7),
        ("40", INTEGER, 40),
        (40.0, INTEGER, 40),
        ("40.5", INTEGER, 40.5),
        ("a few", INTEGER, "a few"),
        ("4%", NUMBER, "4%"),
        ("1e999", NUMBER, "1e999"),
        ("True", {"type": "boolean"}, True),
        ("yes", {"type": "boolean"}, "yes"),
        (90210, STRING, "90210"),
        (True, STRING, True),
        ("[1, 2]", {"type": "array", "items": NUMBER}, [1, 2]),
        (("1", "2"), {"type": "array", "items": INTEGER}, [1, 2]),
        ("a, b", {"type": "array", "items": STRING}, "a, b"),
        ('{"x": "1"}', {"type": "object", "properties": {"x": INTEGER}}, {"x": 1}),
        ("007", {}, "007"),
    ],
)
def test_values_change_their_type_only_without_loss(value, schema, fitted):
    found = fit_value(value, schema)
    assert found == fitted and type(found) is type(fitted)


PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
)
JSON_VALUES = PLAIN | st.lists(PLAIN, max_size=3)
KINDS = st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]).map(lambda kind: {"type": kind})


@settings(max_examples=30)
@given(JSON_VALUES, KINDS)
def test_a_valid_value_stays_valid_and_fitting_twice_changes_nothing(value, schema):
    fitted = fit_value(value, schema)
    assert fit_value(fitted, schema) == fitted
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        assert fitted == value and jsonschema.Draft202012Validator(schema).is_valid(fitted)


def test_null_leaves_out_what_is_optional_and_has_no_null():
    parameters = {"properties": {"a": STRING, "b": STRING, "c": {"type": ["string", "null"]}}, "required": ["b"]}
    assert fit_arguments({"a": None, "b": None, "c": None, "d": None}, parameters) == {"b": None, "c": None, "d": None}
