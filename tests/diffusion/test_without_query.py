"""A canvas that must do without the query: what it still reads, in the heads and in their training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.diffusion import residual
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.features import Canvas, Features, Labels
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.loss import loss
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.diffusion.schedules import LogLinear
from jaxdiff.errors import ConfigError
from tests.diffusion.reader_rows import random_canvas, random_embedding, random_labels, random_params, random_query

ROWS = 3
CONFIG = ReaderConfig.tiny(canvas_layers=1, dropout=0.0, feature_dropout=0.0)
# The largest share that is one: of three rows, each is hidden with this chance.
ALWAYS = float(np.nextafter(1, 0))
KEY = jax.random.key(2)
encode = jax.jit(reader.encode, static_argnums=1)
logits = jax.jit(reader.logits, static_argnums=1)
mixture = jax.jit(reader.mixture, static_argnums=1)


@pytest.fixture(scope="module")
def queries():
    """Two that have nothing in common but their kinds of fields and how many there are."""
    first, second = (random_query(np.random.default_rng(seed), ROWS) for seed in (0, 1))
    return first, second.replace(field_kind=first.field_kind, field_mask=first.field_mask)


@pytest.fixture(scope="module")
def standing(queries):
    """A canvas of the queries, with its tokens and times."""
    rng = np.random.default_rng(4)
    canvas = random_canvas(rng, queries[0])
    tokens = np.where(rng.random(canvas.field.shape) < 0.5, CONFIG.mask_id, 7).astype(np.int32)
    return canvas, tokens, np.array([0.2, 0.6, 1.0], np.float32), random_embedding()


def test_the_reader_says_the_same_whatever_the_query(queries, standing):
    params = random_params(CONFIG)
    encodings = [encode(params, CONFIG, query) for query in queries]
    seen = [np.exp(logits(params, CONFIG, encoding, *standing)) for encoding in encodings]
    rows = jnp.asarray([True, False, True])
    half = [np.exp(logits(params, CONFIG, reader.without_query(e, rows), *standing)) for e in encodings]
    real = standing[0].exists
    assert np.abs(seen[0] - seen[1])[real].max() > 0.01
    for row in range(ROWS):
        if rows[row]:
            np.testing.assert_allclose(half[0][row], half[1][row], atol=1e-6)
            np.testing.assert_allclose(half[0][row].sum(-1), 1, atol=1e-5)
        else:
            np.testing.assert_allclose(half[0][row], seen[0][row], atol=1e-6)


def test_nothing_is_copied_without_the_query(queries, standing):
    params = random_params(CONFIG)
    encoding = encode(params, CONFIG, queries[0])
    blind = reader.without_query(encoding, jnp.ones(ROWS, bool))
    mixed = mixture(params, CONFIG, blind, *standing)
    assert (jax.nn.sigmoid(mixed.copy_gate) == 0).all()
    for name in ("presence", "copied", "candidates", "field_kind", "token_ids"):
        np.testing.assert_array_equal(getattr(blind, name), getattr(encoding, name))


def reader_parts(query, canvas, **changes):
    labels = random_labels(np.random.default_rng(6), query, canvas)
    features = Features(canvas=canvas, query=query, embedding=random_embedding())
    config = ReaderConfig.tiny(canvas_layers=1, dropout=0.0, feature_dropout=0.0, **changes)
    return jax.jit(loss, static_argnums=(1, 2))(
        random_params(config), config, LogLinear(), KEY, Batch(features, labels)
    )[1]


def test_prompt_dropout_hides_the_query_from_the_canvas_alone(queries, standing):
    query = queries[0]
    other = query.replace(token_states=query.token_states[::-1], key_attention=query.key_attention[::-1])
    hidden, same = (reader_parts(q, standing[0], prompt_dropout=ALWAYS) for q in (query, other))
    seen = reader_parts(query, standing[0])
    assert float(hidden["canvas"]) == pytest.approx(float(same["canvas"]), rel=1e-5)
    assert abs(float(hidden["canvas"]) - float(seen["canvas"])) > 1e-3
    assert float(hidden["start"]) == pytest.approx(float(seen["start"]), rel=1e-5)
    assert abs(float(hidden["start"]) - float(same["start"])) > 1e-3


def test_without_time_conditioning_the_time_does_not_matter(queries, standing):
    config = ReaderConfig.tiny(canvas_layers=1, time_conditioning=False)
    params = random_params(config)
    assert "time" not in params["canvas"] and "time" in random_params(CONFIG)["canvas"]
    encoding = encode(params, config, queries[0])
    canvas, tokens, t, embedding = standing
    first, second = (logits(params, config, encoding, canvas, tokens, time, embedding) for time in (t, t[::-1]))
    np.testing.assert_array_equal(first, second)


def test_heads_saved_before_these_settings_still_load():
    values = CONFIG.to_dict()
    del values["prompt_dropout"], values["time_conditioning"]
    loaded = ReaderConfig.from_dict(values)
    assert loaded.prompt_dropout == 0 and loaded.time_conditioning
    values = ResidualConfig.tiny().to_dict()
    del values["prompt_dropout"]
    assert ResidualConfig.from_dict(values).prompt_dropout == 0


@pytest.mark.parametrize("made", [ReaderConfig.tiny, ResidualConfig.tiny])
@pytest.mark.parametrize("share", [1.0, -0.1])
def test_impossible_shares_are_refused_by_name(made, share):
    with pytest.raises(ConfigError, match=f"prompt_dropout={share}"):
        made(prompt_dropout=share)


def test_the_residual_head_hides_the_base_from_some_rows():
    config = ResidualConfig.tiny(prompt_attention=True, num_blocks=1, prompt_dropout=ALWAYS)
    params = residual.init(jax.random.key(0), config)
    rng = np.random.default_rng(0)
    size, width = 6, config.input_size
    field = np.tile(np.arange(size) // 3, (ROWS, 1)).astype(np.int32)

    def features(seed):
        rng = np.random.default_rng(seed)
        return Features(
            canvas=Canvas(field=field, offset=field, exists=field >= 0),
            canvas_states=rng.normal(size=(ROWS, size, width)).astype(np.float32),
            prompt_states=rng.normal(size=(ROWS, 4, width)).astype(np.float32),
            prompt_mask=np.ones((ROWS, 4), bool),
            embedding=np.random.default_rng(9).normal(size=(config.vocab_size - 2, width)).astype(np.float32),
        )

    tokens = rng.integers(0, 9, (ROWS, size)).astype(np.int32)
    nothing = np.zeros((ROWS, 2))
    labels = Labels(tokens=tokens, start=nothing, end=nothing, presence=nothing, candidate=nothing, copied=nothing)
    value = jax.jit(residual.loss, static_argnums=(1, 2))
    hidden, same = (float(value(params, config, LogLinear(), KEY, Batch(features(seed), labels))[0]) for seed in (1, 2))
    assert hidden == pytest.approx(same, rel=1e-6)
    rows = jnp.asarray([False, True, False])
    half = residual.without_query(features(1), rows)
    for name in ("canvas_states", "prompt_states"):
        got, whole = np.asarray(getattr(half, name)), getattr(features(1), name)
        assert not got[1].any()
        np.testing.assert_array_equal(got[[0, 2]], whole[[0, 2]])
