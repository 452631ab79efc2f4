import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.lengths import length_language
from jaxdiff.schema.languages.numbers import integer_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.languages.texts import text_language
from jaxdiff.schema.languages.token_table import DEAD, token_table
from jaxdiff.schema.languages.vocabulary import MAX_BYTES, Vocabulary

TEXTS = ["a", "b", "ab", "ba", "bab", " a", " ", "  ", "1", "12", " 1", "-", "é", None, "", "a" * 40, "\u2028", "aaaa",
         b"\xc3", b"\xa9", b"a\xf0\x9f", b"\x98", b"\x80b", b"\xe2\x80", b"\xed", b"\xa0", b"\xa8\xc3"]  # fmt: skip
VOCABULARY = Vocabulary.of(TEXTS)
USABLE = [i for i, text in enumerate(TEXTS) if text and len(text) <= MAX_BYTES]
LANGUAGES = [
    pattern_language("^a*$"),
    pattern_language("^(ab|ba)+$"),
    pattern_language("^[^a]+$"),
    pattern_language("^ ?a"),
    integer_language(-3, 120),
    length_language(2, 5),
    length_language(0, 7),
    text_language(1, 6, ["^[ab]*$"]),
    pattern_language(r"^.{1,3}$"),
    pattern_language(r"^\W*$"),
    pattern_language("^[é\U0001f600-\U0001f700]*$"),
]


def texts_of(tokens):
    """None for bytes that are no text."""
    try:
        return b"".join(t.encode() if isinstance(t, str) else t for t in (TEXTS[i] for i in tokens)).decode()
    except UnicodeDecodeError:
        return None


@settings(deadline=None, max_examples=600)
@given(st.sampled_from(LANGUAGES), st.lists(st.sampled_from(USABLE), max_size=5), st.booleans())
def test_tokens_are_accepted_exactly_if_their_text_is(language, tokens, leading_space):
    table = token_table(language, VOCABULARY, 5, leading_space=leading_space)
    text = texts_of(tokens)
    expected = text is not None and language.accepts(text.removeprefix(" ") if leading_space else text)
    assert table.accepts(tokens) is expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_other_tokens_are_dead_and_no_state_or_class_is_there_twice_or_for_nothing(language):
    table = token_table(language, VOCABULARY, 5)
    assert {i for i in range(len(TEXTS)) if i not in USABLE} <= set(np.flatnonzero(table.classes == DEAD).tolist())
    assert (table.transitions[:, DEAD] == -1).all()
    assert len(np.unique(table.transitions, axis=1).T) == table.transitions.shape[1]
    assert set(table.classes.tolist()) | {DEAD} == set(range(table.transitions.shape[1]))
    assert table.transitions.dtype == np.int16


@pytest.mark.parametrize("language", LANGUAGES)
def test_states_out_of_reach_of_the_slot_are_gone(language):
    whole = token_table(language, VOCABULARY, 20)
    for length in (2, 3):
        table = token_table(language, VOCABULARY, length)
        assert len(table.accepting) <= len(whole.accepting)
        for tokens in itertools.product(USABLE, repeat=length):
            assert table.accepts(list(tokens)) is whole.accepts(list(tokens))


def test_a_slot_that_is_too_short_is_named():
    assert token_table(pattern_language("^aba$"), VOCABULARY, 2).accepts([2, 0])
    with pytest.raises(UnsupportedLanguage, match="such as ababab': no text of it has at most 2 tokens"):
        token_table(pattern_language("^(?:ab){3}$"), VOCABULARY, 2)
    with pytest.raises(UnsupportedLanguage, match="no text at all"):
        token_table(pattern_language("b^a"), VOCABULARY, 9)
    with pytest.raises(UnsupportedLanguage, match="no text"):
        token_table(pattern_language("^x$"), VOCABULARY, 9)


def test_large_limits_are_kept_without_counting():
    rng = random.Random(0)
    for limit, most_states in ((30_000, 8), (4 * 700, 8)):
        table = token_table(text_language(0, limit), VOCABULARY, 700)
        assert len(table.accepting) <= most_states
        for _ in range(50):
            tokens = [rng.choice(USABLE) for _ in range(700)]
            if table.accepts(tokens):
                assert len(texts_of(tokens) or "") <= limit
        assert table.accepts([17] * 700)


def test_the_tokens_of_a_byte_level_tokenizer():
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab", "Ġa", "<end>", "Ã©"]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    vocabulary = Vocabulary.of_tokenizer(tokenizer)
    assert Vocabulary.of_tokenizer(tokenizer) is vocabulary
    table = token_table(pattern_language("^ ?[^<]*$"), vocabulary, 4)
    ids = {piece: i for i, piece in enumerate(pieces)}
    assert table.accepts([ids["Ġa"], ids["ab"], ids["Ã©"]])
    assert table.accepts([ids["Ã"], ids["©"]])
    assert not table.accepts([ids["Ã"]])
    assert not table.accepts([ids["<end>"]])
    assert not table.accepts([ids["<"]])


def test_byte_fallback_tokens_are_bytes():
    tokenizer = Tokenizer(models.BPE({"<0xC3>": 0, "<0xA9>": 1, "a": 2}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    table = token_table(pattern_language("^é$"), Vocabulary.of_tokenizer(tokenizer), 4)
    assert table.accepts([0, 1])
    assert not table.accepts([0, 2])


def test_a_language_of_many_states_has_whole_characters():
    table = token_table(length_language(300, 400), Vocabulary.of(["é" * 16, "a", b"\xc3", b"\xa9"]), 400)
    assert len(table.accepting) <= 401
    assert table.accepts([0] * 20 + [1] * 5)
    assert not table.accepts([1] * 300 + [2, 3])
