"""Runs a layout on any arrays; those that do not fit the core are converted in pieces of bounded memory.

The core takes arrays of the accumulator's dtype: images of contiguous rows, and contiguous maps. Others (other dtypes,
byte orders or strides) are copied some images at a time, or one block of outputs and its receptive field at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple
from typing import cast as cast_to

import numpy as np

from fastconv import _core
from fastconv._arrays import Indices, Room, fits_core, is_plain, numbers_of, plain, store, take
from fastconv._problem import Array, Triple

if TYPE_CHECKING:
    from fastconv.algorithms import Layout

CONVERTED_BYTES = 2**22  # bytes of whole images converted at a time; larger images are cut into blocks
BLOCK_BYTES = 2**21  # bytes of a block: of its receptive field and its outputs together
SWEPT_BYTES = 2**17  # bytes of a block of sweeps, padded and converted in the caches: of its pixels and sums together
BLOCK_COLUMNS = 6144  # of one
ROWS = 12  # that sweeps compute at a time: a multiple of what all do
LANES = 16  # of the widest vectors
# Bytes of a result from which on its memory is new pages: the system has just cleared them, and they are in the cache.
NEW_PAGES_BYTES = 2**25
MAX_INTERLEAVED = 16  # images in a block for their pixels' sake


class Block(NamedTuple):
    """Part of the outputs of an image, along each axis."""

    outputs: tuple[slice, ...]
    pixels: tuple[Indices, ...]  # that they see
    pads: tuple[int, ...]  # before these


def lies_as(residual: Array, maps: Array) -> bool:
    """Return whether a residual has the dtype of maps of the same shape, and their strides."""
    axes = zip(maps.shape, residual.strides, maps.strides, strict=True)
    return residual.dtype == maps.dtype and residual.flags.aligned and all(n == 1 or s == t for n, s, t in axes)


def _loaded(layout: Layout, images: Array, room: Room) -> Array:
    """Return images (N, C, D, H, W) as the layout's core takes them, the same ones if possible."""
    return plain(images, layout.problem.accumulator, room) if layout.load is None else layout.load(images, room)


def cast(values: Array, out: Array, saturates: bool = False, bypasses_cache: bool = False) -> None:
    """Copy plain results to an array of another dtype, without warnings: values too large for float16 become infinite.

    Integers hold them truncated towards zero, and wrapped around; or rounded to nearest, ties to even, and clipped.
    """
    if values.dtype.char in "fd" and (saturates or out.dtype.kind not in "biu"):
        store(values, out, bypasses_cache)
        return
    if saturates:
        limits, held = np.iinfo(out.dtype), np.iinfo(values.dtype)
        values = values.clip(max(limits.min, held.min), min(limits.max, held.max))
    if out.dtype.kind in "bui" and values.dtype.kind == "f":  # whose conversion by NumPy differs from CPU to CPU
        holds_bits = is_plain(out, out.dtype) and out.dtype.kind != "b" and out.dtype.isnative
        whole = out if holds_bits else np.empty(out.shape, np.int64)
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


def convolve(
    layout: Layout,
    input: Array,
    packed: Any,
    bias: Array | None,
    result: Array,
    threads: int,
    residual: Array | None = None,
    is_new: bool = False,
) -> None:
    """Run a layout on input, result and residual of any dtype and strides, with all batch axes; bias must be plain.

    is_new: the result lies in memory that nothing has been written to.
    """
    problem = layout.problem
    streams = problem.bypasses_cache and not (is_new and result.nbytes >= NEW_PAGES_BYTES)
    if (
        problem.border is None
        and layout.whole_images
        and is_plain(input, problem.accumulator)
        and is_plain(result, problem.accumulator)
        and (residual is None or is_plain(residual, problem.accumulator))
    ):
        images, maps = input.reshape(layout.images_shape), result.reshape(layout.maps_shape)
        more = None if residual is None else residual.reshape(layout.maps_shape)
        layout.run(images, packed, bias, maps, problem.pad, threads, more)
        return
    for images, maps, more in _batches(layout, input, result, residual):
        if layout.any_arrays and not problem.rounds:
            layout.run(images, packed, bias, maps, problem.pad, threads, more)
        elif layout.any_arrays:
            sums = _core.empty(maps.shape, problem.accumulator)
            layout.run(images, packed, bias, sums, problem.pad, threads, more)
            cast(sums, maps, saturates=True)
        else:
            _run_pieces(layout, images, packed, bias, maps, threads, more, streams)


