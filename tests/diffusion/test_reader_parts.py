"""Leaving a part out makes the head blind to just that, and changes no name or shape of what stays."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import PARTS, ReaderConfig
from jaxdiff.errors import ConfigError
from tests.diffusion.reader_rows import CONFIG, random_params, random_query

WHOLE = dataclasses.replace(CONFIG, dropout=0.0, feature_dropout=0.0)
QUERY = random_query(np.random.default_rng(3), 3)
encode = jax.jit(reader.encode, static_argnums=1)


def encoding(query, **changes):
    config = dataclasses.replace(WHOLE, **changes)
    return encode(random_params(config), config, query)


def changed(name, at=()):
    """The query with other numbers in one feature, in some places of a row."""
    value = np.array(getattr(QUERY, name))
    where = (slice(None), *at)
    value[where] += np.random.default_rng(0).normal(0, 1, value[where].shape).astype(np.float32)
    return QUERY.replace(**{name: value})


def differ(a, b):
    return any(not np.allclose(x, y, atol=1e-5) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize(
    ("feature", "without"),
    [
        ("key_attention", ("attention", "neighbours", "competition")),
        ("name_attention", ("name_attention",)),
        ("definition_attention", ("definition_attention",)),
        ("token_states", ("token_states",)),
        ("key_states", ("key_states",)),
        ("token_shape", ("word_facts",)),
        ("token_matches", ("word_facts",)),
    ],
)
def test_a_feature_that_is_left_out_is_not_seen(feature, without):
    assert differ(encoding(QUERY), encoding(changed(feature)))
    assert not differ(encoding(QUERY, without=without), encoding(changed(feature), without=without))
    for part in without if len(without) > 1 else ():
        assert differ(encoding(QUERY, without=(part,)), encoding(changed(feature), without=(part,)))


def test_fields_do_not_see_one_another_without_mixing_competition_and_contest():
    other = changed("key_attention", at=(0,))
    assert QUERY.field_mask[:, 1].any()
    for without in ((), ("mixing",), ("competition",)):
        seen = encoding(QUERY, without=without), encoding(other, without=without)
        assert differ(seen[0].tokens[:, 1], seen[1].tokens[:, 1]), without
    alone = ("mixing", "competition")
    seen = encoding(QUERY, without=alone), encoding(other, without=alone)
    assert not differ(seen[0].tokens[:, 1], seen[1].tokens[:, 1])
    assert differ(seen[0].tokens[:, 0], seen[1].tokens[:, 0])
    # Where it begins, a field still hears of the others by the contest alone.
    assert differ(seen[0].span_start[:, 1], seen[1].span_start[:, 1])
    alone = ("mixing", "competition", "contest")
    seen = encoding(QUERY, without=alone), encoding(other, without=alone)
    assert not differ(seen[0].span_start[:, 1], seen[1].span_start[:, 1])


def test_tokens_see_those_that_follow_by_convolution_or_context_alone():
    row = int(np.argmax(QUERY.token_mask.sum(1)))
    last = int(QUERY.token_mask[row].sum()) - 1
    assert last >= 5
    other = changed("token_states", at=(last,))
    for options, sees in (({}, False), ({"context_layers": 1}, True)):
        options = {"without": ("convolution",)} | options
        pair = encoding(QUERY, **options), encoding(other, **options)
        assert differ(pair[0].tokens[row, :, 0], pair[1].tokens[row, :, 0]) == sees
    near = encoding(QUERY).tokens[row, :, last - 1], encoding(other).tokens[row, :, last - 1]
    assert differ(*near)


def test_context_does_not_see_padding():
    masked = QUERY.replace(token_states=np.where(QUERY.token_mask[..., None], QUERY.token_states, 9.0))
    a, b = encoding(QUERY, context_layers=1), encoding(masked, context_layers=1)
    real = np.asarray(QUERY.token_mask)[:, None] & np.asarray(QUERY.field_mask)[:, :, None]
    np.testing.assert_allclose(np.asarray(a.tokens)[real], np.asarray(b.tokens)[real], atol=1e-5)


def test_nothing_is_copied_without_copying():
    from tests.diffusion.reader_rows import random_canvas, random_embedding

    canvas = random_canvas(np.random.default_rng(1), QUERY)
    config = dataclasses.replace(WHOLE, without=("copying",))
    params = random_params(config)
    tokens = np.where(canvas.value_mask, config.mask_id, config.null_id)
    mixed = reader.mixture(
        params, config, encode(params, config, QUERY), canvas, tokens, np.ones(3, np.float32), random_embedding()
    )
    assert (np.asarray(mixed.copy_gate) < -1e8).all()


def test_a_part_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match="without='luck'"):
        ReaderConfig.tiny(without=("luck",))
    assert ReaderConfig.tiny(without=PARTS).without == PARTS


@pytest.mark.parametrize(
    ("change", "named"), [({"canvas_loss": "mse"}, "canvas_loss='mse'"), ({"on_policy": 1.5}, r"on_policy=1\.5"),
                          ({"distillation": -1.0}, r"distillation=-1\.0"),
                          ({"rivalry": float("inf")}, r"rivalry=inf")]
)  # fmt: skip
def test_settings_of_the_loss_are_checked(change, named):
    with pytest.raises(ConfigError, match=named):
        ReaderConfig.tiny(**change)


def test_plain_values_and_back():
    config = ReaderConfig.tiny(without=("mixing",), canvas_loss="nelbo")
    values = config.to_dict()
    assert ReaderConfig.from_dict({**values, "without": list(values["without"])}) == config
