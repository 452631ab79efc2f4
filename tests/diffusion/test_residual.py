"""The residual head against outputs of the original PyTorch head, and its laws."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file

from jaxdiff.config import BaseConfig
from jaxdiff.diffusion import residual
from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.diffusion.features import Canvas, Features, Labels
from jaxdiff.diffusion.residual_blocks import sinusoidal_positions
from jaxdiff.diffusion.residual_config import BLOCKS, OBJECTIVES, VOCABULARIES, ResidualConfig
from jaxdiff.diffusion.schedules import LogLinear
from jaxdiff.errors import ConfigError

DATA = Path(__file__).parent / "data"
GOLDEN_TIMES = (0.0, 0.3, 0.75, 0.999, 1.0)
B, N = 3, 8

# Name in the original state dictionary -> path here; matrices are transposed, [q; k; v] stand side by side.
GOLDEN_NAMES = (
    (r"input_proj\.(weight|bias)", "input"),
    (r"output_proj\.(weight|bias)", "output"),
    (r"denoise_blocks\.(\d+)\.0\.(weight|bias)", "block_{}/inner"),
    (r"denoise_blocks\.(\d+)\.2\.(weight|bias)", "block_{}/norm"),
    (r"denoise_blocks\.(\d+)\.3\.(weight|bias)", "block_{}/outer"),
    (r"denoise_blocks\.(\d+)\.norm1\.(weight|bias)", "block_{}/norm_attention"),
    (r"denoise_blocks\.(\d+)\.norm2\.(weight|bias)", "block_{}/norm_wide"),
    (r"denoise_blocks\.(\d+)\.out_proj\.(weight|bias)", "block_{}/out"),
    (r"denoise_blocks\.(\d+)\.mlp\.0\.(weight|bias)", "block_{}/wide"),
    (r"denoise_blocks\.(\d+)\.mlp\.2\.(weight|bias)", "block_{}/narrow"),
)


def golden_params(state):
    """Parameters of this library from the original's state dictionary; every tensor is used once."""
    state = {name.removeprefix("diffusion_head."): value for name, value in state.items()}
    flat = {
        "token/table": state.pop("token_emb.weight"),
        "time/table": state.pop("time_embed.weight"),
    }
    positions = state.pop("position_embeddings")
    for kind in ("weight", "bias"):
        for block in range(2):
            parts = [state.pop(f"denoise_blocks.{block}.{part}_proj.{kind}", None) for part in "qkv"]
            if parts[0] is not None:
                joined = np.concatenate(parts)
                flat[f"block_{block}/qkv/" + ("kernel" if kind == "weight" else "bias")] = joined.T
    for name, value in state.items():
        (match, path), *more = [(m, path) for pattern, path in GOLDEN_NAMES if (m := re.fullmatch(pattern, name))]
        assert not more
        *block, kind = match.groups()
        leaf = "bias" if kind == "bias" else "kernel" if value.ndim == 2 else "scale"
        assert flat.setdefault(f"{path.format(*block)}/{leaf}", value.T) is not None
    nested = {}
    for name, value in flat.items():
        *path, leaf = name.split("/")
        place = nested
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = jnp.asarray(value)
    return nested, positions


@pytest.mark.parametrize("block", ["residual", "bidirectional"])
def test_equals_the_original_head(block):
    params, positions = golden_params(load_file(DATA / f"{block}.safetensors"))
    config = ResidualConfig(
        input_size=48, vocab_size=97, mask_id=95, null_id=96, hidden_size=32, num_heads=4, block=block, vocabulary="own"
    )
    shapes = jax.eval_shape(lambda: residual.init(jax.random.key(0), config))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    np.testing.assert_allclose(sinusoidal_positions(len(positions), 32), positions, atol=1e-5)
    with np.load(DATA / f"{block}.npz") as golden:
        tokens = jnp.asarray(golden["current_tokens"].astype(np.int32))
        exists = jnp.asarray(golden["attention_mask"] if block == "bidirectional" else np.ones(tokens.shape, bool))
        features = Features(
            canvas=Canvas(field=jnp.zeros_like(tokens), offset=jnp.zeros_like(tokens), exists=exists),
            canvas_states=jnp.asarray(golden["hidden_states"]),
        )
        for time in GOLDEN_TIMES:
            logits = residual.predict(params, config, features, tokens, jnp.full((3,), time)).logits
            want = golden[f"logits_t{time}"]
            assert np.abs(logits - want).max() <= 1e-4 * np.abs(want).max(), time


