"""Any arrays -> arrays that the core reads and writes: whole, some images, or a block of outputs and what they see at a time.

The core takes any array of the accumulator's dtype whose columns lie side by side. Others (other dtypes, byte orders or
column strides) are converted block by block, so that memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _core
from fastconv._problem import Array, Triple

if TYPE_CHECKING:
    from fastconv.algorithms import Layout

CONVERTED_BYTES = 2**22  # of whole images that are converted at a time
BLOCK_BYTES = 2**20  # of a block of a larger image and of its maps


def is_plain(array: Array, dtype: np.dtype[Any]) -> bool:
    """Tell whether an array is contiguous, aligned and of this dtype."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def is_readable(array: Array, dtype: np.dtype[Any], contiguous_axes: int) -> bool:
    """Tell whether the core can read and write an array: its dtype, and so many last axes contiguous."""
    if array.dtype != dtype or not array.flags.aligned or any(stride % dtype.itemsize for stride in array.strides):
        return False
    step = dtype.itemsize
    for size, stride in zip(array.shape[: -1 - contiguous_axes : -1], array.strides[::-1], strict=False):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def cast(values: Array, out: Array) -> None:
    """Copy results to an array whose dtype was found to hold them: what is too large for a float16 becomes infinite."""
    with np.errstate(all="ignore"):
        np.copyto(out, values, casting="unsafe")


def convolve(layout: Layout, input: Array, packed: Any, bias: Array | None, result: Array, threads: int) -> None:
    """Run a layout on arrays of any dtype and strides, with the problem's batch axes."""
    problem = layout.problem
    if layout.fits and is_plain(input, problem.accumulator) and is_plain(result, problem.accumulator):
        images, maps = input.reshape(layout.images_shape), result.reshape(layout.maps_shape)
        layout.run(images, packed, bias, maps, problem.pad, threads)
        return
    for images, maps in _batches(layout, input, result):
        if layout.any_arrays:
            layout.run(images, packed, bias, maps, problem.pad, threads)
        else:
            _convolve(layout, images, packed, bias, maps, threads)


def workspace(layout: Layout) -> int:
    """Return in how many bytes each thread works."""
    return layout.workspace if layout.fits else _cut(layout)[2].workspace


def _batches(layout: Layout, input: Array, result: Array) -> Iterator[tuple[Array, Array]]:
    """Yield views (N, C, D, H, W) of input and (N, K, D', H', W') of result; several where batch axes do not merge."""
    batch_axes = len(layout.problem.batch_shape)
    if batch_axes <= 1 or (input.flags.c_contiguous and result.flags.c_contiguous):
        yield input.reshape(layout.images_shape), result.reshape(layout.maps_shape)
        return
    count = input.shape[batch_axes - 1]
    for index in np.ndindex(input.shape[: batch_axes - 1]):
        images = input[index].reshape(count, *layout.images_shape[1:])
        yield images, result[index].reshape(count, *layout.maps_shape[1:])


def _convolve(layout: Layout, images: Array, packed: Any, bias: Array | None, maps: Array, threads: int) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), converted image by image or block by block."""
    problem = layout.problem
    accumulator = problem.accumulator
    readable = is_readable(images, accumulator, layout.contiguous_axes)
    image_bytes = max(1, math.prod(images.shape[1:])) * accumulator.itemsize
    count = len(images) if readable else CONVERTED_BYTES // image_bytes
    if count and layout.fits and is_readable(maps, accumulator, 3):
        for first in range(0, len(images), count):
            some = images[first : first + count]
            if not readable:
                some = np.require(some, accumulator, ["C", "A"])
            layout.run(some, packed, bias, maps[first : first + count], problem.pad, threads)
        return
    count, size, layout = _cut(layout)
    for first in range(0, maps.shape[0], count):
        for corner in np.ndindex(*(-(-n // step) for n, step in zip(problem.output_size, size, strict=True))):
            target, source, pad = maps[first : first + count], images[first : first + count], []
            for axis in range(3):
                start = corner[axis] * size[axis]
                stop = min(start + size[axis], problem.output_size[axis])
                here, before = problem.reach(axis, start, stop, layout.reads(axis, stop - start))
                index = (slice(None),) * (axis + 2)
                source, target = source[(*index, here)], target[(*index, slice(start, stop))]
                pad.append(before)
            source = np.require(source, accumulator, ["C", "A"])
            block = target if is_readable(target, accumulator, 3) else _core.empty(target.shape, accumulator)
            layout.run(source, packed, bias, block, pad, threads)
            if block is not target:
                cast(block, target)


def _cut(layout: Layout) -> tuple[int, Triple, Layout]:
    """Return how many images, and how much of a map's three axes, are converted at a time, and the layout for that."""
    if layout.block_cut is None:
        count, size = _block_size(layout)
        block = layout.block(size)
        layout.block_cut = count, size, None if block is layout else block  # no cycle of references
    count, size, block = layout.block_cut
    return count, size, block or layout


def _block_size(layout: Layout) -> tuple[int, Triple]:
    """Return how many images, and how much of a map's three axes, make a block."""
    problem = layout.problem

    def block_bytes(size: list[int]) -> int:
        seen = math.prod(problem.span(axis, n) for axis, n in enumerate(size))
        return (problem.channels * seen + problem.filters * math.prod(size)) * problem.accumulator.itemsize

    size = list(problem.output_size)
    count = max(1, BLOCK_BYTES // block_bytes(size))
    for axis in range(3):
        while size[axis] > 1 and (whole := block_bytes(size)) > BLOCK_BYTES:
            size[axis] = (size[axis] + 1) // 2
            if block_bytes(size) > 0.8 * whole:  # dilated so widely that smaller blocks hardly see less
                break
    depth, rows, columns = (-(-n // step) * step for n, step in zip(size, layout.step, strict=True))
    return count, (depth, rows, columns)
