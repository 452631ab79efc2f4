import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent import frozen_values
from jaxdiff.agent.fill_ar import fill_ar
from jaxdiff.agent.filled import FilledField
from jaxdiff.agent.frozen_context import append, read_keys
from jaxdiff.agent.frozen_decoding import decode_rows, score_rows
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import key_ids
from jaxdiff.agent.sources import find_source
from jaxdiff.agent.value_tokens import value_tokens
from jaxdiff.errors import InputError
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.values import parse_value
from tests.agent.frozen_fills import BOUNDED, PROPERTIES, PlainFill, tiny_base, tool_of

QUERY = "Paint 12 doors red wine please, note x"
TOOL = tool_of()


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


@pytest.fixture(scope="module")
def known(base):
    return PrefixReader(base).tool(TOOL)


def assert_same(got: dict[str, FilledField], want: dict[str, tuple[object, float]]) -> None:
    assert {name: field.value for name, field in got.items()} == {name: value for name, (value, _) in want.items()}
    assert list(got) == list(want)
    for name, (value, confidence) in want.items():
        assert type(got[name].value) is type(value)
        np.testing.assert_allclose(got[name].confidence, confidence, rtol=2e-3, err_msg=name)


@pytest.mark.parametrize("none_margin", [0.0, -6.0, 1000.0])
def test_equals_plain_decoding_that_reads_everything_anew(base, known, none_margin):
    got = fill_ar(base, TOOL, known, QUERY, none_margin=none_margin).fields
    assert_same(got, PlainFill(base, none_margin).fill(TOOL, QUERY, autoregressive=True))
    assert {field.by for field in got.values()} == {"ar"}


def test_told_presence_fills_exactly_the_named_fields(base, known):
    present = frozenset({"note", "count", "gift"})
    got = fill_ar(base, TOOL, known, QUERY, present=present).fields
    assert set(got) == present
    assert_same(got, PlainFill(base, present=present).fill(TOOL, QUERY, autoregressive=True))


def test_required_fields_are_filled_whatever_the_margin(base, known):
    got = fill_ar(base, TOOL, known, QUERY, none_margin=-1000.0).fields
    assert set(got) == {"title", "count", "colour"}
    assert isinstance(parse_value(got["count"].value, TOOL.fields[1]), int)
    assert got["colour"].value in PROPERTIES["colour"]["enum"]


def test_a_listed_value_and_its_prefix_compare_as_whole_values(base, known):
    """One candidate begins another: their odds are those of the whole texts with their ends."""
    plain = PlainFill(base)
    ids = plain.prompt(TOOL, QUERY) + key_ids(base, TOOL.fields[2])
    scores = np.array([plain.score(ids, base.encode(f" {value}")) for value in PROPERTIES["colour"]["enum"]])
    got = fill_ar(base, TOOL, known, QUERY, present=frozenset({"colour"})).fields["colour"]
    assert got.value == PROPERTIES["colour"]["enum"][scores.argmax()]
    np.testing.assert_allclose(got.confidence, np.exp(scores.max()) / np.exp(scores).sum(), rtol=2e-3)


@pytest.mark.parametrize("length", [1, 2])
def test_a_value_that_must_be_there_is_never_none(base, known, length, monkeypatch):
    """Were ` none` what the base would write, of one token or two, the next best is written."""
    field = TOOL.fields[0]
    plain = PlainFill(base)
    ids = plain.prompt(TOOL, QUERY) + key_ids(base, field)
    plain.none = plain.decode(ids, field, -math.inf, refused=-1)[0][:length]
    tokens = dataclasses.replace(value_tokens(base), none=jnp.array(plain.none, jnp.int32))
    monkeypatch.setattr(frozen_values, "value_tokens", lambda base: tokens)
    got = fill_ar(base, TOOL, known, QUERY, present=frozenset({field.name})).fields[field.name]
    value, text, confidence = plain.field(ids, field)
    assert got.value == text and value[:length] != plain.none
    np.testing.assert_allclose(got.confidence, confidence, rtol=2e-3)


