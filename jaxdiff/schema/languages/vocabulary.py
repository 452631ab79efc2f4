"""The tokens of a tokenizer as the bytes that they write. A token may hold but a part of a character."""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

# Longer tokens are runs of blanks or dashes, which no value needs in one piece.
MAX_BYTES = 32
_known: weakref.WeakKeyDictionary[Tokenizer, Vocabulary] = weakref.WeakKeyDictionary()
_FALLBACK = re.compile("<0x([0-9A-F]{2})>")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Texts of V tokens, laid out for walks over an automaton. Two are the same only if they are one object.

    ids: [n] int32, tokens with a text, the longest first. lengths: [n] int32, their bytes. characters: [n] int32, how
    many characters begin in them. written: [MAX_BYTES, n] uint8, their bytes. size: V.
    """

    ids: np.ndarray
    lengths: np.ndarray
    characters: np.ndarray
    written: np.ndarray
    size: int

    @classmethod
    def of(cls, texts: Sequence[str | bytes | None]) -> Vocabulary:
        """A vocabulary of texts by token id; None for a token that is no text (such as the end of a turn)."""
        written = [text.encode() if isinstance(text, str) else text or b"" for text in texts]
        lengths = np.array([len(text) if len(text) <= MAX_BYTES else 0 for text in written], np.int32)
        ids = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)].astype(np.int32)
        lengths = lengths[ids]
        flat = np.frombuffer(b"".join(written[i] for i in ids.tolist()), np.uint8)
        owner = np.repeat(np.arange(len(ids)), lengths)
        depth = np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        table = np.zeros((MAX_BYTES, len(ids)), np.uint8)
        table[depth, owner] = flat
        begun = np.bincount(owner, weights=(flat & 0xC0) != 0x80, minlength=len(ids))
        return cls(ids, lengths, begun.astype(np.int32), table, len(texts))

    @classmethod
    def of_tokenizer(cls, tokenizer: Tokenizer) -> Vocabulary:
        """The vocabulary of a tokenizer, made once for it."""
        found = _known.get(tokenizer)
        if found is None:
            ids = range(tokenizer.get_vocab_size())
            texts: list[str | bytes | None] = list(
                tokenizer.decode_batch([[i] for i in ids], skip_special_tokens=False)
            )
            for i, text in enumerate(texts):
                if isinstance(text, str) and "\ufffd" in text:
                    texts[i] = _part(tokenizer.id_to_token(i) or "")
            for i, token in tokenizer.get_added_tokens_decoder().items():
                if token.special:
                    texts[i] = None
            found = _known[tokenizer] = cls.of(texts)
        return found


def _part(token: str) -> bytes | None:
    """The bytes of a token that is no text by itself, as byte-level and byte-fallback tokenizers write them."""
    if fallback := _FALLBACK.fullmatch(token):
        return bytes([int(fallback[1], 16)])
    try:
        return bytes(_BYTE_OF[char] for char in token)
    except KeyError:
        return None


def _byte_level() -> dict[str, int]:
    """Which byte each character stands for in byte-level tokens (Radford et al. 2019, GPT-2): printable ones for
    themselves, the others for characters from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    other = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(other)}


_BYTE_OF = _byte_level()
