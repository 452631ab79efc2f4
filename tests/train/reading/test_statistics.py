"""Statistics of the features against plain NumPy over single pairs of field and token."""

import jax
import numpy as np
import pytest

from jaxdiff.agent.reading import reader_config
from jaxdiff.diffusion.reader import head as reader
from jaxdiff_train.reading.batches import Batches, pad_queries
from jaxdiff_train.reading.statistics import moments, set_statistics
from tests.train.reader_rows import SEND


@pytest.fixture(scope="module")
def queries(tiny, store):
    batches = Batches(tiny, [store], [1.0], 3, seed=0)
    return [batches.batch(step).features.query for step in range(4)]


@pytest.fixture(scope="module")
def config(tiny):
    return reader_config(tiny.config, hidden=16, members=2)


@pytest.fixture(scope="module")
def params(config):
    return reader.init(jax.random.key(0), config)


def plain(queries):
    """name -> all values, pair by pair."""
    looks = {"attention": "claim"} | {name: f"{name}_claim" for name in ("name_attention", "definition_attention")}
    names = (*looks, *looks.values(), "token_states", "key_states", "candidate_attention")
    found = {name: [] for name in names}
    for query in queries:
        for b, masked in enumerate(query.field_mask):
            fields = np.flatnonzero(masked)
            tokens = np.flatnonzero(query.token_mask[b])
            found["token_states"] += [query.token_states[b, t] for t in tokens]
            found["key_states"] += [query.key_states[b, f] for f in fields]
            for f in fields:
                listed = np.flatnonzero(query.candidate_mask[b, f])
                found["candidate_attention"] += [query.candidate_attention[b, f, c] for c in listed]
                for t in tokens:
                    for name, claim in looks.items():
                        if name == "attention":
                            own = {
                                i: np.append(query.key_attention[b, i, t], query.token_logprob[b, i, t]) for i in fields
                            }
                        else:
                            own = {i: getattr(query, name)[b, i, t] for i in fields}
                        own = {i: value.astype(np.float64) for i, value in own.items()}
                        others = [np.exp(own[i]) for i in fields if i != f]
                        found[name].append(own[f])
                        found[claim].append(own[f] - np.log(np.mean(others, axis=0) + 1e-9))
    return {name: np.array(values, np.float64) for name, values in found.items()}


def test_means_and_scales_are_those_of_numpy(queries, params, config):
    found = set_statistics(params, config, [moments(query) for query in queries])
    trunk = found["trunk"]
    for name, values in plain(queries).items():
        jax.tree.map(np.testing.assert_array_equal, found["trunk_1"][name], trunk[name])
        np.testing.assert_allclose(trunk[name]["statistics_mean"], values.mean(0), rtol=1e-2, atol=1e-2, err_msg=name)
        scale = np.maximum(values.std(0), 1e-2)
        np.testing.assert_allclose(trunk[name]["statistics_scale"], scale, rtol=1e-2, atol=1e-2, err_msg=name)


def test_nothing_else_changes(queries, params, config):
    found = set_statistics(params, config, [moments(query) for query in queries])
    assert jax.tree.structure(found) == jax.tree.structure(params)
    before = dict(jax.tree_util.tree_leaves_with_path(params))
    changed = set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        assert leaf.shape == before[path].shape and leaf.dtype == before[path].dtype
        if not np.array_equal(leaf, before[path]):
            changed.add(jax.tree_util.keystr(path[-1:], simple=True))
    assert changed == {"statistics_mean", "statistics_scale"}


def test_what_no_row_has_keeps_zeros_and_ones(store, params, config):
    places = [i for i, kept in enumerate(store.rows) if kept.tool == SEND]
    trunk = set_statistics(params, config, [moments(pad_queries([(store, i) for i in places], 5, 32, 12))])["trunk"]
    assert not np.any(trunk["candidate_attention"]["statistics_mean"])
    assert np.all(trunk["candidate_attention"]["statistics_scale"] == 1)
    assert np.any(trunk["token_states"]["statistics_mean"])