def canvas():
    field = jnp.broadcast_to(jnp.asarray([-1, 0, 0, 0, -1, 1, 1, -1], jnp.int32), (B, N))
    exists = jnp.broadcast_to(jnp.arange(N) < 7, (B, N))
    return Canvas(field=field, offset=jnp.zeros_like(field), exists=exists)


def inputs(config, reserved=False):
    vocab = config.vocab_size - (0 if reserved else 2)
    features = Features(
        canvas=canvas(),
        canvas_states=jax.random.normal(jax.random.key(1), (B, N, config.input_size)),
        embedding=jax.random.normal(jax.random.key(2), (vocab, config.input_size)) * 0.1,
    )
    tokens = jax.random.randint(jax.random.key(3), (B, N), 0, 90)
    return features, tokens.at[:, 2].set(config.mask_id).at[:, 3].set(config.null_id)


def batch(config):
    features, tokens = inputs(config)
    tokens = jnp.where(tokens == config.mask_id, 5, tokens)
    nothing = jnp.full((B, 2), -1, jnp.int32)
    labels = Labels(tokens=tokens, start=nothing, end=nothing, presence=nothing >= 0, candidate=nothing, copied=nothing)
    return Batch(features=features, labels=labels)


def variants():
    return [ResidualConfig.tiny(block=block, vocabulary=vocabulary) for block in BLOCKS for vocabulary in VOCABULARIES]


@pytest.mark.parametrize("config", variants(), ids=lambda c: f"{c.block}-{c.vocabulary}")
def test_answers_logits_over_the_canvas_vocabulary_alone(config):
    features, tokens = inputs(config)
    params = residual.init(jax.random.key(0), config)
    answer = jax.jit(lambda tokens: residual.predict(params, config, features, tokens, jnp.ones(B)))(tokens)
    assert answer.logits.shape == (B, N, config.vocab_size) and answer.logits.dtype == jnp.float32
    assert np.isfinite(answer.logits).all()
    assert all(getattr(answer, field.name) is None for field in dataclasses.fields(answer) if field.name != "logits")


def test_frozen_rows_serve_all_tokens_but_two():
    config = ResidualConfig.tiny()
    features, tokens = inputs(config)
    params = residual.init(jax.random.key(0), config)
    shapes = {jnp.shape(leaf) for leaf in jax.tree.leaves(params)}
    assert all(config.vocab_size not in shape and config.vocab_size - 2 not in shape for shape in shapes)

    before = residual.predict(params, config, features, tokens, jnp.ones(B)).logits
    params["extra_rows"]["table"] = params["extra_rows"]["table"] + 1.0
    after = residual.predict(params, config, features, tokens, jnp.ones(B)).logits
    learned = np.isin(np.arange(config.vocab_size), [config.mask_id, config.null_id])
    reads_frozen = ~np.isin(np.asarray(tokens), [config.mask_id, config.null_id])
    assert (np.asarray(before)[reads_frozen][:, ~learned] == np.asarray(after)[reads_frozen][:, ~learned]).all()
    assert (np.asarray(before)[reads_frozen][:, learned] != np.asarray(after)[reads_frozen][:, learned]).all()
    assert (np.asarray(before)[~reads_frozen] != np.asarray(after)[~reads_frozen]).any(axis=-1).all()


