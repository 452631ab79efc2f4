"""How many tokens the slot of a field has. Training and answering both ask here, so that their canvases agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.scaffold.budget import Budget, SlotKind
from jaxdiff.schema.values import write_value

BUDGET = Budget()
STRING_TOKENS, ARRAY_TOKENS, LONGEST = BUDGET.text
INTEGER_TOKENS, NUMBER_TOKENS = BUDGET.integer[0], BUDGET.number[0]
CANDIDATE_TOKENS = 24
_SLOT_KINDS = {Kind.INTEGER: SlotKind.INTEGER, Kind.NUMBER: SlotKind.NUMBER}


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
    longest = field.first.schema.get("maxLength", STRING_TOKENS)
    # A character takes at most its four UTF-8 bytes.
    return max(1, min(STRING_TOKENS, 4 * int(longest)))


def grown_slot(field: Field, tokens: int) -> int | None:
    """The next size of a slot that is full, None at the limit."""
    if field.candidates:
        return None
    return BUDGET.grown(_SLOT_KINDS.get(field.kind, SlotKind.TEXT), tokens)
