"""Where in the query a value is said."""

from __future__ import annotations

import re


def find_source(query: str, text: str) -> tuple[int, int] | None:
    """Code points [start, end) of `text` in the query, as whole words, case aside; None unless it stands once."""
    if not text:
        return None
    found = list(re.finditer(rf"(?<!\w){re.escape(text)}(?!\w)", query, re.IGNORECASE))
    return found[0].span() if len(found) == 1 else None
