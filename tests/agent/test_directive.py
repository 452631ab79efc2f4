"""Mode and tool choice of the caller, against the table of what each pair allows."""

import itertools

import pytest

from jaxdiff.agent.directive import MODES, directive
from jaxdiff.errors import InputError

NAMES = ("book_table", "auto")
BOOK = {"type": "function", "function": {"name": "book_table"}}

# (mode, tool_choice) -> modes that may answer; what is not listed contradicts itself.
ALLOWED = {
    ("auto", "auto"): MODES,
    ("auto", "none"): ("chat", "think"),
    ("auto", "required"): ("tool",),
    ("auto", "book_table"): ("tool",),
    ("chat", "auto"): ("chat",),
    ("chat", "none"): ("chat",),
    ("think", "auto"): ("think",),
    ("think", "none"): ("think",),
    ("tool", "auto"): ("tool",),
    ("tool", "required"): ("tool",),
    ("tool", "book_table"): ("tool",),
}


@pytest.mark.parametrize("pair", list(itertools.product(("auto", *MODES), ("auto", "none", "required", "book_table"))))
def test_each_pair_allows_what_it_says_or_is_refused_as_a_contradiction(pair):
    if pair in ALLOWED:
        found = directive(*pair, NAMES)
        assert found.modes == ALLOWED[pair]
        assert found.name == ("book_table" if pair[1] == "book_table" else None)
        assert found.mode == (found.modes[0] if len(found.modes) == 1 else None)
    else:
        with pytest.raises(InputError, match="contradict"):
            directive(*pair, NAMES)


def test_the_object_form_names_a_tool_even_one_named_like_a_word():
    assert directive("auto", BOOK, NAMES).name == "book_table"
    assert directive("auto", {"type": "function", "function": {"name": "auto"}}, NAMES).name == "auto"
    assert directive("auto", "auto", NAMES).name is None


def test_without_tools_only_text_can_answer():
    assert directive("auto", "auto", ()).modes == ("chat", "think")
    for mode, choice in (("tool", "auto"), ("auto", "required")):
        with pytest.raises(InputError, match="no tools were given"):
            directive(mode, choice, ())


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("order_pizza", "'order_pizza', which is not among the tools: book_table, auto"),
        ({"type": "function", "function": {"name": "order_pizza"}}, "order_pizza"),
        ({"type": "function"}, "expected"),
        ({"type": "tool", "function": {"name": "book_table"}}, "expected"),
        ({"type": "function", "function": {}}, "is not known"),
        (None, "is not known"),
        (3, "is not known"),
        ([], "is not known"),
    ],
)
def test_what_is_no_choice_is_named(choice, words):
    with pytest.raises(InputError, match=words):
        directive("auto", choice, NAMES)


def test_an_unknown_mode_is_named():
    with pytest.raises(InputError, match="mode 'sing' is not known"):
        directive("sing", "auto", NAMES)
