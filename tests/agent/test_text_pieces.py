"""Text that comes in pieces against a look at all tokens at once."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxdiff.agent.text_pieces import Piece, TextPieces
from tests.agent.thinking_base import SPECIAL, thinking_base
from tests.agent.whole_text import whole_text

BASE = thinking_base()
THINK = tuple(BASE.special(tag)[0] for tag in ("<think>", "</think>"))
KNOWN = BASE.tokenizer.get_vocab_size()
WORDS = [BASE.encode(word) for word in ("a", "b", "ab", " ", "\n", "ä", "😀", "é", "the")]
# Texts, broken characters, tags, other special tokens, and an id that the tokenizer does not know.
TOKENS = st.lists(
    st.one_of(
        st.sampled_from(WORDS), st.sampled_from([[i] for i in (*THINK, 0, 5, KNOWN + 1)]),
        st.integers(len(SPECIAL), KNOWN - 1).map(lambda i: [i]),
    ),
    max_size=14,
).map(lambda parts: [token for part in parts for token in part])  # fmt: skip
STOP = st.lists(st.text("ab \nä😀", min_size=1, max_size=3), max_size=3).map(tuple)


@given(TOKENS, STOP, st.sampled_from([THINK, None]), st.booleans())
@example(BASE.encode("aab"), ("aab", "ab"), None, False)
@example(BASE.encode("abb"), ("abbb", "b"), None, False)
def test_all_pieces_are_the_whole(tokens, stop, think, thinking):
    thinking = thinking and think is not None
    pieces = TextPieces(BASE, stop, think, thinking)
    found = [piece for token in tokens for piece in pieces.push(token)] + list(pieces.finish())
    thought, answer, stopped = whole_text(BASE, tokens, stop, think, thinking)
    assert "".join(piece.text for piece in found if piece.thinking) == thought
    assert "".join(piece.text for piece in found if not piece.thinking) == answer
    assert pieces.stopped == stopped
    assert all(piece.text for piece in found)


@given(st.text("ab ä😀é", max_size=20), STOP)
def test_no_more_is_held_back_than_the_beginning_of_a_stop_string(text, stop):
    pieces = TextPieces(BASE, stop)
    given_text = ""
    tokens = BASE.encode(text)
    for number, token in enumerate(tokens, 1):
        for piece in pieces.push(token):
            assert "�" not in piece.text
            given_text += piece.text
        if pieces.stopped:
            break
        arrived = BASE.decode(tokens[:number]).rstrip("�")
        held = arrived.removeprefix(given_text)
        assert given_text + held == arrived
        assert not held or any(s.startswith(held) and s != held for s in stop)


def test_a_character_waits_for_all_of_its_bytes():
    pieces = TextPieces(BASE)
    *early, last = BASE.encode("😀")
    assert len(early) == 3
    assert [list(pieces.push(token)) for token in early] == [[], [], []]
    assert list(pieces.push(last)) == [Piece("😀")]
    assert list(pieces.push(early[0])) == [] and list(pieces.finish()) == [Piece("�")]


def test_thought_and_answer():
    pieces = TextPieces(BASE, ("no",), THINK)
    tokens = [THINK[0], *BASE.encode("\nno, a b \n"), THINK[1], *BASE.encode("\n\n yes\nno, a")]
    found = [piece for token in tokens for piece in pieces.push(token)]
    assert "".join(piece.text for piece in found if piece.thinking) == "no, a b"
    assert "".join(piece.text for piece in found if not piece.thinking) == "yes\n"
    assert pieces.stopped and list(pieces.push(tokens[1])) == list(pieces.finish()) == []


@pytest.mark.parametrize("thinking", [False, True])
def test_a_tag_in_the_wrong_place_is_text(thinking):
    pieces = TextPieces(BASE, (), THINK, thinking)
    tag = THINK[not thinking]
    assert list(pieces.push(tag)) == [Piece("<think>" if thinking else "</think>", thinking)]
