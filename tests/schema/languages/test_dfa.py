import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.lengths import length_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.languages.texts import text_language

PATTERNS = ["^a*$", "^(ab|ba)+$", "^[abc]{2,3}$", "a", "^$", "b$", "^c?b{0,2}$", "^(?!a)", "^(?:a|bc){1,2}$"]
texts = [*map("".join, itertools.chain.from_iterable(itertools.product("abc", repeat=n) for n in range(6)))]
patterns = st.sampled_from(PATTERNS)


@given(patterns, patterns)
@settings(deadline=None)
def test_an_intersection_holds_what_both_hold(left, right):
    both = pattern_language(left).intersect(pattern_language(right))
    assert [both.accepts(t) for t in texts] == [bool(re.search(left, t) and re.search(right, t)) for t in texts]
    assert both == pattern_language(right).intersect(pattern_language(left))


@given(patterns)
@settings(deadline=None)
def test_a_complement_holds_the_rest(pattern):
    rest = pattern_language(pattern).complement()
    assert [rest.accepts(t) for t in texts] == [not re.search(pattern, t) for t in texts]


def test_equal_languages_are_equal_automata():
    assert pattern_language("^(a|b)c*$") == pattern_language("^[ab](?:c+)?$")
    assert hash(pattern_language("^(a|b)c*$")) == hash(pattern_language("^[ab](?:c+)?$"))
    assert pattern_language("^a") != pattern_language("^b")
    assert len(pattern_language("^(?:[ab]|c)(?:x{3}|y{3})$").accepting) == 7


@pytest.mark.parametrize("pattern", ["^[ab]{0,4}$", "^(ab|a)*$", "^a?[bc]{2}$"])
def test_examples_are_all_texts_shortest_first(pattern):
    whole = [text for text in texts if re.search(pattern, text)]
    found = list(itertools.islice(pattern_language(pattern).examples(), len(whole)))
    assert sorted(found, key=lambda text: (len(text), text)) == whole
    assert [*map(len, found)] == sorted(map(len, found))


def test_examples_end_with_the_language_and_skip_lengths_that_it_lacks():
    assert list(pattern_language("^(?:|[0-9]|aaaaaaaaa)$").examples()) == ["", *"0123456789", "a" * 9]
    assert list(pattern_language("^a(?!a|$)$").examples()) == []
    assert list(itertools.islice(pattern_language("^(?:a{7})*$").examples(), 3)) == ["", "a" * 7, "a" * 14]
    assert list(itertools.islice(pattern_language("^[^!-~ ]$").examples(), 2)) == ["¡", "¢"]


def test_examples_are_readable_where_they_may_be():
    assert pattern_language("^.{3}$").shortest() == "aaa"
    assert pattern_language(r"^[^\w]$").shortest() == "-"
    assert pattern_language("^[\u4e00-\u9fff]$").shortest() == "一"
    assert pattern_language("^[\\x00-\\x1f]$").shortest() == "\0"
    assert len(length_language(1000, 2000).shortest()) == 1000


def test_a_language_knows_how_long_its_texts_are():
    assert pattern_language("^a{2,5}b?$").max_length == 6
    assert pattern_language("a").max_length is None
    assert pattern_language("a^").max_length == 0


def test_the_empty_language_is_known():
    nothing = pattern_language("^a").intersect(pattern_language("^b"))
    assert nothing.is_empty()
    assert nothing.shortest() is None
    assert not nothing.accepts("")
    assert nothing == pattern_language("a^b")


@pytest.mark.parametrize(("least", "most"), [(0, 0), (0, 3), (2, 2), (2, 4), (3, None), (0, None), (3, 2)])
def test_lengths_count_code_points(least, most):
    found = length_language(least, most)
    for count in range(6):
        assert found.accepts("é\U0001f600a\nbc"[:count]) is (least <= count and (most is None or count <= most))


def test_a_text_is_all_that_is_asked_of_it():
    assert text_language() is None
    found = text_language(3, 4, ["^[a-z]", "[0-9]$"], ["hostname"])
    assert [text for text in ["ab1", "a.b1", "a1", "ab-1x", "a..1", "1b1", "a_b1"] if found.accepts(text)] == [
        "ab1",
        "a.b1",
    ]


@settings(deadline=None)
@given(patterns, patterns, st.integers(0, 6), st.integers(0, 6))
def test_a_limit_on_characters_is_the_same_counted_or_not(pattern, other, limit, another):
    found = pattern_language(pattern).at_most(limit)
    assert [found.accepts(t) for t in texts] == [bool(re.search(pattern, t)) and len(t) <= limit for t in texts]
    counted = found.counted()
    assert counted.max_characters is None
    assert [counted.accepts(t) for t in texts] == [found.accepts(t) for t in texts]
    assert list(itertools.islice(counted.examples(), 200)) == list(itertools.islice(found.examples(), 200))
    assert counted.max_length <= found.max_length <= max(limit, counted.max_length)
    assert found.is_empty() == (found.shortest() is None)
    assert found.complement() == counted.complement()
    both = found.intersect(pattern_language(other).at_most(another))
    assert [both.accepts(t) for t in texts] == [
        found.accepts(t) and bool(re.search(other, t)) and len(t) <= another for t in texts
    ]


def test_large_limits_are_not_counted():
    found = text_language(2, 10**9, [], ["uri"])
    assert found.max_length == 10**9
    assert len(found.accepting) < 100
    with pytest.raises(UnsupportedLanguage, match="1000000000 characters"):
        found.counted()
    with pytest.raises(UnsupportedLanguage, match="9000 characters"):
        text_language(9000)


@settings(deadline=None)
@given(patterns)
def test_a_blank_before_a_text_is_no_part_of_it(pattern):
    found = pattern_language(pattern).after_space()
    for text in texts[:50]:
        assert found.accepts(" " + text) is bool(re.search(pattern, text))
        assert found.accepts(text) is bool(re.search(pattern, text))
        assert found.accepts("  " + text) is bool(re.search(pattern, " " + text))


def test_lone_surrogates_are_no_characters():
    assert not pattern_language("").accepts("\ud800")
    assert not length_language(0, 5).complement().accepts("\ud800" * 6)