def test_reserved_vocabulary_entries_are_learned_in_place():
    extra = ResidualConfig.tiny()
    base = BaseConfig.tiny(vocab_size=99, mask_token_id=97, null_token_id=98)
    reserved = ResidualConfig.for_base(base, hidden_size=16, num_heads=2)
    assert reserved.vocab_size == extra.vocab_size == 99
    params = residual.init(jax.random.key(0), extra)
    features, tokens = inputs(extra)
    whole = jnp.concatenate([features.embedding, jnp.full((2, 32), 7.0)])
    a = residual.predict(params, extra, features, tokens, jnp.ones(B)).logits
    b = residual.predict(params, reserved, features.replace(embedding=whole), tokens, jnp.ones(B)).logits
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_missing_features_are_named():
    config = ResidualConfig.tiny()
    features, tokens = inputs(config)
    params = residual.init(jax.random.key(0), config)
    with pytest.raises(ConfigError, match="canvas_states"):
        residual.predict(params, config, features.replace(canvas_states=None), tokens, jnp.ones(B))
    with pytest.raises(ConfigError, match="embedding"):
        residual.predict(params, config, features.replace(embedding=None), tokens, jnp.ones(B))


def test_bidirectional_blocks_ignore_padding_and_read_both_sides():
    config = ResidualConfig.tiny(block="bidirectional")
    features, tokens = inputs(config)
    params = residual.init(jax.random.key(0), config)

    def logits(changed):
        return np.asarray(residual.predict(params, config, features, changed, jnp.ones(B)).logits)

    plain = logits(tokens)
    np.testing.assert_array_equal(logits(tokens.at[:, 7].set(1))[:, :7], plain[:, :7])
    assert (logits(tokens.at[:, 6].set(1))[:, :6] != plain[:, :6]).any()
    assert (logits(tokens.at[:, 0].set(1))[:, 1:7] != plain[:, 1:7]).any()


def test_attention_to_the_prompt_reads_its_tokens_and_no_padding():
    config = ResidualConfig.tiny(prompt_attention=True, field_positions=2, position_rows=5)
    features, tokens = inputs(config)
    params = residual.init(jax.random.key(0), config)
    states = jax.random.normal(jax.random.key(5), (B, 4, config.input_size))
    mask = jnp.broadcast_to(jnp.arange(4) < 3, (B, 4))

    def logits(states):
        given = features.replace(prompt_states=states, prompt_mask=mask)
        return np.asarray(residual.predict(params, config, given, tokens, jnp.ones(B)).logits)

    plain = logits(states)
    np.testing.assert_array_equal(logits(states.at[:, 3].set(9.0)), plain)
    assert (logits(states.at[:, 1].set(9.0)) != plain).any(axis=-1).all()
    with pytest.raises(ConfigError, match="needs prompt_states"):
        residual.predict(params, config, features, tokens, jnp.ones(B))


