import numpy as np
import pytest

from jaxdiff.agent.word_facts import FIELD_FACTS, KINDS, candidate_words, field_facts, token_facts, token_matches
from jaxdiff.schema.leaves import fields_of

NEGATION, AFFIRMATION, RESTRICTION = 6, 7, 8


def tokens_of(text, *pieces):
    """Offsets of tokens that are these pieces of the text, one behind the other."""
    offsets, place = [], 0
    for piece in pieces:
        start = text.index(piece, place)
        place = start + len(piece)
        offsets.append((start, place))
    return tuple(offsets)


def words_of(text):
    return tokens_of(text, *[f" {word}" if i else word for i, word in enumerate(text.split())])


@pytest.mark.parametrize(
    ("query", "negating", "affirming", "restricting"),
    [
        ("Send it without receipts", [2], [], []),
        ("please don't add receipts", [1], [0, 2], []),
        ("only open shops, skip the rest", [3], [], [0]),
        ("Northern notes on nowhere", [], [2], []),
    ],
)
def test_words_that_turn_a_meaning_round(query, negating, affirming, restricting):
    facts = token_facts(query, words_of(query))
    for column, want in ((NEGATION, negating), (AFFIRMATION, affirming), (RESTRICTION, restricting)):
        assert np.flatnonzero(facts[:, column]).tolist() == want


def test_every_part_of_a_word_has_the_facts_of_the_word():
    query = "I don't want without"
    offsets = tokens_of(query, "I", " don", "'t", " want", " with", "out")
    assert token_facts(query, offsets)[:, NEGATION].tolist() == [0, 1, 1, 0, 1, 1]


FIELDS = fields_of(
    {
        "type": "object",
        "properties": {
            "include_receipts": {"type": "boolean", "description": "Whether to send receipts for the bookings"},
            "no_refunds": {"type": "boolean", "description": "Refuse every refund"},
            "bookingName": {"type": "string"},
        },
    }
)


def test_words_that_a_field_has_too():
    query = "Include the receipt of my bookings"
    found = token_matches(query, words_of(query), FIELDS)
    # Whether the name has the word, whether the description has it, and whether no other field does.
    assert found[0].tolist() == [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert not found[1].any()
    assert found[2].tolist() == [[0, 0, 0]] * 5 + [[1, 0, 0]]


def test_parts_of_a_word_and_what_is_no_word():
    query = "receipts? ok"
    offsets = tokens_of(query, "rece", "ipts", "?", " ok")
    assert token_matches(query, offsets, FIELDS)[0].tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_facts_of_a_field():
    include, refuse, _ = (field_facts(field, 3) for field in FIELDS)
    assert len(include) == FIELD_FACTS == 6 + len(KINDS)
    assert (include[3], include[4]) == (0, 0) and (refuse[3], refuse[4]) == (1, 0)
    assert include[5] == 3 / 8 and sum(include[6:]) == 1


@pytest.mark.parametrize(
    ("listed", "query", "stand", "begun"),
    [
        (["male", "female"], "A FEMALE patient, aged 30", [0, 1], [0, 1]),
        (["on", "off"], "only the office", [0, 0], [0, 0]),
        (["first_class", "second-class"], "Second class, please", [0, 1], [1, 1]),
        (["wood", "clay"], "on a wooden floor", [0, 0], [1, 0]),
        ([1, 2, 12, 2.5], "rated 12, or 2.5", [0, 0, 1, 1], [0, 0, 0, 0]),
        (["<", ">="], "a >= b", [0, 1], [0, 0]),
        (["", "any"], "anything", [0, 0], [0, 0]),
    ],
)
def test_words_of_candidates_are_whole_words_of_the_query(listed, query, stand, begun):
    (field,) = fields_of({"type": "object", "properties": {"x": {"enum": listed}}})
    assert candidate_words(field, query) == list(zip(stand, begun, strict=True))
