"""Scaffold and slots: filled with gold values and decoded, the JSON is that of the arguments."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import InputError
from jaxdiff.schema.budget import ARRAY_TOKENS, CANDIDATE_TOKENS, STRING_TOKENS, slot_tokens
from jaxdiff.schema.merge import merge
from jaxdiff.schema.template import TemplateStyle, build_template
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import clean_string, write_value

MASK, NULL = 1_000_000, 1_000_001
# A tokenizer that merges greedily, also over quotes and spaces: a value next to scaffold text would change its tokens.
MERGES = ['", "', '": "', '{"', '"}', ", ", ": ", "ab", "the ", "```", "12"]


def encode(text: str) -> list[int]:
    ids = []
    while text:
        merged = next((i for i, piece in enumerate(MERGES) if text.startswith(piece)), None)
        ids.append(ord(text[0]) + len(MERGES) if merged is None else merged)
        text = text[1 if merged is None else len(MERGES[merged]) :]
    return ids


def decode(ids) -> str:
    return "".join(MERGES[i] if i < len(MERGES) else chr(i - len(MERGES)) for i in ids)


def tool(**properties):
    return parse_tools([{"name": "f", "parameters": {"type": "object", "properties": properties}}])[0]


TRIP = tool(
    city={"type": "string"},
    count={"type": "integer"},
    price={"type": "number"},
    fast={"type": "boolean"},
    size={"enum": ["ab", "large"]},
    any_={"enum": ["x", 1, None]},
    tags={"type": "array", "items": {"type": "string"}},
    **{'odd "name"': {"type": "string"}},
)
plain = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32, exclude_categories=["Cs"]), max_size=12
)
CALLS = st.fixed_dictionaries(
    {},
    optional={
        "city": plain,
        "count": st.integers(-(10**8), 10**8),
        "price": st.integers(-9999, 9999).map(lambda cents: cents / 100),
        "fast": st.booleans(),
        "size": st.sampled_from(["ab", "large"]),
        "any_": st.sampled_from([1, None]),
        "tags": st.lists(
            st.text(st.characters(codec="ascii"), max_size=3).filter(lambda t: t == clean_string(t)), max_size=3
        ),
        'odd "name"': plain,
    },
)
STYLES = st.builds(TemplateStyle, indent=st.sampled_from([None, 0, 2]), code_fence=st.booleans())


def filled(template, arguments):
    return template.fill({name: encode(write_value(value)) for name, value in arguments.items()}, NULL)


@settings(deadline=None)
@given(CALLS, STYLES)
def test_filled_template_is_the_json_of_the_arguments(arguments, style):
    template = build_template(TRIP, list(arguments), encode, MASK, style)
    ids = filled(template, arguments)
    text = template.text(ids, decode, NULL)
    assert text.startswith("```json\n") == style.code_fence == text.endswith("\n```")
    body = text.removeprefix("```json\n").removesuffix("\n```")
    assert json.loads(body) == arguments
    if "tags" not in arguments and style.indent != 0:
        ordered = {field.name: arguments[field.name] for field in TRIP.fields if field.name in arguments}
        assert body == json.dumps(ordered, indent=style.indent, ensure_ascii=False)


@settings(deadline=None)
@given(CALLS, STYLES)
def test_slot_texts_are_those_of_the_values(arguments, style):
    template = build_template(TRIP, list(arguments), encode, MASK, style)
    texts = template.value_texts(filled(template, arguments), decode, NULL)
    assert texts == {name: write_value(value) for name, value in arguments.items()}


@settings(deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12).filter(lambda t: t == clean_string(t))
)
def test_raw_text_with_characters_to_escape_is_exact_after_merge(value):
    template = build_template(TRIP, ["city"], encode, MASK)
    texts = template.value_texts(filled(template, {"city": value}), decode, NULL)
    assert json.loads(json.dumps(merge(TRIP, texts).arguments)) == {"city": value}


def test_layout_of_tokens_and_segments():
    template = build_template(TRIP, {"count", "city"}, encode, MASK)
    city, count = template.segments
    assert (city.name, count.name) == ("city", "count")
    assert template.tokens[: city.value_positions[0]] == tuple(encode('{"city": "'))
    assert city.start == 0 and city.end == city.value_positions[-1] + 1 == count.start
    assert len(city.value_positions) == STRING_TOKENS
    masks = [position for position, token in enumerate(template.tokens) if token == MASK]
    assert masks == [*city.value_positions, *count.value_positions]
    assert template.tokens[count.start : count.value_positions[0]] == tuple(encode('", "count": '))
    assert template.tokens[count.end :] == tuple(encode("}"))


def test_no_fields_and_wrong_names():
    assert decode(build_template(TRIP, [], encode, MASK, TemplateStyle(indent=2)).tokens) == "{}"
    with pytest.raises(InputError, match="no field 'colour'"):
        build_template(TRIP, ["colour"], encode, MASK)


def test_values_stop_at_null_or_mask_and_must_fit():
    template = build_template(TRIP, ["city", "fast"], encode, MASK)
    assert template.value_texts(template.tokens, decode, NULL) == {"city": "", "fast": ""}
    ids = list(template.fill({"city": encode("Rome")}, NULL))
    ids[template.segments[0].value_positions[6]] = encode("z")[0]
    assert template.value_texts(ids, decode, NULL)["city"] == "Rome"
    with pytest.raises(InputError, match="'city' has 25 tokens, its slot 24"):
        template.fill({"city": encode("z" * 25)}, NULL)


def test_budgets():
    fields = {field.name: field for field in TRIP.fields}
    assert slot_tokens(fields["size"], encode) == len("large")
    assert slot_tokens(fields["fast"], encode) == len("false")
    assert slot_tokens(fields["tags"], encode) == ARRAY_TOKENS
    short, long = tool(a={"type": "string", "maxLength": 2}, b={"enum": ["x" * 99]}).fields
    assert slot_tokens(short, encode) == 8 and slot_tokens(long, encode) == CANDIDATE_TOKENS
