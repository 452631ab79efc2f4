"""Several calls in one batch: each is read and filled as if it were alone, whatever stands beside it."""

import dataclasses
from functools import cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent import compose, fill_diffusion, key_block, prefix, reading
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.reading import read_calls
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets, read_alone, reader_head
from tests.diffusion.reader_rows import AXES

BASE = tiny_base(0)
HEADS = [reader_head(BASE, seed) for seed in (0, 1)]
# The second takes the query's words where it can.
HEADS[1].params["trunk"]["copied"]["bias"] += 20.0
DAY = {
    "type": "object",
    "properties": {"day": {"type": "string", "format": "date"}, "who": {"type": "string"}},
    "required": ["day", "who"],
}
PAINT = tool_of()
MEET, VISIT, STOP = parse_tools(
    [
        {"name": "meet", "parameters": DAY},
        {"name": "visit", "description": "The same but for words. " * 9, "parameters": DAY},
        {"name": "stop", "description": "Has no fields. " * 9},
    ]
)
QUERIES = ("Paint 12 doors red wine please, note x", "Ann at 7")
CALLS = [(tool, query) for tool in (PAINT, MEET, VISIT, STOP) for query in QUERIES]
SAMPLED = DenoiseConfig(steps=3, temperature=1.0)


@pytest.fixture(scope="module", autouse=True)
def buckets():
    """Prefixes of two sizes, and at most four calls at once."""
    with few_buckets(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "PROMPT_TOKENS", (128, 640))
        patch.setattr(key_block, "TOKENS", (96,))
        patch.setattr(compose, "TOKENS", (128,))
        for module in (compose, fill_diffusion, key_block, reading):
            patch.setattr(module, "CALLS", (1, 4))
        yield


@pytest.fixture(scope="module")
def prefixes():
    return PrefixReader(BASE)


@pytest.fixture
def passes(monkeypatch):
    """Rows of the prefix and of the block, of every pass of the base."""
    seen = []
    read_block = reading.read_block

    def spy(module, params, cache, valid, block, telling):
        assert len(valid) == cache.keys.shape[1]
        seen.append((len(valid), len(block.ids)))
        return read_block(module, params, cache, valid, block, telling)

    monkeypatch.setattr(reading, "read_block", spy)
    return seen


def asked(prefixes, numbers):
    return [Asked(CALLS[i][0], prefixes.tool(CALLS[i][0]), CALLS[i][1]) for i in numbers]


@pytest.fixture(scope="module")
def alone(prefixes):
    """What a call alone gives."""

    @cache
    def fill(number, head, seed):
        (filling,) = HEADS[head].fill(HEADS[head].read(asked(prefixes, [number])), SAMPLED, seed=seed)
        return filling

    return fill


def assert_same(got, want):
    assert list(got.fields) == list(want.fields)
    for name, field in want.fields.items():
        found = got.fields[name]
        assert (found.value, found.by, found.source) == (field.value, field.by, field.source)
        assert abs(found.confidence - field.confidence) <= 1e-4
    assert abs(got.absence - want.absence) <= 1e-4
    assert (got.trace is None) == (want.trace is None)
    if want.trace is not None:
        assert (got.trace.fields, got.trace.texts) == (want.trace.fields, want.trace.texts)
        np.testing.assert_array_equal(got.trace.revealed, want.trace.revealed)


@settings(max_examples=15)
@given(
    st.lists(st.integers(0, len(CALLS) - 1), min_size=1, max_size=6),
    st.integers(0, len(HEADS) - 1),
    st.integers(0, 1),
)
def test_a_call_comes_out_the_same_alone_and_among_others(prefixes, alone, numbers, head, seed):
    fillings = HEADS[head].fill(HEADS[head].read(asked(prefixes, numbers)), SAMPLED, seed=seed)
    for number, filling in zip(numbers, fillings, strict=True):
        assert_same(filling, alone(number, head, seed))


def test_every_way_to_a_value_is_among_these_calls(alone):
    ways = {
        field.by
        for number in range(len(CALLS))
        for head in range(len(HEADS))
        for field in alone(number, head, 0).fields.values()
    }
    assert ways == {"copy", "candidate", "compose"}


def test_padding_of_a_reading_does_not_matter(prefixes, alone):
    """Readings of different passes are padded to different sizes."""
    whole = HEADS[0].read(asked(prefixes, [3, 0]))
    readings = [dataclasses.replace(whole[0], features=_trimmed(whole[0].features)), whole[1]]
    assert readings[0].features.key_attention.shape[:3] == (1, 2, len(whole[0].offsets))
    for number, filling in zip((3, 0), HEADS[0].fill(readings, SAMPLED), strict=True):
        assert_same(filling, alone(number, 0, 0))


