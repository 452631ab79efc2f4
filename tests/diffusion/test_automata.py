import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.diffusion.automata import Constraint, automata, best_accepted
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
    return best_accepted(constraint, logits, stands, null_id=NULL)


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
    positions = np.full((slots, length), slots * length, np.int32)
    for i, size in enumerate(sizes):
        positions[i, :size] = i * length + np.arange(size)
    logits = logits_of(rng, KINDS[seed % len(KINDS)], (1, slots * length, SIZE))
    stands = np.where(rng.random((1, slots * length)) < 0.3, rng.integers(0, NULL + 1, (1, slots * length)), -1)
    constraint = Constraint(automata(tables, SIZE), jnp.arange(slots), jnp.asarray(positions))
    return constraint, tables, sizes, logits, stands.astype(np.int32)


def of_slot(logits, stands, i, size, length=LENGTH):
    given_tokens = [None if t < 0 else t for t in stands[0, i * length : i * length + size].tolist()]
    return logits[0, i * length : i * length + size], given_tokens


@pytest.mark.parametrize("seeds", [range(700), range(700, 1400)])
def test_equals_plain_python(seeds):
    for seed in seeds:
        constraint, tables, sizes, logits, stands = case(seed)
        found = best(constraint, logits, stands)
        for i, (table, size) in enumerate(zip(tables, sizes, strict=True)):
            tokens, score = plain_best(table, *of_slot(logits, stands, i, size), NULL)
            assert bool(found.accepted[i]) is (tokens is not None), seed
            assert found.score[i] == score, seed
            if tokens is not None:
                assert found.tokens[i].tolist() == tokens + [NULL] * (LENGTH - size), seed


def test_equals_the_best_of_all_strings():
    for seed in range(24):
        constraint, tables, sizes, logits, stands = case(seed, slots=1, length=3)
        found = best(constraint, logits, stands)
        score = brute_force(tables[0], *of_slot(logits, stands, 0, sizes[0], 3), NULL)
        np.testing.assert_allclose(found.score[0], score, rtol=1e-6)


def test_larger_tables_equal_plain_python():
    for seed in range(40):
        constraint, tables, sizes, logits, stands = case(seed, slots=2, length=9, states=30, kinds=9, refused=0.8)
        found = best(constraint, logits, stands)
        for i, (table, size) in enumerate(zip(tables, sizes, strict=True)):
            tokens, score = plain_best(table, *of_slot(logits, stands, i, size, 9), NULL)
            assert found.score[i] == score
            assert tokens is None or found.tokens[i].tolist() == tokens + [NULL] * (9 - size)
