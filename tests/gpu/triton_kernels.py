"""Triton kernels as users write them. Triton reads the annotations, so they are no strings here."""

import triton
import triton.language as tl


@triton.jit
def shift(source, target, rows, width: tl.constexpr):
    """Copy each row of the source to the next row of the target: wrong if both are one buffer."""
    columns = tl.arange(0, width)
    for row in range(rows - 1):
        tl.store(target + (row + 1) * width + columns, tl.load(source + row * width + columns))


@triton.jit
def store_twice(x, straight, turned, rows, columns, limit, block: tl.constexpr):
    """Clamp each value, convert it to the type of the results, and store it by rows and by columns."""
    row = (tl.program_id(0) * block + tl.arange(0, block))[:, None]
    column = (tl.program_id(1) * block + tl.arange(0, block))[None, :]
    inside = (row < rows) & (column < columns)
    value = tl.load(x + row * columns + column, inside)
    value = tl.maximum(value, -limit, propagate_nan=tl.PropagateNan.ALL)
    value = tl.minimum(value, limit, propagate_nan=tl.PropagateNan.ALL)
    value = value.to(straight.dtype.element_ty)
    tl.store(straight + row * columns + column, value, inside)
    tl.store(turned + column * rows + row, value, inside)
