"""The most probable accepted tokens of slots, given the distributions at their positions.

DINGO (Suresh et al., arXiv 2505.23061): a dynamic program over positions and states of an automaton over tokens. Tokens
of one class (`TokenTable`) move every state alike, so of each class only its best token at a position matters, and a
step costs states x classes whatever the vocabulary. A slot holds the tokens of a text, then <NULL> up to its end.

The automata of all slots lie side by side, so that a small one beside a large one costs little.
Shapes: B rows, N canvas positions, V canvas vocabulary, K slots, L positions a slot, S states of all slots, C classes,
M blocks of W tokens of all slots; all but B, N and V padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array, lax

from jaxdiff.schema.languages.token_table import DEAD, TokenTable

BLOCK = 32
# How far below the best token of its position any other can be, in nats: a forbidden one (-inf, not a number) is taken
# where nothing else would be accepted, and never makes a sum that is not a number.
FLOOR = -1e5


@struct.dataclass
class Constraint:
    """Slots of a canvas [B, N] whose tokens must be accepted. In class 0 no token lives; there it stands for <NULL>.

    positions: [K, L] int32, where in the flattened canvas a slot's positions are; B * N behind its end.
    start: [K] int32, its first state. state_slot: [S] int32, whose state it is.
    transitions: [S, C] int32, S where refused. accepting: [S] bool.
    table: [K] int32, which row of `classes` is the slot's. classes: [K, V] int32, the class of each token.
    blocks: [M, W] int32, tokens of one class of one slot, the last block of a class filled up by repeating one.
    block_class: [M] int32, ascending, slot times C plus class; K * C for blocks that are padding.
    null_id: <NULL>, which is no text of any token.
    """

    positions: Array
    start: Array
    state_slot: Array
    transitions: Array
    accepting: Array
    table: Array
    classes: Array
    blocks: Array
    block_class: Array
    null_id: int = struct.field(pytree_node=False)


@struct.dataclass
class Best:
    """tokens: [K, L] int32, <NULL> behind the text. score: [K] float32, sum of the scores of what was not given, -inf
    where nothing is accepted. accepted: [K] bool."""

    tokens: Array
    score: Array
    accepted: Array


def constrain(
    slots: Sequence[tuple[TokenTable, Sequence[int]]], canvas: tuple[int, int], size: int, null_id: int
) -> Constraint:
    """Slots of a canvas, each with its table and its positions in the flattened canvas, one behind the other.

    Everything is padded to a few sizes, so that few programs are ever compiled; slots of padding have no positions and
    accept. canvas: (B, N). size: V.
    """
    tables = list({id(table): table for table, _ in slots}.values())
    place = {id(table): i for i, table in enumerate(tables)}
    count, length = _size(len(slots), 1, 2), -(-max((len(positions) for _, positions in slots), default=1) // 8) * 8
    kinds = _size(max((table.transitions.shape[1] for table in tables), default=0), 16, 4)
    # One more state for the slots of padding.
    states = _size(sum(len(table.accepting) for table, _ in slots) + 1, 64, 4)
    blocked = [_blocks(table) for table, _ in slots]
    many = _size(sum(len(owner) for _, owner in blocked), 64, 2)

    where = np.full((count, length), canvas[0] * canvas[1], np.int32)
    start, state_slot = np.full(count, states - 1, np.int32), np.zeros(states, np.int32)
    transitions, accepting = np.full((states, kinds), states, np.int32), np.arange(states) == states - 1
    owner, classes = np.zeros(count, np.int32), np.full((count, size), DEAD, np.int32)
    blocks, block_class = np.zeros((many, BLOCK), np.int32), np.full(many, count * kinds, np.int32)
    for i, table in enumerate(tables):
        classes[i, : len(table.classes)] = table.classes
    state = block = 0
    for i, ((table, positions), (members, kind)) in enumerate(zip(slots, blocked, strict=True)):
        rows, columns = table.transitions.shape
        where[i, : len(positions)], start[i], owner[i] = positions, state, place[id(table)]
        state_slot[state : state + rows] = i
        moves = table.transitions.astype(np.int32)
        transitions[state : state + rows, :columns] = np.where(moves < 0, states, moves + state)
        accepting[state : state + rows] = table.accepting
        blocks[block : block + len(members)] = members
        block_class[block : block + len(members)] = kind + i * kinds
        state, block = state + rows, block + len(members)
    return Constraint(
        positions=jnp.asarray(where),
        start=jnp.asarray(start),
        state_slot=jnp.asarray(state_slot),
        transitions=jnp.asarray(transitions),
        accepting=jnp.asarray(accepting),
        table=jnp.asarray(owner),
        classes=jnp.asarray(classes),
        blocks=jnp.asarray(blocks),
        block_class=jnp.asarray(block_class),
        null_id=null_id,
    )


def _size(count: int, least: int, factor: int) -> int:
    """The first of least, least * factor, least * factor ** 2 ... that is enough."""
    while least < count:
        least *= factor
    return least


@lru_cache(maxsize=256)
def _blocks(table: TokenTable) -> tuple[np.ndarray, np.ndarray]:
    """([M, W] tokens, [M] class) of all blocks of a table."""
    order = np.argsort(table.classes, kind="stable").astype(np.int32)
    order = order[np.count_nonzero(table.classes == DEAD) :]
    sizes = np.bincount(table.classes, minlength=table.transitions.shape[1])
    sizes[DEAD] = 0
    starts = np.cumsum(sizes) - sizes
    owner = np.repeat(np.arange(len(sizes)), -(-sizes // BLOCK))
    number = np.arange(len(owner)) - np.searchsorted(owner, owner)
    places = np.minimum(number[:, None] * BLOCK + np.arange(BLOCK), sizes[owner][:, None] - 1)
    if not len(owner):
        return np.zeros((0, BLOCK), np.int32), owner.astype(np.int32)
    return order[places + starts[owner][:, None]], owner.astype(np.int32)


def best_accepted(constraint: Constraint, logits: Array, given: Array) -> Best:
    """The accepted tokens of the highest sum of logits; among equals always the same ones.

    Each position has one token, so that sums of logits and of log-probabilities differ by a constant.

    logits: [B, N, V], whatever they hold. given: [B, N] int32, tokens that stand already, -1 where none does.
    """
    flat = logits.reshape(-1, logits.shape[-1])
    count, length = constraint.positions.shape
    kinds = constraint.transitions.shape[1]
    inside = constraint.positions < len(flat)
    places = jnp.where(inside, constraint.positions, 0)
    stands = jnp.where(inside, given.reshape(-1)[places], constraint.null_id)
    open_ = stands < 0

    # [L, M]: the best logit of each block; then [L, K, C]: of each class, and the first block that has it.
    slot = jnp.minimum(constraint.block_class // kinds, count - 1)
    blocks = _known(flat[places.T[:, slot][..., None], constraint.blocks[None]]).max(axis=-1)

    def by_class(values: Array, reduce: str) -> Array:
        over = {"max": jax.ops.segment_max, "min": jax.ops.segment_min}[reduce]
        found = over(values.T, constraint.block_class, count * kinds + 1, indices_are_sorted=True)
        return found[:-1].T.reshape(length, count, kinds)

    best = by_class(blocks, "max")
    padded = jnp.pad(best.reshape(length, -1), ((0, 0), (0, 1)))
    number = jnp.arange(blocks.shape[1], dtype=jnp.int32)[None]
    best_block = by_class(jnp.where(blocks == padded[:, constraint.block_class], number, number.size), "min")

    null = _known(flat[places, constraint.null_id]).T
    peak = jnp.maximum(best.max(axis=-1), null)
    stood = jnp.arange(kinds)[None, None] == constraint.classes[constraint.table[:, None], stands].T[..., None]
    scores = jnp.where(best_block < number.size, _finite(best, peak[..., None]), -jnp.inf)  # [L, K, C]
    scores = jnp.where(open_.T[..., None], scores, jnp.where(stood, 0.0, -jnp.inf))
    stood_null = jnp.where(stands == constraint.null_id, 0.0, -jnp.inf).T
    null = jnp.where(open_.T, _finite(null, peak), stood_null)
    score, chosen = _best_classes(constraint, scores, null)
    chosen = chosen.T

    block = jnp.take_along_axis(best_block.transpose(1, 0, 2), chosen[..., None], axis=-1)[..., 0]
    members = constraint.blocks[jnp.minimum(block, number.size - 1)]
    within = _known(flat[places[..., None], members]).argmax(axis=-1)
    token = jnp.take_along_axis(members, within[..., None], axis=-1)[..., 0]
    token = jnp.where(chosen == DEAD, constraint.null_id, token)
    return Best(jnp.where(open_, token, stands), score, score > -jnp.inf)


def _known(logits: Array) -> Array:
    """What is not a number counts as forbidden."""
    return jnp.where(jnp.isnan(logits), -jnp.inf, logits.astype(jnp.float32))


def _finite(logits: Array, peak: Array) -> Array:
    """Logits, all of them known, as scores in [FLOOR, 0], 0 for the position's best."""
    below = jnp.where(jnp.isinf(logits) | jnp.isinf(peak), FLOOR, logits - peak)  # inf - inf is not a number.
    return jnp.where(logits == peak, 0.0, jnp.maximum(below, FLOOR))