def test_the_last_time_row_is_trained():
    config = ResidualConfig.tiny()
    params = residual.init(jax.random.key(0), config)

    def value(table):
        changed = params | {"time": {"table": table}}
        return residual.loss(changed, config, LogLinear(), jax.random.key(4), batch(config))[0]

    grad = np.abs(jax.jit(jax.grad(value))(params["time"]["table"])).sum(axis=1)
    assert grad.shape == (5,) and grad[-1] > 0


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_loss_trains_the_head_and_leaves_the_features_alone(objective):
    config = ResidualConfig.tiny(objective=objective, fully_masked_share=1 / 3)
    params, rows = residual.init(jax.random.key(0), config), batch(config)

    def value(params, states):
        changed = rows.replace(features=rows.features.replace(canvas_states=states))
        return residual.loss(params, config, LogLinear(), jax.random.key(4), changed)

    step = jax.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))
    (first, metrics), (grads, state_grads) = step(params, rows.features.canvas_states)
    assert (state_grads == 0).all()
    assert set(metrics) == {"masked_share", "accuracy", "accuracy_fully_masked"}
    for name, grad in flatten_dict(grads, sep="/").items():
        assert (np.abs(grad) > 0).any(), name
    for _ in range(60):
        (last, metrics), (grads, _) = step(params, rows.features.canvas_states)
        params = jax.tree.map(lambda p, g: p - 0.2 * g, params, grads)
    assert last < 0.5 * first


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_a_sample_of_the_whole_vocabulary_gives_the_whole_loss(vocabulary):
    whole = ResidualConfig.tiny(vocabulary=vocabulary)
    # Enough draws to meet each of 99 tokens.
    sampled = dataclasses.replace(whole, sampled_vocabulary=3000)
    params, rows = residual.init(jax.random.key(0), whole), batch(whole)

    def step(config):
        def value(params):
            return residual.loss(params, config, LogLinear(), jax.random.key(4), rows)

        return jax.jit(jax.value_and_grad(value, has_aux=True))(params)

    (want, want_metrics), want_grads = step(whole)
    (got, got_metrics), got_grads = step(sampled)
    assert got == pytest.approx(float(want), rel=1e-5)
    assert got_metrics == want_metrics
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), want_grads, got_grads)


def test_padding_is_never_masked_or_scored():
    config = ResidualConfig.tiny(fully_masked_share=1.0)
    rows = batch(config)
    # Field 1 owns only positions that do not exist.
    exists = jnp.broadcast_to(jnp.arange(N) < 5, (B, N))
    rows = rows.replace(features=rows.features.replace(canvas=rows.features.canvas.replace(exists=exists)))
    params = residual.init(jax.random.key(0), config)
    loss = jax.jit(lambda rows: residual.loss(params, config, LogLinear(), jax.random.key(0), rows))
    value, metrics = loss(rows)
    other = rows.replace(labels=rows.labels.replace(tokens=rows.labels.tokens.at[:, 5:].set(3)))
    assert metrics["masked_share"] == 1
    assert value == loss(other)[0]


def test_fills_a_canvas_in_the_denoising_loop():
    config = ResidualConfig.tiny(block="bidirectional")
    features, tokens = inputs(config)
    tokens = jnp.where(features.canvas.value_mask, config.mask_id, tokens)
    params = residual.init(jax.random.key(0), config)
    result = denoise(
        lambda z, t: residual.predict(params, config, features, z, t).logits,
        tokens, features.canvas.value_mask, jax.random.key(0), mask_id=config.mask_id, config=DenoiseConfig(steps=3),
    )  # fmt: skip
    assert (result.tokens != config.mask_id).all()
    assert (result.trace.revealed.sum(axis=2) == jnp.asarray([[2], [2], [1]])).all()


def test_configuration_goes_to_plain_values_and_back():
    config = ResidualConfig.for_base(BaseConfig.smollm2_135m(), block="bidirectional")
    assert (config.hidden_size, config.vocab_size, config.mask_id, config.null_id) == (1024, 49154, 49152, 49153)
    assert ResidualConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="colour"):
        ResidualConfig.from_dict(config.to_dict() | {"colour": 1})
    with pytest.raises(ConfigError, match="mask_id"):
        ResidualConfig.from_dict({"input_size": 3})


@pytest.mark.parametrize(
    "field, value",
    [
        ("input_size", 0), ("vocab_size", -1), ("hidden_size", 15), ("num_blocks", 0), ("num_heads", 3), ("steps", 0),
        ("block", "mamba"), ("vocabulary", "shared"), ("objective", "mse"), ("fully_masked_share", 1.1),
        ("sampled_vocabulary", 0), ("field_positions", -1), ("position_rows", -1), ("mask_id", 99), ("null_id", -1),
        ("null_id", 97),
    ],
)  # fmt: skip
def test_impossible_configurations_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        ResidualConfig.tiny(hidden_size=16).from_dict(ResidualConfig.tiny().to_dict() | {field: value})
