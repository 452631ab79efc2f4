"""Tools with as many fields as can be filled, and more: the parts in which they are read, composed and answered."""

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from jaxdiff.agent import compose, fill_ar, frozen_values, key_block, prompting, reading
from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.fill_ar import fill_ar as fill_by_ar
from jaxdiff.agent.fill_parallel import fill_parallel
from jaxdiff.agent.frozen_values import Decision
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import tool_prompt
from jaxdiff.base.buckets import FIELDS
from jaxdiff.errors import InputError
from jaxdiff.schema.leaves import MOST_FIELDS
from jaxdiff.schema.tools import Tool
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets, reader_head

BASE = tiny_base(0)
QUERY = "Paint 12 doors red wine please, note x"


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


def numbered(count: int, required: int) -> Tool:
    """Fields "a0", "a1" and so on, every fourth a boolean; the first of them are required."""
    kinds = [{"type": "integer"}, {"type": "boolean"}, {"type": "number"}, {"type": "string", "maxLength": 2}]
    properties = {f"a{n}": kinds[n % 4] for n in range(count)}
    return tool_of(properties, tuple(properties)[:required])


def test_as_many_fields_have_a_bucket_as_a_schema_gives():
    assert FIELDS[-1] == MOST_FIELDS and reading.ROW_FIELDS in FIELDS


@pytest.mark.parametrize("fill", ["diffusion", "parallel", "ar"])
def test_one_field_too_many_is_named(fill):
    agent = Agent(BASE, reader_head(BASE), None, Options(fill))
    with pytest.raises(InputError, match=f"fields of 'paint': {MOST_FIELDS + 1} is more than .* {MOST_FIELDS}"):
        agent(QUERY, tools=[{"name": "paint", "parameters": numbered(MOST_FIELDS + 1, 0).parameters}], mode="tool")


