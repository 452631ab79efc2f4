"""Which tokens the slots of fields may hold: from a field's schema to the tables that denoising is held to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.automata import Constraint, constrain
from jaxdiff.errors import SchemaError, UnsupportedLanguage
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.token_table import TokenTable, token_table
from jaxdiff.schema.languages.vocabulary import Vocabulary
from jaxdiff.schema.normal.nodes import Number, Text
from jaxdiff.schema.normal.normalise import normalise
from jaxdiff.schema.scaffold.language import language_of


@lru_cache(maxsize=4096)
def field_language(field: Field) -> Dfa | None:
    """The texts of a field's slot that are valid values; None where every text is one, or where none can be told."""
    if field.kind not in (Kind.STRING, Kind.INTEGER, Kind.NUMBER):
        return None
    try:
        node = normalise(field.schema, dialect=field.dialect or None)
        return language_of(node) if isinstance(node, Text | Number) else None
    except SchemaError:
        return None


def field_table(base: FrozenBase, field: Field, length: int) -> TokenTable | None:
    """The table of a field whose slot has `length` tokens, a blank before its text; None where there is none to keep.

    A field no text of which is so short has none: what is written is checked afterwards.
    """
    language = field_language(field)
    if language is None:
        return None
    try:
        return token_table(language, Vocabulary.of_tokenizer(base.tokenizer), length, leading_space=True)
    except UnsupportedLanguage:
        return None


def canvas_constraint(
    slots: Sequence[tuple[TokenTable, Sequence[int]]], canvas: tuple[int, int], base: FrozenBase
) -> Constraint | None:
    """The constraint of some slots, each with its positions in a flattened canvas [B, N]; None where there are none."""
    if not slots:
        return None
    return constrain(slots, canvas, base.config.canvas_vocab_size, base.config.null_id)
