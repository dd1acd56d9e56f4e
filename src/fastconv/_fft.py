"""Convolution by Fourier transforms, for kernels so large that there are too many products to add up one by one.

An image is cut into blocks that overlap by what a kernel spans (overlap-save: T. G. Stockham, "High-speed convolution and
correlation", 1966). With F a real transform of a block, X and W spectra of channels and kernels, the maps of a block are

    y[k] = activation(bias[k] + inverse F (sum over channels c of  X[c] * conj(W[k, c])))

A block is transformed once for all filters, and a sum transformed back once for all channels. Transforms are scipy's if it is
installed, else NumPy's.

Rounding errors of a transform are as large as the largest numbers of a block make them, everywhere in it. So outputs that see
nothing but zeros are set to what the bias gives; blocks in which some parts are much darker than others are transformed in double
precision; and those where even that would not do, or with sums that are not finite, are left to direct summation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastconv import _core
from fastconv._check import Array, Problem, Triple, is_readable
from fastconv.config import spread

DOMAIN = "it takes float32 or float64"

LENGTHS = [part << power for power in range(2, 48) for part in (4, 5, 6)]  # that are transformed fast
LONGEST = 16  # times what a kernel spans: longer blocks hardly overlap less
WORKSPACE_BYTES = 2**22  # of a thread,
WORKSPACE_KERNELS = 16  # or so many times what a kernel spans if that is more
LEAST_TIMES = 4  # or, if that is asked for, so many times the least that will do
UNIT_BYTES = 2**20  # that are worked on at a time, if there is more than one block in it
# How much brighter a block may be than its darkest part, for numbers of so many bytes: errors of dark outputs then stay below 1e-4
# of the sum of their products' magnitudes.
RANGE = {4: 24.0, 8: 2.0**33}
LEAST_CELL = 4  # pixels that are looked at together; fewer may well be dark
NOISE = 2.0**-48  # of the largest sum, that transforms in double precision leave elsewhere, at most

# What things cost, in products of the best direct kernel.
TRANSFORM = 9.0  # a number in one of the log2(n) steps of a transform
MULTIPLY = 14.0  # a number of a spectrum with another, and adding it up
COPY = 6.0  # a number of a block, in or out
CALL = 5e5  # of NumPy or scipy
LEAST = 2e6  # a problem worth thinking about
SAVING = 0.85  # of another algorithm's cost, or less: elsewhere vectors may be as wide and transforms slower


class Filters(NamedTuple):
    """Filters, transformed if that is to serve many calls."""

    filters: Array  # (groups, K / groups, C / groups, kd, kh, kw)
    spectra: Array | None  # complex conjugates (groups, K / groups, C / groups, *spectrum)


class Layout(NamedTuple):
    """How to cut images into blocks."""

    problem: Problem
    axes: tuple[int, ...]  # that are transformed: those along which kernels extend
    span: Triple  # of a kernel
    cell: Triple  # that is looked at as a whole when asking whether parts of an image are darker than others
    length: Triple  # of a block
    blocks: int  # side by side that are worked on at a time
    groups: int  # of channels, likewise
    filters: int  # of a group, likewise: as many as transformed ones find room, unless they are kept
    keeps: bool  # transformed filters for many calls
    convolve: Callable[[Problem, Array, Array, Array | None], Array]  # one block, directly

    @property
    def spectrum(self) -> Triple:
        """What a block's spectrum measures, half of it being the mirror image of the other; 1 where nothing is transformed."""
        depth, rows, columns = (
            (n // 2 + 1 if axis == self.axes[-1] else n) if axis in self.axes else 1
            for axis, n in zip((-3, -2, -1), self.length, strict=True)
        )
        return depth, rows, columns

    @property
    def outputs(self) -> Triple:
        """Outputs of a block, per axis."""
        return _outputs(self.problem, self.length)

    @property
    def workspace(self) -> int:
        """Bytes that each thread works in."""
        spectra = 0 if self.keeps else self.filters * _spectrum_bytes(self.problem, self.length)
        return self.groups * (self.blocks * _block_bytes(self.problem, self.length) + spectra)


def choose(
    problem: Problem,
    keeps_packed: bool,
    most: float,
    convolve: Callable[[Problem, Array, Array, Array | None], Array],
) -> Layout | None:
    """Return the cheapest blocks, None if they cost more than `most` or do not fit; `convolve` computes a block directly."""
    wanted = problem.algorithm == "fft"
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if not wanted and (problem.algorithm != "auto" or most < LEAST or math.prod(problem.kernel) < MULTIPLY):
        return None
    spans = _spans(problem)
    transforms = (problem.channels + problem.filters) * (TRANSFORM * math.log2(math.prod(spans)) + COPY)
    products = problem.filters * problem.channels // problem.groups * MULTIPLY
    if not wanted and math.prod(problem.output_size) * (transforms + products) > SAVING * most:  # at the very least
        return None
    axes = tuple(axis for axis in (-3, -2, -1) if spans[axis] > 1) or (-1,)
    depths, rows, columns = (_lengths(problem, axis, axis in axes) for axis in (-3, -2, -1))
    choices: list[Triple] = list(itertools.product(depths, rows, columns))
    needed = [
        _block_bytes(problem, length) + (0 if keeps_packed else _spectrum_bytes(problem, length)) for length in choices
    ]
    room = max(WORKSPACE_BYTES, WORKSPACE_KERNELS * math.prod(spans) * problem.accumulator.itemsize)
    if wanted:
        room = max(room, LEAST_TIMES * min(needed))
    layouts = (
        _layout(problem, axes, length, room, keeps_packed, convolve)
        for length, bytes_ in zip(choices, needed, strict=True)
        if bytes_ <= room
    )
    best = min(((cost(layout), layout) for layout in layouts), key=lambda pair: pair[0], default=None)
    return best[1] if best and (wanted or best[0] < SAVING * most) else None


def cost(layout: Layout) -> float:
    """Return how long this takes on one image, in products at full speed."""
    problem = layout.problem
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    counts = [-(-size // n) for size, n in zip(problem.output_size, layout.outputs, strict=True)]
    units = math.prod(counts[:2]) * -(-counts[2] // layout.blocks) * -(-problem.groups // layout.groups)
    steps = sum(math.log2(layout.length[axis]) for axis in layout.axes)
    numbers = math.prod(layout.length)
    spectra = filters * channels
    times = -(-filters // layout.filters)  # that blocks are transformed
    block = (channels * times + filters) * (TRANSFORM * steps + COPY) + spectra * MULTIPLY
    once = 0.0 if layout.keeps else problem.groups * spectra * (TRANSFORM * steps + COPY) * numbers
    calls = CALL * (units * (4 * times + 3 * filters + spectra) + math.prod(counts) * filters)
    return math.prod(counts) * problem.groups * numbers * block + once + calls


def pack(filters: Array, layout: Layout) -> Filters:
    """Transform filters (K, C / groups * taps) if the layout keeps them."""
    problem = layout.problem
    filters = filters.reshape(problem.groups, -1, problem.channels // problem.groups, *problem.kernel)
    if not layout.keeps:
        return Filters(filters, None)
    spectra = _core.empty((*filters.shape[:3], *layout.spectrum), np.result_type(filters, np.complex64))
    for index in np.ndindex(filters.shape[:2]):
        spectra[index] = _transform(filters[index], layout, filters.dtype)
    return Filters(filters, spectra)


def _transform(filters: Array, layout: Layout, dtype: np.dtype[Any]) -> Array:
    """Return the complex conjugates of transformed filters (..., kd, kh, kw), computed in a dtype."""
    problem = layout.problem
    shape = [n if axis in layout.axes else 1 for axis, n in zip((-3, -2, -1), layout.length, strict=True)]
    taps = tuple(slice(0, span, step) for span, step in zip(_spans(problem), problem.dilation, strict=True))
    spread = np.zeros((*filters.shape[:-3], *shape), dtype)
    spread[_last_axes(taps)] = filters
    with np.errstate(all="ignore"), _out_of_memory(layout):
        spectra: Array = _library()[0].rfftn(spread, axes=layout.axes)
        return np.conjugate(spectra, out=spectra)


@contextmanager
def _out_of_memory(layout: Layout) -> Iterator[None]:
    """Say what there is no memory for: those who transform do not."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"no memory for a workspace of {layout.workspace} bytes") from error


def convolve(
    images: Array, weight: Filters, bias: Array | None, maps: Array, _: Sequence[int], layout: Layout, threads: int
) -> None:
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), both of any dtype and strides."""
    problem = layout.problem
    images = images.reshape(len(images), problem.groups, -1, *problem.size)
    maps = maps.reshape(len(maps), problem.groups, -1, *problem.output_size)
    depth, rows, columns = layout.outputs
    steps = (layout.groups, layout.filters, 1, depth, rows, columns * layout.blocks)
    sizes = (problem.groups, maps.shape[2], len(images), *problem.output_size)
    units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
    spectra = _spectra(weight, layout, threads)
    with _out_of_memory(layout):
        spread(partial(_convolve_unit, images, weight.filters, spectra, bias, maps, layout), units, threads)


def _spectra(weight: Filters, layout: Layout, threads: int) -> Callable[[int, int, np.dtype[Any]], Array]:
    """Return how to come by spectra (groups, C / groups, *spectrum) of the k-th filters of some groups from one on, in a dtype."""
    kept, most = weight.spectra, max(1, layout.filters * threads)
    if kept is not None:
        most = max(
            1, min(most, WORKSPACE_BYTES // (2 * layout.groups * _spectrum_bytes(layout.problem, layout.length)))
        )

    @lru_cache(maxsize=most)
    def transformed(group: int, k: int, dtype: np.dtype[Any]) -> Array:
        return _transform(weight.filters[group : group + layout.groups, k], layout, dtype)

    def spectra(group: int, k: int, dtype: np.dtype[Any]) -> Array:
        if kept is not None and dtype == layout.problem.accumulator:
            return kept[group : group + layout.groups, k]
        return transformed(group, k, dtype)

    return spectra


def _convolve_unit(
    images: Array,
    filters: Array,
    spectra: Callable[[int, int, np.dtype[Any]], Array],
    bias: Array | None,
    maps: Array,
    layout: Layout,
    unit: tuple[int, ...],
) -> None:
    """Compute some neighbouring blocks of one image, for some groups of channels and some of their filters."""
    problem = layout.problem
    group, first, n, *start = unit
    groups, some = slice(group, group + layout.groups), slice(first, first + layout.filters)
    depth, rows, columns = layout.outputs
    maps = maps[n, groups, some, start[0] : start[0] + depth, start[1] : start[1] + rows]
    maps = maps[..., start[2] : start[2] + columns * layout.blocks]  # (groups, K / groups, D', H', W')
    offsets = None if bias is None else bias.reshape(-1, filters.shape[1], 1, 1, 1)[groups, some]
    strip, pads, image = _strip(images[n, groups], layout, start, maps.shape[-3:])
    blocks = _blocks(strip, layout)
    targets = list(_cut(maps, columns))
    with np.errstate(all="ignore"):
        dtype, blank = _look(image, pads, maps.shape[-3:], layout)
        clean = np.full(blocks.shape[:2], dtype is not None)
        if dtype is not None:
            exact = blocks if dtype == strip.dtype else _blocks(strip.astype(dtype), layout)
            seen = _library()[0].rfftn(exact, axes=layout.axes)  # (blocks, groups, C / groups, *spectrum)
            for k in range(maps.shape[1]):
                spectrum = spectra(group, first + k, dtype)
                products = _sum_of_products(seen, spectrum, last=k == maps.shape[1] - 1)
                values = _transform_back(products, layout)  # (blocks, groups, *outputs)
                if dtype != strip.dtype:
                    values = _rounded(values, strip.dtype)
                clean &= _are_finite(values)
                if blank is not None:
                    for b, some_blank in enumerate(_cut(blank, columns)):
                        values[b][_last_axes(map(slice, some_blank.shape[1:]))][some_blank] = 0
                if offsets is not None:
                    values += offsets[:, k]
                if problem.activation is not None:
                    _core.apply_activation(values, _core.ACTIVATIONS[problem.activation])
                for target, block in zip(targets, values, strict=True):
                    target[:, k] = block[_last_axes(map(slice, target.shape[-3:]))]
        # A transform spreads NaN and infinity, be they from the image or of its own making, over all of its block.
        for b, g in np.argwhere(~clean):
            offset = None if offsets is None else offsets[g].ravel()
            values = layout.convolve(problem, blocks[b, g], filters[groups, some][g], offset)
            targets[b][g] = values[_last_axes(map(slice, targets[b][g].shape))]


def _are_finite(values: Array) -> Array:
    """Tell of which (blocks, groups, *outputs) all outputs are finite."""
    finite: Array = np.isfinite(np.asarray(values.sum(axis=(2, 3, 4))))
    # A sum may overflow.
    return finite if finite.all() else np.asarray(np.isfinite(values).all(axis=(2, 3, 4)))


def _rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return sums (blocks, groups, *outputs) in a less precise dtype: 0 where they are no more than rounding errors of others."""
    sizes = abs(values)
    values[sizes < NOISE * sizes.max(axis=(2, 3, 4), keepdims=True)] = 0
    return values.astype(dtype)


def _look(image: Array, pads: Triple, outputs: Triple, layout: Layout) -> tuple[np.dtype[Any] | None, Array | None]:
    """Return in which dtype to transform what some outputs see of an image (groups, C / groups, D, H, W), None if none will do,
    and which of them see only zeros (groups, *outputs).

    A window of zeros has a cell of zeros in it, but for dilated ones and those that see too little of the image.
    """
    problem, dtype = layout.problem, layout.problem.accumulator
    if not image.size:
        return dtype, np.ones((len(image), *outputs), bool)
    brightness, has_blanks, is_dark = _core.dynamic_range(image, layout.cell)
    blank = None
    if has_blanks or max(problem.dilation) > 1 or not _see_cells(image.shape[2:], pads, outputs, layout):
        blank = _core.blank_windows(image, pads, problem.kernel, problem.stride, problem.dilation, outputs)
    if brightness > RANGE[8]:
        return None, blank
    return np.dtype(np.float64) if is_dark or brightness > RANGE[4] else dtype, blank


def _see_cells(size: tuple[int, ...], pads: Triple, outputs: Triple, layout: Layout) -> bool:
    """Tell whether all outputs see as much of an image that every kernel has a whole cell in it, whatever lies in the padding."""
    for n, before, count, step, span, cell in zip(
        size, pads, outputs, layout.problem.stride, layout.span, layout.cell, strict=True
    ):
        behind = (count - 1) * step + span - before - n
        if min(n, span - max(before, behind)) < 2 * cell - 1:
            return False
    return True


def _strip(image: Array, layout: Layout, start: Sequence[int], size: Sequence[int]) -> tuple[Array, Triple, Array]:
    """Return what some neighbouring blocks of outputs see of an image (groups, C / groups, D, H, W), zeros around it; how many of
    these are before each axis; and the part that is of the image."""
    problem = layout.problem
    count = -(-size[2] // layout.outputs[2])
    width = layout.length[2] + (count - 1) * layout.outputs[2] * problem.stride[2]
    shape = (*image.shape[:2], *layout.length[:2], width)
    depth, rows, columns = (problem.reach(axis, start[axis], start[axis] + size[axis]) for axis in range(3))
    image = _pick(image, (depth[0], rows[0], columns[0]))
    pads = (depth[1], rows[1], columns[1])
    if image.shape == shape and is_readable(image, problem.accumulator, 1):
        return image, pads, image
    strip = np.zeros(shape, problem.accumulator)
    inside = strip[_last_axes(slice(before, before + n) for before, n in zip(pads, image.shape[2:], strict=True))]
    inside[...] = image
    return strip, pads, inside


def _blocks(strip: Array, layout: Layout) -> Array:
    """Return the blocks of a strip, which overlap in memory: (blocks, groups, C / groups, *length)."""
    step = layout.outputs[2] * layout.problem.stride[2]
    count = (strip.shape[-1] - layout.length[2]) // step + 1
    if count == 1:
        return strip[np.newaxis]
    strides = (step * strip.strides[-1], *strip.strides)
    return as_strided(strip, (count, *strip.shape[:2], *layout.length), strides, writeable=False)


def _pick(image: Array, places: Sequence[slice | list[int]]) -> Array:
    """Return what lies at these places of an image's axes (groups, C / groups, D, H, W); copy only what is picked one by one."""
    image = image[_last_axes(here if isinstance(here, slice) else slice(None) for here in places)]
    lists = [(axis, here) for axis, here in enumerate(places, 2) if not isinstance(here, slice)]
    if len(lists) > 1:
        ranges = (
            range(n) if isinstance(here, slice) else here for here, n in zip(places, image.shape[2:], strict=True)
        )
        image = image[_last_axes(np.ix_(*ranges))]
        lists = []
    for axis, here in lists:
        image = image.take(here, axis)
    return image


def _sum_of_products(seen: Array, spectra: Array, last: bool) -> Array:
    """Return the sum over channels of spectra (blocks, groups, C / groups, *spectrum) times a filter's (groups, C / groups, *spectrum),
    in place of the former if this is the last filter."""
    total: Array = np.multiply(seen[:, :, 0], spectra[:, 0], out=seen[:, :, 0] if last else None)
    product = _core.empty(total.shape, total.dtype) if seen.shape[2] > 1 else None
    for c in range(1, seen.shape[2]):
        total += np.multiply(seen[:, :, c], spectra[:, c], out=product)
    return total


def _transform_back(spectra: Array, layout: Layout) -> Array:
    """Return the outputs of blocks from their spectra; those that wrapped round, or that strides leave out, are dropped at once."""
    fft, in_place = _library()
    values = spectra
    for axis, span, stride in zip((-3, -2, -1), _spans(layout.problem), layout.problem.stride, strict=True):
        if axis == layout.axes[-1]:
            continue
        if axis in layout.axes:
            values = fft.ifft(values, axis=axis, **in_place)
        values = _keep(values, axis, layout.length[axis] - span + 1, stride)
    axis = layout.axes[-1]
    values = fft.irfft(values, layout.length[axis], axis=axis)
    kept = layout.length[axis] - _spans(layout.problem)[axis] + 1
    return _keep(values, axis, kept, layout.problem.stride[axis])


def _keep(values: Array, axis: int, count: int, stride: int) -> Array:
    kept: Array = values[_last_axes([slice(0, count, stride), *[slice(None)] * (-1 - axis)])]
    return kept


def _last_axes(places: Iterable[Any]) -> tuple[Any, ...]:
    """Return the index of these places along the last axes."""
    return (..., *places)


def _cut(maps: Array, columns: int) -> Iterator[Array]:
    """Yield maps in pieces of so many columns."""
    for first in range(0, maps.shape[-1], columns):
        yield maps[..., first : first + columns]


def _spans(problem: Problem) -> Triple:
    depth, rows, columns = ((taps - 1) * step + 1 for taps, step in zip(problem.kernel, problem.dilation, strict=True))
    return depth, rows, columns


def _outputs(problem: Problem, length: Triple) -> Triple:
    depth, rows, columns = (
        (n - span) // step + 1 for n, span, step in zip(length, _spans(problem), problem.stride, strict=True)
    )
    return depth, rows, columns


def _lengths(problem: Problem, axis: int, transformed: bool) -> list[int]:
    """Return lengths of blocks worth trying: up to one that holds all that outputs see."""
    span = _spans(problem)[axis]
    whole = (problem.output_size[axis] - 1) * problem.stride[axis] + span
    if not transformed:
        return [-(-whole // 2**power) for power in range(whole.bit_length())]
    first = next(i for i, n in enumerate(LENGTHS) if n >= span)
    last = next(i for i, n in enumerate(LENGTHS) if n >= min(whole, LONGEST * span))
    return LENGTHS[first : last + 1]


def _block_bytes(problem: Problem, length: Triple) -> int:
    """Return how many bytes a block of one group takes: pixels and spectra of all channels, sums and outputs of one filter."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    return (2 * channels + 2 + (channels > 1) + (filters > 1)) * math.prod(length) * problem.accumulator.itemsize


def _spectrum_bytes(problem: Problem, length: Triple) -> int:
    """Return how many bytes a transformed filter takes, if every axis is transformed."""
    return problem.channels // problem.groups * math.prod(length) * problem.accumulator.itemsize


def _layout(
    problem: Problem,
    axes: tuple[int, ...],
    length: Triple,
    room: int,
    keeps: bool,
    convolve: Callable[[Problem, Array, Array, Array | None], Array],
) -> Layout:
    bytes_, spectrum, filters = (
        _block_bytes(problem, length),
        0 if keeps else _spectrum_bytes(problem, length),
        problem.filters // problem.groups,
    )
    blocks = max(1, min(-(-problem.output_size[2] // _outputs(problem, length)[2]), UNIT_BYTES // bytes_))
    if spectrum:
        filters = max(1, min(filters, (room - blocks * bytes_) // spectrum))
    groups = 1
    if filters == problem.filters // problem.groups:
        groups = max(1, min(problem.groups, UNIT_BYTES // (bytes_ * blocks + filters * spectrum)))
    span = _spans(problem)
    depth, rows, columns = (max(min((taps + 1) // 2, LEAST_CELL), (taps + 1) // 4) for taps in span)
    cell = depth, rows, columns
    return Layout(problem, axes, span, cell, length, blocks, groups, filters, keeps, convolve)


@cache
def _library() -> tuple[Any, dict[str, bool]]:
    """Return the module that transforms, and how to tell it that it may work in place."""
    try:
        return import_module("scipy.fft"), {"overwrite_x": True}
    except ImportError:
        return np.fft, {}
