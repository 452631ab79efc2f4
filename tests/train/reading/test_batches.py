"""Batches of the reader: a pure function of seed and step, padded on the right, canvases as answering lays them out."""

import jax
import numpy as np
import pytest

from jaxdiff.agent.evidence import FLOOR
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import write_value
from jaxdiff_train.reading.batches import CANVAS, SIZES, Batches, label_store, pad_labels
from jaxdiff_train.reading.features import extract
from tests.agent.frozen_fills import tiny_base
from tests.train.reader_rows import LONG, ROWS, row

SIX = {
    "name": "many",
    "description": "",
    "parameters": {"type": "object", "properties": {f"s{i}": {"type": "string"} for i in range(6)}},
}
# Three values of 24 positions each do not fit the canvas together.
FULL = row("x y z", {"s0": "x", "s1": "other", "s2": "z"}, {"s0": "x", "s2": "z"}, SIX)
STEPS = range(12)


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


@pytest.fixture(scope="module")
def stores(base, tmp_path_factory):
    root = tmp_path_factory.mktemp("features")
    return [extract(base, [*ROWS, LONG], root, "some"), extract(base, [FULL], root, "full")]


@pytest.fixture(scope="module")
def batches(base, stores):
    return Batches(base, stores, [1.0, 2.0], 4, seed=3)


def drawn_rows(base, batch):
    """Which row each line of a batch holds, found by the query's tokens."""
    by_ids = {tuple(base.encode(known.query)): known for known in (*ROWS, LONG, FULL)}
    query = batch.features.query
    return [by_ids[tuple(ids[mask])] for ids, mask in zip(query.token_ids, query.token_mask, strict=True)]


def same(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


def test_a_batch_is_a_function_of_seed_and_step(base, stores, batches):
    again = Batches(base, stores, [1.0, 2.0], 4, seed=3)
    backwards = {step: again.batch(step) for step in reversed(STEPS)}
    assert all(same(batches.batch(step), backwards[step]) for step in STEPS)
    other = Batches(base, stores, [1.0, 2.0], 4, seed=4)
    assert not all(same(batches.batch(step).labels, other.batch(step).labels) for step in STEPS)
    assert not all(same(batches.batch(0).labels, batches.batch(step).labels) for step in STEPS[1:])


def test_rows_beyond_the_sizes_are_never_drawn(base, batches):
    assert len(base.encode(LONG.query)) > max(tokens for tokens, _ in SIZES)
    assert batches.rows() == len(ROWS) + 1
    drawn = [kept for step in range(150) for kept in drawn_rows(base, batches.batch(step))]
    assert {kept.query for kept in drawn} == {kept.query for kept in (*ROWS, FULL)}
    # FULL's store weighs twice: 2 in 7, in groups of one size.
    assert 0.18 < sum(kept is FULL for kept in drawn) / len(drawn) < 0.4


def test_padding_stands_on_the_right_and_holds_nothing(base, batches):
    for step in STEPS:
        batch = batches.batch(step)
        query, rows = batch.features.query, drawn_rows(base, batch)
        tokens, fields = query.token_mask.shape[1], query.field_mask.shape[1]
        assert (tokens, fields) in SIZES
        for i, kept in enumerate(rows):
            tool = parse_tools([kept.tool])[0]
            ids = base.encode(kept.query)
            assert query.token_mask[i].tolist() == [place < len(ids) for place in range(tokens)]
            assert query.field_mask[i].tolist() == [place < len(tool.fields) for place in range(fields)]
            assert query.candidate_mask[i].sum(-1)[: len(tool.fields)].tolist() == [
                len(field.candidates) for field in tool.fields
            ]
            assert not query.candidate_mask[i, len(tool.fields) :].any()
            for look in (query.key_attention, query.name_attention, query.definition_attention):
                assert (look[i, :, len(ids) :] == FLOOR).all() and (look[i, len(tool.fields) :] == FLOOR).all()
            assert not query.token_states[i, len(ids) :].any() and query.token_states[i, : len(ids)].any()
            assert not query.key_states[i, len(tool.fields) :].any()
            for name in ("start", "end", "candidate", "copied"):
                assert (getattr(batch.labels, name)[i, len(tool.fields) :] == -1).all()
            assert (batch.labels.start[i] < len(ids)).all() and (batch.labels.end[i] < len(ids)).all()
            present = [field.name in kept.arguments for field in tool.fields]
            assert batch.labels.presence[i, : len(tool.fields)].tolist() == present


def test_the_canvas_has_the_slots_that_answering_has(base, batches):
    null, seen = base.config.null_id, set()
    for step in STEPS:
        batch = batches.batch(step)
        canvas = batch.features.canvas
        assert canvas.field.shape == (4, CANVAS)
        for i, kept in enumerate(drawn_rows(base, batch)):
            tool = parse_tools([kept.tool])[0]
            on_canvas = [int(owner) for owner in dict.fromkeys(canvas.field[i].tolist()) if owner >= 0]
            used = 0
            for owner in on_canvas:
                field = tool.fields[owner]
                places = np.flatnonzero(canvas.field[i] == owner)
                assert places.tolist() == list(range(used, used + slot_tokens(field, base.encode)))
                assert canvas.offset[i, places].tolist() == list(range(len(places)))
                ids = batch.labels.tokens[i, places].tolist()
                text = base.decode([token for token in ids if token != null])
                assert text == " " + write_value(kept.arguments[field.name])
                assert ids == sorted(ids, key=lambda token: token == null)
                used += len(places)
                seen.add((kept.query, owner))
            assert canvas.exists[i].tolist() == [place < used for place in range(CANVAS)]
            assert (batch.labels.tokens[i, used:] == null).all()
    # "warm" is not said in the query, the listed colour is never composed.
    assert ("two pots, hot", 3) in seen and ("two pots, hot", 2) not in seen


def test_what_must_be_composed_has_room_before_what_can_be_copied_in_any_order(base, batches):
    """Values of a block-causal canvas see those before them: none is always first."""
    orders = set()
    for step in range(40):
        batch = batches.batch(step)
        for i, kept in enumerate(drawn_rows(base, batch)):
            if kept is FULL:
                orders.add(tuple(dict.fromkeys(batch.features.canvas.field[i].tolist())))
    assert orders == {(1, 0), (0, 1), (1, 2), (2, 1)}


def test_a_candidate_that_was_cut_counts_as_unknown(base, stores):
    labels = label_store(base, stores[0])
    places = [i for i, kept in enumerate(stores[0].rows) if kept.arguments.get("colour") == "red wine"]
    chosen = [labels[i] for i in places]
    tokens = np.zeros((1, CANVAS), np.int32)
    assert pad_labels(chosen, 5, 8, 3, tokens).candidate[0].tolist() == [-1, -1, 2, -1, 0]
    assert pad_labels(chosen, 5, 8, 2, tokens).candidate[0].tolist() == [-1, -1, -1, -1, 0]
