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

from fastconv import _blocks, _core, _weights
from fastconv._blocks import is_readable
from fastconv._problem import Array, Problem, Triple
from fastconv._threads import parallel_for
from fastconv.algorithms import WORKSPACE_BYTES, Layout, direct, sweep, tiles

NAME = "fft"
DOMAIN = "it takes float32 or float64"

LENGTHS = [part << power for power in range(2, 48) for part in (4, 5, 6)]  # whose transforms are fast
LONGEST = 16  # times a kernel's span: longer blocks hardly overlap less
WORKSPACE_SPANS = 16  # workspaces of so many times a kernel's span are taken where WORKSPACE_BYTES are fewer
LEAST_TIMES = 4  # and of so many times the least that will do, if transforms are asked for
UNIT_BYTES = 2**20  # that are worked on at a time, if there is more than one block in it
# How much brighter a block may be than its darkest part, for numbers of so many bytes: errors of dark outputs then stay below 1e-4
# of the sum of their products' magnitudes.
RANGE = {4: 24.0, 8: 2.0**33}
LEAST_CELL = 4  # pixels whose brightness is taken together: fewer may well be dark in any image
NOISE = 2.0**-48  # of the largest sum, that transforms in double precision leave elsewhere, at most

# Costs as in direct.py, measured with scipy's transforms.
TRANSFORM = 9.0  # a number in one of the log2(n) steps of a transform
MULTIPLY = 14.0  # multiplying a number of a spectrum with another, and adding it up
COPY = 6.0  # a number of a block, in or out
CALL = 5e5  # the overhead of a call of NumPy or scipy
LEAST_BUDGET = 2e6  # below which no transform can pay
MARGIN = 0.85  # of the budget, or less: elsewhere vectors may be as wide and transforms slower


class Filters(NamedTuple):
    """Filters, transformed if that is to serve many calls."""

    filters: Array  # (groups, K / groups, C / groups, kd, kh, kw)
    spectra: Array | None  # complex conjugates (groups, K / groups, C / groups, *spectrum)


