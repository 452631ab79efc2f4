import itertools
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import InputError, UnsupportedLanguage
from jaxdiff.schema.languages import code_points
from jaxdiff.schema.languages.patterns import pattern_language

# On these characters, and without a line end that closes the text, the dialects agree on everything.
ALPHABET = "ab0- "

atoms = st.sampled_from(["a", "b", "0", "-", " ", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "[ab]", "[^a]",
                         r"[\d-]", "[a-b0]", r"[^\w]", r"\x61", r"\u0062", r"\-"])  # fmt: skip
anchors = st.sampled_from(["^", "$", r"\b"])
counts = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}", "*?", "+?", "??", "{1,3}?"])


def compound(inner):
    group = st.builds("(?:{})".format, inner) | st.builds("({})".format, inner)
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        st.builds("{}{}".format, group | atoms, counts),
        group,
    )


plain = st.recursive(atoms | anchors | st.just(""), compound, max_leaves=8)
looks_ahead = st.builds(
    "({}{})".format, st.sampled_from(["?=", "?!"]), st.recursive(atoms | st.just("$"), compound, max_leaves=3)
)
looks_behind = st.builds("({}{})".format, st.sampled_from(["?<=", "?<!"]), atoms | st.just("^") | st.just("ab"))
full = st.recursive(atoms | anchors | looks_ahead | looks_behind, compound, max_leaves=8)
texts = [*map("".join, itertools.chain.from_iterable(itertools.product(ALPHABET, repeat=n) for n in range(5)))]


def language(pattern):
    try:
        re.compile(pattern)
    except re.error:
        return None
    return pattern_language(pattern)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_where_the_dialects_agree_a_pattern_is_what_python_finds(pattern):
    found = language(pattern)
    if found is not None:
        searched = re.compile(pattern)
        assert [found.accepts(text) for text in texts] == [searched.search(text) is not None for text in texts]


@settings(max_examples=150, deadline=None)
@given(full)
def test_looks_ahead_and_behind_are_what_python_finds(pattern):
    try:
        found = language(pattern)
    except UnsupportedLanguage as error:
        assert "look" in error.reason
        return
    if found is not None:
        searched = re.compile(pattern)
        assert [found.accepts(text) for text in texts] == [searched.search(text) is not None for text in texts]


@settings(max_examples=200, deadline=None)
@given(full, st.text(st.sampled_from("ab0- \n\r\u2028\xa0\ufeff\x1cé٣\U0001f600") | st.characters(), max_size=6))
def test_what_is_accepted_is_found_by_python_whatever_the_characters(pattern, text):
    try:
        found = language(pattern)
    except UnsupportedLanguage:
        return
    if found is not None and found.accepts(text):
        assert re.search(pattern, text)


# What ECMA-262 says of texts that Python takes, or the other way round.
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^\d$", "٣"),
        (r"^\w$", "é"),
        (r"^\W$", "é"),
        (r"^a$", "a\n"),
        (r"^.$", "\r"),
        (r"^.$", "\u2028"),
        (r"^\s$", "\ufeff"),
        (r"^\s$", "\x1c"),
        (r"^\S$", "\ufeff"),
        (r"^\S$", "\x85"),
        (r"^[^\d]$", "٣"),
        (r"^(?!\d)", "٣"),
        (r"^(?!a$)", "a\n"),
        (r"^(?!.$).", "\r"),
        (r"\bé", "aé"),
    ],
)
def test_texts_that_the_dialects_read_differently_are_left_out(pattern, text):
    assert not pattern_language(pattern).accepts(text)


@pytest.mark.parametrize(
    "pattern",
    ["(a)\\1", r"\p{L}", r"\Aa", r"\B", r"a\Z", "[]a]", "a{,2}", "(?i)a", "(?P<x>a)", "a++", "(", "a**", "[b-a]", r"\a",
     "(?:a|b){3000}.*" * 9, "[ab]*a[ab]{15}$"],
)  # fmt: skip
def test_what_cannot_be_held_is_named(pattern):
    with pytest.raises(UnsupportedLanguage, match="unsupported language") as error:
        pattern_language(pattern)
    assert error.value.name == pattern
    assert isinstance(error.value, InputError)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (r"^[a-z0-9-]{1,63}$", ["a", "a-b", "a" * 63], ["", "A", "a" * 64]),
        (r"^(?=.*\d)(?=.*[a-z]).{8,}$", ["passw0rd"], ["password", "p4ss"]),
        (r"^((?!-)[A-Za-z0-9-]{1,63}(?<!-)\.)+[A-Za-z]{2,6}$", ["a-b.example.org"], ["-a.org", "a-.org", "org"]),
        (r"^(?!.*--)[a-z-]+$", ["a-b"], ["a--b"]),
        (r"^.{0,9999}$", ["", "x" * 1024], ["\n"]),
        (r"^\$\{[^}]+\}$", ["${x}"], ["${}", "${x"]),
        (r"^[\u0041-\u005a]{3}$", ["ABC"], ["abc"]),
        (r"^[\ud800-\udfff]*$", [""], ["a", "\ud800"]),
        (r"^\0[\b]$", ["\0\b"], ["0b"]),
    ],
)
def test_patterns_as_people_write_them(pattern, inside, outside):
    found = pattern_language(pattern)
    assert [text for text in inside if not found.accepts(text)] == []
    assert [text for text in outside if found.accepts(text)] == []


def test_what_differs_is_what_python_takes_beyond():
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    for escape, ranges in (("d", code_points.ASCII_DIGITS), ("w", code_points.ASCII_WORD)):
        python = code_points.union(ranges, code_points.differing(escape))
        assert {*map(ord, re.findall("\\" + escape, every))} == {
            i for low, high in python for i in range(low, high + 1)
        }
    spaces = {*map(ord, re.findall(r"\s", every))}
    assert spaces == {i for low, high in code_points.PYTHON_SPACE for i in range(low, high + 1)}
