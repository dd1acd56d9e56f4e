"""Weight gradients by direct summation in register tiles: a GEMM whose long side is the pixels of all images.

Lanes are filters, whose gradients are transposed into panels; what a weight reads of the image is broadcast. In
pointwise convolutions, lanes may be channels instead, and gradients are broadcast.
"""

from __future__ import annotations

import math

from fastconv import _core
from fastconv._arrays import fits_core
from fastconv._problem import Array, Problem
from fastconv.algorithms import MIN_PRODUCTS_PER_THREAD, GradientLayout, cost_lanes, direct

NAME = direct.NAME

CHUNK_PIXELS = 384  # pixels summed by themselves: it bounds rounding errors, and keeps panels in the cache
MIN_CHUNK_PIXELS = 32  # with precision "highest"
STRIP_BYTES = 2**20  # bytes of the padded copy of what a chunk reads
SUMS_BYTES = 2**22  # bytes of the sums of a unit of work
MAX_STRIP_BYTES = 2**23  # bytes of the strip of one channel: beyond, it is not for kernels as dilated as this
MANY_FILTERS = 256  # filters whose gradients are better broadcast than transposed, even if there are more channels

# Costs in multiply-adds of vectors, measured on AVX2.
FEW_SUMS = (0.0, 1.6, 1.2, 1.1)  # per product of tiles with so many vectors of filters
PANEL_VECTOR = 19.0  # per vector of a panel: its share of a transposed square
STRIP_VECTOR, STRIP_ROW = 3.0, 20.0  # per vector, and row, of a strip
STORE_VECTOR = 2.0  # per vector of sums and chunk


class CoreGradient(GradientLayout):
    """Summation by a layout of the core."""

    def __init__(self, forward: Problem, cost: float, how: str, core: _core.Layout, flat: bool = False) -> None:
        """`flat`: planes are passed as one row of pixels."""
        super().__init__(forward, cost)
        self.how, self._core_layout, self._flat = how, core, flat

    def run(self, images: Array, maps: Array, threads: int) -> Array:
        forward = self.forward
        result = _core.empty(forward.weight_shape, forward.accumulator)
        axes = 3 if self._flat else 2
        images = _contiguous(images, axes if self._flat else 1)
        maps = _contiguous(maps, axes)
        if self._flat:
            images, maps = (array.reshape(*array.shape[:2], 1, 1, -1) for array in (images, maps))
        products = maps.size * forward.taps
        threads = min(threads, max(1, products // MIN_PRODUCTS_PER_THREAD))
        _core.sum_weight_gradient(images, maps, result, forward.pad, self._core_layout, threads)
        return result


def _contiguous(array: Array, axes: int) -> Array:
    """Return an array whose last axes are contiguous, the same one if possible."""
    return array if fits_core(array, array.dtype, axes) else array.copy()


def chunk_pixels(forward: Problem, most: int) -> int:
    """Return the pixels to sum by themselves; "highest": as many as there are chunks, for the smallest errors."""
    pixels = forward.maps_shape[0] * math.prod(forward.output_size)
    return most if forward.precision == "default" else min(most, max(MIN_CHUNK_PIXELS, math.isqrt(pixels)))


def choose(forward: Problem, budget: float) -> CoreGradient | None:
    """Return register tiles; None for integers and complex numbers, and where strips would be too large."""
    if forward.accumulator.kind != "f":
        return None
    channels, filters = forward.group_size
    pixels = chunk_pixels(forward, CHUNK_PIXELS)
    # Of several small images, what a weight reads lies far apart: strips bring it together.
    in_place = all(forward.stays_inside(axis) for axis in range(3)) and chunk_size(forward, pixels)[0] == 1
    flat = forward.is_pointwise
    by_channels = flat and in_place and (channels < filters or filters >= MANY_FILTERS)
    rows, across = (filters, channels) if by_channels else (forward.taps, filters)
    strip = 0 if in_place else strip_numbers(forward, pixels) * forward.accumulator.itemsize
    expected = _cost(forward, rows, across, in_place)
    if strip > MAX_STRIP_BYTES or expected > budget:
        return None
    sums = rows * across * forward.accumulator.itemsize
    core = _core.weight_direct_layout(
        forward.window,
        channels,
        filters,
        forward.bits,
        chunk=pixels,
        row_parts=max(1, math.ceil(channels * strip / STRIP_BYTES), math.ceil(sums / SUMS_BYTES)),
        in_place=in_place,
        by_channels=by_channels,
    )
    how = f"{'channels' if by_channels else 'filters'} in the lanes, {'images in place' if in_place else 'strips'}"
    return CoreGradient(forward, expected, f"{how}, chunks of {pixels} pixels", core, flat)


def chunk_size(forward: Problem, pixels: int) -> list[int]:
    """Return the outputs along N, D', H' and W' of chunks of up to so many pixels."""
    sizes = [forward.maps_shape[0], *forward.output_size]
    chunk, room = [1, 1, 1, 1], pixels
    for axis in range(3, -1, -1):
        chunk[axis] = max(1, min(sizes[axis], room))
        room //= chunk[axis]
        if chunk[axis] < sizes[axis]:
            break
    return chunk


def strip_numbers(forward: Problem, pixels: int) -> int:
    """Return the numbers of what chunks of so many pixels read of one channel."""
    count, depth, rows, columns = chunk_size(forward, pixels)
    return count * depth * forward.kernel[0] * forward.span(1, rows) * forward.span(2, columns)


def strip_cost(forward: Problem, pixels: int, width: int) -> float:
    """Return the cost of copying one channel of an image to strips, in multiply-adds of vectors."""
    count, depth, rows, columns = chunk_size(forward, pixels)
    chunks = math.prod(forward.output_size) / max(1, count * depth * rows * columns)
    lines = count * depth * forward.kernel[0] * forward.span(1, rows)
    return chunks * lines * (STRIP_ROW + STRIP_VECTOR * forward.span(2, columns) / width)


def _cost(forward: Problem, rows: int, across: int, in_place: bool) -> float:
    """Return the cost of one image, for so many rows that are broadcast and numbers in the lanes of each group."""
    width, channels = cost_lanes(forward), forward.group_size[0]
    vectors = math.ceil(across / width)
    pixels = math.prod(forward.output_size)
    chunks = pixels / max(1, math.prod(chunk_size(forward, CHUNK_PIXELS)))
    each = pixels * (FEW_SUMS[min(vectors, 3)] * rows * vectors + PANEL_VECTOR * across / width)
    each += STORE_VECTOR * chunks * rows * vectors
    if not in_place:
        each += channels * strip_cost(forward, CHUNK_PIXELS, width)
    return each * width * forward.groups
