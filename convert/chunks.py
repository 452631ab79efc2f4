"""How parameters are cut on disk: a device of a mesh reads the chunks that its part touches, and no others."""

from __future__ import annotations

import math

# Enough parts for eight devices along each axis of a matrix, unless the chunks become so small that reading them costs
# more than reading too much; and never chunks so large that a larger mesh reads several times its part.
_PARTS = 8
_LEAST_BYTES, _MOST_BYTES = 16 * 1024, 512 * 1024


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> list[int]:
    """Shape of the chunks of a parameter: one layer each, its matrix halved along both axes in turn.

    Powers of two, as the numbers of devices are, so that parts of a mesh and chunks share their edges.
    """
    *layers, rows, columns = shape if len(shape) > 1 else (1, *shape)
    matrix, parts = [rows, columns], [1, 1]
    while True:
        size = math.prod(matrix) * itemsize
        open_axes = [axis for axis in (0, 1) if matrix[axis] % 2 == 0]
        axis = min(open_axes, key=lambda axis: parts[axis], default=None)
        wanted = axis is not None and (size > _MOST_BYTES or (parts[axis] < _PARTS and size >= 2 * _LEAST_BYTES))
        if axis is None or not wanted:
            break
        matrix[axis], parts[axis] = matrix[axis] // 2, parts[axis] * 2
    return [*(1 for _ in layers), *matrix][-len(shape) :]
