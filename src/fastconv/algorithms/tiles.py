"""Register tiles: direct summation as a GEMM of filters and pixels whose sums stay in registers.

The lanes of a vector are neighbouring pixels of a map, read from padded strips, from im2col panels or from the image in
place; or they are neighbouring filters at one pixel. All variants add up the same products in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastconv import _core, _weights
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import CONFLICT_BYTES, CoreLayout, direct, lanes, sweep, used_fraction, where

NAME = direct.NAME
DOMAIN = "it takes float32 and float64"

STRIP_BYTES = 2**18  # bytes of a padded strip: it stays in the second-level cache while all filters are applied to it
PACKED_STRIP_BYTES = 2**20  # bytes of a strip that is read chunk by chunk, or that is mostly sums
SHARED_STRIP_BYTES = 2**17  # bytes of the strips and sums of small maps whose images are computed together
SHARED_SUMS_BYTES = 2**19  # the same where they are read in place
IN_PLACE_PRODUCTS = 2**28  # products of a strip read in place: one unit of work, which must not delay interrupts
PREFETCH_BYTES = 2**20  # bytes of maps that a core's caches do not hold: they are prefetched before they are written
CHUNK_TAPS = 512  # taps summed by themselves: it bounds rounding errors, and keeps panels in the cache
MIN_CHUNK_TAPS = 32  # with precision "highest"
BLOCK_TILES = 8  # register tiles computed in turn with one block of filters
FILTER_BLOCK_TILES = 32  # the same with filters in the lanes
BLOCK_PIXELS = 256  # in these, about
REPACKED_WEIGHTS = 2**18  # weights packed on the fly, for all blocks of tiles: more are packed once, beforehand

# Costs in multiply-adds of vectors, measured on AVX-512.
IM2COL_VECTOR = 8  # per vector of an im2col panel
DEINTERLEAVE_ROW = 80  # per row of a strip split into its phases (positions with the same remainder by the stride)
BROADCAST_PRODUCT = 1.1  # per product with filters in the lanes: each pixel is broadcast
TRANSPOSE_VECTOR = 20  # per vector of sums with filters in the lanes
PACK_WEIGHT = 0.5  # per weight


class Tiles(CoreLayout):
    """Tiles for maps of one size, strip by strip.

    packed: weights are stored in the order in which tiles read them, rather than read as they are given; in_place: the
    image is read directly, not from a padded strip; flat: planes of images and maps are passed as single columns of
    pixels; images: whose pixels, with filters in the lanes, share register tiles.
    """

    name = NAME

    def __init__(
        self,
        problem: Problem,
        map_size: Triple,
        strip_rows: int,
        *,
        by_filters: bool,
        packed: bool,
        im2col: bool,
        in_place: bool,
        flat: bool,
        images: int = 1,
    ) -> None:
        chunk = chunk_taps(problem)
        filters_innermost = not packed and problem.exchanged and problem.kernel == (1, 1, 1)
        core = _core.tile_layout(
            map_size,
            problem.window,
            *problem.group_size,
            problem.bits,
            strip_rows,
            by_filters=by_filters,
            packed=packed,
            filters_innermost=filters_innermost,
            im2col=im2col,
            in_place=in_place,
            chunk=chunk,
            # The last vectors of a row overlap their neighbours: a later chunk would add to the same pixels twice.
            block_tiles=FILTER_BLOCK_TILES if by_filters else BLOCK_TILES if im2col or problem.taps <= chunk else 1,
            prefetch_maps=prefetches_maps(problem, map_size),
            images=images,
        )
        how = f"{'filters' if by_filters else 'pixels'} in the lanes, {where(in_place, strip_rows)}"
        how += f" of {images} images" if images > 1 else ""
        how += f"{', panels' if im2col else ''}, chunks of {min(chunk, problem.taps)} taps"
        super().__init__(problem, direct.cost(problem), core, how, ("tiles", by_filters, packed))
        self.call_layout, self.contiguous_axes = core, 3 if flat else 1
        self.raw_weights = not (packed or problem.flip or problem.exchanged) or filters_innermost
        self._by_filters, self._packed, self._flat, self._strip_rows = by_filters, packed, flat, strip_rows
        self._storage: dict[str, Any] = {
            "by_filters": by_filters,
            "packed": packed,
            "im2col": im2col,
            "in_place": in_place,
            "flat": flat,
            "images": images,
        }

    def pack(self, weight: Array) -> Array:
        if self.raw_weights:
            return _weights.copy_unless_plain(weight, self.problem.accumulator).reshape(-1)
        if not self._packed:
            return _weights.plain_filters(self.problem, weight).reshape(-1)
        return _weights.pack(
            self.problem, self._core_layout, _core.pack_tiles, partial(_weights.filters, self.problem, weight)
        )

    def run(
        self,
        images: Array,
        packed: Array,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        if self._flat:
            images, maps = (array.reshape(*array.shape[:2], 1, -1, 1) for array in (images, maps))
            residual = None if residual is None else residual.reshape(maps.shape)
        super().run(images, packed, bias, maps, pads, threads, residual)

    def core_shapes(self, problem: Problem) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self._flat:
            return problem.images_shape, problem.maps_shape
        images, maps = ((*s[:2], 1, math.prod(s[2:]), 1) for s in (problem.images_shape, problem.maps_shape))
        return images, maps

    def block(self, size: Triple) -> Tiles:
        """Of the variants with pixels in the lanes, only im2col handles maps narrower than a vector."""
        if self._flat and math.prod(size) >= lanes(self.problem):
            return Tiles(self.problem, (1, math.prod(size), 1), self._strip_rows, **self._storage)
        im2col = not self._by_filters and (self._flat or self._storage["im2col"] or size[2] < lanes(self.problem))
        storage = self._storage | {"im2col": im2col, "in_place": False, "flat": False, "images": 1}
        return Tiles(self.problem, size, size[1] if self._flat else min(size[1], self._strip_rows), **storage)


def choose(problem: Problem, reuse: bool, budget: float) -> Tiles | None:
    """Return the cheaper of pixels and filters in the lanes, with strips that fit the cache; None where sweeps suit."""
    if problem.accumulator.kind != "f" or sweep.suits(problem):
        return None
    itemsize, width = problem.accumulator.itemsize, lanes(problem)
    channels, filters = problem.group_size
    flat = problem.is_pointwise
    map_size = (1, math.prod(problem.output_size), 1) if flat else problem.output_size
    _, rows, columns = map_size
    row_bytes = itemsize if flat else (problem.size[2] + 2 * problem.pad[2]) * itemsize
    in_place = flat and rows >= width
    # im2col copies every pixel once per tap; without it, lanes are wasted at the end of every row.
    im2col = not in_place and (columns < width or used_fraction(columns, width) * (1 + 3 / filters) < 1)
    vectors = math.ceil(rows * columns / width) if in_place or im2col else rows * math.ceil(columns / width)
    phases = [min(step, taps) for step, taps in zip(problem.stride[1:], problem.kernel[1:], strict=True)]
    strip_row_bytes = row_bytes * problem.kernel[0] * channels
    by_pixels = vectors * problem.taps * (filters + IM2COL_VECTOR * im2col)
    by_pixels += DEINTERLEAVE_ROW * channels * problem.kernel[0] * rows * phases[0] if problem.stride[2] > 1 else 0
    inside = all(problem.stays_inside(axis) for axis in range(3))
    filters_row_bytes = columns * filters * itemsize + (0 if inside else strip_row_bytes * problem.stride[1])
    shared_bytes = SHARED_SUMS_BYTES if inside else SHARED_STRIP_BYTES
    images = max(1, min(problem.images_shape[0], shared_bytes // max(1, rows * filters_row_bytes)))
    by_filters = _filter_lanes_cost(problem, rows * columns, width, images, reuse) < by_pixels
    if by_filters:
        im2col, in_place, strip_row_bytes = False, inside, filters_row_bytes
    else:
        images, strip_row_bytes = 1, strip_row_bytes * phases[0] * phases[1] // problem.stride[2]
    strip_rows = (PACKED_STRIP_BYTES if by_filters or im2col else STRIP_BYTES) // strip_row_bytes
    if in_place and not by_filters:
        strip_rows = max(24 * width, IN_PLACE_PRODUCTS // (problem.taps * filters))
    turned = problem.flip and problem.kernel != (1, 1, 1)  # weights that would have to be copied in any case
    row = filters if problem.exchanged else problem.taps  # of weights as given
    conflicts = not by_filters and row * itemsize % CONFLICT_BYTES == 0
    repeats = problem.images_shape[0] * max(1 / images, rows * columns / BLOCK_PIXELS) - 1  # of packing on the fly
    repacked = repeats * problem.taps * filters if by_filters else 0
    packed = reuse or turned or conflicts or repacked > REPACKED_WEIGHTS
    return Tiles(
        problem,
        map_size,
        max(1, min(rows, strip_rows)),
        by_filters=by_filters,
        packed=packed,
        im2col=im2col,
        in_place=in_place,
        flat=flat,
        images=images,
    )


def prefetches_maps(problem: Problem, map_size: Triple) -> bool:
    """Return whether maps of this size are so large that tiles prefetch them before writing."""
    return problem.filters * math.prod(map_size) * problem.accumulator.itemsize > PREFETCH_BYTES


def chunk_taps(problem: Problem) -> int:
    """Return the taps to sum by themselves; "highest": as many as there are chunks, for the smallest errors."""
    return CHUNK_TAPS if problem.precision == "default" else max(MIN_CHUNK_TAPS, math.isqrt(problem.taps))


def _filter_lanes_cost(problem: Problem, pixels: int, width: int, images: int, reuse: bool) -> float:
    """Return the cost of one group of an image with filters in the lanes, in multiply-adds of vectors."""
    filters = problem.filters // problem.groups
    packing = 0.0 if reuse or pixels == 1 else PACK_WEIGHT * problem.taps * filters
    if images > 1:
        packing *= min(1.0, pixels / BLOCK_PIXELS)
    return pixels * math.ceil(filters / width) * (BROADCAST_PRODUCT * problem.taps + TRANSPOSE_VECTOR) + packing