class Fft(Layout):
    """How to cut images into blocks, some of which are transformed together."""

    name = NAME
    error = 2.0
    any_arrays = True

    def __init__(self, problem: Problem, reuse: bool, axes: tuple[int, ...], blocks: Blocks) -> None:
        self.keeps, self.axes = reuse, axes  # transformed filters for many calls; the axes along which kernels extend
        self.length, self.blocks, self.groups, self.filters = (
            blocks.length,
            blocks.side_by_side,
            blocks.groups,
            blocks.filters,
        )
        self.span = _spans(problem)
        depth, rows, columns = (max(min((taps + 1) // 2, LEAST_CELL), (taps + 1) // 4) for taps in self.span)
        self.cell = depth, rows, columns  # pixels that are looked at as a whole when asking for dark parts
        spectra = 0 if reuse else self.filters * _spectrum_bytes(problem, self.length)
        workspace = self.groups * (self.blocks * _block_bytes(problem, self.length) + spectra)
        packing = (NAME, *axes, *self.length)
        super().__init__(problem, blocks.cost, workspace, packing)
        self._direct: dict[int, Layout] = {}

    @property
    def how(self) -> str:
        return f"blocks of {'x'.join(str(self.length[axis]) for axis in self.axes)}"

    @property
    def products(self) -> float:
        """Those of direct summation that would take as long."""
        return self.cost / direct.cost(self.problem) * self.problem.taps

    @property
    def spectrum(self) -> Triple:
        """Size of a block's spectrum, half of which is the mirror image of the other; 1 where nothing is transformed."""
        depth, rows, columns = (
            (n // 2 + 1 if axis == self.axes[-1] else n) if axis in self.axes else 1
            for axis, n in zip((-3, -2, -1), self.length, strict=True)
        )
        return depth, rows, columns

    @property
    def outputs(self) -> Triple:
        """Outputs of a block, per axis."""
        depth, rows, columns = (
            (n - span) // step + 1 for n, span, step in zip(self.length, self.span, self.problem.stride, strict=True)
        )
        return depth, rows, columns

    def pack(self, weight: Array) -> Filters:
        """Transform filters if that is to serve many calls."""
        problem = self.problem
        filters = _weights.filters(problem, weight)
        filters = filters.reshape(problem.groups, -1, *filters.shape[1:])
        if not self.keeps:
            return Filters(filters, None)
        spectra = _core.empty((*filters.shape[:3], *self.spectrum), np.result_type(filters, np.complex64))
        for index in np.ndindex(filters.shape[:2]):
            spectra[index] = _transform(filters[index], self, filters.dtype)
        return Filters(filters, spectra)

    def run(
        self, images: Array, packed: Filters, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        problem = self.problem
        images = images.reshape(len(images), problem.groups, -1, *problem.size)
        maps = maps.reshape(len(maps), problem.groups, -1, *problem.output_size)
        depth, rows, columns = self.outputs
        steps = (self.groups, self.filters, 1, depth, rows, columns * self.blocks)
        sizes = (problem.groups, maps.shape[2], len(images), *problem.output_size)
        units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
        spectra = _spectra(packed, self, threads)
        with _out_of_memory(self):
            parallel_for(partial(_convolve_unit, images, packed.filters, spectra, bias, maps, self), units, threads)

    def sum_directly(self, block: Array, filters: Array, bias: Array | None) -> Array:
        """Convolve one block (C / groups, D, H, W) with some filters of a group by direct summation."""
        if (layout := self._direct.get(len(filters))) is None:
            problem = self.problem.block(self.length, self.outputs, len(filters))
            layout = sweep.choose(problem, False, math.inf) or tiles.choose(problem, False, math.inf)
            assert layout is not None  # one of them takes all floats
            self._direct[len(filters)] = layout
        maps = _core.empty(layout.problem.output_shape, block.dtype)
        _blocks.convolve(layout, block, layout.pack(filters), bias, maps, 1)
        return maps


class Blocks(NamedTuple):
    """What is worked on at a time, and what an image costs then."""

    length: Triple  # of a block
    side_by_side: int  # blocks
    groups: int  # of channels
    filters: int  # of a group: as many as transformed ones find room, unless they are kept
    cost: float


def choose(problem: Problem, reuse: bool, budget: float) -> Fft | None:
    """Return the cheapest blocks."""
    wanted = problem.algorithm == NAME
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if not wanted and (budget < LEAST_BUDGET or math.prod(problem.kernel) < MULTIPLY):
        return None
    spans = _spans(problem)
    transforms = (problem.channels + problem.filters) * (TRANSFORM * math.log2(math.prod(spans)) + COPY)
    products = problem.filters * problem.channels // problem.groups * MULTIPLY
    if not wanted and math.prod(problem.output_size) * (transforms + products) > MARGIN * budget:  # at the very least
        return None
    axes = tuple(axis for axis in (-3, -2, -1) if spans[axis] > 1) or (-1,)
    blocks = _cheapest_blocks(problem, reuse, axes)
    if not wanted and blocks.cost >= MARGIN * budget:
        return None
    return Fft(problem, reuse, axes, blocks)


def _cheapest_blocks(problem: Problem, reuse: bool, axes: tuple[int, ...]) -> Blocks:
    """Price blocks of all lengths that find room, on a grid of depths, rows and columns."""
    channels, filters = problem.group_size
    spans = _spans(problem)
    lengths = [_lengths(problem, axis, axis in axes) for axis in (-3, -2, -1)]
    depth, rows, columns = np.ix_(*(np.array(some, float) for some in lengths))
    logs = np.ix_(*(np.array([math.log2(n) for n in some]) for some in lengths))
    counts = [
        np.ceil(size / ((n - span) // step + 1))
        for size, n, span, step in zip(problem.output_size, (depth, rows, columns), spans, problem.stride, strict=True)
    ]
    numbers = depth * rows * columns
    block_bytes, spectrum_bytes = (
        numbers * _block_bytes(problem, (1, 1, 1)),
        numbers * _spectrum_bytes(problem, (1, 1, 1)),
    )
    needed = block_bytes + (0 if reuse else spectrum_bytes)
    room = float(max(WORKSPACE_BYTES, WORKSPACE_SPANS * math.prod(spans) * problem.accumulator.itemsize))
    if problem.algorithm == NAME:
        room = max(room, LEAST_TIMES * float(needed.min()))
    side_by_side = np.maximum(1, np.minimum(counts[2], UNIT_BYTES // block_bytes))
    at_a_time = np.full(numbers.shape, float(filters))
    if not reuse:
        at_a_time = np.maximum(1, np.minimum(filters, (room - side_by_side * block_bytes) // spectrum_bytes))
    unit_bytes = side_by_side * block_bytes + (0 if reuse else at_a_time * spectrum_bytes)
    groups = np.where(at_a_time == filters, np.maximum(1, np.minimum(problem.groups, UNIT_BYTES // unit_bytes)), 1)

    steps = sum(logs[axis] for axis in axes)
    units = counts[0] * counts[1] * np.ceil(counts[2] / side_by_side) * np.ceil(problem.groups / groups)
    times = np.ceil(filters / at_a_time)  # that blocks are transformed
    block = (channels * times + filters) * (TRANSFORM * steps + COPY) + filters * channels * MULTIPLY
    once = 0.0 if reuse else problem.groups * filters * channels * (TRANSFORM * steps + COPY) * numbers
    total = counts[0] * counts[1] * counts[2]
    calls = CALL * (units * (4 * times + 3 * filters + filters * channels) + total * filters)
    cost = np.where(needed <= room, total * problem.groups * numbers * block + once + calls, math.inf)

    best = np.unravel_index(int(cost.argmin()), cost.shape)
    length = lengths[0][best[0]], lengths[1][best[1]], lengths[2][best[2]]
    return Blocks(length, int(side_by_side[best]), int(groups[best]), int(at_a_time[best]), float(cost[best]))


def _transform(filters: Array, layout: Fft, dtype: np.dtype[Any]) -> Array:
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
def _out_of_memory(layout: Fft) -> Iterator[None]:
    """Say what there is no memory for: those who transform do not."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"no memory for a workspace of {layout.workspace} bytes") from error


def _spectra(weight: Filters, layout: Fft, threads: int) -> Callable[[int, int, np.dtype[Any]], Array]:
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
    layout: Fft,
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
    blocks = _cut_blocks(strip, layout)
    targets = list(_cut(maps, columns))
    with np.errstate(all="ignore"):
        dtype, blank = _look(image, pads, maps.shape[-3:], layout)
        clean = np.full(blocks.shape[:2], dtype is not None)
        if dtype is not None:
            exact = blocks if dtype == strip.dtype else _cut_blocks(strip.astype(dtype), layout)
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
            values = layout.sum_directly(blocks[b, g], filters[groups, some][g], offset)
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


def _look(image: Array, pads: Triple, outputs: Triple, layout: Fft) -> tuple[np.dtype[Any] | None, Array | None]:
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


def _see_cells(size: tuple[int, ...], pads: Triple, outputs: Triple, layout: Fft) -> bool:
    """Tell whether all outputs see as much of an image that every kernel has a whole cell in it, whatever lies in the padding."""
    for n, before, count, step, span, cell in zip(
        size, pads, outputs, layout.problem.stride, layout.span, layout.cell, strict=True
    ):
        behind = (count - 1) * step + span - before - n
        if min(n, span - max(before, behind)) < 2 * cell - 1:
            return False
    return True


def _strip(image: Array, layout: Fft, start: Sequence[int], size: Sequence[int]) -> tuple[Array, Triple, Array]:
    """Return what some neighbouring blocks of outputs see of an image (groups, C / groups, D, H, W), zeros around it; how many of
    these are before each axis; and the part that is of the image."""
    problem = layout.problem
    count = -(-size[2] // layout.outputs[2])
    width = layout.length[2] + (count - 1) * layout.outputs[2] * problem.stride[2]
    shape = (*image.shape[:2], *layout.length[:2], width)
    depth, rows, columns = (problem.input_range(axis, start[axis], start[axis] + size[axis]) for axis in range(3))
    image = _pick(image, (depth[0], rows[0], columns[0]))
    pads = (depth[1], rows[1], columns[1])
    if image.shape == shape and is_readable(image, problem.accumulator, 1):
        return image, pads, image
    strip = np.zeros(shape, problem.accumulator)
    inside = strip[_last_axes(slice(before, before + n) for before, n in zip(pads, image.shape[2:], strict=True))]
    inside[...] = image
    return strip, pads, inside


def _cut_blocks(strip: Array, layout: Fft) -> Array:
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


def _transform_back(spectra: Array, layout: Fft) -> Array:
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
    channels, filters = problem.group_size
    return (2 * channels + 2 + (channels > 1) + (filters > 1)) * math.prod(length) * problem.accumulator.itemsize


def _spectrum_bytes(problem: Problem, length: Triple) -> int:
    """Return how many bytes a transformed filter takes, if every axis is transformed."""
    return problem.channels // problem.groups * math.prod(length) * problem.accumulator.itemsize


@cache
def _library() -> tuple[Any, dict[str, bool]]:
    """Return the module that transforms, and how to tell it that it may work in place."""
    try:
        return import_module("scipy.fft"), {"overwrite_x": True}
    except ImportError:
        return np.fft, {}
