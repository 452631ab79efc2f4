"""The texts of a language one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxdiff.schema.languages.dfa import Dfa

# Texts are built of letters and digits where they may be, of signs where they must be.
_PREFERRED = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_. !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~"


def texts_of(language: Dfa) -> Iterator[str]:
    """Accepted texts, all of them in the end, shortest first; of one length letters and digits come first."""
    transitions, live = language.transitions, language.transitions >= 0
    preferred = list(zip(_PREFERRED, language.class_of(np.array([*map(ord, _PREFERRED)])).tolist(), strict=True))
    ends = [language.accepting]  # ends[n][s]: an accepting state lies n characters behind s.
    silent = 0
    while silent <= len(language.accepting):
        length = len(ends) - 1
        if language.max_characters is not None and length > language.max_characters:
            return
        silent = 0 if ends[length][0] else silent + 1
        if ends[length][0]:
            yield from _of_length(language, preferred, length, ends)
        ends.append((ends[length][transitions] & live).any(axis=1))


def _of_length(language: Dfa, preferred: list[tuple[str, int]], length: int, ends: list[np.ndarray]) -> Iterator[str]:
    if not length:
        yield ""
        return
    path = [_steps(language, preferred, 0, ends[length - 1])]
    text = [""]
    while path:
        step = next(path[-1], None)
        if step is None:
            path.pop()
            text.pop()
        elif len(path) == length:
            yield "".join(text) + step[0]
        else:
            text.append(step[0])
            path.append(_steps(language, preferred, step[1], ends[length - len(path) - 1]))


def _steps(language: Dfa, preferred: list[tuple[str, int]], state: int, ends: np.ndarray) -> Iterator[tuple[str, int]]:
    """(character, next state) of every way on to one of the states that `ends` marks."""
    row = language.transitions[state].tolist()
    for char, kind in preferred:
        if row[kind] >= 0 and ends[row[kind]]:
            yield char, row[kind]
    stops = [*language.bounds[1:].tolist(), sys.maxunicode + 1]
    for printable in (True, False):
        for start, stop, kind in zip(language.bounds.tolist(), stops, language.classes.tolist(), strict=True):
            if row[kind] < 0 or not ends[row[kind]]:
                continue
            for code in range(start, stop):
                ascii_sign, surrogate = 32 <= code <= 126, 0xD800 <= code <= 0xDFFF
                if not ascii_sign and not surrogate and chr(code).isprintable() is printable:
                    yield chr(code), row[kind]
