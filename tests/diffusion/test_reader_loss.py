"""The reader's loss against plain Python loops over what the head answers; what it trains and what it leaves alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.diffusion.features import Features
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.canvas_loss import KNOWN_VOCABULARY, SAMPLED_VOCABULARY
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.loss import OWNER_WEIGHT, loss
from jaxdiff.diffusion.schedules import LogLinear
from jaxdiff.errors import ConfigError
from tests.diffusion.reader_rows import (
    AXES,
    padded_query,
    random_canvas,
    random_embedding,
    random_labels,
    random_params,
    random_query,
)

ROWS = 4
CONFIG = ReaderConfig.tiny(canvas_layers=1, dropout=0.0, feature_dropout=0.0)
SCHEDULE = LogLinear()
KEY = jax.random.key(5)
value_of = jax.jit(loss, static_argnums=(1, 2))


def random_batch(config, seed=0):
    rng = np.random.default_rng(seed)
    query = random_query(rng, ROWS, config)
    canvas = random_canvas(rng, query)
    labels = random_labels(rng, query, canvas, config)
    return Batch(Features(canvas=canvas, query=query, embedding=random_embedding(config)), labels)


@pytest.fixture(scope="module")
def batch():
    return random_batch(CONFIG, seed=1)


@pytest.fixture(scope="module")
def parts(batch):
    total, parts = value_of(random_params(CONFIG), CONFIG, SCHEDULE, KEY, batch)
    parts = {name: float(value) for name, value in parts.items()}
    assert float(total) == pytest.approx(sum(parts.values()) - parts["accuracy"], rel=1e-5)
    return parts


def test_parts_equal_plain_loops(batch, parts):
    query, labels = batch.features.query, batch.labels
    said = jax.tree.map(
        lambda x: np.asarray(x, np.float64),
        jax.jit(reader.encode, static_argnums=1)(random_params(CONFIG), CONFIG, query),
    )
    total = dict.fromkeys(("start", "end", "candidate", "presence", "copied", "owner", "rivalry"), 0.0)
    fields, right = 0, 0
    for row in range(ROWS):
        for i in np.flatnonzero(query.field_mask[row]):
            fields += 1
            odds = said.presence[row, i] if labels.presence[row, i] else -said.presence[row, i]
            total["presence"] += np.log1p(np.exp(-odds))
            start, end = labels.start[row, i], labels.end[row, i]
            guess = said.span_start[row, i].argmax()
            right += (
                bool(said.presence[row, i] > 0) == bool(labels.presence[row, i])
                and (start < 0 or (guess, said.span_end[row, i, guess].argmax()) == (start, end))
                and labels.candidate[row, i] in (-1, said.candidates[row, i].argmax())
            )
            if start >= 0:
                total["start"] -= said.span_start[row, i, start]
                total["end"] -= said.span_end[row, i, start, end]
            if labels.candidate[row, i] >= 0:
                total["candidate"] -= said.candidates[row, i, labels.candidate[row, i]]
            if labels.copied[row, i] >= 0:
                odds = said.copied[row, i] if labels.copied[row, i] else -said.copied[row, i]
                total["copied"] += np.log1p(np.exp(-odds))
        for token in np.flatnonzero(query.token_mask[row]):
            owners = [i for i in range(3) if 0 <= labels.start[row, i] <= token <= labels.end[row, i]]
            owner = owners[0] + 1 if owners else labels.further[row, token] + 1
            total["owner"] -= OWNER_WEIGHT * said.owner[row, owner, token]
            begins = np.exp(said.span_start[row, query.field_mask[row], token])
            begun = labels.start[row, query.field_mask[row]] == token
            if begun.any():
                total["rivalry"] -= CONFIG.rivalry * np.log(begins[begun].sum() / begins.sum())
    assert (labels.further >= 0).sum() >= 2
    assert (labels.start >= 0).sum() >= 2 and (labels.candidate >= 0).sum() >= 2
    for name, value in total.items():
        assert parts[name] == pytest.approx(value / fields, rel=1e-4, abs=1e-6), name
    assert 0 < right < fields
    assert parts["accuracy"] == pytest.approx(right / fields)


def test_a_span_longer_than_any_that_can_be_named_is_not_asked_for(batch, parts, monkeypatch):
    lengths = (batch.labels.end - batch.labels.start)[batch.labels.start >= 0]
    assert 0 < (lengths < 1).sum() < len(lengths)
    short = batch.labels.end - batch.labels.start < 1
    alone = batch.replace(labels=dataclasses.replace(batch.labels, end=np.where(short, batch.labels.end, -1)))
    _, asked = value_of(random_params(CONFIG), CONFIG, SCHEDULE, KEY, alone)
    monkeypatch.setattr("jaxdiff.diffusion.reader.loss.MAX_SPAN", 1)
    _, found = loss(random_params(CONFIG), CONFIG, SCHEDULE, KEY, batch)
    assert float(found["end"]) == pytest.approx(float(asked["end"]), rel=1e-5)
    assert 0 < float(found["end"]) < parts["end"]


def test_canvas_part_equals_the_exact_one_where_the_sample_is_the_whole_vocabulary():
    """Every token is drawn: then the sampled loss is the mean of -log p over the masked positions."""
    assert CONFIG.canvas_vocab_size + 2 <= KNOWN_VOCABULARY < SAMPLED_VOCABULARY
    params, batch = random_params(CONFIG), random_batch(CONFIG, seed=2)
    features, labels = batch.features, batch.labels
    _, parts = value_of(params, CONFIG, SCHEDULE, KEY, batch)
    noise = jax.random.split(jax.random.split(KEY)[1], 4)[0]
    corrupted, t = corrupt_batch(SCHEDULE, noise, labels.tokens, features.canvas.value_mask, CONFIG.mask_id)
    whole = jax.jit(reader.predict, static_argnums=1)(params, CONFIG, features, corrupted, t).logits
    losses = [
        -float(whole[row, n, labels.tokens[row, n]])
        for row, n in np.argwhere(np.asarray(corrupted) == CONFIG.mask_id)
        if features.canvas.value_mask[row, n]
    ]
    assert len(losses) > 5
    assert float(parts["canvas"]) == pytest.approx(np.mean(losses), rel=1e-4)


def test_padding_does_not_matter(batch, parts):
    query = padded_query(batch.features.query, np.random.default_rng(9), {"F": 1, "T": 3, "C": 2})
    labels = batch.labels
    more = ((0, 0), (0, 1))
    padded = labels.replace(
        presence=np.pad(labels.presence, more),
        further=np.pad(labels.further, ((0, 0), (0, 3)), constant_values=-1),
        **{n: np.pad(getattr(labels, n), more, constant_values=-1) for n in ("start", "end", "candidate", "copied")},
    )
    batch = batch.replace(features=batch.features.replace(query=query), labels=padded)
    _, got = value_of(random_params(CONFIG), CONFIG, SCHEDULE, KEY, batch)
    for name, value in parts.items():
        assert float(got[name]) == pytest.approx(value, rel=1e-4, abs=1e-5), name


@pytest.fixture(scope="module")
def loss_and_gradients(batch):
    def scalar(params, features, key):
        return loss(params, CONFIG, SCHEDULE, key, batch.replace(features=features))[0]

    compute = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1), allow_int=True))
    return lambda params, key: compute(params, batch.features, key)


def test_statistics_and_features_get_no_gradient(loss_and_gradients):
    _, (of_params, of_features) = jax.device_get(loss_and_gradients(random_params(CONFIG), KEY))
    frozen, trained = {}, {}
    for path, value in jax.tree_util.tree_leaves_with_path(of_params):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(value).all(), name
        (frozen if "statistics" in name else trained)[name] = np.abs(value).max()
    assert len(frozen) == 18 and set(frozen.values()) == {0.0}
    # A constant added to all scores of a softmax, or to all keys of an attention, changes nothing.
    idle = {name for name, size in trained.items() if size < 1e-6}
    assert all(name.endswith("['bias']") for name in idle) and len(idle) < len(trained) / 5
    numbers = [x for x in jax.tree.leaves(of_features) if x.dtype == np.float32]
    assert len(numbers) == len(AXES) + 1 and not any(x.any() for x in numbers)


def test_the_loss_follows_the_key(loss_and_gradients):
    params = random_params(CONFIG)
    first, again, other = (float(loss_and_gradients(params, key)[0]) for key in (KEY, KEY, jax.random.key(6)))
    assert first == again != other


def test_dropout_hides_something_else_for_each_key(batch):
    config, query = ReaderConfig.tiny(), batch.features.query
    read = jax.jit(lambda params, key: reader.encode_apart(params, config, query, key)[0].presence)
    first, again, other = (read(random_params(config), key) for key in (KEY, KEY, jax.random.key(6)))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != other)[query.field_mask].all()


def test_members_learn_each_as_if_alone(batch, loss_and_gradients):
    config = dataclasses.replace(CONFIG, members=2)
    params = random_params(config)
    total, parts = value_of(params, config, SCHEDULE, KEY, batch)
    alone = [
        value_of({**params, "trunk": params[name]}, CONFIG, SCHEDULE, KEY, batch)[1] for name in ("trunk", "trunk_1")
    ]
    found = ("start", "end", "candidate", "presence", "copied", "owner", "rivalry")
    for name in found:
        np.testing.assert_allclose(parts[name], np.mean([own[name] for own in alone]), rtol=1e-5)
    apart = sum(own[name] for own in alone for name in found)
    np.testing.assert_allclose(total, apart + parts["canvas"], rtol=1e-5)

    # Beside what it finds, the second trunk has a part in nothing but where a copy would start.
    def second(trunk, config, names):
        given = params | {"trunk_1" if config.members > 1 else "trunk": trunk}
        return sum(value_of(given, config, SCHEDULE, KEY, batch)[1][name] for name in names)

    together = jax.grad(second)(params["trunk_1"], config, found)
    own = jax.grad(second)(params["trunk_1"], CONFIG, found)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(2 * x, y, rtol=1e-4, atol=1e-6), together, own)


def test_dropout_hides_something_else_from_each_member(batch):
    config, query = ReaderConfig.tiny(members=2), batch.features.query
    params = random_params(config)
    params["trunk_1"] = params["trunk"]
    read = jax.jit(lambda params, key: reader.encode_apart(params, config, query, key))
    first, second = read(params, KEY)
    assert (np.asarray(first.presence) != second.presence)[query.field_mask].all()


@pytest.mark.parametrize("missing", ["query", "embedding"])
def test_features_that_are_missing_are_named(batch, missing):
    features = batch.features.replace(**{missing: None})
    with pytest.raises(ConfigError, match=missing):
        loss(random_params(CONFIG), CONFIG, SCHEDULE, KEY, batch.replace(features=features))


def test_a_few_rows_are_learnt_by_heart(batch, loss_and_gradients):
    """Spans, presence, candidates and the composed canvas of four random rows."""
    optimizer = optax.adam(1e-2)
    features, labels = batch.features, batch.labels

    # optax raises a float to an integer step count.
    with jax.numpy_dtype_promotion("standard"):
        update = jax.jit(optimizer.update)
        params, apply = random_params(CONFIG, seed=1), jax.jit(optax.apply_updates)
        state = optimizer.init(params)
        for key in jax.random.split(jax.random.key(1), 300):
            _, (gradients, _) = loss_and_gradients(params, key)
            updates, state = update(gradients, state)
            params = apply(params, updates)
    encoding = jax.jit(reader.encode, static_argnums=1)(params, CONFIG, features.query)
    spans = labels.start >= 0
    starts = np.asarray(encoding.span_start).argmax(-1)
    ends = np.take_along_axis(np.asarray(encoding.span_end), starts[..., None, None], axis=2)[:, :, 0].argmax(-1)
    np.testing.assert_array_equal(starts[spans], labels.start[spans])
    np.testing.assert_array_equal(ends[spans], labels.end[spans])
    listed = labels.candidate >= 0
    np.testing.assert_array_equal(np.asarray(encoding.candidates).argmax(-1)[listed], labels.candidate[listed])
    real = features.query.field_mask
    np.testing.assert_array_equal((np.asarray(encoding.presence) > 0)[real], labels.presence[real])
    known = labels.copied >= 0
    np.testing.assert_array_equal((np.asarray(encoding.copied) > 0)[known], labels.copied[known] == 1)

    @jax.jit
    def compose(params, encoding, tokens):
        def predict(tokens, t):
            return reader.logits(params, CONFIG, encoding, features.canvas, tokens, t, jnp.asarray(features.embedding))

        mask = features.canvas.value_mask
        return denoise(predict, tokens, mask, KEY, mask_id=CONFIG.mask_id, config=DenoiseConfig(steps=4)).tokens

    start = np.where(features.canvas.value_mask, CONFIG.mask_id, labels.tokens)
    np.testing.assert_array_equal(compose(params, encoding, start), labels.tokens)