def test_reading_in_rows_equals_reading_in_one(monkeypatch):
    asked = [Asked(tool, PrefixReader(BASE).tool(tool), QUERY) for tool in (tool_of(), numbered(3, 1))]
    whole = reading.read_calls(BASE, asked)
    monkeypatch.setattr(key_block, "FIELDS", (4,))
    monkeypatch.setattr(reading, "ROW_FIELDS", 4)
    for one, parts in zip(whole, reading.read_calls(BASE, asked), strict=True):
        assert (one.tool, one.offsets) == (parts.tool, parts.offsets)
        np.testing.assert_allclose(one.opening_hidden, parts.opening_hidden, atol=1e-4)
        # What is padded is masked, and may differ.
        fields, tokens = slice(len(one.tool.fields)), slice(len(one.offsets))
        both = ("key_attention", "name_attention", "definition_attention", "token_logprob", "token_matches")
        by_field = ("key_states", "key_logprob", "field_facts", "candidate_attention", "candidate_facts")
        for name in (*both, *by_field):
            places = (0, fields, tokens) if name in both else (0, fields)
            mine, its = getattr(one.features, name)[places], getattr(parts.features, name)[places]
            np.testing.assert_allclose(mine, its, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(
            one.features.token_states[:, tokens], parts.features.token_states[:, tokens], atol=1e-3
        )
        assert parts.features.field_mask.sum() == one.features.field_mask.sum() == len(one.tool.fields)


def test_a_call_read_in_rows_and_composed_on_several_canvases_is_valid(monkeypatch):
    tool = numbered(12, 9)
    monkeypatch.setattr(reading, "ROW_FIELDS", 8)
    monkeypatch.setattr(compose, "TOKENS", (32,))
    head = reader_head(BASE, 1)
    head.params["trunk"]["copied"]["bias"] -= 20.0
    agent = Agent(BASE, head, None, Options("diffusion", steps=2, trace=True))
    (call,) = agent(QUERY, tools=[{"name": "paint", "parameters": tool.parameters}], mode="tool").calls
    Draft202012Validator(tool.parameters).validate(call.arguments)
    assert {f"a{n}" for n in range(9)} <= set(call.arguments) and call.repaired == {}
    composed = [pointer[1:] for pointer, found in call.fields.items() if found.by == "compose"]
    assert composed == [name for name in call.arguments if int(name[1:]) % 4 != 1]
    owners = call.trace.fields
    assert [name for name in dict.fromkeys(owners) if name in call.arguments] == composed and len(owners) > 32
    assert call.trace.revealed.shape == call.trace.confidence.shape == (2, len(owners))
    assert all(len(step) == len(owners) for step in call.trace.texts)


SMALL = numbered(4, 4)
NAMES = [field.name for field in SMALL.fields]


def test_values_are_decoded_in_groups(monkeypatch):
    tool, groups = tool_of({f"a{n}": {"type": "integer"} for n in range(5)}, ()), []

    def decoded(base, context, keys, wanted, *options):
        groups.append([one.field.name for one in wanted])
        return {one.owner: Decision(None, True, one.field.name, 1.0) for one in wanted}

    monkeypatch.setattr(frozen_values, "ROWS", (1, 2))
    monkeypatch.setattr(frozen_values, "_decode", decoded)
    names = [field.name for field in tool.fields]
    found = fill_parallel(BASE, tool, PrefixReader(BASE).tool(tool), QUERY, present=frozenset(names)).fields
    assert groups == [names[:2], names[2:4], names[4:]]
    assert [(name, value.value) for name, value in found.items()] == list(zip(names, names, strict=True))


def test_an_answer_without_room_is_given_in_parts(monkeypatch):
    """Every part is what a call with those fields alone would be answered."""
    known = PrefixReader(BASE).tool(SMALL)
    alone = [fill_by_ar(BASE, SMALL, known, QUERY, present=frozenset(part)).fields for part in (NAMES[:2], NAMES[2:])]
    monkeypatch.setattr(fill_ar, "parts_within", lambda fields, size, room: [fields[:2], fields[2:]])
    found = fill_by_ar(BASE, SMALL, known, QUERY, present=frozenset(NAMES)).fields
    assert list(found) == NAMES
    for name, value in (alone[0] | alone[1]).items():
        assert found[name].value == value.value
        assert found[name].confidence == pytest.approx(value.confidence, rel=1e-3)


def test_descriptions_give_way_where_a_tool_is_too_long(monkeypatch):
    tool = tool_of({f"a{n}": {"type": "integer", "description": "word " * 60} for n in range(4)}, ())
    whole, bare = (
        tool_prompt(BASE, tool).ids,
        tool_prompt(BASE, tool_of({f"a{n}": {"type": "integer"} for n in range(4)}, ())).ids,
    )
    monkeypatch.setattr(prompting, "PROMPT_TOKENS", (len(whole),))
    assert tool_prompt(BASE, tool).ids == whole
    monkeypatch.setattr(prompting, "PROMPT_TOKENS", (len(whole) - 1,))
    assert len(bare) < len(tool_prompt(BASE, tool).ids) < len(whole)
    monkeypatch.setattr(prompting, "PROMPT_TOKENS", (1,))
    assert tool_prompt(BASE, tool).ids == bare


@pytest.mark.parametrize("fill", ["diffusion", "parallel", "ar"])
def test_a_list_with_more_values_than_are_read_gives_one_of_them(fill, monkeypatch):
    for module in (key_block, prompting):
        monkeypatch.setattr(module, "MAX_CANDIDATES", 8)
    colours = "amber beige coral denim ebony fawn gold hazel ivory jade khaki lilac".split()
    tool = tool_of({"colour": {"enum": colours}, "count": {"type": "integer"}}, ("colour",))
    agent = Agent(BASE, reader_head(BASE), None, Options(fill))
    answer = agent("Paint 12 doors please", tools=[{"name": "paint", "parameters": tool.parameters}], mode="tool")
    assert answer.calls[0].arguments["colour"] in colours
