"""Runs a layout on any arrays; those that do not fit the core are converted in pieces of bounded memory.

The core takes arrays of the accumulator's dtype: images of contiguous rows, and contiguous maps. Others (other dtypes,
byte orders or strides) are copied some images at a time, or one block of outputs and its receptive field at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from typing import cast as cast_to

import numpy as np

from fastconv import _core
from fastconv._border import Indices, Room, fits_core, last_axes, take
from fastconv._problem import Array, Triple

if TYPE_CHECKING:
    from fastconv.algorithms import Layout

CONVERTED_BYTES = 2**22  # bytes of whole images converted at a time; larger images are cut into blocks
BLOCK_BYTES = 2**20  # bytes of a block: of its receptive field and its outputs together


def is_plain(array: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether an array is C-contiguous, aligned and of this dtype."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def _plain(array: Array, dtype: np.dtype[Any], room: Room) -> Array:
    """Return an array as a plain one of this dtype, the same one if possible."""
    if is_plain(array, dtype):
        return array
    copy = room.array(array.shape, dtype)
    np.copyto(copy, array, casting="unsafe")
    return copy


def cast(values: Array, out: Array) -> None:
    """Copy plain results to an array of another dtype, without warnings: values too large for float16 become infinite.

    Integers hold them truncated towards zero, and wrapped around.
    """
    if out.dtype.kind in "bui" and values.dtype.kind == "f":  # whose conversion by NumPy differs from CPU to CPU
        plain = is_plain(out, out.dtype) and out.dtype.kind != "b" and out.dtype.isnative
        whole = out if plain else np.empty(out.shape, np.int64)
        _core.truncate(values, whole)
        if whole is out:
            return
        values = whole
    with np.errstate(all="ignore"):
        np.copyto(out, values, casting="unsafe")


def converted(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return results in another dtype, as `cast` copies them."""
    result: Array = np.empty(values.shape, dtype)
    cast(values, result)
    return result


def convolve(layout: Layout, input: Array, packed: Any, bias: Array | None, result: Array, threads: int) -> None:
    """Run a layout on input and result of any dtype and strides, with all batch axes; bias must be plain."""
    problem = layout.problem
    if (
        problem.border is None
        and layout.whole_images
        and is_plain(input, problem.accumulator)
        and is_plain(result, problem.accumulator)
    ):
        images, maps = input.reshape(layout.images_shape), result.reshape(layout.maps_shape)
        layout.run(images, packed, bias, maps, problem.pad, threads)
        return
    for images, maps in _batches(layout, input, result):
        if layout.any_arrays:
            layout.run(images, packed, bias, maps, problem.pad, threads)
        else:
            _run_pieces(layout, images, packed, bias, maps, threads)


def workspace(layout: Layout) -> int:
    """Return the bytes of workspace that each thread takes."""
    return layout.workspace if layout.whole_images else _block_cut(layout)[2].workspace


def _batches(layout: Layout, input: Array, result: Array) -> Iterator[tuple[Array, Array]]:
    """Yield views (N, C, D, H, W) of input and (N, K, D', H', W') of result; several if batch axes cannot be merged."""
    batch_axes, border = len(layout.problem.batch_shape), layout.problem.border
    image_shape = layout.images_shape[1:] if border is None else (layout.images_shape[1], *border.size)
    if batch_axes <= 1 or (input.flags.c_contiguous and result.flags.c_contiguous):
        yield input.reshape(layout.images_shape[0], *image_shape), result.reshape(layout.maps_shape)
        return
    count = input.shape[batch_axes - 1]
    for index in np.ndindex(input.shape[: batch_axes - 1]):
        images = input[index].reshape(count, *image_shape)
        yield images, result[index].reshape(count, *layout.maps_shape[1:])


def _run_pieces(layout: Layout, images: Array, packed: Any, bias: Array | None, maps: Array, threads: int) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), converting some images or blocks at a time."""
    problem = layout.problem
    accumulator, border = problem.accumulator, problem.border
    rooms = Room(), Room()  # for input and output
    fits = fits_core(images, accumulator, layout.contiguous_axes)
    image_bytes = max(1, math.prod(images.shape[1:])) * accumulator.itemsize
    count = len(images) if fits else CONVERTED_BYTES // image_bytes  # 0: an image exceeds them
    if border is None and count and layout.whole_images and fits_core(maps, accumulator, 3):
        for first in range(0, len(images), count):
            batch = images[first : first + count]
            if not fits:
                batch = _plain(batch, accumulator, rooms[0])
            layout.run(batch, packed, bias, maps[first : first + count], problem.pad, threads)
        return
    count, size, layout = _block_cut(layout)
    for first in range(0, maps.shape[0], count):
        for block in np.ndindex(*(-(-n // step) for n, step in zip(problem.output_size, size, strict=True))):
            target, source, pad = maps[first : first + count], images[first : first + count], []
            ranges: list[Indices] = []
            pixels: Indices
            for axis in range(3):
                start = block[axis] * size[axis]
                stop = min(start + size[axis], problem.output_size[axis])
                if border is None and stop - start == problem.output_size[axis]:  # the core knows all modes
                    pixels, before = slice(0, problem.size[axis]), problem.pad[axis]
                else:
                    pixels, before = problem.input_range(axis, start, stop, layout.pixels_read(axis, stop - start))
                target = target[last_axes([slice(start, stop), *[slice(None)] * (2 - axis)])]
                ranges.append(pixels)
                pad.append(before)
            if border is None:
                source = take(source, ranges)
            else:
                source = border.section(source, cast_to(list[slice], ranges), accumulator, rooms[0])
            source = _plain(source, accumulator, rooms[0])
            result = target if fits_core(target, accumulator, 3) else rooms[1].array(target.shape, accumulator)
            layout.run(source, packed, bias, result, pad, threads)
            if result is not target:
                cast(result, target)


def _block_cut(layout: Layout) -> tuple[int, Triple, Layout]:
    """Return how many images, and how many outputs along each axis, form a block, and its layout; made only once."""
    if layout.block_cut is None:
        count, size = _block_size(layout)
        block = layout.block(size)
        layout.block_cut = count, size, None if block is layout else block  # None: no reference cycle
    count, size, block = layout.block_cut
    return count, size, block or layout


def _block_size(layout: Layout) -> tuple[int, Triple]:
    """Return how many images, and how many outputs along each axis, form a block."""
    problem = layout.problem

    def block_bytes(size: list[int]) -> int:
        pixels = math.prod(problem.span(axis, n) for axis, n in enumerate(size))
        return (problem.channels * pixels + problem.filters * math.prod(size)) * problem.accumulator.itemsize

    size = list(problem.output_size)
    count = max(1, BLOCK_BYTES // block_bytes(size))
    for axis in range(3):
        while size[axis] > 1 and (whole := block_bytes(size)) > BLOCK_BYTES:
            size[axis] = (size[axis] + 1) // 2
            if block_bytes(size) > 0.8 * whole:  # wide dilation: halving hardly shrinks the receptive field
                break
    depth, rows, columns = (-(-n // step) * step for n, step in zip(size, layout.step, strict=True))
    return count, (depth, rows, columns)
