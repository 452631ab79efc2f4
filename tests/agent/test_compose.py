"""Composing under the automata of the schema, and slots that grow."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jaxdiff.agent import compose
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.constraints import field_language
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.schema.budget import grown_slot
from jaxdiff.schema.merge import merge
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets, reader_head

BASE = tiny_base(0)
PROPERTIES = {
    "count": {"type": "integer", "minimum": 3, "maximum": 250},
    "day": {"type": "string", "format": "date"},
    "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "word": {"type": "string", "minLength": 2, "maxLength": 9},
}
TOOL = tool_of(PROPERTIES, tuple(PROPERTIES))


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


@settings(max_examples=8)
@given(st.integers(0, 2), st.integers(0, 3), st.sampled_from([0.0, 1.0, 50.0]))
def test_whatever_a_head_composes_is_valid(number, seed, temperature):
    head = reader_head(BASE, number)
    head.params["trunk"]["copied"]["bias"] -= 20.0
    readings = head.read([Asked(TOOL, PrefixReader(BASE).tool(TOOL), "Say it")])
    (filling,) = head.fill(readings, DenoiseConfig(steps=2, temperature=temperature), seed=seed)
    assert {found.by for found in filling.fields.values()} == {"compose"}
    made = merge(TOOL, {name: found.value for name, found in filling.fields.items()})
    assert made.dropped == made.repaired == {}
    Draft202012Validator(TOOL.parameters, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(made.arguments)


def test_languages_of_fields():
    count, day, code, share, word = TOOL.fields
    assert field_language(count).accepts("250") and not field_language(count).accepts("251")
    assert field_language(day).accepts("2024-02-29") and not field_language(day).accepts("2023-02-29")
    assert field_language(code).accepts("AB-123") and not field_language(code).accepts("ab-123")
    assert field_language(share).accepts("0.5") and not field_language(share).accepts("0")
    assert field_language(word).accepts("né") and not field_language(word).accepts("n")
    free, listed = tool_of({"free": {"type": "string"}, "listed": {"enum": ["a"]}}, ()).fields
    assert field_language(free) is field_language(listed) is None


def test_only_a_full_slot_grows_and_the_largest_is_reported(monkeypatch):
    """A head that never writes <NULL> fills every slot of free text."""
    tool = tool_of({"note": {"type": "string"}, "count": PROPERTIES["count"]}, ("note", "count"))
    head = reader_head(BASE, 0)
    head.params["trunk"]["copied"]["bias"] -= 20.0
    sizes, logits = [], compose.reader.logits

    def without_null(*given):
        found = logits(*given)
        return found.at[..., BASE.config.null_id].set(-1e9)

    once = compose._Composer.once

    def spy(composer, calls):
        (call,) = calls
        sizes.append((call.fields, dict(call.sizes)))
        return once(composer, calls)

    compose._denoise.clear_cache()
    monkeypatch.setattr(compose.reader, "logits", without_null)
    monkeypatch.setattr(compose._Composer, "once", spy)
    readings = head.read([Asked(tool, PrefixReader(BASE).tool(tool), "Say it")])
    (filling,) = head.fill(readings, DenoiseConfig(steps=1))
    compose._denoise.clear_cache()
    first, second = grown_slot(tool.fields[0], 24), grown_slot(tool.fields[0], 48)
    assert sizes[0] == ([0, 1], {}) and sizes[1][0] == [0] and sizes[1][1][0] == first
    assert sizes[-1] == ([0], {0: second}) and grown_slot(tool.fields[0], second) is None
    assert filling.fields["note"].cut and not filling.fields["count"].cut
    assert 3 <= json.loads(filling.fields["count"].value) <= 250
    assert np.isfinite(filling.fields["note"].confidence)
