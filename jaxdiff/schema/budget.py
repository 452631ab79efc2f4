"""How many tokens the slot of a field has. Training and answering both ask here, so that their canvases agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.values import write_value

STRING_TOKENS = 24
ARRAY_TOKENS = 48
INTEGER_TOKENS = 12
NUMBER_TOKENS = 16
CANDIDATE_TOKENS = 24


def slot_tokens(field: Field, encode: Callable[[str], Sequence[int]]) -> int:
    """Tokens of the field's slot, at least 1: fixed by kind, or those of the longest listed value up to a limit.

    encode: text -> token ids without special tokens.
    """
    if field.kind in (Kind.ENUM, Kind.BOOLEAN):
        longest = max(len(encode(write_value(value))) for value in field.candidates)
        return max(1, min(longest, CANDIDATE_TOKENS))
    if field.kind is Kind.ARRAY:
        return ARRAY_TOKENS
    if field.kind is Kind.INTEGER:
        return INTEGER_TOKENS
    if field.kind is Kind.NUMBER:
        return NUMBER_TOKENS
    longest = field.schema.get("maxLength", STRING_TOKENS)
    # A character takes at most its four UTF-8 bytes.
    return max(1, min(STRING_TOKENS, 4 * int(longest)))
