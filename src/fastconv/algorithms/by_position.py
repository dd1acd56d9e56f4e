"""Tiles, one position of the kernel after another: products with the zero padding are skipped.

For dilated kernels that lie mostly in the padding. Weights that are not finite are refused: zero times infinity in the
padding is NaN and must reach the output, but here it would be skipped.
"""

from __future__ import annotations

import math

import numpy as np

from fastconv import _core, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import CoreLayout, cost_lanes, direct, total
from fastconv.algorithms.tiles import PACKED_STRIP_BYTES, chunk_taps, prefetches_maps

NAME = direct.NAME
DOMAIN = "it takes float32 and float64, and many channels and filters"

# Costs, for `total`.
COSTS = {
    "call": 8e5,
    "product": 1.45,  # those of lanes that are not used included
    "broadcast": 8.0,  # per tap and pixel
    "output": 50.0,  # transposed once its sums are complete
    "number": 14.0,  # of the image
    "weight": 30.0,  # that is packed
}
MIN_CHANNELS, MIN_FILTERS, MIN_COLUMNS = 32, 16, 8  # for fewer, register tiles are not full


class ByPosition(CoreLayout):
    """Tiles with filters in the lanes, of weights in the order (K, kd, kh, kw, C)."""

    name = NAME
    any_weights = False

    def __init__(self, problem: Problem, cost: float) -> None:
        channels, filters = problem.group_size
        chunk = min(channels, chunk_taps(problem))
        row_numbers = problem.output_size[2] * filters + chunk * problem.size[2] * problem.stride[1]
        strip_rows = PACKED_STRIP_BYTES // (row_numbers * problem.accumulator.itemsize)
        core = _core.tile_layout(
            problem.output_size,
            problem.window,
            channels,
            filters,
            problem.bits,
            max(1, min(problem.output_size[1], strip_rows)),
            by_filters=True,
            packed=True,
            im2col=False,
            in_place=True,
            chunk=chunk,
            block_tiles=1,
            prefetch_maps=prefetches_maps(problem, problem.output_size),
            by_position=True,
        )
        how = f"filters in the lanes, the image in place, position of the kernel by position, chunks of {chunk} taps"
        super().__init__(problem, cost, core, how, ("by position", *problem.kernel), whole_images=True)

    @property
    def products(self) -> float:
        return self.problem.taps * self.problem.inside_fraction

    def pack(self, weight: Array) -> Array | None:
        if not all(np.isfinite(filter_).all() for filter_ in weight):
            return None

        def by_position(first: int, last: int) -> Array:
            return np.moveaxis(_weights.filters(self.problem, weight, first, last), 1, -1)

        return _weights.pack(self.problem, self._core_layout, _core.pack_tiles, by_position)


def counts(problem: Problem) -> dict[str, float]:
    """Return how often each of COSTS is paid for one image."""
    width, pixels = cost_lanes(problem), math.prod(problem.output_size)
    lanes = problem.groups * math.ceil(problem.group_size[1] / width) * width
    inside = problem.taps * problem.inside_fraction
    return {
        "call": 1.0,
        "product": pixels * lanes * inside,
        "broadcast": pixels * problem.groups * inside,
        "output": pixels * problem.filters,
        "number": problem.channels * math.prod(problem.size),
        "weight": problem.filters * problem.taps,
    }


def choose(problem: Problem, budget: float) -> ByPosition | None:
    """Return the layout unless it costs more than the budget, or there are too few channels, filters or columns."""
    channels, filters = problem.group_size
    if problem.accumulator.kind != "f" or problem.padding_mode != "zeros":
        return None
    if channels < MIN_CHANNELS or filters < MIN_FILTERS or problem.output_size[2] < MIN_COLUMNS:
        return None
    paid = counts(problem)
    if (cost := total(COSTS, paid)) > budget:
        return None
    layout = ByPosition(problem, cost)
    layout.counts = paid
    return layout
