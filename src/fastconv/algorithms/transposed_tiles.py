"""Transposed convolutions by register tiles with filters in the lanes: all phases are summed in the order of the outputs.

Outputs with the same remainder by the stride, a phase, are an ordinary convolution with their share of the taps. Where taps
read beyond the input, they read zeros: weights that are not finite would make NaN of these, and are refused.
"""

from __future__ import annotations

import math
from functools import partial

from fastconv import _core, _weights
from fastconv._arrays import plain
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import WORKSPACE_BYTES, CoreLayout, cost_lanes, direct, lanes
from fastconv.algorithms.tiles import chunk_taps

NAME = direct.NAME
DOMAIN = "it takes float32 and float64"

STRIP_BYTES = 3 * 2**17  # bytes of a strip and of its sums, which stay in the second-level cache for all filters

# Costs as in direct.py.
COPY_PIXEL = 2.0  # per number of the input
CACHED_STORE = 72.0  # per output, in addition, of maps that had better bypass the cache


class TransposedTiles(CoreLayout):
    """Tiles for maps of one size, strip by strip."""

    name = NAME

    def __init__(self, problem: Problem, map_size: Triple, expected: float) -> None:
        rows, chunk = strip_rows(problem, map_size), chunk_taps(problem)
        core = _core.transposed_layout(map_size, problem.window, *problem.group_size, problem.bits, rows, chunk)
        how = f"phases, filters in the lanes, strips of {rows * problem.stride[1]} rows, chunks of {chunk} taps"
        super().__init__(problem, expected, core, how, ("transposed tiles", problem.stride, problem.dilation))
        self.call_layout = core
        self.any_weights = all(problem.stays_inside(axis) for axis in range(3))

    def pack(self, weight: Array) -> Array | None:
        if not self.any_weights and not _weights.all_finite(weight):
            return None
        problem = self.problem
        bank = weight.reshape(problem.channels, -1)

        def piece(first: int, last: int) -> Array:
            some = bank[first:last]
            return plain(some, problem.accumulator)

        return _weights.pack(problem, self._core_layout, partial(_core.pack_transposed, flip=problem.flip), piece)

    def block(self, size: Triple) -> TransposedTiles:
        return TransposedTiles(self.problem, size, self.cost)


def strip_rows(problem: Problem, map_size: Triple) -> int:
    """Return how many rows of each phase are computed from one strip."""
    row_bytes, sums_bytes = strip_row_bytes(problem, map_size), _sums_row_bytes(problem, map_size)
    rows = (STRIP_BYTES - _reach(problem, 1) * row_bytes) // (row_bytes + sums_bytes)
    return max(1, min(-(-map_size[1] // problem.stride[1]), rows))


def strip_row_bytes(problem: Problem, map_size: Triple) -> int:
    """Return the bytes of a row of a strip, which has all planes of the input that one output reads."""
    columns = -(-map_size[2] // problem.stride[2]) + _reach(problem, 2)
    planes = -(-problem.kernel[0] // (problem.stride[0] // math.gcd(problem.stride[0], problem.dilation[0])))
    return planes * columns * problem.group_size[0] * problem.accumulator.itemsize


def _sums_row_bytes(problem: Problem, map_size: Triple) -> int:
    """Return the bytes of the sums of one row of each phase, for one block of filters: three vectors."""
    return min(problem.stride[1], map_size[1]) * map_size[2] * 3 * lanes(problem) * problem.accumulator.itemsize


def _reach(problem: Problem, axis: int) -> int:
    """Return how many more rows or columns of the input than outputs of a phase are read."""
    return -(-(problem.kernel[axis] - 1) * problem.dilation[axis] // problem.stride[axis])


def cost(problem: Problem) -> float:
    """Return the cost of one image."""
    channels, filters = problem.group_size
    padded = _padded(filters, cost_lanes(problem)) * problem.groups
    taps = channels * math.prod(problem.kernel)
    places = problem.output_size[0] / problem.stride[0]  # outputs of a phase
    places *= math.prod(-(-n // step) for n, step in zip(problem.output_size[1:], problem.stride[1:], strict=True))
    products = direct.PRODUCT * places * taps * padded
    store = direct.STORE + CACHED_STORE * problem.bypasses_cache
    stores = store * math.prod(problem.output_size) * problem.filters
    return products + stores + COPY_PIXEL * problem.channels * math.prod(problem.size)


def _padded(filters: int, lanes: int) -> float:
    """Return how many filters these are in time: a block of fewer vectors than three takes longer for each of them."""
    vectors, blocks = -(-filters // lanes), -(-filters // (3 * lanes))
    return lanes * (vectors + 3 * blocks) / 2


def choose(problem: Problem, budget: float) -> TransposedTiles | None:
    """Return the layout unless it costs more than the budget, or dilation makes the smallest strip too large."""
    if problem.accumulator.kind != "f" or 0 in (problem.products, *problem.output_size):
        return None
    smallest = (1 + _reach(problem, 1)) * strip_row_bytes(problem, (1, 1, 1))
    if smallest > WORKSPACE_BYTES or (expected := cost(problem)) > budget:
        return None
    return TransposedTiles(problem, problem.output_size, expected)
