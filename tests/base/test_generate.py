"""Greedy decoding in one loop on the device against a plain Python loop without a cache."""

import jax
import numpy as np
import pytest

from jaxdiff.base import generate
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import DecodingState, Rules, advance, greedy, prefill
from jaxdiff.base.sampling import Sampling, choose
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError
from tests.base.numpy_model import random_params
from tests.convert.checkpoints import tiny_tokenizer

NEW = 6
VALID = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], bool)
IDS = np.random.default_rng(2).integers(0, 97, VALID.shape).astype(np.int32)


@pytest.fixture(scope="module")
def base() -> FrozenBase:
    config = BaseConfig.tiny(max_positions=40, eos_token_ids=(96, 95))
    return FrozenBase(config, random_params(config, seed=1), tiny_tokenizer(), name="small", fingerprint="0" * 64)


def by_python_loop(base: FrozenBase, ids: np.ndarray, valid: np.ndarray, new: int) -> np.ndarray:
    """The whole text is read again for every token."""
    texts = [list(row[real]) for row, real in zip(ids, valid, strict=True)]
    width = 32
    for _ in range(new):
        padded = np.array([text + [0] * (width - len(text)) for text in texts])
        lengths = np.array([len(text) for text in texts])
        logits = np.asarray(base.logits(padded, np.arange(width) < lengths[:, None]))
        for text, row, length in zip(texts, logits, lengths, strict=True):
            text.append(int(row[length - 1].argmax()))
    return np.array([text[-new:] for text in texts])


@pytest.fixture(scope="module")
def endless(base) -> np.ndarray:
    return by_python_loop(base, IDS, VALID, NEW)


def test_equals_the_python_loop(base, endless):
    found = greedy(base, IDS, VALID, NEW, stop_ids=())
    assert found.shape == (3, NEW) and found.dtype == np.int32
    np.testing.assert_array_equal(found, endless)
    assert len({tuple(row) for row in endless}) == 3


def test_one_row_alone(base, endless):
    np.testing.assert_array_equal(greedy(base, IDS[1:2, :2], VALID[1:2, :2], NEW, stop_ids=())[0], endless[1])


def test_padding_on_the_left(base, endless):
    ids, valid = np.roll(IDS, 1, axis=1), np.roll(VALID, 1, axis=1)
    np.testing.assert_array_equal(greedy(base, ids[2:], valid[2:], NEW, stop_ids=())[0], endless[2])


@pytest.mark.parametrize("when", [0, 2, NEW - 1])
def test_a_row_ends_at_its_stop_token(base, endless, when):
    stop = int(endless[0, when])
    expected = endless.copy()
    for row in expected:
        ends = np.flatnonzero(row == stop)
        if ends.size:
            row[ends[0] + 1 :] = 98
    # 98 lies outside the vocabulary: it can only be padding.
    np.testing.assert_array_equal(greedy(base, IDS, VALID, NEW, stop_ids=(98, stop)), expected)


def test_all_rows_ended(base, endless):
    stops = sorted({int(token) for token in endless[:, 0]})
    found = np.asarray(greedy(base, IDS, VALID, NEW, stop_ids=stops))
    np.testing.assert_array_equal(found[:, 0], endless[:, 0])
    assert (found[:, 1:] == stops[0]).all()


def test_stops_at_the_bases_own_end_tokens(base):
    ends = base.config.eos_token_ids
    np.testing.assert_array_equal(greedy(base, IDS, VALID, NEW), greedy(base, IDS, VALID, NEW, stop_ids=ends))
    stop = int(greedy(base, IDS, VALID, 1, stop_ids=())[0, 0])
    config = BaseConfig.tiny(max_positions=40, eos_token_ids=(stop,))
    other = FrozenBase(config, base.params, base.tokenizer, name="small", fingerprint="0" * 64)
    assert (np.asarray(greedy(other, IDS, VALID, NEW))[0] == stop).all()


