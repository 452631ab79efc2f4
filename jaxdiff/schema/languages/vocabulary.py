"""The tokens of a tokenizer as text.

A token that is but a part of a character (byte-level tokenizers have them) has no text of its own and is in no
language; characters without a token of their own are thus out of reach where a value is constrained.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

# Longer tokens are runs of blanks or dashes, which no value needs in one piece.
MAX_CHARACTERS = 32
_NO_CHARACTER = "\ufffd"
_known: weakref.WeakKeyDictionary[Tokenizer, Vocabulary] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Texts of V tokens, laid out for walks over an automaton. Two are the same only if they are one object.

    ids: [n] int32, tokens with a text, the longest first. lengths: [n] int32, their characters. alphabet: [A] int64,
    the code points that occur. characters: [MAX_CHARACTERS, n] int32, place in the alphabet of each token's characters.
    size: V.
    """

    ids: np.ndarray
    lengths: np.ndarray
    alphabet: np.ndarray
    characters: np.ndarray
    size: int

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> Vocabulary:
        """A vocabulary of texts by token id; None for a token that is no text (such as the end of a turn)."""
        usable = [text if text and len(text) <= MAX_CHARACTERS and _NO_CHARACTER not in text else "" for text in texts]
        lengths = np.array([*map(len, usable)], np.int32)
        ids = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)].astype(np.int32)
        lengths = lengths[ids]
        flat = np.array([*map(ord, "".join(usable[i] for i in ids.tolist()))], np.int64)
        alphabet, places = np.unique(flat, return_inverse=True)
        characters = np.zeros((MAX_CHARACTERS, len(ids)), np.int32)
        owner = np.repeat(np.arange(len(ids)), lengths)
        depth = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        characters[depth, owner] = places.reshape(-1)
        return cls(ids, lengths, alphabet, characters, len(texts))

    @classmethod
    def of_tokenizer(cls, tokenizer: Tokenizer) -> Vocabulary:
        """The vocabulary of a tokenizer, made once for it."""
        found = _known.get(tokenizer)
        if found is None:
            texts: list[str | None] = list(
                tokenizer.decode_batch([[i] for i in range(tokenizer.get_vocab_size())], skip_special_tokens=False)
            )
            for i, token in tokenizer.get_added_tokens_decoder().items():
                if token.special:
                    texts[i] = None
            found = _known[tokenizer] = cls.of(texts)
        return found
