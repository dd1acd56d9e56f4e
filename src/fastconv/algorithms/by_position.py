"""Tiles, one position of the kernel after the other: what a position sees of the padding is left out.

For dilated kernels of which most positions see mostly zeros. Weights that are not finite are refused: zero times infinity in the
padding must reach the output as NaN, and here it would not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastconv import _core, _weights
from fastconv._problem import Array, Problem
from fastconv.algorithms import CORE_NAMES, Layout, direct
from fastconv.algorithms.tiles import PACKED_STRIP_BYTES, PREFETCHED_BYTES, chunk_taps

NAME = direct.NAME
DOMAIN = "it takes float32 and float64, and many channels and filters"

# Costs as in direct.py.
PRODUCT = 1.15  # an ordinary product, relative to tiles
PACK_WEIGHT = 60.0  # a weight; counted even for packed ones, so that a bank gives the same bits as a call
LEAST_CHANNELS, LEAST_FILTERS, LEAST_COLUMNS = 32, 16, 8  # below which register tiles are not full


class ByPosition(Layout):
    """Tiles with filters in the lanes; weights are packed in the order (K, kd, kh, kw, C)."""

    name = NAME
    any_weights = False

    def __init__(self, problem: Problem, cost: float) -> None:
        channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
        itemsize, chunk = problem.accumulator.itemsize, min(channels, chunk_taps(problem))
        name = CORE_NAMES[problem.accumulator]
        row_bytes = problem.output_size[2] * filters * itemsize + chunk * problem.size[2] * problem.stride[1] * itemsize
        self._layout = _core.tile_layout(
            problem.output_size,
            problem.window,
            channels,
            filters,
            8 * itemsize,
            max(1, min(problem.output_size[1], PACKED_STRIP_BYTES // row_bytes)),
            by_filters=True,
            packed=True,
            im2col=False,
            in_place=True,
            chunk=chunk,
            block_tiles=1,
            prefetch_maps=problem.filters * math.prod(problem.output_size) * itemsize > PREFETCHED_BYTES,
            by_position=True,
        )
        packing = ("by position", *_core.current_isa(), name, *problem.kernel)
        super().__init__(problem, cost, self._layout.workspace, packing, fits=True)
        self._convolve, self._pack = _core.convolve[name], _core.pack_tiles[name]

    @property
    def how(self) -> str:
        return self._layout.describe()

    @property
    def products(self) -> float:
        return self.problem.taps * self.problem.inside_fraction

    def pack(self, weight: Array) -> Array | None:
        if not all(np.isfinite(filter_).all() for filter_ in weight):
            return None
        problem = self.problem

        def ordered(first: int, last: int) -> Array:
            return np.ascontiguousarray(np.moveaxis(_weights.filters(problem, weight, first, last), 1, -1))

        return _weights.pack(self._layout, self._pack, problem.accumulator, ordered)

    def run(
        self, images: Array, packed: Array, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        self._convolve(images, packed, bias, maps, pads, self._layout, threads)


def cost(problem: Problem) -> float:
    """Return how long this takes on one image; infinity where there are too few filters, channels or columns."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    if channels < LEAST_CHANNELS or filters < LEAST_FILTERS or problem.output_size[2] < LEAST_COLUMNS:
        return math.inf
    outputs = math.prod(problem.output_size) * problem.filters
    product = direct.PRODUCT * PRODUCT
    products = outputs * (product * problem.taps * problem.inside_fraction + direct.STORE)
    return products + PACK_WEIGHT * problem.filters * problem.taps


def choose(problem: Problem, reuse: bool, budget: float) -> ByPosition | None:
    """Return this layout if it is no dearer than tiles."""
    if problem.accumulator.kind != "f" or problem.padding_mode != "zeros" or (expected := cost(problem)) > budget:
        return None
    return ByPosition(problem, expected) if math.isfinite(expected) else None