def test_a_token_with_a_line_end_behind_text_ends_the_value(base, monkeypatch):
    """Were such a one among the tokens that the base would write, the value would end with it."""
    tool = tool_of({"title": {"type": "string", "maxLength": 6}}, ())
    (field,) = tool.fields
    plain = PlainFill(base, present=frozenset({field.name}))
    ids = plain.prompt(tool, QUERY) + key_ids(base, field)
    written, _ = plain.decode(ids, field, -math.inf, refused=-1)
    texts = [plain.lines[token][0] for token in written]
    token = next(written[i] for i in range(1, len(written)) if plain.may_end(field, b"".join(texts[: i + 1])))
    plain.lines[token] = plain.lines[token][0], True
    closing = value_tokens(base).closing.at[token].set(True)
    tokens = dataclasses.replace(value_tokens(base), closing=closing)
    monkeypatch.setattr(frozen_values, "value_tokens", lambda base: tokens)
    got = fill_ar(base, tool, PrefixReader(base).tool(tool), QUERY, present=frozenset({field.name})).fields[field.name]
    value, text, confidence = plain.field(ids, field)
    assert got.value == text and len(value) < len(written)
    np.testing.assert_allclose(got.confidence, confidence, rtol=2e-3)


def test_keys_and_line_ends_are_given_and_never_decoded(base, known, monkeypatch):
    written, given = [], []

    def spy_decode(*arguments):
        result = decode_rows(*arguments)
        written.extend(np.asarray(row)[: int(n)].tolist() for row, n in zip(result.tokens, result.count, strict=True))
        return result

    def spy_keys(module, params, context, ids, valid):
        given.append(base.decode(ids[valid].tolist()))
        return read_keys(module, params, context, ids, valid)

    monkeypatch.setattr(frozen_values, "decode_rows", spy_decode)
    monkeypatch.setattr("jaxdiff.agent.fill_ar.read_keys", spy_keys)
    fill_ar(base, TOOL, known, QUERY, none_margin=1000.0)
    assert given == [("\n" if i else "") + f"{name}:" for i, name in enumerate(PROPERTIES)]
    ending = np.asarray(value_tokens(base).ending)
    assert len(written) >= 5 and any(written)
    assert not any(ending[token] or "\n" in base.decode([token]) for row in written for token in row)


def test_programs_are_traced_once(base, known):
    programs = (decode_rows, read_keys, score_rows, append)
    fill_ar(base, TOOL, known, QUERY, none_margin=1000.0)
    traced = [program._cache_size() for program in programs]
    assert min(traced) > 0
    for query in ("Paint 70 doors blue please, and no note", "Paint it red wine, twelve times please"):
        fill_ar(base, TOOL, known, query, none_margin=1000.0)
    assert [program._cache_size() for program in programs] == traced


def test_what_cannot_be_filled(base, known):
    with pytest.raises(InputError, match="tokens of the query"):
        fill_ar(base, TOOL, known, "long " * 3000)
    with pytest.raises(InputError, match="no field 'size'"):
        fill_ar(base, TOOL, known, QUERY, present=frozenset({"size"}))
    empty = tool_of({}, ())
    assert fill_ar(base, empty, PrefixReader(base).tool(empty), QUERY).fields == {}


def test_bounds_formats_and_patterns_hold_whatever_the_base_would_write(base):
    tool = tool_of(BOUNDED, tuple(BOUNDED))
    got = fill_ar(base, tool, PrefixReader(base).tool(tool), QUERY).fields
    assert list(got) == list(BOUNDED)
    for field in tool.fields:
        assert check_value(parse_value(got[field.name].value, field), field) is None, got[field.name].value


def test_sources_are_unique_whole_words_of_the_query():
    query = "Book Zürich for 5, then room 15 and zürich bar at 7"
    assert find_source(query, "ROOM 15") == (24, 31)
    assert find_source(query, "5") == (16, 17)
    assert find_source(query, "Zürich") is None
    assert find_source(query, "Berlin") is None
    assert find_source(query, "") is None
