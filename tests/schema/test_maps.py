"""Maps, wherever they stand: what is read of their entries comes out as valid arguments, and nothing of it is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jaxdiff.errors import FillError
from jaxdiff.schema.merge import merge
from jaxdiff.schema.paths import flat_values, placed_values, value_at
from jaxdiff.schema.tools import parse_tools

WORDS = ["red", "blue fish", "x-1", "ten"]


def tool(parameters):
    return parse_tools([{"name": "f", "parameters": parameters}])[0]


@st.composite
def leaves(draw):
    """A schema of a scalar, or of a list of them, and its values."""
    return draw(
        st.sampled_from(
            [
                ({"type": "integer", "minimum": -5}, st.integers(-5, 99)),
                ({"type": "number"}, st.floats(-9, 9)),
                ({"type": "boolean"}, st.booleans()),
                ({"type": "string"}, st.sampled_from(WORDS)),
                ({"enum": ["a", "b", 3]}, st.sampled_from(["a", "b", 3])),
                ({"type": "array", "items": {"type": "integer"}}, st.lists(st.integers(0, 9), max_size=3)),
            ]
        )
    )


@st.composite
def objects(draw, levels):
    """A schema of an object that requires `p`, and its values; levels: of objects and lists that may be in it."""
    parts = {name: draw(schemas(levels - 1, empty=False)) for name in ("p", "q~/")}
    schema = {"type": "object", "properties": {name: part for name, (part, _) in parts.items()}, "required": ["p"]}
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    return schema, st.fixed_dictionaries({"p": parts["p"][1]}, optional={"q~/": parts["q~/"][1]})


@st.composite
def maps(draw, levels, empty=True):
    """A schema of a map, and its values; empty: it may have no entries."""
    value, values = draw(schemas(levels - 1))
    least = draw(st.integers(0 if empty else 1, 2))
    schema = {"type": "object", **({"minProperties": least} if least else {})}
    if draw(st.booleans()):
        schema["additionalProperties"] = value
        return schema, st.dictionaries(st.text("ab/~0.", min_size=1, max_size=4), values, min_size=least, max_size=3)
    schema |= {"patternProperties": {"^k[0-9]$": value}, "additionalProperties": False}
    return schema, st.dictionaries(st.sampled_from(["k0", "k3", "k7"]), values, min_size=least, max_size=3)


@st.composite
def schemas(draw, levels, empty=True):
    """A schema of a value with so many levels of objects and lists in it, and its values."""
    kinds = ["leaf"] + ["object", "map"] * (levels > 0) + ["list"] * (levels > 1)
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(leaves())
    if kind == "object":
        return draw(objects(levels))
    if kind == "map":
        return draw(maps(levels, empty))
    item, items = draw(objects(levels - 1))
    least = draw(st.integers(0 if empty else 1, 1))
    return {"type": "array", "items": item, "minItems": least}, st.lists(items, min_size=least, max_size=3)


@st.composite
def whole_maps(draw):
    """Parameters with a map, or that are one, and arguments."""
    if draw(st.booleans()):
        schema, values = draw(maps(3))
        return schema, draw(values)
    schema, values = draw(maps(2, empty=False))
    parameters = {"type": "object", "properties": {"m": schema, "n": {"type": "integer"}}, "required": ["m"]}
    return parameters, draw(st.fixed_dictionaries({"m": values}, optional={"n": st.integers()}))


@settings(max_examples=120, deadline=None)
@given(whole_maps())
def test_placed_values_merge_back(drawn):
    parameters, arguments = drawn
    Draft202012Validator(parameters).validate(arguments)
    made_tool = tool(parameters)
    placed = placed_values(made_tool.fields, arguments)
    for name, (pointer, value) in placed.items():
        assert name.endswith(".key") or value_at(arguments, pointer) == value
    made = merge(made_tool, {name: value for name, (_, value) in placed.items()})
    assert made.arguments == arguments and (made.dropped, made.repaired) == ({}, {})
    assert made.places == {name: pointer for name, (pointer, _) in placed.items()}


texts = st.sampled_from(["12", "a", "k3", "k7", "b", "yes", "", "3 and 4", "none"]) | st.integers(-9, 9) | st.none()


@settings(max_examples=120, deadline=None)
@given(whole_maps(), st.data())
def test_whatever_is_read_of_a_map_the_arguments_are_valid(drawn, data):
    made_tool = tool(drawn[0])
    names = [field.name for field in made_tool.fields]
    required = [field.name for field in made_tool.fields if field.required]
    read = flat_values(made_tool.fields, drawn[1])
    for name in [*required, *data.draw(st.lists(st.sampled_from(names), max_size=8))]:
        read[name] = data.draw(texts) if name not in read or data.draw(st.booleans()) else read[name]
    for name in data.draw(st.lists(st.sampled_from(names), max_size=4)):
        if name not in required:
            read.pop(name, None)
    try:
        made = merge(made_tool, read)
    except FillError as error:
        assert error.field in required
        return
    Draft202012Validator(made_tool.parameters).validate(made.arguments)
    assert set(made.places) | set(made.dropped) == set(read) and not set(made.places) & set(made.dropped)


RATE = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "maximum": 9}, "unit": {"type": "string"}},
    "required": ["amount"],
}


@pytest.mark.parametrize(
    ("read", "arguments", "dropped"),
    [
        ({"key": "a", "value.amount": "five", "value.unit": "EUR"}, {"a": {"amount": 5, "unit": "EUR"}}, {}),
        ({"key": "a", "value.amount": "50", "value.unit": "EUR"}, {}, {"key", "value.amount", "value.unit"}),
        ({"key": "a"}, {}, {"key"}),
        ({"value.amount": "5", "value.unit": "EUR"}, {}, {"value.amount", "value.unit"}),
    ],
)
def test_an_entry_is_there_whole_or_not_at_all(read, arguments, dropped):
    rates = tool({"properties": {"rates": {"type": "object", "additionalProperties": RATE}}})
    made = merge(rates, {f"rates[1].{name}": value for name, value in read.items()})
    assert made.arguments == ({"rates": arguments} if arguments else {})
    assert set(made.dropped) == {f"rates[1].{name}" for name in dropped} and made.repaired == {}


def test_a_name_that_the_map_does_not_allow_takes_its_value_along():
    pattern = tool({"patternProperties": {"^k": RATE}, "additionalProperties": False})
    made = merge(pattern, {"entries[0].key": "b", "entries[0].value.amount": 1})
    assert made.arguments == {} and set(made.dropped) == {"entries[0].key", "entries[0].value.amount"}


def test_a_required_entry_that_lacks_a_part_is_named():
    rates = tool({"type": "object", "additionalProperties": RATE, "minProperties": 1})
    with pytest.raises(FillError, match=r"entries\[0\]\.value\.amount"):
        merge(rates, {"entries[0].key": "a"})
