"""Logits of modes and decision tokens, against what they say written out."""

from functools import partial

import jax
import numpy as np

from jaxdiff.routing import head
from jaxdiff.routing.modes import ANSWER, USE_TOOL, decision_log_prob, decision_logit
from tests.routing.random_router import CONFIG, random_pairs, random_params

PARAMS = random_params()
PAIRS = random_pairs(5)
tool_logits = jax.jit(partial(head.tool_logits, PARAMS, CONFIG))
RNG = np.random.default_rng(4)


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_decision_tokens_stand_among_all_tokens():
    rows, hidden = RNG.normal(0, 1, (2, 4)), RNG.normal(0, 1, (5, 4))
    base = RNG.normal(0, 2, (5, 30))
    vocabulary = np.log(np.exp(base).sum(-1))
    # The base's own logits and the two rows', one softmax over all.
    whole = log_softmax(np.concatenate([base, hidden @ rows.T], -1))[:, -2:]
    found = decision_log_prob(*(x.astype(np.float32) for x in (rows, hidden, vocabulary)))
    np.testing.assert_allclose(found, whole, atol=1e-5)
    # Between the two alone, the rest of the vocabulary falls out.
    logit = decision_logit(rows.astype(np.float32), hidden.astype(np.float32))
    np.testing.assert_allclose(logit, whole[:, USE_TOOL] - whole[:, ANSWER], atol=1e-5)


def test_untrained_decision_tokens_decide_nothing():
    rows = jax.jit(head.init, static_argnums=1)(jax.random.key(0), CONFIG)["decision"]["rows"]
    np.testing.assert_array_equal(decision_logit(rows, PAIRS.hidden), 0)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def two_layers(part, inputs):
    first, second = (jax.tree.map(lambda x: np.asarray(x, np.float64), part[f"Dense_{i}"]) for i in range(2))
    return (gelu(inputs @ first["kernel"] + first["bias"]) @ second["kernel"] + second["bias"])[:, 0]


def test_logits_of_both_mechanisms():
    found = tool_logits(PAIRS)
    assert set(found) == set(head.MECHANISMS)
    joined = np.concatenate([PAIRS.opening, PAIRS.query], -1).astype(np.float64)
    np.testing.assert_allclose(found["fit"], two_layers(PARAMS["fit"], joined), atol=1e-5)
    np.testing.assert_allclose(found["decision"], decision_logit(PARAMS["decision"]["rows"], PAIRS.hidden), atol=1e-6)


def test_logit_of_thinking():
    found = head.think_logits(PARAMS, CONFIG, PAIRS.query)
    np.testing.assert_allclose(found, two_layers(PARAMS["talk"], PAIRS.query.astype(np.float64)), atol=1e-5)


def test_rows_do_not_touch_each_other():
    want = tool_logits(PAIRS)
    for row in range(5):
        found = tool_logits(jax.tree.map(lambda x, row=row: x[row : row + 1], PAIRS))
        for name, logits in want.items():
            np.testing.assert_allclose(found[name][0], logits[row], atol=1e-5)
