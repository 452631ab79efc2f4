"""Whatever a draft is, the nearest value is valid; a draft that is valid stays as it is."""

from random import Random

import pytest
from jsonschema import Draft202012Validator

from benchmarks.random_schemas import random_schema
from jaxdiff.errors import SchemaError
from jaxdiff.schema.nearest import nearest
from jaxdiff.schema.scaffold.prepare import prepare


def random_value(draw, depth=2):
    """JSON with the names and words that random schemas have."""
    kinds = [
        None,
        draw.random() < 0.5,
        draw.randint(-9, 20),
        draw.choice([0.5, 2.0]),
        draw.choice(["", "a", "ab", "x1"]),
    ]
    if depth and draw.random() < 0.6:
        if draw.random() < 0.7:
            return {name: random_value(draw, depth - 1) for name in draw.sample("abcdef", draw.randint(0, 4))}
        return [random_value(draw, depth - 1) for _ in range(draw.randint(0, 3))]
    return draw.choice(kinds)


@pytest.mark.parametrize("seed", range(120))
def test_the_nearest_value_is_valid(seed):
    draw = Random(seed)
    schema = random_schema(draw)
    try:
        prepared = prepare(schema)
    except SchemaError:
        return
    for _ in range(3):
        merged = nearest(prepared, random_value(draw))
        assert prepared.problem(merged.value) is None


ORDER = {
    "type": "object",
    "properties": {
        "who": {"type": "string", "minLength": 2},
        "items": {
            "type": "array",
            "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
            "maxItems": 2,
        },
        "pay": {"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^[A-Z]+$"}, {"type": "null"}]},
    },
    "required": ["who"],
    "additionalProperties": {"type": "boolean"},
}


@pytest.mark.parametrize(
    "draft",
    [
        {"who": "Ann"},
        {"who": "Ann", "items": [{"n": 3}, {"n": 4}], "pay": "VISA"},
        {"who": "Ann", "items": [], "pay": None, "gift": True},
    ],
)
def test_a_valid_draft_stays_as_it_is(draft):
    merged = nearest(prepare(ORDER), draft)
    assert merged.value == draft and merged.repairs == ()


def test_what_is_changed_is_told():
    merged = nearest(prepare(ORDER), {"who": "A", "items": [{"n": 1}, {"n": "two"}, {"n": 3}], "pay": "visa", "x": 3})
    Draft202012Validator(ORDER).validate(merged.value)
    assert merged.value["items"][0] == {"n": 1} and len(merged.value["items"]) == 2
    told = {repair.path for repair in merged.repairs}
    assert "/who" in told and "/items/1/n" in told and any(path.startswith("/pay") for path in told)


def test_changes_of_entries_are_told_at_their_names():
    sizes = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 3}, "minProperties": 2}
    merged = nearest(prepare(sizes), {"s/m": 1})
    assert {repair.path: repair.reason for repair in merged.repairs} == {
        "/s~1m": "what was read for it is not valid there",
        **{f"/{name}": "nothing was read for it" for name in merged.value if name != "s/m"},
    }
    assert len(merged.value) == 2