@pytest.fixture
def traces(monkeypatch) -> list[str]:
    """One entry for each program that is traced: what reads a block of a prompt, and what decodes."""
    traced = []

    def count(name: str) -> None:
        function = getattr(generate.masks, name)
        monkeypatch.setattr(generate.masks, name, lambda *given: traced.append(name) or function(*given))

    count("causal")
    count("decoding")
    return traced


def test_traced_once_for_all_lengths_of_a_bucket(base, traces):
    jax.clear_caches()
    greedy(base, IDS[:2, :3], VALID[:2, :3], 3)
    once = traces.copy()
    assert set(once) == {"causal", "decoding"}
    for length, new in ((4, 3), (2, 1), (5, 11), (3, 13)):
        greedy(base, IDS[:2, :length], VALID[:2, :length] | True, new)
    assert traces == once


def decode(
    base: FrozenBase, text: list[int], rules: Rules, parts: list[int], **given
) -> tuple[list[int], DecodingState]:
    """The new tokens, written in parts of so many tokens."""
    state = prefill(base, [text], room=parts[0], **given)
    for tokens in parts:
        state = advance(base, state, rules, tokens)
    return np.asarray(state.ids)[0, len(text) : int(state.end)].tolist(), state


TEXT = [5, 17, 80, 33, 2, 64, 9]
WARM = Rules(Sampling(temperature=0.9, top_k=20, top_p=0.95, min_p=0.01, repetition_penalty=1.1))


def test_sampling_equals_the_python_loop(base):
    """The whole text is read again for every token, and the key of a token is folded from its place."""
    text = TEXT.copy()
    key = jax.random.key(11)
    chosen = jax.jit(choose, static_argnums=4)
    for place in range(len(TEXT), len(TEXT) + NEW):
        padded = np.array([text + [0] * (16 - len(text))], np.int32)
        valid = np.arange(16)[None] < len(text)
        logits = base.logits(padded, valid)[:, place - 1]
        text += chosen(jax.random.fold_in(key, place), logits, padded, valid, WARM.sampling).tolist()
    assert decode(base, TEXT, WARM, [NEW], seed=11)[0] == text[len(TEXT) :]


def test_the_same_seed_writes_the_same_text_whole_or_in_parts(base):
    whole, _ = decode(base, TEXT, WARM, [20], seed=4)
    assert len(whole) == 20
    for parts in ([1] * 20, [7, 7, 6], [3, 17]):
        assert decode(base, TEXT, WARM, parts, seed=4)[0] == whole
    assert decode(base, TEXT, WARM, [20], seed=5)[0] != whole


def test_slots_are_added_where_a_text_grows_out_of_them(base):
    whole, state = decode(base, TEXT, WARM, [30], seed=4)
    assert state.cache.slots == 64
    assert prefill(base, [TEXT], room=4).cache.slots == 16
    found, state = decode(base, TEXT, WARM, [4, 8, 18], seed=4)
    assert found == whole
    assert state.cache.slots == 64


@pytest.mark.parametrize("kept", [0, 1, 4, 6, 7, 12])
def test_what_a_known_text_begins_with_is_not_read_again(base, kept, monkeypatch):
    _, known = decode(base, TEXT, Rules(), [8])
    before = np.asarray(known.ids)[0, : int(known.end)].tolist()
    text = before[:kept] + [(token + 1) % 97 for token in before[kept : kept + 1]] + [40, 41, 42]
    read, blocks = generate._read, []
    monkeypatch.setattr(generate, "_read", lambda *given: blocks.append(given) or read(*given))
    found, state = decode(base, text, Rules(), [6], known=known)
    # Slots before the first block are those that are kept.
    assert [int(given[-1]) for given in blocks] == [kept]
    np.testing.assert_array_equal(np.asarray(state.ids)[0, : len(text)], text)
    assert found == by_python_loop(base, np.array([text]), np.ones((1, len(text)), bool), 6)[0].tolist()