def _trimmed(features):
    sizes = {"F": features.field_mask.sum(), "T": features.token_mask.sum(), "C": 1}
    axes = {name: letters for name, (letters, _) in AXES.items()}
    axes |= {"token_ids": "T", "token_mask": "T", "field_kind": "F", "field_mask": "F", "candidate_mask": "FC"}
    return type(features)(
        **{name: value[:, *(slice(sizes[axis]) for axis in axes[name])] for name, value in vars(features).items()}
    )


def test_what_is_present_is_told_for_each_call(prefixes):
    head, readings = HEADS[1], HEADS[1].read(asked(prefixes, [0, 2, 1]))
    told = [{"note", "gift"}, None, {"title"}]
    fillings = head.fill(readings, SAMPLED, present=told)
    assert [set(filling.fields) for filling in fillings] == [{"note", "gift"}, {"day", "who"}, {"title"}]
    for call, present, filling in zip(readings, told, fillings, strict=True):
        assert_same(filling, head.fill([call], SAMPLED, present=[present])[0])


def test_randomness_is_that_of_the_call_and_the_seed(prefixes, monkeypatch):
    """Tools of the same fields, over a head that is as good as blind: only the noise tells them apart."""
    head = reader_head(BASE, 0)
    blind = type(head)(BASE, head.config, jax.tree.map(lambda x: np.asarray(x) * np.float32(0.01), head.params))
    meet, visit = asked(prefixes, [2, 4])
    monkeypatch.setattr(compose, "zlib", _Constant)
    same = [_composed(filling) for filling in blind.fill(blind.read([meet, visit]), SAMPLED)]
    assert same[0] == same[1]
    monkeypatch.undo()
    values = [
        _composed(filling) for seed in range(2) for filling in blind.fill(blind.read([meet, visit]), SAMPLED, seed=seed)
    ]
    assert len({tuple(value.items()) for value in values}) == len(values)


class _Constant:
    """Every call has the same randomness."""

    @staticmethod
    def crc32(_: bytes) -> int:
        return 1


def _composed(filling):
    return {name: field.value for name, field in filling.fields.items() if field.by == "compose"}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([0], [(1, 1)]), ([0, 1, 0], [(1, 4)]), ([0, 2], [(4, 4)]), ([4, 0, 2, 3, 5, 1], [(4, 4), (4, 4)])],
    ids=["one", "one tool", "two tools", "more than a bucket"],
)
def test_calls_share_passes_and_one_tool_its_prefix(prefixes, passes, numbers, expected):
    read_calls(BASE, asked(prefixes, numbers))
    assert passes == expected


def test_no_calls(prefixes):
    assert HEADS[0].fill(HEADS[0].read([]), SAMPLED) == []


def test_rows_of_several_tools_are_read_as_single_ones(prefixes):
    calls = asked(prefixes, [2, 0, 5, 6])
    slots = {call.known.prefix.cache.slots for call in calls}
    assert len(slots) > 1
    for call, got in zip(calls, read_calls(BASE, calls), strict=True):
        want = read_alone(BASE, call.tool, call.known, call.query)
        assert (got.tool, got.query, got.offsets) == (call.tool, call.query, want.offsets)
        np.testing.assert_allclose(got.opening, want.opening, atol=1e-3, rtol=1e-3)
        np.testing.assert_allclose(got.opening_hidden, want.opening_hidden, atol=1e-3, rtol=1e-3)
        real = want.features
        for name, value in vars(real).items():
            found = getattr(got.features, name)
            if name in ("key_attention", "name_attention", "definition_attention", "token_logprob", "token_matches"):
                found, value = found[:, real.field_mask[0]], value[:, real.field_mask[0]]
                found, value = found[:, :, real.token_mask[0]], value[:, :, real.token_mask[0]]
            elif name.startswith(("key_", "field_facts")):
                found, value = found[:, real.field_mask[0]], value[:, real.field_mask[0]]
            elif name.startswith("token_s"):
                found, value = found[:, real.token_mask[0]], value[:, real.token_mask[0]]
            elif name.startswith("candidate_") and name != "candidate_mask":
                found, value = found[real.candidate_mask], value[real.candidate_mask]
            np.testing.assert_allclose(found, value, atol=1e-3, rtol=1e-3, err_msg=name)
