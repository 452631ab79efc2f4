"""Reading in parts equals reading at once: shared prefixes, streams after a text, and decoding over a cache."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.config import BaseConfig
from tests.base.numpy_model import numpy_pass, random_params, read

CONFIG = BaseConfig.tiny()
PARAMS = random_params(CONFIG, seed=3)
RNG = np.random.default_rng(5)
PREFIX = RNG.integers(0, CONFIG.vocab_size, (1, 5)).astype(np.int32)
PREFIX_VALID = np.array([[1, 1, 1, 1, 0]], bool)
BLOCK = RNG.integers(0, CONFIG.vocab_size, (3, 4)).astype(np.int32)
BLOCK_VALID = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
ROWS = np.array([[3], [1], [2]], np.int32)


def whole_text(b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids = np.concatenate([PREFIX[0, PREFIX_VALID[0]], BLOCK[b, BLOCK_VALID[b]]])[None]
    return ids, np.arange(ids.shape[1])[None], np.tril(np.ones((1, ids.shape[1], ids.shape[1]), bool))


@pytest.mark.parametrize("shared", [True, False], ids=["one row for all", "a copy for each row"])
def test_a_prefix_read_before_equals_the_whole_text(shared):
    prefix = read(CONFIG, PARAMS, PREFIX, np.asarray(masks.positions(PREFIX_VALID)), masks.causal(PREFIX_VALID)).cache
    positions = 4 + np.asarray(masks.positions(BLOCK_VALID))
    mask = masks.after_prefix(masks.causal(BLOCK_VALID), BLOCK_VALID, PREFIX_VALID)
    found = read(
        CONFIG, PARAMS, BLOCK, positions, mask, prefix=prefix if shared else prefix.repeat(3), rows=ROWS, taps=(2,)
    )
    assert found.cache.slots == 4
    for b in range(3):
        expected = numpy_pass(CONFIG, PARAMS, *whole_text(b))
        new = BLOCK_VALID[b].sum()
        np.testing.assert_allclose(found.hidden[b, :new], expected.hidden[0, 4:], atol=5e-5)
        np.testing.assert_allclose(found.taps[b, :new, 0], expected.states[1][0, 4:], atol=1e-4)
        seen = np.concatenate([PREFIX_VALID[0], BLOCK_VALID[b]])
        attention = np.asarray(found.key_attention[b, 0])[:, seen]
        wanted = np.concatenate([layer[0, :, 3 + new] for layer in expected.log_attention])
        np.testing.assert_allclose(attention, wanted, atol=2e-4)


def test_prefixes_that_differ_by_row():
    """B rows with a prefix each: not the shared path."""
    prefix_ids = RNG.integers(0, CONFIG.vocab_size, (3, 5)).astype(np.int32)
    whole = np.concatenate([prefix_ids, BLOCK], 1)
    every = np.ones((3, 9), bool)
    prefix = read(CONFIG, PARAMS, prefix_ids, np.arange(5)[None].repeat(3, 0), masks.causal(every[:, :5])).cache
    mask = masks.after_prefix(masks.causal(every[:, 5:]), every[:, 5:], every[:, :5])
    found = read(CONFIG, PARAMS, BLOCK, np.arange(5, 9)[None].repeat(3, 0), mask, prefix=prefix)
    expected = read(CONFIG, PARAMS, whole, np.arange(9)[None].repeat(3, 0), masks.causal(every))
    np.testing.assert_allclose(found.hidden, expected.hidden[:, 5:], atol=5e-5)
    np.testing.assert_allclose(prefix.followed_by(found.cache).keys, expected.cache.keys, atol=5e-5)


def test_a_prefix_in_two_parts():
    """The second part is read after the first, and both together are the prefix of a third."""
    text = RNG.integers(0, CONFIG.vocab_size, (1, 9)).astype(np.int32)
    every = np.ones((1, 9), bool)
    parts = [slice(0, 3), slice(3, 7), slice(7, 9)]
    before = read(CONFIG, PARAMS, text[:, parts[0]], np.arange(3)[None], masks.causal(every[:, :3])).cache
    for part in parts[1:]:
        block = every[:, part]
        mask = masks.after_prefix(masks.causal(block), block, every[:, : part.start])
        found = read(CONFIG, PARAMS, text[:, part], np.arange(9)[None, part], mask, prefix=before)
        before = before.followed_by(found.cache)
    expected = numpy_pass(CONFIG, PARAMS, text, np.arange(9)[None], np.tril(np.ones((1, 9, 9), bool)))
    np.testing.assert_allclose(found.hidden, expected.hidden[:, 7:], atol=5e-5)


def test_streams_equal_texts_read_apart():
    """Two texts of their own length, each followed by its streams; every stream continues the text as if alone."""
    streams = np.array([[-1, -1, -1, 0, 0, 1, 1, 1, 2], [-1, -1, 0, 1, 1, -2, -2, -2, -2]], np.int32)
    valid = streams > -2
    ids = RNG.integers(0, CONFIG.vocab_size, streams.shape).astype(np.int32)
    positions = np.zeros_like(streams)
    for b, row in enumerate(streams):
        for t in range(len(row)):
            positions[b, t] = sum(row[s] in (-1, row[t]) for s in range(t))
    found = read(CONFIG, PARAMS, ids, positions, masks.streams(streams, valid))
    for b, row in enumerate(streams):
        for number in range(3 if b == 0 else 2):
            chosen = np.isin(row, [-1, number])
            length = chosen.sum()
            alone = numpy_pass(
                CONFIG,
                PARAMS,
                ids[b, chosen][None],
                np.arange(length)[None],
                np.tril(np.ones((1, length, length), bool)),
            )
            np.testing.assert_allclose(found.hidden[b, chosen], alone.hidden[0], atol=5e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_cached_decoding_equals_one_pass(dtype):
    """A padded prompt goes into the cache at once, then each further token by itself."""
    prompt_valid = np.array([[1, 1, 1], [1, 1, 0]], bool)
    lengths, new, slots = prompt_valid.sum(1), 4, 8
    ids = RNG.integers(0, CONFIG.vocab_size, (2, 3 + new)).astype(np.int32)
    cache = KVCache.empty(CONFIG, 2, slots, dtype)
    cache_valid = np.zeros((2, slots), bool)
    # Slots that no token has reached hold what was there before; here something that would be noticed.
    cache = KVCache(cache.keys + 100, cache.values - 100)
    columns = np.pad(np.asarray(masks.causal(prompt_valid)), [(0, 0), (0, 0), (0, slots - 3)])
    output = read(
        CONFIG,
        PARAMS,
        ids[:, :3],
        np.asarray(masks.positions(prompt_valid)),
        columns,
        cache=cache,
        write_at=0,
        dtype=dtype,
    )
    cache_valid[:, :3] = prompt_valid
    hidden = []
    for step in range(new):
        slot = 3 + step
        output = read(
            CONFIG,
            PARAMS,
            ids[:, slot : slot + 1],
            (lengths + step)[:, None],
            masks.decoding(cache_valid, np.int32(slot)),
            cache=output.cache,
            write_at=np.int32(slot),
            dtype=dtype,
        )
        cache_valid[:, slot] = True
        hidden.append(output.hidden[:, 0])
    valid = np.concatenate([prompt_valid, np.ones((2, new), bool)], 1)
    once = read(CONFIG, PARAMS, ids, np.asarray(masks.positions(valid)), masks.causal(valid), dtype=dtype)
    found = np.stack([np.asarray(state, np.float32) for state in hidden], 1)
    expected = np.asarray(once.hidden[:, 3:], np.float32)
    np.testing.assert_allclose(found, expected, atol=2e-5 if dtype == jnp.float32 else 0.25)
