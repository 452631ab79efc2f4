"""Where requests begin: a token sees its neighbours, and no padding."""

import jax
import numpy as np
import pytest

from jaxdiff.routing.head import boundary_logits
from tests.routing.random_router import CONFIG, random_params, random_texts

PARAMS = random_params()
TOKENS = 24
# Two convolutions over three tokens on either side.
REACH = 6
TEXTS = random_texts(3, TOKENS)


@jax.jit
def compiled(texts):
    return boundary_logits(PARAMS, CONFIG, texts)


def logits(texts):
    return np.asarray(compiled(texts))


@pytest.mark.parametrize("changed", [0, 11, TOKENS - 1])
def test_a_token_sees_its_reach_and_no_further(changed):
    tokens = TEXTS.tokens.copy()
    tokens[0, changed] += 1
    moved = np.abs(logits(TEXTS.replace(tokens=tokens)) - logits(TEXTS)) > 1e-7
    near = np.abs(np.arange(TOKENS) - changed) <= REACH
    assert moved[0, near].all() and not moved[0, ~near].any()
    assert not moved[1:].any()


def test_padding_is_not_seen():
    want = logits(TEXTS)
    rubbish = np.where(TEXTS.mask[..., None], TEXTS.tokens, 9).astype(np.float32)
    wider = TEXTS.replace(
        tokens=np.pad(rubbish, [(0, 0), (0, 8), (0, 0)], constant_values=7), mask=np.pad(TEXTS.mask, [(0, 0), (0, 8)])
    )
    found = logits(wider)[:, :TOKENS]
    np.testing.assert_allclose(found[TEXTS.mask], want[TEXTS.mask], atol=1e-5)


def test_a_text_alone_is_as_among_others():
    for row in range(2):
        length = int(TEXTS.mask[row].sum())
        alone = TEXTS.replace(tokens=TEXTS.tokens[row : row + 1, :length], mask=TEXTS.mask[row : row + 1, :length])
        np.testing.assert_allclose(logits(alone)[0], logits(TEXTS)[row, :length], atol=1e-5)