def workspace(layout: Layout) -> int:
    """Return the bytes of workspace that each thread takes."""
    return layout.workspace if layout.whole_images else _block_cut(layout, 1)[2].workspace


def _batches(
    layout: Layout, input: Array, result: Array, residual: Array | None
) -> Iterator[tuple[Array, Array, Array | None]]:
    """Yield views (N, C, D, H, W) of input and (N, K, D', H', W') of result and residual.

    They are several if batch axes cannot be merged.
    """
    batch_axes, border = len(layout.problem.batch_shape), layout.problem.border
    image_shape = layout.images_shape[1:] if border is None else (layout.images_shape[1], *border.size)
    given = [array for array in (input, result, residual) if array is not None]
    if batch_axes <= 1 or all(array.flags.c_contiguous for array in given):
        more = None if residual is None else residual.reshape(layout.maps_shape)
        yield input.reshape(layout.images_shape[0], *image_shape), result.reshape(layout.maps_shape), more
        return
    count = input.shape[batch_axes - 1]
    for index in np.ndindex(input.shape[: batch_axes - 1]):
        images = input[index].reshape(count, *image_shape)
        more = None if residual is None else residual[index].reshape(count, *layout.maps_shape[1:])
        yield images, result[index].reshape(count, *layout.maps_shape[1:]), more


