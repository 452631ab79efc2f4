"""The loaded base: logits of padded batches, refused input, and text that only looks like special tokens."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import read_base
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError
from tests.base.numpy_model import numpy_pass, random_params
from tests.convert.checkpoints import SPECIAL, tiny_tokenizer


@pytest.fixture(scope="module")
def base(tiny_folder):
    return read_base(tiny_folder)


@pytest.fixture(scope="module")
def small() -> FrozenBase:
    config = BaseConfig.tiny(max_positions=12)
    return FrozenBase(config, random_params(config), tiny_tokenizer(), name="small", fingerprint="0" * 64)


@pytest.mark.parametrize("side", ["left", "right", "middle"])
def test_logits_of_a_padded_batch(small, side):
    ids = np.random.default_rng(0).integers(0, 97, (2, 8))
    valid = np.ones((2, 8), bool)
    valid[1, {"left": slice(0, 3), "right": slice(5, 8), "middle": slice(2, 5)}[side]] = False
    found = small.logits(ids, valid)
    assert found.shape == (2, 8, 97) and found.dtype == np.float32
    for b in range(2):
        text = ids[b, valid[b]][None]
        length = text.shape[1]
        expected = numpy_pass(
            small.config, small.params, text, np.arange(length)[None], np.tril(np.ones((1, length, length), bool))
        )
        np.testing.assert_allclose(found[b, valid[b]], expected.logits[0], atol=2e-4)


def test_logits_of_plain_lists(small):
    np.testing.assert_array_equal(small.logits([[1, 2, 3]]), small.logits(np.array([[1, 2, 3]]), [[True] * 3]))


@pytest.mark.parametrize(
    ("ids", "valid", "message"),
    [
        ([1, 2, 3], None, r"shape \(3,\): expected \[batch, tokens\]"),
        ([[[1]]], None, r"shape \(1, 1, 1\)"),
        ([[]], None, r"shape \(1, 0\)"),
        ([[1, 2], [3]], None, "rows of different length"),
        ([[1.5, 2.0]], None, "float64"),
        ([["a"]], None, "expected integers"),
        ([[5, 97]], None, "5…97 outside the vocabulary of 97"),
        ([[-1, 4]], None, "-1…4 outside the vocabulary"),
        ([[1] * 13], None, "13 tokens: the base reads at most 12"),
        ([[1, 2, 3]], [[True, True]], r"valid of shape \(1, 2\): expected \(1, 3\)"),
        ([[1, 2, 3]], [True, True, True], r"valid of shape \(3,\)"),
    ],
)
def test_refused_input(small, ids, valid, message):
    with pytest.raises(InputError, match=message):
        small.logits(ids, valid)


def test_padding_does_not_count_as_length(small):
    valid = np.arange(14)[None] < 12
    assert small.logits(np.ones((1, 14), int), valid).shape == (1, 14, 97)


@pytest.mark.parametrize("token", SPECIAL)
def test_special_tokens_in_text_are_characters(base, token):
    number = SPECIAL.index(token)
    for text in (token, f"a {token}b", token * 3, f"{token}{SPECIAL[0]}"):
        ids = base.encode(text)
        assert not set(ids) & set(range(len(SPECIAL)))
        assert base.encode_with_offsets(text)[0] == ids
        assert base.decode(ids) == text
    assert base.special(token) == [number]
    assert base.decode([number]) == token


@given(st.lists(st.sampled_from([*SPECIAL, "<|im_", "start|>", "<", "|", ">", "a", " ", "é", "🙂"]), max_size=8))
def test_no_text_becomes_a_special_token(base, pieces):
    text = "".join(pieces)
    ids = base.encode(text)
    assert not set(ids) & set(range(len(SPECIAL)))
    assert base.decode(ids) == text


def test_a_missing_special_token_is_spelled(base):
    assert base.special("<|nobody|>") == base.encode("<|nobody|>") != []


def test_offsets_are_code_points(base):
    text = "the café 12"
    ids, offsets = base.encode_with_offsets(text)
    assert len(ids) == len(offsets)
    assert offsets[0] == (0, 1) and offsets[-1] == (10, 11)
    covered = {point for start, end in offsets for point in range(start, end)}
    assert covered == set(range(len(text)))


def test_nothing_can_be_replaced(base):
    with pytest.raises(dataclasses.FrozenInstanceError):
        base.params = {}
