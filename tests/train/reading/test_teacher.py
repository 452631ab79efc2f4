"""What the base would write at each value token, against the base read one value at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import key_ids, query_prompt
from jaxdiff.agent.value_tokens import value_tokens
from jaxdiff.base import masks
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.reading.batches import CANVAS, Batches, label_store
from jaxdiff_train.reading.teacher import KEPT, extract_teacher, taught_positions


@pytest.fixture(scope="module")
def labels(tiny, store):
    return label_store(tiny, store)


@pytest.fixture(scope="module")
def teacher(tiny, store, labels, tmp_path_factory):
    return extract_teacher(tiny, store, [label.slots for label in labels], tmp_path_factory.mktemp("teacher"), "some")


def alone(base, row, slot):
    """[positions, V] log-probabilities after the key of one slot and each of its tokens, read as plain text."""
    field, ids, _ = slot
    (tool,) = parse_tools([row.tool])
    prefix = PrefixReader(base).tool(tool).prefix
    prompt = query_prompt(base, row.query)
    text = prompt.ids + prompt.ending + key_ids(base, tool.fields[field]) + list(ids)
    valid = np.ones((1, len(text)), bool)
    mask = masks.after_prefix(masks.causal(valid), valid, prefix.valid)
    positions = prefix.length + np.arange(len(text), dtype=np.int32)[None]
    output = base.module.apply({"params": base.params}, np.array([text]), positions, mask, prefix=prefix.cache)
    last = output.hidden[:, len(text) - len(ids) - 1 :]
    logits = base.module.apply({"params": base.params}, last, method="unembed")
    return np.asarray(jax.nn.log_softmax(logits.astype(jnp.float32), -1))[0]


def test_distributions_are_those_of_each_value_read_alone(tiny, store, labels, teacher):
    ending = np.asarray(value_tokens(tiny).ending)
    compared = 0
    for number in (0, 1, 2):
        ids, logprob = teacher.part("ids", number), teacher.part("logprob", number).astype(np.float32)
        start = 0
        for slot in labels[number].slots:
            count = taught_positions(slot)
            for place, expected in enumerate(alone(tiny, store.rows[number], slot)[:count]):
                end = np.logaddexp.reduce(expected[ending])
                others = np.where(ending, -np.inf, expected)
                best = np.sort(others)[::-1][: KEPT - 1]
                kept = np.concatenate([[end], best])
                kept -= np.logaddexp.reduce(kept)
                here = start + place
                assert ids[here, 0] == tiny.config.null_id
                np.testing.assert_allclose(logprob[here], kept, atol=5e-3)
                np.testing.assert_allclose(others[ids[here, 1:]], best, atol=1e-3)
                compared += 1
            start += count
        assert start == len(ids)
    assert compared > 20


def test_a_slot_that_is_full_has_no_end():
    assert taught_positions((0, (5, 6), 4)) == 3
    assert taught_positions((0, (5, 6), 2)) == 2


def test_batches_lay_the_distributions_where_the_values_stand(tiny, store, labels, teacher):
    plain = Batches(tiny, [store], [1.0], 6, seed=0).batch(1)
    batch = Batches(tiny, [store], [1.0], 6, seed=0, teachers=[teacher]).batch(1)
    np.testing.assert_array_equal(plain.labels.tokens, batch.labels.tokens)
    assert plain.labels.teacher_ids is None
    ids, logprob = batch.labels.teacher_ids, batch.labels.teacher_logprob
    assert ids.shape == logprob.shape == (6, CANVAS, KEPT)
    has = np.isfinite(logprob).any(-1)
    # A value's tokens, its end, and nothing behind it.
    value = batch.features.canvas.value_mask
    null = batch.labels.tokens == tiny.config.null_id
    assert has[value & ~null].all() and not has[~value].any()
    first_end = value & null & np.roll(~null & value, 1, axis=1)
    assert has[first_end].all() and first_end.any()
    assert not has[value & null & ~first_end & np.roll(null, 1, axis=1)].any()
    np.testing.assert_allclose(np.exp(logprob[has]).sum(-1), 1, atol=0.01)


def test_it_is_read_once(tiny, store, labels, teacher, monkeypatch):
    monkeypatch.setattr("jaxdiff_train.reading.teacher._read_rows", None)
    slots = [label.slots for label in labels]
    again = extract_teacher(tiny, store, slots, teacher.folder.parent, "some")
    np.testing.assert_array_equal(again.part("ids", 1), teacher.part("ids", 1))