def _ways(constraint: Constraint, states: Array, score: Array, behind: Array, ended: Array) -> Array:
    """[..., C] the best sum of what is left of a slot from each of the states, by the class that it begins with.

    score: [K, C] of the tokens here. behind: [S + 1] the best sum of what follows, from each state and -inf. ended: [K]
    the sum of <NULL> from here on.
    """
    slots = constraint.state_slot[states]
    ways = score[slots] + behind[constraint.transitions[states]]
    return ways.at[..., DEAD].set(jnp.where(constraint.accepting[states], ended[slots], -jnp.inf))


def _best_classes(constraint: Constraint, scores: Array, null: Array) -> tuple[Array, Array]:
    """([K] the best sum of each slot, [L, K] the class at each position of it, `DEAD` where it is <NULL>).

    scores: [L, K, C]. null: [L, K].
    """
    states = jnp.arange(len(constraint.accepting))

    def back(carry: tuple[Array, Array], here: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        behind, ended = carry
        score, null = here
        ended = null + ended
        sums = _ways(constraint, states, score, behind, ended).max(axis=1)
        return (jnp.append(sums, -jnp.inf), ended), (behind, ended)

    last = jnp.append(jnp.where(constraint.accepting, 0.0, -jnp.inf), -jnp.inf), jnp.zeros_like(null[0])
    (first, _), (behind, ended) = lax.scan(back, last, (scores, null), reverse=True)

    def forth(state: Array, here: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Behind <NULL>, which leads to the state S, there is only <NULL>."""
        known = jnp.minimum(state, len(states) - 1)
        chosen = jnp.where(state == known, _ways(constraint, known, *here).argmax(axis=1).astype(jnp.int32), DEAD)
        following = constraint.transitions[known, chosen]
        return jnp.where(chosen == DEAD, len(states), following), chosen

    _, chosen = lax.scan(forth, constraint.start, (scores, behind, ended))
    return first[constraint.start], chosen


def constrained(constraint: Constraint, logits: Array, given: Array, proposed: Array) -> Array:
    """Proposed tokens [B, N], those of constrained slots replaced by their best accepted ones, where there are any."""
    best = best_accepted(constraint, logits, given)
    positions = jnp.where(best.accepted[:, None], constraint.positions, proposed.size)
    return proposed.reshape(-1).at[positions].set(best.tokens, mode="drop").reshape(proposed.shape)


def accepts(constraint: Constraint, tokens: Array) -> Array:
    """[K] bool, whether each slot of the canvas [B, N] holds an accepted text and then <NULL> alone."""
    states, kinds = constraint.transitions.shape
    flat = jnp.append(tokens.reshape(-1), constraint.null_id)
    following = jnp.append(constraint.transitions, jnp.full((1, kinds), states, jnp.int32), axis=0)

    def step(carry: tuple[Array, Array], tokens: Array) -> tuple[tuple[Array, Array], None]:
        state, ended = carry
        kind = jnp.where(ended, DEAD, constraint.classes[constraint.table, tokens])
        null = tokens == constraint.null_id
        return (jnp.where(null, state, following[state, kind]), ended | null), None

    begin = constraint.start, jnp.zeros(len(constraint.start), bool)
    (state, _), _ = lax.scan(step, begin, flat[jnp.minimum(constraint.positions, len(flat) - 1)].T)
    return jnp.append(constraint.accepting, False)[state]
