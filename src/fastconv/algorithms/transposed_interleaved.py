"""Transposed convolutions with pixels in the lanes, for few filters in a group and for depthwise banks.

Outputs of a row with the same remainder by the stride, a phase, are neighbours in the lanes; the phases of a few vectors
of them are summed one after another and interleaved as they are stored. Where taps read beyond the input, they read
zeros: weights that are not finite would make NaN of these, and are refused.
"""

from __future__ import annotations

import math

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import WORKSPACE_BYTES, CoreLayout, cost_lanes, direct
from fastconv.algorithms.tiles import chunk_taps

NAME = direct.NAME
DOMAIN = "it takes float32 and float64, one- and two-dimensional"

STRIP_BYTES = 2**18  # bytes of a strip, which stays in the second-level cache for all phases and filters
MAX_STRIDE = 64  # along the columns: the sums of all phases of some vectors stay in the first-level cache
REGISTER_STRIDES = 1, 2, 4, 8  # phases that are interleaved in registers

# Costs as in direct.py.
PRODUCT, LONE_PRODUCT = 1.8, 3.0  # per product, with several filters in a group and with one
LOOSE_STORE = 8.0  # per output, in addition, where phases are interleaved number by number
COPY_PIXEL = 1.0  # per number of the input


class TransposedInterleaved(CoreLayout):
    """Interleaved phases for maps of one size, strip by strip."""

    name = NAME

    def __init__(self, problem: Problem, map_size: Triple, expected: float) -> None:
        pads = tuple(pad % step for pad, step in zip(problem.pad, problem.stride, strict=True))
        rows, chunk = strip_rows(problem, map_size), chunk_taps(problem)
        core = _core.interleaved_layout(
            map_size,
            problem.window,
            pads,
            *problem.group_size,
            problem.bits,
            rows,
            chunk=chunk,
            nontemporal=problem.bypasses_cache and map_size == problem.output_size,
        )
        how = f"phases, pixels in the lanes, strips of {rows * problem.stride[1]} rows, chunks of {chunk} taps"
        packing = ("interleaved", problem.stride, problem.dilation, pads)
        super().__init__(problem, expected, core, how, packing)
        self.call_layout, self.step = core, problem.stride
        self.any_weights = all(problem.stays_inside(axis) for axis in range(3))

    def pack(self, weight: Array) -> Array | None:
        if not self.any_weights and not _weights.all_finite(weight):
            return None
        packed = _core.empty((self._core_layout.packed_numbers,), self.problem.accumulator)
        _core.pack_interleaved(_weights.channels(self.problem, weight), packed, self._core_layout)
        return packed

    def block(self, size: Triple) -> TransposedInterleaved:
        return TransposedInterleaved(self.problem, size, self.cost)


def strip_rows(problem: Problem, map_size: Triple) -> int:
    """Return how many rows of each phase are computed from one strip."""
    rows = STRIP_BYTES // row_bytes(problem, map_size) - _reach(problem, 1)
    return max(1, min(math.ceil(map_size[1] / problem.stride[1]), rows))


def row_bytes(problem: Problem, map_size: Triple) -> int:
    """Return the bytes of a row of a strip, which has all channels of a group."""
    columns = math.ceil(map_size[2] / problem.stride[2]) + _reach(problem, 2)
    return columns * problem.group_size[0] * problem.accumulator.itemsize


def _reach(problem: Problem, axis: int) -> int:
    """Return how many more rows or columns of the input than outputs of a phase are read, at most."""
    return -(-(problem.kernel[axis] - 1) * problem.dilation[axis] // problem.stride[axis])


def cost(problem: Problem) -> float:
    """Return the cost of one image."""
    channels, filters = problem.group_size
    width, outputs = cost_lanes(problem), math.prod(problem.output_size) * problem.filters
    rows, columns = (math.ceil(problem.output_size[axis] / problem.stride[axis]) for axis in (1, 2))
    places = rows * math.ceil(columns / (2 * width)) * 2 * width  # micro-kernels take two vectors at least
    product = PRODUCT if filters > 1 else LONE_PRODUCT
    products = product * places * channels * math.prod(problem.kernel) * problem.filters
    stores = (direct.STORE + LOOSE_STORE * (problem.stride[2] not in REGISTER_STRIDES)) * outputs
    return products + stores + COPY_PIXEL * problem.channels * math.prod(problem.size)


def choose(problem: Problem, budget: float) -> TransposedInterleaved | None:
    """Return the layout unless it costs more than the budget, or the smallest strip is too large."""
    if problem.accumulator.kind != "f" or 0 in (problem.products, *problem.output_size):
        return None
    is_flat = problem.size[0] == problem.kernel[0] == problem.output_size[0] == 1 and problem.pad[0] == 0
    smallest = (1 + _reach(problem, 1)) * row_bytes(problem, (1, 1, 1))
    if not is_flat or problem.stride[2] > MAX_STRIDE or smallest > WORKSPACE_BYTES:
        return None
    return (
        TransposedInterleaved(problem, problem.output_size, expected) if (expected := cost(problem)) <= budget else None
    )
