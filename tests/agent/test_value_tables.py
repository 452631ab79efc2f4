"""Tables of decoded values, walked by a plain loop: what they let through against `re` and the fields' schemas."""

import datetime
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from jaxdiff.agent.value_tables import FieldTables, decoded_tokens, field_tables
from jaxdiff.agent.value_tokens import value_tokens
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.fields import Field
from jaxdiff.schema.values import clean_string, parse_value
from tests.agent.frozen_fills import BOUNDED, SAID, tiny_base, tool_of

BARE = {
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "title": {"type": "string"},
    "parts": {"type": "array", "items": {"type": "string"}},
}


@cache
def closing_base() -> FrozenBase:
    """Some tokens hold a line end behind text, as many tokenizers have them."""
    base = tiny_base(0)
    base.tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("7\n", "ed.\n", ",\r\n", "\n \nx")])
    assert base.tokenizer.get_vocab_size() <= base.config.vocab_size
    return base


@pytest.fixture(scope="module")
def base() -> FrozenBase:
    return closing_base()


@pytest.fixture(scope="module")
def fields() -> dict[str, Field]:
    return {field.name: field for field in tool_of({**BARE, **BOUNDED}, ()).fields}


@pytest.fixture(scope="module")
def tables(base, fields) -> FieldTables:
    return field_tables(base, list(fields.values()))


def walk(tables: FieldTables, name: str, tokens: list[int]) -> int | None:
    """Fewest tokens that the value still lacks; None where it is refused."""
    classes, moves = np.asarray(tables.tables.classes), np.asarray(tables.tables.transitions)
    state = tables.start[name]
    for token in tokens:
        state = moves[state, classes[tables.row[name], token]]
        if state < 0:
            return None
    return int(tables.tables.missing[state])


@pytest.mark.parametrize("name", ["count", "share"])
def test_bare_numbers_are_written_as_people_write_them(base, fields, tables, name):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("01 -,.%a"), rng.integers(1, 7))) for _ in range(2000)]
    texts += [" 12", " -3", "1,000", " 1,234,567", "1,2345", "12%", " 3.5", "-0.25%", "1,000.5", "3.", "--1", "\u0661"]
    for text in texts:
        accepted = walk(tables, name, base.encode(text)) == 0
        assert accepted == bool(re.fullmatch(SAID[fields[name].kind], text)), text


@pytest.mark.parametrize("name", ["title", "parts"])
def test_other_bare_values_are_any_line_that_is_not_blank(base, tables, name):
    for text in ("a", " red wine, blue", "  x", "東京 🚪", "-"):
        assert walk(tables, name, base.encode(text)) == 0, text
    for text in ("", " ", "   "):
        assert walk(tables, name, base.encode(text)) == 1, text
    for text in ("\n", "a\nb", "\r", "<|im_end|>"):
        tokens = [base.tokenizer.token_to_id(text)] if text.startswith("<") else base.encode(text)
        assert walk(tables, name, tokens) is None, text


def test_a_value_does_not_end_within_a_character(base, tables):
    door = base.encode("🚪")
    assert len(door) == 4
    for name in ("title", "nick"):
        before = [] if name == "title" else base.encode("abc")
        assert [walk(tables, name, before + door[:count]) for count in range(1, 5)] == [3, 2, 1, 0]


def test_equal_languages_share_a_table(tables):
    assert tables.row["title"] == tables.row["parts"]
    assert len({tables.row[name] for name in BOUNDED}) == len(BOUNDED)


def test_a_token_that_closes_a_value_stands_only_where_it_may_end(base, tables):
    token = base.tokenizer.token_to_id
    closing = np.flatnonzero(np.asarray(value_tokens(base).closing)).tolist()
    assert sorted(closing) == sorted(map(token, ("7\n", "ed.\n", ",\r\n")))
    assert value_tokens(base).ending[token("\n \nx")]
    digit = base.encode("1")
    assert walk(tables, "count", [*digit, token("7\n")]) == 0
    assert walk(tables, "count", [*digit, *base.encode(","), token("7\n")]) is None
    assert walk(tables, "count", [*digit, token(",\r\n")]) is None
    assert walk(tables, "title", [token("ed.\n")]) == 0
    assert walk(tables, "floor", [*digit, *digit, token("7\n")]) == 0
    assert walk(tables, "floor", [*digit, *base.encode("3"), token("7\n")]) is None


def test_a_budget_grows_until_the_shortest_valid_text_fits(base, fields):
    assert slot_tokens(fields["key"], base.encode) < 36 <= decoded_tokens(base, fields["key"])
    assert decoded_tokens(base, fields["day"]) == slot_tokens(fields["day"], base.encode)


def test_a_text_that_no_budget_holds_is_any_line(base):
    (field,) = tool_of({"code": {"type": "string", "pattern": "^a{400}$"}}, ()).fields
    tables = field_tables(base, [field])
    assert walk(tables, "code", base.encode("whatever")) == 0


def random_text(base: FrozenBase, tables: FieldTables, name: str, rng: np.random.Generator) -> str:
    """A value of tokens drawn at random from those that its table and what is left of its budget allow."""
    classes, moves = np.asarray(tables.tables.classes)[tables.row[name]], np.asarray(tables.tables.transitions)
    missing, closing = np.asarray(tables.tables.missing), np.asarray(value_tokens(base).closing)
    state, tokens = tables.start[name], []
    while missing[state] or rng.random() < 0.7:
        after = moves[state, classes]
        allowed = np.flatnonzero((after >= 0) & (missing[after] <= tables.tokens[name] - len(tokens) - 1))
        if not len(allowed):
            break
        token = int(rng.choice(allowed))
        tokens.append(token)
        state = after[token]
        if closing[token]:
            break
    assert missing[state] == 0
    return re.split(r"[\r\n]", base.decode(tokens))[0].strip()


@pytest.mark.parametrize("name", BOUNDED)
def test_every_way_through_a_table_is_valid(base, fields, tables, name):
    rng = np.random.default_rng(1)
    texts = {random_text(base, tables, name, rng) for _ in range(100)}
    assert len(texts) > 20
    for text in texts:
        assert check_value(parse_value(text, fields[name]), fields[name]) is None, text
        if name == "day":
            datetime.date.fromisoformat(text)


@settings(max_examples=200, deadline=None)
@given(text=st.text("ab ,;()'\"\u201c\u201d", min_size=1, max_size=8))
def test_bounded_texts_are_those_that_stay_as_they_are(text):
    schema = {"type": "string", "minLength": 2, "maxLength": 6}
    base, (field,) = closing_base(), tool_of({"name": schema}, ()).fields
    if walk(field_tables(base, [field]), "name", base.encode(f" {text}")) == 0:
        assert clean_string(text) == text and 2 <= len(text) <= 6
    elif 2 <= len(text) <= 6 and not set(text[0] + text[-1]) & set(" ,;()'\"\u201c\u201d"):
        raise AssertionError(f"{text!r} is refused")


@settings(max_examples=25, deadline=None)
@given(low=st.integers(-2000, 2000), span=st.integers(0, 300), step=st.integers(1, 40), seed=st.integers(0, 1000))
def test_bounded_integers_are_within_their_bounds(low, span, step, seed):
    multiples = range(-(-low // step) * step, low + span + 1, step)
    assume(multiples)
    schema = {"type": "integer", "minimum": low, "maximum": low + span, "multipleOf": step}
    base, (field,) = closing_base(), tool_of({"level": schema}, ()).fields
    text = random_text(base, field_tables(base, [field]), "level", np.random.default_rng(seed))
    assert int(text) in multiples
