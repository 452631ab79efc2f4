import dataclasses

import numpy as np
import pytest

from jaxdiff.agent.fill_parallel import fill_parallel
from jaxdiff.agent.frozen_context import read_keys
from jaxdiff.agent.frozen_decoding import decode_rows, score_rows
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.errors import InputError
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.values import parse_value
from tests.agent.frozen_fills import BOUNDED, PlainFill, tiny_base, tool_of
from tests.agent.test_fill_ar import QUERY, TOOL, assert_same


@pytest.fixture(scope="module")
def base():
    return tiny_base(1)


@pytest.fixture(scope="module")
def known(base):
    return PrefixReader(base).tool(TOOL)


@pytest.mark.parametrize("none_margin", [0.0, -6.0, 1000.0])
def test_equals_plain_decoding_of_each_field_alone(base, known, none_margin):
    got = fill_parallel(base, TOOL, known, QUERY, none_margin=none_margin).fields
    assert_same(got, PlainFill(base, none_margin).fill(TOOL, QUERY, autoregressive=False))
    assert {field.by for field in got.values()} == {"parallel"}


def test_order_and_number_of_fields_do_not_matter(base, known):
    whole = fill_parallel(base, TOOL, known, QUERY).fields
    reversed_fields = dataclasses.replace(TOOL, fields=TOOL.fields[::-1])
    turned = fill_parallel(base, reversed_fields, known, QUERY).fields
    assert list(turned) == list(whole)[::-1]
    for field in TOOL.fields:
        alone = fill_parallel(base, dataclasses.replace(TOOL, fields=(field,)), known, QUERY).fields
        for other in (turned, alone):
            assert (field.name in other) == (field.name in whole)
            if field.name in whole:
                assert other[field.name].value == whole[field.name].value
                np.testing.assert_allclose(other[field.name].confidence, whole[field.name].confidence, rtol=2e-3)


def test_told_presence_fills_exactly_the_named_fields(base, known):
    present = frozenset({"parts", "colour", "share"})
    got = fill_parallel(base, TOOL, known, QUERY, present=present).fields
    assert set(got) == present
    assert_same(got, PlainFill(base, present=present).fill(TOOL, QUERY, autoregressive=False))


def test_all_values_are_decoded_in_one_loop_traced_once(base, known, monkeypatch):
    calls = []

    def spy(*arguments):
        calls.append(arguments)
        return decode_rows(*arguments)

    present = frozenset({"note", "share", "parts"})
    fill_parallel(base, TOOL, known, QUERY, present=present)
    programs = (decode_rows, read_keys, score_rows)
    traced = [program._cache_size() for program in programs]
    monkeypatch.setattr("jaxdiff.agent.frozen_values.decode_rows", spy)
    fill_parallel(base, TOOL, known, "Paint 70 doors blue please, and no note", present=present)
    assert [program._cache_size() for program in programs] == traced
    # The second call, if there is one, is the second attempt at values that could not be used.
    assert 1 <= len(calls) <= 2
    assert int(calls[0][4].active.sum()) == 3


def test_bounds_formats_and_patterns_hold_whatever_the_base_would_write():
    tool = tool_of(BOUNDED, tuple(BOUNDED))
    seen = set()
    for seed in range(6):
        base = tiny_base(seed)
        got = fill_parallel(base, tool, PrefixReader(base).tool(tool), QUERY).fields
        assert set(got) == set(BOUNDED)
        for field in tool.fields:
            value = parse_value(got[field.name].value, field)
            assert check_value(value, field) is None, (field.name, value)
            seen.add(value)
    assert len(seen) > 20


def test_what_cannot_be_filled(base, known):
    with pytest.raises(InputError, match="tokens of the query"):
        fill_parallel(base, TOOL, known, "long " * 3000)
    with pytest.raises(InputError, match="no field 'size'"):
        fill_parallel(base, TOOL, known, QUERY, present=frozenset({"size"}))
    empty = tool_of({}, ())
    assert fill_parallel(base, empty, PrefixReader(base).tool(empty), QUERY).fields == {}


def test_what_is_longer_than_the_base_can_read_is_refused(base, known):
    most = known.length + 20
    short = dataclasses.replace(base, config=dataclasses.replace(base.config, max_positions=most))
    with pytest.raises(InputError, match=f"tokens: the base reads at most {most}"):
        fill_parallel(short, TOOL, known, "x1 " * 20)
