"""The Flax module against the same model in plain numpy, and what it returns besides the states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.base import masks
from jaxdiff.base.module import SmolLM, Watched
from jaxdiff.config import BaseConfig
from tests.base.numpy_model import numpy_pass, random_params, read

CONFIG = BaseConfig.tiny()
PARAMS = random_params(CONFIG)
# Padding on the right, on the left, and in the middle.
VALID = np.array([[1, 1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 0, 0, 1, 1]], bool)
IDS = np.random.default_rng(1).integers(0, CONFIG.vocab_size, VALID.shape).astype(np.int32)
POSITIONS = np.asarray(masks.positions(VALID))
MASK = np.asarray(masks.causal(VALID))
ROWS = np.array([[5, 0], [8, 4], [3, 8]], np.int32)
# Two means of rows, and two sets of slots.
WATCHED = Watched(
    means=np.random.default_rng(1).dirichlet(np.ones(IDS.shape[1]), (3, 2)).astype(np.float32),
    sets=(np.random.default_rng(2).random((3, 2, MASK.shape[2])) < 0.4).astype(np.float32),
)
MASK_OF_ROWS = np.take_along_axis(MASK, ROWS[:, :, None], axis=1)[:, :, None]


@pytest.fixture(scope="module")
def expected():
    return numpy_pass(CONFIG, PARAMS, IDS, POSITIONS, MASK)


@pytest.fixture(scope="module")
def output():
    with jax.default_matmul_precision("highest"):
        return read(CONFIG, PARAMS, IDS, POSITIONS, MASK, taps=(3, 1, 4), rows=ROWS, watched=WATCHED)


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(num_kv_heads=1),
        dict(num_kv_heads=4, rope_layers=(True,) * 4),
        dict(rope_layers=(False,) * 4, head_dim=12),
        dict(tie_embeddings=False, rms_norm_eps=1e-2),
    ],
    ids=str,
)
def test_logits_equal_plain_numpy(changes):
    config = BaseConfig.tiny(**changes)
    params = random_params(config)
    expected = numpy_pass(config, params, IDS, POSITIONS, MASK).logits
    found = jax.jit(lambda *block: SmolLM(config).apply({"params": params}, *block, method="logits"))(
        IDS, POSITIONS, MASK
    )
    assert found.dtype == jnp.float32
    assert np.abs(expected).max() > 3
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_states_after_the_norm(output, expected):
    np.testing.assert_allclose(output.hidden, expected.hidden, atol=2e-5)


def test_taps_come_in_the_order_asked_for(output, expected):
    assert output.taps.shape == (*IDS.shape, 3, CONFIG.hidden_size)
    for slot, layer in enumerate((3, 1, 4)):
        np.testing.assert_allclose(output.taps[:, :, slot], expected.states[layer - 1], atol=1e-4)


def test_taps_equal_a_truncated_stack(output):
    """The first layers alone, read as a model of their own."""
    for slot, layers in enumerate((3, 1)):
        short = BaseConfig.tiny(num_layers=layers, rope_layers=CONFIG.rope_layers[:layers])
        params = PARAMS | {"layers": jax.tree.map(lambda leaf, layers=layers: leaf[:layers], PARAMS["layers"])}
        # Scale 1 / rms is undone by comparing directions: the final norm leaves no other trace.
        truncated = np.asarray(read(short, params, IDS, POSITIONS, MASK).hidden / PARAMS["norm"]["scale"][None, None])
        tap = np.asarray(output.taps[:, :, slot])
        rms = np.sqrt((tap**2).mean(-1, keepdims=True) + CONFIG.rms_norm_eps)
        np.testing.assert_allclose(truncated, tap / rms, atol=2e-5)


def test_asking_for_more_changes_no_state(output):
    plain = read(CONFIG, PARAMS, IDS, POSITIONS, MASK)
    asked = plain.taps, plain.key_attention, plain.key_states, plain.mean_attention, plain.slot_attention
    assert asked == (None,) * 5
    np.testing.assert_allclose(plain.hidden, output.hidden, atol=1e-6)
    np.testing.assert_allclose(plain.cache.keys, output.cache.keys, atol=1e-6)


def test_key_attention_equals_log_softmax_in_numpy(output, expected):
    assert output.key_attention.shape == (3, 2, CONFIG.num_layers * CONFIG.num_heads, 9)
    assert output.key_attention.dtype == jnp.float32
    for b in range(3):
        for f, row in enumerate(ROWS[b]):
            found = np.asarray(output.key_attention[b, f]).reshape(CONFIG.num_layers, CONFIG.num_heads, -1)
            seen = MASK[b, row]
            for layer in range(CONFIG.num_layers):
                wanted = expected.log_attention[layer][b, :, row]
                np.testing.assert_allclose(found[layer][:, seen], wanted[:, seen], atol=2e-4)
    assert (np.asarray(output.key_attention)[~np.broadcast_to(MASK_OF_ROWS, output.key_attention.shape)] < -1e30).all()


def test_key_attention_sums_to_one(output):
    np.testing.assert_allclose(np.exp(output.key_attention).sum(-1), 1, rtol=1e-5)


def test_what_is_watched_equals_numpy(output, expected):
    probability = np.exp(np.stack(expected.log_attention, axis=1))
    probability = np.where(MASK[:, None, None], probability, 0.0).reshape(3, -1, *MASK.shape[1:])
    wanted = np.einsum("bats,bgt->bgas", probability, WATCHED.means)
    np.testing.assert_allclose(output.mean_attention, wanted, atol=1e-5)
    wanted = np.einsum("bats,bgs->bgat", probability, WATCHED.sets)
    np.testing.assert_allclose(output.slot_attention, wanted, atol=1e-5)
    assert wanted.std() > 0.1


def test_key_states_are_the_rows_of_the_taps(output, expected):
    assert output.key_states.shape == (CONFIG.num_layers, 3, 2, CONFIG.hidden_size)
    for slot, layer in enumerate((3, 1, 4)):
        for b in range(3):
            np.testing.assert_array_equal(output.key_states[layer - 1, b], output.taps[b, ROWS[b], slot])
    for b in range(3):
        np.testing.assert_allclose(output.key_states[1, b], expected.states[1][b, ROWS[b]], atol=1e-4)


def test_padding_changes_nothing(output):
    """Each row read alone, without its padding."""
    for b, valid in enumerate(VALID):
        ids = IDS[b, valid][None]
        alone = read(
            CONFIG, PARAMS, ids, np.arange(ids.shape[1])[None], np.asarray(masks.causal(np.ones_like(ids, bool)))
        )
        np.testing.assert_allclose(output.hidden[b, valid], alone.hidden[0], atol=2e-5)


def test_what_stands_in_the_padding_changes_nothing(output):
    other = read(CONFIG, PARAMS, np.where(VALID, IDS, 7), POSITIONS, MASK, taps=(3, 1, 4), rows=ROWS)
    np.testing.assert_array_equal(np.asarray(other.hidden)[VALID], np.asarray(output.hidden)[VALID])


def test_only_rope_layers_see_positions():
    """With all layers NoPE positions are without effect; with one rotary layer they are not."""
    scattered = np.cumsum(np.ones_like(IDS), axis=1) * 3
    nope = BaseConfig.tiny(rope_layers=(False,) * 4)
    first, second = (read(nope, PARAMS, IDS, at, MASK).hidden for at in (POSITIONS, scattered))
    np.testing.assert_array_equal(first, second)
    rotary = read(CONFIG, PARAMS, IDS, scattered, MASK).hidden
    assert np.abs(rotary - read(CONFIG, PARAMS, IDS, POSITIONS, MASK).hidden).max() > 0.1


def test_bfloat16_stays_near_float32(expected):
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), PARAMS)
    found = read(CONFIG, params, IDS, POSITIONS, MASK, dtype=jnp.bfloat16, taps=(4,), rows=ROWS)
    assert found.hidden.dtype == found.taps.dtype == found.cache.keys.dtype == jnp.bfloat16
    assert found.key_attention.dtype == jnp.float32
    hidden = np.asarray(found.hidden, np.float32)[VALID]
    assert np.isfinite(np.asarray(found.hidden, np.float32)).all()
    cosine = (hidden * expected.hidden[VALID]).sum(-1) / (
        np.linalg.norm(hidden, axis=-1) * np.linalg.norm(expected.hidden[VALID], axis=-1)
    )
    assert cosine.min() > 0.99
