"""The denoising loop with constrained slots: against a plain Python loop, and accepted whatever is predicted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.diffusion.automata import constrain
from jaxdiff.diffusion.denoise import DenoiseConfig, denoise
from jaxdiff.schema.languages.formats import format_language
from jaxdiff.schema.languages.numbers import integer_language, number_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.languages.texts import text_language
from jaxdiff.schema.languages.token_table import TokenTable, token_table
from jaxdiff.schema.languages.vocabulary import Vocabulary
from tests.diffusion.plain_denoising import (
    MASK,
    NULL,
    B,
    N,
    V,
    assert_equals_plain_loop,
    canvas,
    plain_loop,
    timeless,
    unconditional,
)

CONFIGS = (
    DenoiseConfig(steps=4),
    DenoiseConfig(steps=6, remask=2, guidance=0.5),
    DenoiseConfig(steps=5, top_k=2, remask=1, temperature=0.7),
    DenoiseConfig(steps=5, reveal="threshold", threshold=0.3, credit=0.7),
    DenoiseConfig(steps=5, sampler="ancestral", temperature=1.0),
    DenoiseConfig(steps=8, sampler="ancestral_cached"),
)
PLACES = ((0, [1, 2, 3, 4]), (0, [6]), (1, [0, 1, 2, 3, 4, 5, 6]), (2, [3, 4, 5]))


def random_table(rng, states=3, kinds=3):
    """Texts over the tokens before <NULL>; any state may follow another, so that most prefixes can be completed."""
    classes = np.append(rng.integers(0, kinds, NULL), [0, 0]).astype(np.int32)
    transitions = rng.integers(0, states, (states, kinds)).astype(np.int16)
    transitions[rng.random((states, kinds)) < 0.3] = -1
    transitions[:, 0] = -1
    return TokenTable(classes, transitions, np.append(rng.random(states - 1) < 0.4, True))


@functools.cache
def filler(config):
    return jax.jit(
        lambda tokens, value_mask, keys, constraint: denoise(
            timeless, tokens, value_mask, keys, mask_id=MASK, null_id=NULL, config=config, unconditional=unconditional,
            constraint=constraint,
        )
    )  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), masked_share=st.sampled_from([0.6, 0.9, 1.0]))
def test_equals_a_plain_loop(config, seed, masked_share):
    tokens, value_mask = canvas(seed, masked_share)
    rng = np.random.default_rng(seed)
    tables = [random_table(rng) for _ in PLACES]
    value_mask = value_mask | (tokens == MASK)
    constraint = constrain(
        [(table, [row * N + i for i in places]) for table, (row, places) in zip(tables, PLACES, strict=True)],
        (B, N), V, NULL,
    )  # fmt: skip
    constrained = [(row, places, table) for table, (row, places) in zip(tables, PLACES, strict=True)]
    keys = jax.random.split(jax.random.key(seed), B)
    result = filler(config)(tokens, value_mask, keys, constraint)
    plain = plain_loop(timeless, tokens, value_mask, keys, config, np.zeros((B, N, V)), constrained)
    assert_equals_plain_loop(result, plain)
    for accepted, (row, places, table) in zip(result.accepted, constrained, strict=False):
        slot = plain[0][row, places].tolist()
        text = slot[: slot.index(NULL)] if NULL in slot else slot
        assert bool(accepted) is (set(slot[len(text) :]) <= {NULL} and table.accepts(text))


TEXTS = [*"0123456789-.:TZPDMYHSW@ab cx_", "12", "20", "ab", " a", "-0", "::", "2024", None, None]
SIZE, ALL_NULL, ALL_MASK = len(TEXTS), len(TEXTS) - 2, len(TEXTS) - 1
VOCABULARY = Vocabulary.of(TEXTS)
LANGUAGES = [
    integer_language(-12, 1024),
    number_language(0.5, 3, multiples_of=[0.25]),
    format_language("date"),
    format_language("ipv4"),
    pattern_language("^(?=.*a)(?!.*aa)[ab_]{3,7}$"),
    text_language(2, 5),
    text_language(0, 12, [], ["email"]),
    integer_language(7, 7),
]
LENGTH = 12
SLOTS = [(language, token_table(language, VOCABULARY, LENGTH, leading_space=True)) for language in LANGUAGES]
ROWS = 2
WIDTH = LENGTH * len(SLOTS) // ROWS


@functools.cache
def adversary(config):
    constraint = constrain(
        [(table, range(i * LENGTH, (i + 1) * LENGTH)) for i, (_, table) in enumerate(SLOTS)],
        (ROWS, WIDTH), SIZE, ALL_NULL,
    )  # fmt: skip

    def fill(logits, key):
        def predict(tokens, t):
            # What is revealed sways what comes next, so that remasked positions change.
            sway = jnp.where(tokens == ALL_MASK, 0, tokens % 3).astype(jnp.float32)
            return logits + sway[..., None] * jnp.cos(jnp.arange(SIZE, dtype=jnp.float32))[None, None]

        masks = jnp.full((ROWS, WIDTH), ALL_MASK, jnp.int32)
        return denoise(
            predict, masks, masks == ALL_MASK, key, mask_id=ALL_MASK, config=config, unconditional=predict,
            constraint=constraint,
        )  # fmt: skip

    return jax.jit(fill)


def adversarial(kind, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(ROWS, WIDTH, SIZE)).astype(np.float32)
    if kind == "strange":
        return rng.choice(np.array([0, 5, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32), logits.shape)
    if kind == "null":
        logits[..., ALL_NULL] = 1e9
    elif kind == "one token":
        logits[..., rng.integers(0, SIZE)] = np.inf
    elif kind == "mask":
        logits[..., ALL_MASK] = np.inf
    elif kind != "random":
        logits[:] = float(kind)
    return logits


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["random", "strange", "null", "one token", "mask", "0", "inf", "-inf", "nan", "1e30"]),
    seed=st.integers(0, 10**6),
)
def test_every_slot_is_of_its_language_whatever_is_predicted(config, kind, seed):
    result = jax.device_get(adversary(config)(adversarial(kind, seed), jax.random.key(seed)))
    assert result.accepted.all()
    for (language, _), slot in zip(SLOTS, np.asarray(result.tokens).reshape(-1, LENGTH).tolist(), strict=True):
        text = slot[: slot.index(ALL_NULL)] if ALL_NULL in slot else slot
        assert set(slot[len(text) :]) <= {ALL_NULL}
        assert language.accepts("".join(TEXTS[token] for token in text).removeprefix(" "))


def test_without_what_forbids_it_the_most_probable_string_is_taken():
    wanted = [" a", *"b_ab", *[None] * 7]
    logits = np.zeros((ROWS, WIDTH, SIZE), np.float32)
    for i, text in enumerate(wanted):
        logits[1, i, TEXTS.index(text) if text else ALL_NULL] = 9.0
    result = adversary(CONFIGS[0])(logits, jax.random.key(0))
    assert [TEXTS[t] for t in result.tokens[1, :LENGTH].tolist()] == wanted
    assert (result.confidence[1, :LENGTH] > 0.9).all()


def test_given_tokens_that_forbid_every_string_are_told():
    table = SLOTS[0][1]
    constraint = constrain([(table, range(4)), (table, range(4, 8))], (1, 8), SIZE, ALL_NULL)
    tokens = np.full((1, 8), ALL_MASK, np.int32)
    tokens[0, [1, 5]] = TEXTS.index("a"), TEXTS.index("7")

    @jax.jit
    def fill(tokens):
        return denoise(
            lambda tokens, t: jnp.zeros((*tokens.shape, SIZE)), tokens, tokens >= 0, jax.random.key(0),
            mask_id=ALL_MASK, config=CONFIGS[0], constraint=constraint,
        )  # fmt: skip

    result = jax.device_get(fill(tokens))
    assert result.accepted[:2].tolist() == [False, True]
    assert result.tokens[0, [1, 5]].tolist() == [TEXTS.index("a"), TEXTS.index("7")]
    assert not (result.tokens == ALL_MASK).any()
