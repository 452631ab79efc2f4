import jax
import numpy as np
import pytest

from jaxdiff.diffusion.automata import accepts, best_accepted, constrain
from jaxdiff.schema.languages.token_table import TokenTable
from tests.diffusion.plain_automata import brute_force, plain_best

LENGTH, SIZE, NULL, MASK = 4, 12, 10, 11


def random_table(rng, states=4, kinds=4, refused=0.5):
    """A table over SIZE tokens, of which the last two are <NULL> and <MASK>."""
    classes = rng.integers(0, kinds, SIZE).astype(np.int32)
    classes[[NULL, MASK]] = 0
    transitions = rng.integers(0, states, (states, kinds)).astype(np.int16)
    transitions[rng.random((states, kinds)) < refused] = -1
    transitions[:, 0] = -1
    return TokenTable(classes, transitions, rng.random(states) < 0.5)


@jax.jit
def best(constraint, logits, stands):
    return best_accepted(constraint, logits, stands)


def logits_of(rng, kind, shape):
    logits = rng.normal(size=shape).astype(np.float32)
    if kind == "whole":
        logits = rng.integers(-2, 3, shape).astype(np.float32)
    elif kind == "strange":
        logits = rng.choice(np.array([0, 1, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32), shape)
    elif kind != "random":
        logits = np.full(shape, {"constant": 0.0, "inf": np.inf, "-inf": -np.inf, "nan": np.nan}[kind], np.float32)
    return logits


KINDS = ["random", "random", "whole", "strange", "constant", "inf", "-inf", "nan"]


def case(seed, slots=3, length=LENGTH, **shape):
    """Slots of one row with tables of their own, of which each may be shorter than `length`; some tokens stand."""
    rng = np.random.default_rng(seed)
    tables = [random_table(rng, **shape) for _ in range(slots)]
    sizes = rng.integers(1, length + 1, slots)
    logits = logits_of(rng, KINDS[seed % len(KINDS)], (1, slots * length, SIZE))
    stands = np.where(rng.random((1, slots * length)) < 0.3, rng.integers(0, NULL + 1, (1, slots * length)), -1)
    laid = [
        (table, range(i * length, i * length + size)) for i, (table, size) in enumerate(zip(tables, sizes, strict=True))
    ]
    constraint = constrain(laid, (1, slots * length), SIZE, NULL)
    return constraint, tables, sizes, logits, stands.astype(np.int32)


def of_slot(logits, stands, i, size, length=LENGTH):
    given_tokens = [None if t < 0 else t for t in stands[0, i * length : i * length + size].tolist()]
    return logits[0, i * length : i * length + size], given_tokens


def padded(tokens, found):
    return tokens + [NULL] * (found.tokens.shape[1] - len(tokens))


@pytest.mark.parametrize("seeds", [range(1000), range(1000, 2000)])
def test_equals_plain_python(seeds):
    for seed in seeds:
        constraint, tables, sizes, logits, stands = case(seed)
        found = jax.device_get(best(constraint, logits, stands))
        for i, (table, size) in enumerate(zip(tables, sizes, strict=True)):
            tokens, score = plain_best(table, *of_slot(logits, stands, i, size), NULL)
            assert bool(found.accepted[i]) is (tokens is not None), seed
            assert found.score[i] == score, seed
            if tokens is not None:
                assert found.tokens[i].tolist() == padded(tokens, found), seed


def test_equals_the_best_of_all_strings():
    for seed in range(24):
        constraint, tables, sizes, logits, stands = case(seed, slots=1, length=3)
        found = jax.device_get(best(constraint, logits, stands))
        score = brute_force(tables[0], *of_slot(logits, stands, 0, sizes[0], 3), NULL)
        np.testing.assert_allclose(found.score[0], score, rtol=1e-6)


def test_larger_tables_equal_plain_python():
    for seed in range(40):
        constraint, tables, sizes, logits, stands = case(seed, slots=2, length=9, states=30, kinds=9, refused=0.8)
        found = jax.device_get(best(constraint, logits, stands))
        for i, (table, size) in enumerate(zip(tables, sizes, strict=True)):
            tokens, score = plain_best(table, *of_slot(logits, stands, i, size, 9), NULL)
            assert found.score[i] == score
            assert tokens is None or found.tokens[i].tolist() == padded(tokens, found)


def test_a_canvas_is_accepted_exactly_if_each_slot_is_a_text_and_then_null_alone():
    walk = jax.jit(accepts)
    seen = set()
    for seed in range(300):
        constraint, tables, sizes, _, _ = case(seed)
        tokens = np.random.default_rng(seed).choice([0, 3, 5, 9, NULL, NULL, MASK], (1, 3 * LENGTH))
        found = np.asarray(walk(constraint, tokens.astype(np.int32)))
        for i, (table, size) in enumerate(zip(tables, sizes, strict=True)):
            slot = tokens[0, i * LENGTH : i * LENGTH + size].tolist()
            text = slot[: slot.index(NULL)] if NULL in slot else slot
            expected = set(slot[len(text) :]) <= {NULL} and table.accepts(text)
            assert bool(found[i]) is expected
            seen.add(expected)
    assert seen == {True, False}