def _run_pieces(
    layout: Layout,
    images: Array,
    packed: Any,
    bias: Array | None,
    maps: Array,
    threads: int,
    residual: Array | None,
    streams: bool,
) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), converting some images or blocks at a time.

    `streams`: past the cache, where maps are copied.
    """
    if _are_side_by_side(images) and _are_side_by_side(maps) and (flat := _interleaved(layout, len(images))):
        images, maps = (_as_one(planes) for planes in (images, maps))
        convolve(flat, images, packed, bias, maps, threads, None if residual is None else _as_one(residual))
        return
    problem = layout.problem
    accumulator, border = problem.accumulator, problem.border
    if (
        border is None
        and residual is None
        and not problem.rounds
        and (last := _channels_last(layout, images, maps, streams))
    ):
        last.run(images, packed, bias, maps, problem.pad, threads)
        return
    fits = fits_core(images, accumulator, layout.contiguous_axes)
    fits_maps = fits_core(maps, accumulator, 3) and (residual is None or maps.flags.c_contiguous)
    converts = not (fits and fits_maps) or border is not None
    if converts and residual is None and _run_sweeps(layout, images, packed, bias, maps, threads):
        return
    rooms = Room(), Room(), Room(), Room()  # for input, its border, output and residual
    image_bytes = max(1, math.prod(images.shape[1:])) * accumulator.itemsize
    count = len(images) if fits else CONVERTED_BYTES // image_bytes  # 0: an image exceeds them
    splits = count < len(images) and _are_side_by_side(images)  # pixels of planes that are read together
    if border is None and count and layout.whole_images and not splits and fits_maps:
        for first in range(0, len(images), count):
            batch = images[first : first + count]
            if not fits:
                batch = _loaded(layout, batch, rooms[0])
            some = maps[first : first + count]
            more = None if residual is None else plain(residual[first : first + count], accumulator, rooms[3])
            layout.run(batch, packed, bias, some, problem.pad, threads, more)
        return
    together = min(len(images), MAX_INTERLEAVED) if _are_side_by_side(images) else 1
    count, block_layout, blocks = cut(layout, together)
    for first in range(0, maps.shape[0], count):
        batch = images[first : first + count]
        for outputs, pixels, pads in blocks:
            target = maps[first : first + count, :, *outputs]
            if border is None:
                source = take(batch, pixels)
            else:
                source = border.section(batch, cast_to(list[slice], pixels), accumulator, rooms[1], rooms[0])
            source = _loaded(block_layout, source, rooms[0])
            more = None if residual is None else residual[first : first + count, :, *outputs]
            is_alike = more is None or lies_as(more, target)
            fits = fits_core(target, accumulator, 3) and (is_alike or target.flags.c_contiguous)
            result = target if fits else rooms[2].array(target.shape, accumulator)
            if more is not None and not (fits and is_alike):
                more = plain(more, accumulator, rooms[3])
            block_layout.run(source, packed, bias, result, pads, threads, more)
            if result is not target:
                cast(result, target, problem.rounds, streams)


class Sweeps(NamedTuple):
    """How the core sweeps over images and maps of any dtype: block by block, padded and converted in the caches."""

    border: tuple[Any, ...]
    block: tuple[int, int]  # rows and columns of a map
    layouts: tuple[_core.SweepLayout, ...]
    workspace: int


def _run_sweeps(layout: Layout, images: Array, packed: Any, bias: Array | None, maps: Array, threads: int) -> bool:
    """Convolve images into maps, neither as the core takes them, by sweeps, if that is what the layout does; return whether it is."""
    problem = layout.problem
    given, result = numbers_of(images), numbers_of(maps)
    if given is None or result is None or (maps.dtype.kind in "biu" and not problem.rounds):
        return False
    if "sweeps" not in layout.derived:
        layout.derived["sweeps"] = _sweeps(layout)
    sweeps: Sweeps | None = layout.derived["sweeps"]
    if sweeps is None:
        return False
    weights = (packed,) if len(sweeps.layouts) == 1 else packed[-2:]
    return _core.sweep_blocks(
        *given,
        *result,
        weights,
        bias,
        sweeps.border,
        problem.stride,
        sweeps.block,
        sweeps.layouts,
        sweeps.workspace,
        threads,
    )


def _sweeps(layout: Layout) -> Sweeps | None:
    """Return how the core sweeps block by block for a layout, None if that does not sweep or reads too many rows."""
    problem = layout.problem
    border = problem.surroundings
    _, rows, columns = problem.output_size
    parts = -(-columns // max(BLOCK_COLUMNS, 2 * problem.span(2)))
    step = LANES if parts == 1 else LANES * border.interleaved
    columns = -(-columns // step // parts) * step  # whole vectors: those behind the last outputs are left alone

    def block_bytes(rows: int) -> int:
        numbers = problem.span(1, rows) * problem.span(2, columns) + problem.filters // problem.groups * rows * columns
        return numbers * problem.accumulator.itemsize

    while rows > max(ROWS, problem.span(1)) and block_bytes(rows) > SWEPT_BYTES:
        rows = -(-rows // (2 * ROWS)) * ROWS
    if block_bytes(rows) > CONVERTED_BYTES or (made := layout.sweeps((1, rows, columns))) is None:
        return None
    values = border.values * (1 if len(border.values) > 1 else problem.channels)
    modes = tuple(_core.PADDING_MODES[mode] for mode in border.modes)
    edges = border.pad, modes, np.array(values, problem.accumulator), border.interleaved
    return Sweeps(edges, (rows, columns), *made)


def cut(layout: Layout, together: int = 1) -> tuple[int, Layout, list[Block]]:
    """Return how many images form a block, at least `together`, the layout of blocks, and the blocks of an image."""
    count, size, block_layout = _block_cut(layout, together)
    axes = [list(_cut_axis(block_layout, axis, length)) for axis, length in enumerate(size)]
    return count, block_layout, [Block(*zip(*parts, strict=True)) for parts in product(*axes)]


def _cut_axis(layout: Layout, axis: int, length: int) -> Iterator[tuple[slice, Indices, int]]:
    """Yield the blocks of so many outputs along an axis: outputs, the pixels that they see, and the padding before these."""
    problem = layout.problem
    outputs = problem.output_size[axis]
    for start in range(0, outputs, length):
        stop = min(start + length, outputs)
        if problem.border is None and stop - start == outputs:  # the core knows all modes
            yield slice(start, stop), slice(0, problem.size[axis]), problem.pad[axis]
        else:
            pixels, before = problem.input_range(axis, start, stop, layout.pixels_read(axis, stop - start))
            yield slice(start, stop), pixels, before


def _are_side_by_side(planes: Array) -> bool:
    """Return whether planes (N, 1, D, H, W) are those of a photograph, which lie pixel by pixel side by side."""
    step = planes.itemsize
    return planes.shape[0] > 1 == planes.shape[1] and planes.strides[0] == step != planes.strides[4]


def _channels_last(layout: Layout, images: Array, maps: Array, streams: bool) -> Layout | None:
    """Return the layout for maps whose channels come last, and images that the core takes or that are so; made only once."""
    dtype = layout.problem.accumulator
    rows_follow = maps.shape[4] > 1 and maps.strides[3] == maps.shape[4] * maps.strides[4]
    if not (rows_follow and _has_channels_last(maps, dtype)):
        return None
    if not _has_channels_last(images, dtype) and not fits_core(images, dtype, 1):
        return None
    if (key := ("channels last", streams)) not in layout.derived:
        layout.derived[key] = layout.of_channels_last(streams)
    derived: Layout | None = layout.derived[key]
    return derived


def _has_channels_last(array: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether an array (N, C, D, H, W) is of this dtype, and its channels lie side by side."""
    itemsize, flags = dtype.itemsize, array.flags
    are_aligned = flags.aligned and not any(stride % itemsize for stride in array.strides)
    return are_aligned and array.dtype == dtype and (array.strides[1] == itemsize or array.shape[1] == 1)


