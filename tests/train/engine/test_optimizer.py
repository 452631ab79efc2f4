"""Frozen means frozen; decay and clipping reach what they should, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.errors import ConfigError
from jaxdiff_train.engine.optimizer import LABELS, OptimizerConfig, label_leaves, make_optimizer

CONFIG = OptimizerConfig(learning_rate=0.1, steps=10, warmup=0, weight_decay=0.5, clip_norm=1.0)


def make_params():
    keys = iter(jax.random.split(jax.random.key(0), 5))
    return {
        "base": {"embedding": jax.random.normal(next(keys), (5, 3)), "layers": {"kernel": jnp.ones((2, 3, 3))}},
        "head": {
            "dense": {"kernel": jax.random.normal(next(keys), (3, 4)), "bias": jnp.ones(4)},
            "blocks": {"bias": jnp.ones((2, 4)), "norm_scale": jnp.ones((2, 4)), "kernel": jnp.ones((2, 4, 4))},
            "mask_row": jax.random.normal(next(keys), (2, 3)),
        },
    }


def like(params, value):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)


def first_update(optimizer, gradients, params):
    return jax.jit(lambda: optimizer.update(gradients, optimizer.init(params), params))()


def names(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_every_leaf_has_the_label_of_its_part():
    labels = label_leaves(make_params())
    assert set(jax.tree.leaves(labels["base"])) == {"frozen"}
    assert set(jax.tree.leaves(labels["head"])) == {"trained"}
    assert names(labels) == names(make_params())


def test_what_a_head_only_keeps_is_frozen():
    kept = {"position": {"table": 0.0}, "trunk": {"statistics_mean": 0.0}, "statistics_scale": 0.0}
    trained = {"position": {"scale": 0.0}, "trunk": {"position": {"table": 0.0}, "mean": 0.0}}
    assert set(jax.tree.leaves(label_leaves({"head": kept}))) == {"frozen"}
    assert set(jax.tree.leaves(label_leaves({"head": trained}))) == {"trained"}


def test_leaves_without_label_or_with_several_are_all_named():
    params = make_params() | {"adapter": {"kernel": jnp.ones(2)}}
    table = (*LABELS, (r".*/mask_row", "frozen"))
    with pytest.raises(ConfigError) as caught:
        label_leaves(params, table)
    assert "adapter/kernel (no pattern)" in str(caught.value)
    assert f"head/mask_row ({LABELS[-1][0]} and .*/mask_row)" in str(caught.value)
    assert "dense" not in str(caught.value)
    with pytest.raises(ConfigError, match="adapter/kernel"):
        make_optimizer(CONFIG, params)


def test_the_base_is_bit_equal_after_steps_with_raw_base_gradients():
    params = make_params()
    optimizer = make_optimizer(CONFIG, params)

    def loss(params):
        return jnp.sum(jnp.sin(params["base"]["embedding"] @ params["head"]["dense"]["kernel"]))

    @jax.jit
    def step(params, opt_state):
        gradients = jax.grad(loss)(params)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, gradients

    now, opt_state = params, optimizer.init(params)
    for _ in range(5):
        now, opt_state, gradients = step(now, opt_state)
        assert np.abs(gradients["base"]["embedding"]).min() > 0
    for before, after in zip(jax.tree.leaves(params["base"]), jax.tree.leaves(now["base"]), strict=True):
        assert np.asarray(before).tobytes() == np.asarray(after).tobytes()
    assert not np.array_equal(params["head"]["dense"]["kernel"], now["head"]["dense"]["kernel"])


def test_the_base_owns_no_optimizer_state():
    params = make_params()
    opt_state = make_optimizer(CONFIG, params).init(params)
    owned = names(opt_state)
    moments = {name for name in owned if "mu" in name}
    assert len(moments) == len(jax.tree.leaves(params["head"]))
    assert not any("embedding" in name or "base" in name for name in owned)
    shapes = [leaf.shape for leaf in jax.tree.leaves(opt_state)]
    assert (5, 3) not in shapes and (2, 3, 3) not in shapes


def test_huge_base_gradients_do_not_shrink_the_heads_update():
    params = make_params()
    optimizer = make_optimizer(CONFIG, params)
    head = like(params["head"], 0.5)
    updates = [
        first_update(optimizer, {"base": like(params["base"], size), "head": head}, params)[0]["head"]
        for size in (0.0, 1e6)
    ]
    for alone, beside in zip(*map(jax.tree.leaves, updates), strict=True):
        np.testing.assert_array_equal(alone, beside)


def test_the_heads_gradient_is_clipped_by_its_global_norm():
    params = make_params()
    optimizer = make_optimizer(CONFIG, params)
    gradients = {"base": like(params["base"], 0.0), "head": like(params["head"], 3.0)}
    _, opt_state = first_update(optimizer, gradients, params)
    size = sum(leaf.size for leaf in jax.tree.leaves(params["head"]))
    first_moments = optax.tree.get(opt_state, "mu")["head"]
    for leaf in jax.tree.leaves(first_moments):
        # 3 / sqrt(9 size), times 1 - b1
        np.testing.assert_allclose(leaf, 0.1 / np.sqrt(size), rtol=1e-5)


def test_weight_decay_acts_on_matrices_alone():
    params = make_params()
    optimizer = make_optimizer(CONFIG, params)
    updates, _ = first_update(optimizer, like(params, 0.0), params)
    decay = 0.1 * 0.5
    head = params["head"]
    np.testing.assert_allclose(updates["head"]["dense"]["kernel"], -decay * head["dense"]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(updates["head"]["blocks"]["kernel"], -decay * head["blocks"]["kernel"], rtol=1e-6)
    np.testing.assert_allclose(updates["head"]["mask_row"], -decay * head["mask_row"], rtol=1e-6)
    for kept in (
        updates["head"]["dense"]["bias"],
        updates["head"]["blocks"]["bias"],
        updates["head"]["blocks"]["norm_scale"],
    ):
        np.testing.assert_array_equal(kept, 0)


def test_schedule_warms_up_linearly_and_decays_by_a_cosine():
    schedule = OptimizerConfig(learning_rate=2.0, steps=110, warmup=10).schedule()
    np.testing.assert_allclose(schedule(jnp.arange(0, 11, 5)), [0, 1, 2], rtol=1e-6)
    np.testing.assert_allclose(schedule(jnp.array([35, 60, 110])), [1 + np.cos(np.pi / 4), 1, 0], atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0.0},
        {"steps": 0},
        {"weight_decay": -1.0},
        {"clip_norm": float("nan")},
        {"warmup": 1400},
        {"b1": 1.0},
    ],
)
def test_impossible_values_are_named(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        OptimizerConfig(**values)
