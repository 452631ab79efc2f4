"""Blocks in order against a plain Python loop, and their laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jaxdiff.diffusion.block_order import BlockOrder, block_numbers
from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.errors import ConfigError
from tests.diffusion.plain_denoising import (
    MASK,
    NULL,
    B,
    N,
    V,
    assert_equals_plain_loop,
    blocks,
    canvas,
    plain_loop,
    plain_turns,
    predict,
)

CONFIGS = (
    DenoiseConfig(steps=5, blocks="in_order"),
    DenoiseConfig(steps=2, blocks="in_order", temperature=0.8),
    DenoiseConfig(steps=9, blocks="in_order", top_k=1, remask=1),
    DenoiseConfig(steps=8, blocks="in_order", padding="ranked"),
    DenoiseConfig(steps=8, blocks="in_order", reveal="threshold", threshold=0.3, remask=1, temperature=0.7),
)
NO_BIAS = jnp.zeros((B, N, V))


@functools.cache
def filler(config):
    return jax.jit(
        lambda tokens, value_mask, keys, block: denoise(
            predict, tokens, value_mask, keys, mask_id=MASK, null_id=NULL, config=config, block=block
        )
    )


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(max_examples=8)
@given(seed=st.integers(0, 1000), masked_share=st.sampled_from([0.3, 0.7, 1.0]), apart=st.booleans())
def test_equals_a_plain_loop_and_keeps_the_order(config, seed, masked_share, apart):
    tokens, value_mask = canvas(seed, masked_share)
    block = blocks(seed) if apart else jnp.sort(blocks(seed), axis=1)
    keys = jax.random.split(jax.random.key(seed), B)
    result = jax.device_get(filler(config)(tokens, value_mask, keys, block))
    assert_equals_plain_loop(result, plain_loop(predict, tokens, value_mask, keys, config, NO_BIAS, block=block))

    block, slots = np.asarray(block), np.asarray(value_mask & (tokens == MASK))
    assert (result.tokens[slots] != MASK).all()
    before = np.asarray(tokens)
    for revealed, after in zip(result.trace.revealed, result.trace.tokens, strict=True):
        for row in range(B):
            is_open = slots[row] & (before[row] == MASK)
            if len(set(block[row, slots[row]])) > config.steps:
                continue
            for position in np.flatnonzero(revealed[row]):
                assert not is_open[block[row] < block[row, position]].any()
        before = after


def test_one_block_is_the_whole_canvas_together():
    tokens, value_mask = canvas(3)
    keys = jax.random.split(jax.random.key(0), B)
    for changes in ({"steps": 4}, {"steps": 6, "remask": 2}):
        config = DenoiseConfig(**changes)
        together = denoise(predict, tokens, value_mask, keys, mask_id=MASK, config=config)
        config = DenoiseConfig(blocks="in_order", **changes)
        in_order = denoise(predict, tokens, value_mask, keys, mask_id=MASK, config=config, block=jnp.full((B, N), 2))
        jax.tree.map(np.testing.assert_array_equal, in_order, together)


@given(arrays.arrays(np.int32, (2, 6), elements=st.integers(0, 5)), arrays.arrays(bool, (2, 6)), st.integers(1, 9))
def test_steps_are_divided_among_the_blocks(block, slots, steps):
    order = jax.device_get(BlockOrder.of(jnp.asarray(block), jnp.asarray(slots), steps))
    for row in range(2):
        turns = plain_turns(sorted(set(block[row, slots[row]].tolist())), steps) if slots[row].any() else []
        for turn, (numbers, end) in enumerate(turns):
            for position in np.flatnonzero(slots[row] & np.isin(block[row], numbers)):
                assert (order.turn[row, position], order.end[row, position]) == (turn, end)
        ends = [0, *(end for _, end in turns)]
        # Every block has a step, none has two more than another, and all are full at the end.
        if turns:
            lengths = np.diff(ends)
            assert ends[-1] == steps and lengths.min() >= 1 and lengths.max() - lengths.min() <= 1


@given(arrays.arrays(np.int32, (2, 7), elements=st.integers(-1, 3)))
def test_block_numbers_follow_the_canvas(field):
    got = np.asarray(block_numbers(jnp.asarray(field)))
    assert (got >= 0).all() and (got < field.shape[1]).all()
    for row in range(2):
        order = [owner for owner in dict.fromkeys(field[row].tolist()) if owner >= 0]
        for position, owner in enumerate(field[row].tolist()):
            assert owner < 0 or got[row, position] == order.index(owner)


def test_the_order_must_be_known():
    tokens, value_mask = canvas()
    with pytest.raises(ConfigError, match="blocks='in_order' needs the block of each position"):
        denoise(predict, tokens, value_mask, jax.random.key(0), mask_id=MASK, config=CONFIGS[0])
