"""Texts by their number of characters (Unicode code points)."""

from __future__ import annotations

import numpy as np

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import dfa
from jaxdiff.schema.languages.dfa import Dfa


def length_language(min_length: int = 0, max_length: int | None = None) -> Dfa:
    """Texts of `min_length` to `max_length` characters, without a limit where it is None. Only the first is counted in
    the tables (see `Dfa.counted`).

    Raises UnsupportedLanguage for a `min_length` beyond `dfa.MAX_STATES`.
    """
    if min_length >= dfa.MAX_STATES:
        raise UnsupportedLanguage("length", f"{min_length} characters need more than {dfa.MAX_STATES} states")
    states = np.arange(max(min_length, 0) + 1)
    one = np.zeros(1, np.int64)
    longer = dfa.build(one, one, np.minimum(states + 1, states[-1])[:, None], states == states[-1], "length")
    return longer if max_length is None else longer.at_most(max_length)
