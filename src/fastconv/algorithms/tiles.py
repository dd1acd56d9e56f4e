"""Register tiles: filters that see several channels meet pixels in a GEMM whose sums stay in registers.

Vectors hold neighbouring pixels of a map, read from padded strips, from im2col panels or from the image in place; or the same
pixel of neighbouring filters. All of these add up the same products in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CoreLayout, direct, lanes, sweep, used_fraction, where

NAME = direct.NAME
DOMAIN = "it takes float32 and float64"

STRIP_BYTES = 2**18  # of padded input that stays in the second-level cache while all filters pass over it
PACKED_STRIP_BYTES = 2**20  # of one that is read chunk by chunk, or whose sums fill most of it
IN_PLACE_PRODUCTS = 2**28  # of a strip that is read in place: enough units for threads, few enough for interrupts
PREFETCHED_BYTES = 2**20  # of maps that one core's cache does not hold: tiles prefetch them before they are written
CHUNK_TAPS = 512  # that are added up by themselves: rounding errors stay small, and panels in the cache
LEAST_CHUNK_TAPS = 32  # with precision "highest"
BLOCK_TILES = 8  # register tiles that meet one block of filters
PAGE_BYTES = 4096  # weights whose rows lie a multiple of this apart evict each other from the first-level cache

# Costs in multiply-adds of vectors, measured on AVX-512.
IM2COL_VECTOR = 8  # copying a vector of a panel
DEINTERLEAVE_ROW = 80  # splitting a row of a strip into its phases
BROADCAST_PRODUCT = 1.1  # a product with filters in the lanes: pixels are broadcast from everywhere
TRANSPOSE_VECTOR = 20  # a vector of sums with filters in the lanes
PACK_WEIGHT = 0.5  # a weight


class Blocks(NamedTuple):
    """What is worked on at a time, as the core takes it."""

    strip_rows: int
    by_filters: bool  # filters in the lanes, rather than pixels
    packed: bool  # weights, in the order in which tiles read them
    im2col: bool
    in_place: bool  # the image is read where it lies


class Tiles(CoreLayout):
    """Tiles for maps of one size; flat: planes of images and maps are taken as one column of pixels."""

    name = NAME

    def __init__(self, problem: Problem, map_size: Triple, blocks: Blocks, flat: bool) -> None:
        chunk = chunk_taps(problem)
        core = _core.tile_layout(
            map_size,
            problem.window,
            *problem.group_size,
            8 * problem.accumulator.itemsize,
            blocks.strip_rows,
            by_filters=blocks.by_filters,
            packed=blocks.packed,
            im2col=blocks.im2col,
            in_place=blocks.in_place,
            chunk=chunk,
            # The last vectors of a row overlap their neighbours: a later chunk would add to the same pixels twice.
            block_tiles=BLOCK_TILES if blocks.im2col or blocks.by_filters or problem.taps <= chunk else 1,
            prefetch_maps=prefetches_maps(problem, map_size),
        )
        how = (
            f"{'filters' if blocks.by_filters else 'pixels'} in the lanes, {where(blocks.in_place, blocks.strip_rows)}"
        )
        how += f"{', panels' if blocks.im2col else ''}, chunks of {min(chunk, problem.taps)} taps"
        packing = ("tiles", blocks.by_filters, blocks.packed)
        super().__init__(problem, direct.cost(problem), core, how, packing)
        self.call_layout, self._blocks, self._flat = core, blocks, flat
        self.raw_weights = not blocks.packed
        self.contiguous_axes = 3 if flat else 1

    def pack(self, weight: Array) -> Array:
        if not self._blocks.packed:
            return _weights.filters(self.problem, weight).reshape(-1)
        return _weights.pack(
            self.problem, self._core, _core.pack_tiles, partial(_weights.filters, self.problem, weight)
        )

    def run(
        self, images: Array, packed: Array, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        if self._flat:
            images, maps = (array.reshape(*array.shape[:2], 1, -1, 1) for array in (images, maps))
        super().run(images, packed, bias, maps, pads, threads)

    def core_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self._flat:
            return problem.images_shape, problem.maps_shape
        images, maps = ((*s[:2], 1, math.prod(s[2:]), 1) for s in (problem.images_shape, problem.maps_shape))
        return images, maps

    def block(self, size: Triple) -> Tiles:
        """Panels alone do with less than a vector of pixels."""
        by_filters, packed = self._blocks.by_filters, self._blocks.packed
        blocks = Blocks(size[1], by_filters, packed, im2col=not by_filters, in_place=False)
        return Tiles(self.problem, size, blocks, flat=False)


def choose(problem: Problem, reuse: bool, budget: float) -> Tiles | None:
    """Return tiles for filters that sweeps do not suit."""
    if problem.accumulator.kind != "f" or sweep.suits(problem):
        return None
    flat = problem.is_pointwise
    map_size = (1, math.prod(problem.output_size), 1) if flat else problem.output_size
    return Tiles(problem, map_size, _choose_blocks(problem, map_size, reuse), flat)


def prefetches_maps(problem: Problem, map_size: Triple) -> bool:
    """Tell whether maps of this size are so large that tiles prefetch them before they write."""
    return problem.filters * math.prod(map_size) * problem.accumulator.itemsize > PREFETCHED_BYTES


def chunk_taps(problem: Problem) -> int:
    """Return how many taps to add up by themselves: errors are smallest if there are as many chunks as taps in each."""
    return CHUNK_TAPS if problem.precision == "default" else max(LEAST_CHUNK_TAPS, math.isqrt(problem.taps))


def _choose_blocks(problem: Problem, map_size: Triple, reuse: bool) -> Blocks:
    itemsize, width = problem.accumulator.itemsize, lanes(problem)
    channels, filters = problem.group_size
    _, rows, columns = map_size
    row_bytes = itemsize if problem.is_pointwise else (problem.size[2] + 2 * problem.pad[2]) * itemsize
    in_place = problem.is_pointwise and rows >= width
    # Panels cost a copy of every pixel for every tap; reading pixels where they are wastes lanes at the end of every row.
    im2col = not in_place and (columns < width or used_fraction(columns, width) * (1 + 3 / filters) < 1)
    vectors = math.ceil(rows * columns / width) if in_place or im2col else rows * math.ceil(columns / width)
    phases = [min(step, taps) for step, taps in zip(problem.stride[1:], problem.kernel[1:], strict=True)]
    strip_row_bytes = row_bytes * problem.kernel[0] * channels
    by_pixels = vectors * problem.taps * (filters + IM2COL_VECTOR * im2col)
    by_pixels += DEINTERLEAVE_ROW * channels * problem.kernel[0] * rows * phases[0] if problem.stride[2] > 1 else 0
    by_filters = _filters_cost(problem, rows * columns, width, reuse) < by_pixels
    if by_filters:
        im2col, in_place = False, all(problem.stays_inside(axis) for axis in range(3))
        strip_row_bytes = columns * filters * itemsize + (0 if in_place else strip_row_bytes * problem.stride[1])
    else:
        strip_row_bytes = strip_row_bytes * phases[0] * phases[1] // problem.stride[2]
    strip_rows = (PACKED_STRIP_BYTES if by_filters or im2col else STRIP_BYTES) // strip_row_bytes
    if in_place and not by_filters:
        strip_rows = max(24 * width, IN_PLACE_PRODUCTS // (problem.taps * filters))
    packed = reuse or (not by_filters and problem.taps * itemsize % PAGE_BYTES == 0)
    return Blocks(max(1, min(rows, strip_rows)), by_filters, packed, im2col, in_place)


def _filters_cost(problem: Problem, pixels: int, width: int, reuse: bool) -> float:
    """Return how long one image of a group takes with filters in the lanes, in multiply-adds of vectors."""
    filters = problem.filters // problem.groups
    packing = 0.0 if reuse or pixels == 1 else PACK_WEIGHT * problem.taps * filters
    return pixels * math.ceil(filters / width) * (BROADCAST_PRODUCT * problem.taps + TRANSPOSE_VECTOR) + packing
