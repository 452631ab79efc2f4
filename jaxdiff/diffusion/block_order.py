"""Blocks of a canvas one after another: semi-autoregressive (block) diffusion (Arriola et al., arXiv 2503.09573).

A block is the slot of one value. Within it, positions are filled in any order; the next waits until it is full.
Shapes: B rows, N canvas positions. No function mixes rows.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import struct
from jax import Array


def block_numbers(field: Array) -> Array:
    """[B, N] int32 number of the block that each value position belongs to, from 0 in the order of the canvas.

    field: [B, N] int32, index of the field that owns the position, -1 for none: such a position gets any number.
    """
    first = (field[:, :, None] == field[:, None, :]).argmax(-1)
    opens = (field >= 0) & (first == jnp.arange(field.shape[1])[None])
    number = jnp.cumsum(opens, axis=1, dtype=jnp.int32) - 1
    return jnp.maximum(jnp.take_along_axis(number, first, axis=1), 0)


@struct.dataclass
class BlockOrder:
    """When the masks of each block have their turn.

    turn: [B, N] int32, place of the position's block in the order of its row, of those that have masks.
    end: [B, N] int32, number of steps after which it is full.
    """

    turn: Array
    end: Array

    @classmethod
    def of(cls, block: Array, slots: Array, steps: int) -> BlockOrder:
        """Divides the steps evenly among the blocks that have masks.

        Where a row has more such blocks than there are steps, neighbours take their turn together.
        block: [B, N] int32 in [0, N). slots: [B, N] bool, the masks.
        """
        numbers = jnp.arange(block.shape[1])[None, None]
        there = (slots[:, :, None] & (block[:, :, None] == numbers)).any(1).astype(jnp.int32)
        before = jnp.cumsum(there, axis=1) - there
        count = jnp.maximum(there.sum(1, keepdims=True), 1)
        turns = jnp.minimum(count, steps)
        turn = jnp.take_along_axis(before, block, axis=1) * turns // count
        return cls(turn, (turn + 1) * steps // turns)

    def at(self, step: Array, masked: Array) -> tuple[Array, Array]:
        """Positions of the first blocks that are not full, and how many steps are left for them.

        masked: [B, N] bool, masks that stand. -> [B, N] bool, masks and others; [B] int32, 1 where nothing is masked.
        """
        first = jnp.where(masked, self.turn, masked.shape[1]).min(1, keepdims=True)
        here = self.turn == first
        return here, jnp.where(here, self.end - step, 1).max(1)
