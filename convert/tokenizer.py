"""Tokenizers: from GGUF metadata to the format of the `tokenizers` library, and the reserved entries of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from jaxdiff.errors import WeightsError

# llama.cpp's `enum llama_token_type`.
_CONTROL_TOKEN, _USER_DEFINED_TOKEN = 3, 4
_RESERVED = re.compile(r"<\|reserved_special_token_(\d+)\|>")


def tokenizer_from_gguf(metadata: Callable[[str], Any], place: str) -> str:
    """The file's byte-level BPE tokenizer (pre-tokenizer `smollm`) as text of a `tokenizer.json`.

    metadata: value of a key, None where absent. Raises WeightsError for other tokenizers, by name, and for a vocabulary
    that is missing or has double entries.
    """
    model, pre = metadata("tokenizer.ggml.model"), metadata("tokenizer.ggml.pre")
    if model != "gpt2":
        raise WeightsError(f"{place}: tokenizer model {model!r} is not supported; known: gpt2")
    if pre != "smollm":
        raise WeightsError(f"{place}: pre-tokenizer {pre!r} is not supported; known: smollm")
    tokens, merges, types = (metadata(f"tokenizer.ggml.{key}") for key in ("tokens", "merges", "token_type"))
    if not tokens or merges is None or types is None or len(types) != len(tokens):
        raise WeightsError(f"{place}: tokenizer.ggml.tokens, merges and token_type are incomplete")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise WeightsError(f"{place}: tokenizer.ggml.tokens has {len(tokens) - len(vocabulary)} double entries")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    except Exception as error:  # the Rust library raises plain Exception
        raise WeightsError(f"{place}: damaged tokenizer.ggml.merges: {str(error)!a}") from error
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    marked = list(zip(tokens, types, strict=True))
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in marked if kind == _CONTROL_TOKEN]
    )
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in marked if kind == _USER_DEFINED_TOKEN])
    return tokenizer.to_str(pretty=False)


def check_tokenizer(text: str, vocab_size: int, place: str) -> Tokenizer:
    """Parses a `tokenizer.json`. Raises WeightsError for a damaged one and for ids beyond the weights' vocabulary."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the Rust library raises plain Exception
        raise WeightsError(f"{place}: damaged tokenizer.json: {' '.join(str(error).split())}") from error
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocab_size:
        raise WeightsError(f"{place}: token id {largest} is beyond the vocabulary of the weights ({vocab_size})")
    return tokenizer


def reserved_token_ids(tokenizer: Tokenizer) -> tuple[int, int] | tuple[None, None]:
    """Ids of the first two reserved special tokens (for <MASK> and <NULL>); two None where there are fewer."""
    reserved = sorted(
        (int(match[1]), token_id)
        for token_id, token in tokenizer.get_added_tokens_decoder().items()
        if (match := _RESERVED.fullmatch(token.content))
    )
    return (reserved[0][1], reserved[1][1]) if len(reserved) >= 2 else (None, None)