def _as_one(planes: Array) -> Array:
    """Return planes that lie side by side as one image (1, 1, D, H, N * W)."""
    _, _, depth, rows, columns = planes.shape
    return planes.transpose(1, 2, 3, 4, 0).reshape(1, 1, depth, rows, columns * len(planes))


def _interleaved(layout: Layout, count: int) -> Layout | None:
    """Return the layout for so many planes that lie side by side as one image; made only once."""
    if (key := ("interleaved", count)) not in layout.derived:
        problem = layout.problem.interleaved(count)
        layout.derived[key] = layout.of_longer_rows(problem) if problem else None
    derived: Layout | None = layout.derived[key]
    return derived


def _block_cut(layout: Layout, together: int) -> tuple[int, Triple, Layout]:
    """Return how many images, and how many outputs along each axis, form a block, and its layout; made only once.

    together: images that a block has at least.
    """
    if (key := ("blocks", together)) not in layout.derived:
        count, size = _block_size(layout, together)
        block = layout.block(size)
        layout.derived[key] = count, size, None if block is layout else block  # None: no reference cycle
    count, size, other = layout.derived[key]
    return count, size, other or layout


def _block_size(layout: Layout, together: int) -> tuple[int, Triple]:
    """Return how many images, at least `together`, and how many outputs along each axis, form a block."""
    problem = layout.problem

    def block_bytes(size: list[int]) -> int:
        pixels = math.prod(problem.span(axis, n) for axis, n in enumerate(size))
        numbers = problem.channels * pixels + problem.filters * math.prod(size)
        return together * numbers * problem.accumulator.itemsize

    steps = [-(-n // step) for n, step in zip(problem.output_size, layout.step, strict=True)]

    def size() -> list[int]:
        axes = zip(steps, layout.step, problem.output_size, strict=True)
        return [min(count * step, n) for count, step, n in axes]

    count = together * max(1, BLOCK_BYTES // block_bytes(size()))
    for axis in range(3):
        while steps[axis] > 1 and (whole := block_bytes(size())) > BLOCK_BYTES:
            steps[axis] = (steps[axis] + 1) // 2
            if block_bytes(size()) > 0.8 * whole:  # wide dilation: halving hardly shrinks the receptive field
                break
    depth, rows, columns = (count * step for count, step in zip(steps, layout.step, strict=True))
    return count, (depth, rows, columns)
