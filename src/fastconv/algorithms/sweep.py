"""Sweeps: filters that see a single channel (gray images, depthwise) slide down the rows of it.

Each row of the image is loaded once for all output rows that see it. Lanes are neighbouring pixels, or, for maps so small that
lanes would be wasted, channels: a stack of as many as fill a vector is swept at once.
"""

from __future__ import annotations

import math

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CoreLayout, direct, lanes, used_fraction, where

NAME = direct.NAME
DOMAIN = "it takes float32 and float64, and filters of one channel"

MOST_FILTERS = 4  # of a channel: with more of them tiles read the image less often
MOST_EXACT_TAPS = 64  # that are added up in one go with precision "highest"
STRIP_BYTES = 2**15  # of the rows that a sweep reads: about the first-level cache
STACK_BYTES = 2**18  # of a stack of channels: part of the second-level cache
UNIT_PRODUCTS = 2**18  # that are worth a unit of their own
MOST_MASKS = 2**18  # that sweeps in place may need; else rows are padded in a strip
SWEPT_ROWS, SWEPT_TALL_ROWS = (
    4,
    6,
)  # that most sweeps compute at a time, for kernels of up to 7 rows and for taller ones
STACKED_ROWS = 2  # kernels' heights that a strip of a stack must hold at least
PAGE_BYTES = 4096  # channels that lie a multiple of this apart evict each other from the first-level cache

# Costs of a vector of sums, in multiply-adds of vectors; measured on AVX-512 and AVX2.
SWEPT_PRODUCT, SWEPT_STORE = 1.2, 5
STRIDED = 1.9  # times as much with a stride of 2 across the columns
ROW_ENDS = 120  # shared by the vectors of a map
STACKED_STORE = 5
INTERLEAVE = 8  # a pixel of a stack; twice as much where channels evict each other
SPILLED_PRODUCT = 1.1  # of a stack, where 16 registers are too few for its sums


class Sweep(CoreLayout):
    """Sweeps, or sweeps of stacks, for maps of one size; rows of the image measure row_bytes with their padding."""

    name = NAME
    raw_weights = True

    def __init__(self, problem: Problem, map_size: Triple, row_bytes: int) -> None:
        core, how = _stack_layout(problem, map_size, row_bytes) or _sweep_layout(problem, map_size, row_bytes)
        super().__init__(problem, direct.cost(problem), core, how, ("sweep",))
        self.call_layout = core

    def pack(self, weight: Array) -> Array:
        return _weights.filters(self.problem, weight).reshape(-1)

    def block(self, size: Triple) -> Sweep:
        problem = self.problem
        row_bytes = (size[2] * problem.stride[2] + problem.kernel[2]) * problem.accumulator.itemsize
        return Sweep(problem, size, row_bytes)


def suits(problem: Problem) -> bool:
    """Tell whether sweeps, rather than tiles, compute this by direct summation."""
    return (
        problem.channels // problem.groups * problem.kernel[0] == 1
        and problem.filters // problem.groups <= MOST_FILTERS
        and problem.taps > 1
        and (problem.precision == "default" or problem.taps <= MOST_EXACT_TAPS)
    )


def choose(problem: Problem, reuse: bool, budget: float) -> Sweep | None:
    """Return sweeps for filters that see few taps of one channel."""
    if problem.accumulator.kind != "f" or not suits(problem):
        return None
    row_bytes = (problem.size[2] + 2 * problem.pad[2]) * problem.accumulator.itemsize
    return Sweep(problem, problem.output_size, row_bytes)


def _sweep_layout(problem: Problem, map_size: Triple, row_bytes: int) -> tuple[_core.Layout, str]:
    """Return sweeps with pixels in the lanes, over some rows at a time, and what they are in words."""
    _, rows, columns = map_size
    at_a_time = SWEPT_ROWS if problem.kernel[1] <= 7 else SWEPT_TALL_ROWS
    at_a_time *= min(8, problem.dilation[1] // math.gcd(problem.dilation[1], problem.stride[1]))
    strip_rows = at_a_time * max(1, round(STRIP_BYTES / (row_bytes * problem.stride[1] * at_a_time)))
    strip_rows = min(rows, strip_rows)
    masked_vectors = 2 * (problem.kernel[2] * problem.dilation[2] // lanes(problem) + 2)  # at both ends of a row
    in_place = (
        problem.padding_mode == "zeros"
        and (problem.stride[2] == 1 or (problem.stride[2] == 2 and problem.dilation[2] == 1))
        and masked_vectors * problem.kernel[2] <= MOST_MASKS
    )
    layout = _core.sweep_layout(
        map_size,
        problem.window,
        problem.filters // problem.groups,
        8 * problem.accumulator.itemsize,
        strip_rows,
        in_place=in_place,
        parts=_parts(problem, strip_rows * columns),
        nontemporal=problem.bypasses_cache,
        zero_rows=problem.padding_mode == "zeros" and not all(problem.stays_inside(axis) for axis in (0, 1)),
    )
    return layout, f"sweeps down {where(in_place, strip_rows)}"


def _stack_layout(problem: Problem, map_size: Triple, row_bytes: int) -> tuple[_core.Layout, str] | None:
    """Return sweeps with channels in the lanes, and what they are in words; None if interleaving channels costs more than what sweeps waste."""
    _, rows, columns = map_size
    stride, width = problem.stride[2], lanes(problem)
    strip_rows = STACK_BYTES // (row_bytes * width * problem.stride[1])
    if strip_rows < STACKED_ROWS * problem.kernel[1]:
        return None
    if problem.padding_mode != "zeros" or problem.dilation[2] > 1 or (problem.kernel[2], stride) not in _core.STACKS:
        return None
    swept = SWEPT_PRODUCT * problem.taps + SWEPT_STORE
    swept = swept * (STRIDED if stride == 2 else 1) / used_fraction(columns, width) + ROW_ENDS * width / (
        rows * columns
    )
    evicted = math.prod(problem.size[1:]) * problem.accumulator.itemsize % PAGE_BYTES == 0
    interleaved = INTERLEAVE * problem.stride[1] * stride * (2 if evicted else 1)
    product = 1.0 if _core.current_isa()[0] in ("avx512", "neon") else SPILLED_PRODUCT
    stacked = (product * problem.taps + STACKED_STORE + interleaved) / used_fraction(problem.groups, width)
    if swept <= stacked:
        return None
    strip_rows = min(rows, strip_rows)
    layout = _core.stack_layout(
        map_size,
        problem.window,
        problem.filters // problem.groups,
        8 * problem.accumulator.itemsize,
        strip_rows,
        parts=_parts(problem, strip_rows * columns),
    )
    return layout, f"sweeps down stacks of channels, {where(False, strip_rows)}"


def _parts(problem: Problem, pixels: int) -> int:
    """Return into how many units to split the groups, of which each computes so many pixels of a map."""
    return min(problem.groups, -(-problem.filters * problem.taps * pixels // UNIT_PRODUCTS))
