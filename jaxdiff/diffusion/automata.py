"""The most probable accepted tokens of a slot, given the distributions at its positions.

DINGO (Suresh et al., arXiv 2505.23061): a dynamic program over positions and states of an automaton over tokens. Tokens
of one class (`TokenTable`) move every state alike, so of each class only its best token at a position matters, and a
step costs states x classes whatever the vocabulary. A slot holds the tokens of a text, then <NULL> up to its end.

Shapes: K slots, L positions a slot (padded), T automata, S states (padded), C classes (padded), V canvas vocabulary,
M blocks of W tokens each (padded). In class 0 of a table no token lives; here it stands for <NULL>.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax

from jaxdiff.schema.languages.token_table import DEAD, TokenTable

BLOCK = 32
# How far below the best token of its position any token can be, in nats: a forbidden token (-inf, not a number) is
# taken where nothing else would be accepted, and never makes a sum that is not a number.
FLOOR = -1e5


@struct.dataclass
class Automata:
    """Automata over tokens on the device.

    blocks: [T, M, W] int32, ids of the tokens of a class, many blocks a class, the last of them filled up by repeating
    one. block_class: [T, M] int32, ascending, the class of each block; C for blocks that are padding. classes: [T, V]
    int32. transitions: [T, S, C] int32, S where refused. accepting: [T, S] bool.
    """

    blocks: Array
    block_class: Array
    classes: Array
    transitions: Array
    accepting: Array


@struct.dataclass
class Constraint:
    """Slots of a canvas [B, N] whose tokens must be accepted.

    automata: all that are needed. automaton: [K] int32, the one of each slot. positions: [K, L] int32, where in the
    flattened canvas its positions are; B * N behind its end, and everywhere in slots that are padding.
    """

    automata: Automata
    automaton: Array
    positions: Array


@struct.dataclass
class Best:
    """tokens: [K, L] int32, <NULL> behind the text. score: [K] float32, sum of the scores of the tokens that were not
    given, -inf where nothing is accepted. accepted: [K] bool."""

    tokens: Array
    score: Array
    accepted: Array


def automata(tables: Sequence[TokenTable], size: int) -> Automata:
    """Tables side by side, padded to powers of two, so that few shapes are ever compiled. size: V."""
    states = _power(max(len(table.accepting) for table in tables))
    kinds = _power(max(table.transitions.shape[1] for table in tables))
    blocked = [_blocks(table) for table in tables]
    many = _power(max(len(block_class) for _, block_class in blocked))
    count = len(tables)
    blocks, block_class = np.zeros((count, many, BLOCK), np.int32), np.full((count, many), kinds, np.int32)
    classes = np.full((count, size), DEAD, np.int32)
    transitions = np.full((count, states, kinds), states, np.int32)
    accepting = np.zeros((count, states), bool)
    for i, (table, (block, owner)) in enumerate(zip(tables, blocked, strict=True)):
        blocks[i, : len(block)], block_class[i, : len(owner)] = block, owner
        classes[i, : len(table.classes)] = table.classes
        rows, columns = table.transitions.shape
        transitions[i, :rows, :columns] = np.where(table.transitions < 0, states, table.transitions)
        accepting[i, :rows] = table.accepting
    return Automata(*map(jnp.asarray, (blocks, block_class, classes, transitions, accepting)))


def _power(count: int) -> int:
    return 1 << max(0, count - 1).bit_length()


def _blocks(table: TokenTable) -> tuple[np.ndarray, np.ndarray]:
    """([M, W] tokens, [M] class) of all blocks of a table."""
    order = np.argsort(table.classes, kind="stable").astype(np.int32)
    order = order[np.count_nonzero(table.classes == DEAD) :]
    sizes = np.bincount(table.classes, minlength=table.transitions.shape[1])
    sizes[DEAD] = 0
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(sizes)), -(-sizes // BLOCK))
    number = np.arange(len(owner)) - np.searchsorted(owner, owner)
    places = number[:, None] * BLOCK + np.arange(BLOCK)
    places = np.minimum(places, sizes[owner][:, None] - 1) + starts[owner][:, None]
    return order[places] if len(owner) else np.zeros((0, BLOCK), np.int32), owner.astype(np.int32)


def best_accepted(constraint: Constraint, logits: Array, given: Array, *, null_id: int) -> Best:
    """The accepted tokens of the highest sum of logits; among equals always the same ones.

    Each position has one token, so that sums of logits and of log-probabilities differ by a constant.

    logits: [B, N, V], whatever they hold. given: [B, N] int32, tokens that stand already, -1 where none does.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    inside = constraint.positions < len(flat)
    places = jnp.where(inside, constraint.positions, 0)
    stands = jnp.where(inside, given.reshape(-1)[places], null_id)
    peak = _known(flat).max(axis=-1)[places]

    def of_slot(number: Array, place: Array, peak: Array, stands: Array) -> Best:
        own = jax.tree.map(lambda table: table[number], constraint.automata)
        return _best(own, flat, place, peak, stands, null_id)

    return jax.vmap(of_slot)(constraint.automaton, places, peak, stands)


