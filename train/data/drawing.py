"""Which rows make a batch: drawn as a pure function of seed and step, all of one padded size."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Generic, TypeVar

import numpy as np

from jaxdiff.errors import InputError

ALL_ROWS = slice(None)

Store = TypeVar("Store", bound=Sized)
Size = TypeVar("Size")


class Drawing(Generic[Store, Size]):
    """Rows of several stores in groups of one padded size; a row's probability is proportional to its store's weight.

    sizes: all padded sizes. size_of: (store, row) -> the one that holds the row, or None for a row that is not drawn.
    Raises InputError where no row is left.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        weights: Sequence[float],
        sizes: Sequence[Size],
        size_of: Callable[[Store, int], Size | None],
        seed: int,
    ):
        self._sizes, self._seed = sizes, seed
        self._groups: list[list[tuple[int, int]]] = [[] for _ in sizes]
        chances: list[list[float]] = [[] for _ in sizes]
        for number, store in enumerate(stores):
            for row in range(len(store)):
                size = size_of(store, row)
                if size is not None:
                    group = sizes.index(size)
                    self._groups[group].append((number, row))
                    chances[group].append(weights[number])
        if not any(self._groups):
            raise InputError("no training rows are left")
        total = sum(map(sum, chances))
        self._group_chance = [sum(group) / total for group in chances]
        self._chances = [np.array(group) / sum(group) if group else np.zeros(0) for group in chances]

    def rows(self) -> int:
        """Number of rows that are drawn from."""
        return sum(map(len, self._groups))

    def draw(self, step: int, count: int) -> tuple[Size, list[tuple[int, int]], np.random.Generator]:
        """The padded size, (store, row) of `count` rows, and the step's random numbers that are left."""
        rng = np.random.default_rng((self._seed, step))
        group = rng.choice(len(self._sizes), p=self._group_chance)
        places = self._groups[group]
        drawn = [places[i] for i in rng.choice(len(places), count, p=self._chances[group])]
        return self._sizes[group], drawn, rng
