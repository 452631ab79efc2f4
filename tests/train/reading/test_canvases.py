"""Data and training of the residual head: canvases, stores, batches, and four rows learned by heart."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.canvas_reading import canvas_template, read_query_canvas
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.rows import Row
from jaxdiff_train.evaluation.evaluate import evaluate, fill_by
from jaxdiff_train.heads.residual import train_residual
from jaxdiff_train.heads.training import BatchSource, Show
from jaxdiff_train.reading.canvases import CanvasBatches, extract_canvases, label_canvas
from jaxdiff_train.reading.stored import attach_embedding, frozen_part
from jaxdiff_train.settings import TrainSettings
from tests.agent.frozen_fills import tiny_base

PROPERTIES = {
    "what": {"type": "string", "maxLength": 1},
    "colour": {"type": "string", "enum": ["red", "Blue", "bl"]},
    "note": {"type": "string", "maxLength": 1},
    "gift": {"type": "boolean"},
}


def row(query: str, arguments: dict, properties: dict = PROPERTIES, name: str = "paint") -> Row:
    parameters = {"type": "object", "properties": properties, "required": ["what", "colour"]}
    return Row(query, "test", {"name": name, "description": "", "parameters": parameters}, query, arguments)


ROWS = [
    row("dot", {"what": "x", "colour": "red"}),
    row("Paint yzzy", {"what": "a", "colour": "Blue", "note": "n"}),
    row("123 456 789", {"what": "7", "colour": "bl", "gift": False}),
    row("Ooh, wood!", {"what": "a", "colour": "red", "note": "q", "gift": True}),
]


@pytest.fixture(scope="module")
def base():
    base = tiny_base(0)
    # What the canvas hears of the few words of a query must not drown in what it hears of the long prompt before.
    base.params["layers"]["self_attn"]["o_proj"]["kernel"] *= 20.0
    return base


@pytest.fixture(scope="module")
def store(base, tmp_path_factory):
    return extract_canvases(base, ROWS, tmp_path_factory.mktemp("features"), "rows")


def test_stored_states_are_those_that_answering_reads(base, store):
    assert sorted(found.query for found in store.rows) == sorted(found.query for found in ROWS)
    tool = store.tool(0)
    known = PrefixReader(base).tool(tool)
    for i, found in enumerate(store.rows):
        reading = read_query_canvas(base, Asked(tool, known, found.query))
        length = len(reading.template.tokens)
        assert store.part("states", i).shape == (length, base.config.hidden_size)
        np.testing.assert_allclose(store.part("states", i), reading.states[0, :length], atol=5e-3)


def test_a_store_is_read_once_and_again_where_the_rows_change(base, store, monkeypatch):
    root = store.folder.parent
    monkeypatch.setattr("jaxdiff_train.reading.canvases.read_canvas", None)
    again = extract_canvases(base, ROWS, root, "rows")
    assert again.folder == store.folder and again.rows == store.rows
    with pytest.raises(TypeError):
        extract_canvases(base, [row("other", ROWS[0].arguments)], root, "rows")
    assert extract_canvases(base, ROWS, root, "rows").folder == store.folder


def test_rows_too_long_for_a_pass_are_left_out(base, tmp_path):
    wide = {f"field number {i}": {"type": "string"} for i in range(20)} | PROPERTIES
    rows = [row("long " * 200, ROWS[0].arguments), row("x", ROWS[0].arguments, wide), ROWS[0]]
    assert extract_canvases(base, rows, tmp_path, "some").rows == [ROWS[0]]
    with pytest.raises(InputError, match="no row is short enough"):
        extract_canvases(base, rows[:2], tmp_path, "none")


def test_a_canvas_holds_all_fields_with_what_the_call_has(base):
    tool = parse_tools([ROWS[1].tool])[0]
    canvas, tokens = label_canvas(base, ROWS[1], tool)
    template = canvas_template(base, tool)
    texts = template.value_texts(tokens.tolist(), base.decode, base.config.null_id)
    assert texts == {"what": "a", "colour": "Blue", "note": "n", "gift": ""}
    for number, segment in enumerate(template.segments):
        assert (canvas.field[0] == number).nonzero()[0].tolist() == list(segment.value_positions)
    assert tokens[list(template.segments[3].value_positions)].tolist() == [base.config.null_id] * len(
        template.segments[3].value_positions
    )
    scaffold = canvas.field[0] < 0
    assert tokens[scaffold].tolist() == [t for t in template.tokens if t != template.mask_id]


def test_a_listed_value_stands_as_listed_and_one_that_is_too_long_is_not_asked_for(base):
    tool = parse_tools([ROWS[0].tool])[0]
    canvas, tokens = label_canvas(base, row("q", {"what": "far too long", "colour": "blue"}), tool)
    template = canvas_template(base, tool)
    texts = template.value_texts(tokens.tolist(), base.decode, base.config.null_id)
    assert texts["colour"] == "Blue"
    slot = list(template.segments[0].value_positions)
    assert tokens[slot].tolist() == [template.mask_id] * len(slot)
    assert not canvas.value_mask[0, slot].any()


def test_batches_are_a_function_of_seed_and_step(base, store):
    batches, same = (CanvasBatches(base, [store, store], [1.0, 2.0], 3, seed=5) for _ in range(2))
    other = CanvasBatches(base, [store], [1.0], 3, seed=6)
    assert batches.rows() == 8
    same.batch(0)
    steps = range(4)
    first, second, third = ([np.asarray(b.batch(s).labels.tokens) for s in steps] for b in (batches, same, other))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, third, strict=True))
    batch = batches.batch(1)
    known = {
        label_canvas(base, r, store.tool(0))[1].tobytes(): store.part("states", i) for i, r in enumerate(store.rows)
    }
    for i, tokens in enumerate(batch.labels.tokens):
        length = int(batch.features.canvas.exists[i].sum())
        np.testing.assert_array_equal(batch.features.canvas_states[i, :length], known[tokens[:length].tobytes()])
        assert (batch.features.canvas.field[i, length:] == -1).all()
        assert not batch.features.canvas_states[i, length:].any()


def test_four_rows_are_learned_by_heart(base, store, tmp_path):
    settings = TrainSettings(
        out=tmp_path, head="residual", steps=500, batch_size=8, learning_rate=5e-3, weight_decay=0.0, warmup=10,
        ema_decay=0.9, seed=1,
    )  # fmt: skip
    batches = CanvasBatches(base, [store], [1.0], settings.batch_size, settings.seed)
    lines = []
    config = ResidualConfig.for_base(base.config, hidden_size=128)
    source = BatchSource(base.fingerprint, frozen_part(base), attach_embedding, batches)
    trained = train_residual(settings, base.config, source, Show(lines.append), config=config)
    assert "accuracy_fully_masked 1.000" in lines[-1]
    head = ResidualHead(base, trained.config, jax.tree.map(jnp.asarray, trained.params))
    rows = [(found, parse_tools([found.tool])[0]) for found in ROWS]
    # Answering runs under strict promotion.
    with jax.numpy_dtype_promotion("strict"):
        report = evaluate(rows, fill_by(head, base, DenoiseConfig(steps=4)))
        told = evaluate(rows, fill_by(head, base, DenoiseConfig(steps=4)), told_presence=True)
    assert report.share("whole_call") == 100, report.wrong
    assert told.share("whole_call") == 100, told.wrong
    untrained = dataclasses.replace(head, params=jax.tree.map(jnp.zeros_like, head.params))
    assert evaluate(rows, fill_by(untrained, base, DenoiseConfig(steps=4))).share("whole_call") < 100
