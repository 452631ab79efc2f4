"""Random schemas against the library's validator: a node has exactly the values that the validator accepts.

Every schema names types, so that none is read as of fewer types than it allows.
"""

import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema.validators import validator_for

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.normalise import normalise

DRAFTS = {
    4: "http://json-schema.org/draft-04/schema#",
    6: "http://json-schema.org/draft-06/schema#",
    7: "http://json-schema.org/draft-07/schema#",
    2019: "https://json-schema.org/draft/2019-09/schema",
    2020: "https://json-schema.org/draft/2020-12/schema",
}
TYPES = ["string", "integer", "number", "boolean", "null", "array", "object"]
VALUES = [
    None, True, False, 0, 1, 2, 3, 2.5, -1, "", "a", "b", "ab", [], [1], ["a"], [1, 1], [1, 2, "a"], [None], {},
    {"a": 1},
    {"b": 1}, {"a": "a"}, {"a": 1, "b": "a"}, {"a": {"a": 1}}, {"c": 1}, {"a": None, "c": "x"}, {"ab": 2}, {"a": [1]},
]  # fmt: skip


def only(**keywords):
    return st.fixed_dictionaries({}, optional=keywords)


def schemas(draft, depth):
    """Schemas of a draft with this many levels of subschemas."""
    inner = schemas(draft, depth - 1) if depth else st.fixed_dictionaries({"type": st.sampled_from(TYPES)})
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    names = st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)
    small = st.integers(0, 2)
    limit = st.sampled_from([0, 1, 1.5, 2])
    exclusive = st.booleans() if draft == 4 else limit
    patterned = st.dictionaries(st.sampled_from(["a", "^b", "c$"]), inner, max_size=2)
    groups = [
        only(minimum=limit, exclusiveMinimum=exclusive, exclusiveMaximum=exclusive),
        only(maximum=limit, multipleOf=st.sampled_from([1, 2, 0.5, 0.1])),
        only(minLength=small, maxLength=small, pattern=st.sampled_from(["a", "^a$", "^[ab]*$"])),
        only(enum=st.lists(st.sampled_from(VALUES), min_size=1, max_size=4)),
        only(properties=named, required=names, additionalProperties=st.just(False) | inner),
        only(properties=named, patternProperties=patterned),
        only(minProperties=small, maxProperties=small, required=names),
        only(items=inner, minItems=small, maxItems=small, uniqueItems=st.booleans()),
    ]
    if depth:
        groups += [only(anyOf=some), only(oneOf=some), only(allOf=some), only(**{"not": inner}), only(oneOf=some)]
        groups += [only(**{"$ref": st.just("#/definitions/loop")})]
    if draft < 2019:
        groups.append(only(dependencies=st.just({"a": ["b"]}) | st.fixed_dictionaries({"a": inner})))
    if draft < 2020:
        groups.append(only(items=some, additionalItems=inner))
    else:
        groups.append(only(prefixItems=some, items=inner))
    if draft > 4:
        groups.append(only(const=st.sampled_from(VALUES), propertyNames=inner))
        groups.append(only(contains=inner))
    if draft > 6:
        groups.append(only(**{"if": inner, "then": inner, "else": inner}))
    if draft > 7:
        with_b = st.fixed_dictionaries({"b": inner})
        groups.append(only(dependentRequired=st.just({"a": ["b"]}), dependentSchemas=with_b))
        groups.append(only(unevaluatedProperties=st.just(False) | inner, properties=named, anyOf=some))
        groups.append(only(contains=inner, minContains=small, maxContains=small))
    named_types = [TYPES, ["object"], ["array", "string"], ["number", "object", "null"], ["integer", "boolean"]]
    types = st.sampled_from(named_types).map(lambda drawn: {"type": drawn})
    parts = st.lists(st.one_of(groups), max_size=2)
    return st.tuples(types, parts).map(lambda drawn: functools.reduce(dict.__or__, drawn[1], drawn[0]))


@pytest.mark.parametrize("draft", DRAFTS)
@given(data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_node_has_the_values_that_the_validator_accepts(draft, data):
    loop = {"type": ["object", "integer"], "properties": {"a": {"$ref": "#/definitions/loop"}}}
    schema = data.draw(schemas(draft, 2)) | {"$schema": DRAFTS[draft], "definitions": {"loop": loop}}
    try:
        node = normalise(schema)
    except UnsupportedSchema as error:
        assert "without end" in str(error), schema
        return
    except SchemaError:
        node = None
    validator = validator_for(schema)(schema)
    accepted = [value for value in VALUES if validator.is_valid(value)]
    members = [] if node is None else [value for value in VALUES if contains(node, value)]
    assert members == accepted, json.dumps(schema)
