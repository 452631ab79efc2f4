"""Texts by their number of characters (Unicode code points)."""

from __future__ import annotations

import numpy as np

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import dfa
from jaxdiff.schema.languages.dfa import Dfa


def length_language(min_length: int = 0, max_length: int | None = None) -> Dfa:
    """Texts of `min_length` to `max_length` characters, without a limit where it is None.

    Raises UnsupportedLanguage for limits beyond `dfa.MAX_STATES`.
    """
    size = max(min_length, -1 if max_length is None else max_length)
    if size >= dfa.MAX_STATES:
        raise UnsupportedLanguage("length", f"{size} characters are more than {dfa.MAX_STATES - 1}")
    if max_length is not None and max_length < min_length:
        size = 0
    following = np.append(np.arange(1, size + 1), size if max_length is None else -1)
    accepting = (np.arange(size + 1) >= min_length) & (max_length is None or min_length <= max_length)
    return dfa.build(np.zeros(1, np.int64), np.zeros(1, np.int64), following[:, None], accepting, "length")
