"""What the router reads of the frozen base.

Shapes: B rows, T tokens (padded), S width of the joined states of a token, E width of the joined states at an end. All
states are divided by their root mean square, layer by layer, before they are joined.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from flax import struct

# Laid out by the host with NumPy, computed with by JAX.
Array: TypeAlias = Any


@struct.dataclass
class TextStates:
    """A tool's text, or a query, read apart.

    tokens: [B, T, S]. mask: [B, T] bool, tokens that are compared. mean: [B, S], their mean, normalised again.
    naming: [B, E], where a tool's text ends, or a query's answer would go on with a function's name.
    opening: [B, E], where a query's answer would begin; zeros for tools.
    """

    tokens: Array
    mask: Array
    mean: Array
    naming: Array
    opening: Array


@struct.dataclass
class Vectors:
    """What is compared of texts, and kept of tools: unit vectors.

    mean: [B, W]. naming: [B, W]. opening: [B, W]. tokens: [B, T, W']. weight: [B, T], share of each token in the
    comparison; zero for padding.
    """

    mean: Array
    naming: Array
    opening: Array
    tokens: Array
    weight: Array


@struct.dataclass
class PairStates:
    """Queries read after example and tool: what tells whether the tool serves the query.

    opening: [B, E] states at the opening of the answer after example, tool and query. hidden: [B, D] the same after the
    base's last layer and final norm. query: [B, E] states at the opening of the answer after the query alone.
    """

    opening: Array
    hidden: Array
    query: Array