def test_a_text_that_is_known_whole_needs_no_prefill(base, monkeypatch):
    expected, _ = decode(base, TEXT, Rules(), [6])
    _, known = decode(base, TEXT, Rules(), [6])
    monkeypatch.setattr(generate, "_read", None)
    assert decode(base, TEXT, Rules(), [6], known=known)[0] == expected


def test_long_prompts_are_read_in_blocks(base, monkeypatch):
    monkeypatch.setattr(generate, "BLOCKS", (2, 4))
    monkeypatch.setattr(generate, "SLOTS", (8, 16, 24))
    expected = by_python_loop(base, np.array([TEXT * 2]), np.ones((1, 14), bool), 3)[0].tolist()
    assert decode(base, TEXT * 2, Rules(), [3])[0] == expected
    # So near to the end that a padded block has no room after what is known, unless it begins earlier.
    _, known = decode(base, TEXT * 3, Rules(), [2])
    text = TEXT * 3 + [1, 2]
    expected = by_python_loop(base, np.array([text]), np.ones((1, 23), bool), 1)[0].tolist()
    monkeypatch.setattr(generate, "BLOCKS", (4,))
    assert decode(base, text, Rules(), [1], known=known)[0] == expected
    with pytest.raises(InputError, match="a prompt of 23 tokens and 2 new ones: 25 is more than the largest"):
        prefill(base, [text], room=2)


def test_more_tokens_than_slots(base, monkeypatch):
    monkeypatch.setattr(generate, "SLOTS", (16,))
    state = prefill(base, [TEXT], room=2)
    with pytest.raises(InputError, match="tokens of prompt and answer: 17 is more than the largest supported, 16"):
        advance(base, state, Rules(), 10)


class TestThinking:
    """A budget of tokens between `<think>`, here token 50, and `</think>`, token 90."""

    RULES = Rules(WARM.sampling, think=(50, 90))

    @pytest.mark.parametrize("budget", [0, 1, 5])
    @pytest.mark.parametrize("parts", [[12], [1] * 12, [5, 7]])
    def test_the_end_is_forced_after_the_budget(self, base, budget, parts):
        free, _ = decode(base, TEXT, self.RULES, [12], seed=7, thinking=True)
        assert 90 not in free
        found, state = decode(base, TEXT, self.RULES, parts, seed=7, thinking=True, thinking_budget=budget)
        assert found[: budget + 1] == [*free[:budget], 90]
        assert 90 not in found[budget + 1 :]
        assert not state.thinking.any()

    def test_a_thought_that_the_text_opens_itself(self, base):
        free, _ = decode(base, TEXT, Rules(), [12])
        rules = Rules(think=(free[2], 90))
        found, _ = decode(base, TEXT, rules, [12], thinking_budget=3)
        assert found[:7] == [*free[:6], 90]

    def test_a_thought_that_ends_in_time(self, base):
        free, _ = decode(base, TEXT, Rules(), [12])
        rules = Rules(think=(50, free[3]))
        assert free[3] not in free[:3]
        assert decode(base, TEXT, rules, [12], thinking=True, thinking_budget=9)[0] == free

    def test_without_a_thought_the_budget_is_nothing(self, base):
        free, _ = decode(base, TEXT, self.RULES, [12], seed=7)
        assert decode(base, TEXT, self.RULES, [12], seed=7, thinking_budget=0)[0] == free


@pytest.mark.parametrize(
    ("ids", "valid", "new", "message"),
    [
        ([[1, 2]], [[True, True]], 0, "max_new_tokens=0 must be >= 1"),
        ([[1, 2]], [[True, True]], 39, "41 tokens: the base reads at most 40"),
        ([[1, 2], [3, 4]], [[True, True], [False, False]], 3, "row 1 holds no token"),
        ([[1, 97]], [[True, True]], 3, "outside the vocabulary"),
    ],
)
def test_refused_input(base, ids, valid, new, message):
    with pytest.raises(InputError, match=message):
        greedy(base, ids, valid, new)
