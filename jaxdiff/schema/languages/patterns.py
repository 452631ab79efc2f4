"""JSON Schema's `pattern` as an automaton.

A pattern is searched for anywhere in a text. ECMA-262 and Python (in which most validators run) differ in places:
the language holds only texts in which both find it.
"""

from __future__ import annotations

from functools import lru_cache

from jaxdiff.schema.languages import code_points as cp
from jaxdiff.schema.languages.determinise import determinise
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.nfa import agreed
from jaxdiff.schema.languages.parsing import parse
from jaxdiff.schema.languages.syntax import Boundary, Chars, Choice, Expression, Look, Repeat, Sequence


@lru_cache(maxsize=1024)
def pattern_language(pattern: str) -> Dfa:
    """Texts in which the pattern is found, by ECMA-262 and by Python's `re.search` alike.

    Raises UnsupportedLanguage for references to groups, for what only one of the two understands, and for what would
    need too many states.
    """
    expression = parse(pattern)
    found = determinise(agreed(expression), pattern, anywhere=True, open_end=True)
    if _asks_for_words(expression):
        found = found.intersect(_plain_words())
    return found


def _asks_for_words(node: Expression) -> bool:
    match node:
        case Boundary():
            return True
        case Look() | Repeat():
            return _asks_for_words(node.body)
        case Sequence():
            return any(map(_asks_for_words, node.parts))
        case Choice():
            return any(map(_asks_for_words, node.options))
    return False


@lru_cache(maxsize=1)
def _plain_words() -> Dfa:
    """Texts in which both dialects see the same words: letters beyond ASCII are of words to Python alone."""
    both = cp.union(cp.ASCII_WORD, cp.complement(cp.python_word()))
    return determinise(Repeat(Chars(both), 0, None), "words", anywhere=False, open_end=False)