def _known(logits: Array) -> Array:
    """What is not a number counts as forbidden."""
    return jnp.where(jnp.isnan(logits), -jnp.inf, logits.astype(jnp.float32))


def _finite(logits: Array, peak: Array) -> Array:
    """Logits, all of them known, as scores in [FLOOR, 0], 0 for the position's best."""
    below = jnp.where(jnp.isinf(logits) | jnp.isinf(peak), FLOOR, logits - peak)  # inf - inf is not a number.
    return jnp.where(logits == peak, 0.0, jnp.maximum(below, FLOOR))


def _best(own: Automata, logits: Array, places: Array, peak: Array, stands: Array, null_id: int) -> Best:
    """One slot. own: its automaton, without the axis T. logits: [B * N, V]. places, peak, stands: [L]."""
    states, kinds = own.transitions.shape
    open_, peak = stands < 0, peak[:, None]
    # [L, M]: the best token of each block.
    blocks = _finite(_known(logits[places[:, None, None], own.blocks]).max(axis=-1), peak)
    classes = jax.ops.segment_max(blocks.T, own.block_class, kinds + 1, indices_are_sorted=True).T[:, :kinds]
    stood = jnp.arange(kinds)[None] == own.classes[jnp.maximum(stands, 0)][:, None]
    classes = jnp.where(open_[:, None], classes, jnp.where(stood, 0.0, -jnp.inf))
    null = jnp.where(open_, _finite(_known(logits[places, null_id])[:, None], peak)[:, 0], 0.0)
    null = jnp.where(open_ | (stands == null_id), null, -jnp.inf)

    def back(carry: tuple[Array, Array], here: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        """The best sums of what follows, from each state ([S + 1], the last one refused) and behind <NULL>."""
        behind, ended = carry
        score, null = here
        ended = null + ended
        ways = (score[None] + behind[own.transitions]).at[:, DEAD].set(jnp.where(own.accepting, ended, -jnp.inf))
        return (jnp.append(ways.max(axis=1), -jnp.inf), ended), ways.argmax(axis=1)

    last = jnp.append(jnp.where(own.accepting, 0.0, -jnp.inf), -jnp.inf)
    (sums, _), choices = lax.scan(back, (last, jnp.zeros(())), (classes, null), reverse=True)

    def forth(state: Array, choice: Array) -> tuple[Array, Array]:
        """Behind <NULL> (the state S), there is only <NULL>, which is the choice `DEAD`."""
        chosen = jnp.where(state < states, choice[jnp.minimum(state, states - 1)], DEAD)
        return jnp.where(chosen == DEAD, states, own.transitions[jnp.minimum(state, states - 1), chosen]), chosen

    _, chosen = lax.scan(forth, jnp.zeros((), jnp.int32), choices)
    block = jnp.where(own.block_class[None] == chosen[:, None], blocks, -jnp.inf).argmax(axis=1)
    members = own.blocks[block]  # [L, W]
    within = _known(logits[places[:, None], members]).argmax(axis=1)
    token = jnp.take_along_axis(members, within[:, None], axis=1)[:, 0]
    token = jnp.where(chosen == DEAD, null_id, token)
    return Best(jnp.where(open_, token, stands), sums[0], sums[0] > -jnp.inf)
