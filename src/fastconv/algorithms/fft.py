"""Convolution by Fourier transforms, for large kernels.

An image is cut into blocks that overlap by the span of a kernel less one pixel (overlap-save: T. G. Stockham,
"High-speed convolution and correlation", 1966). With F a real transform of a block, X and W spectra of channels and
kernels, the maps of a block are

    y[k] = activation(bias[k] + inverse F (sum over channels c of  X[c] * conj(W[k, c])))

A block is transformed once for all filters, and a sum transformed back once for all channels. Transforms are scipy's if
it is installed, else NumPy's.

A transform's rounding errors are proportional to the largest numbers of a block, and spread over all of it. So outputs
that read only zeros (blank ones) get an exact sum of 0; blocks of high dynamic range, with parts much darker than
others, are transformed in double precision; and blocks of still higher range, or with sums that are not finite, are
left to direct summation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastconv import _blocks, _core, _weights
from fastconv._arrays import fits_core, last_axes, take
from fastconv._problem import Array, Problem, Triple
from fastconv._threads import parallel_for
from fastconv.algorithms import WORKSPACE_BYTES, Layout, direct, sweep, tiles

NAME = "fft"
DOMAIN = "it takes float32 or float64"

FAST_LENGTHS = [factor << power for power in range(2, 48) for factor in (4, 5, 6)]  # pixels, of blocks along an axis
MAX_LENGTH_SPANS = 16  # length of a block, at most, in spans of the kernel: longer ones have hardly less overlap
WORKSPACE_SPANS = 16  # volumes of a kernel's spans that fit a workspace, if these are more than WORKSPACE_BYTES
FORCED_WORKSPACE_RATIO = 4  # with algorithm="fft" a workspace may be this many times the smallest possible one
UNIT_BYTES = 2**20  # bytes of a unit of work of more than one block
# Bytes of a number -> highest dynamic range, of a block's mean cell to its darkest (see _core.dynamic_range), for which
# errors of dark outputs stay below 1e-4 of the sum of their products' magnitudes.
MAX_RANGE = {4: 24.0, 8: 2.0**33}
MIN_CELL = 4  # pixels of a cell along an axis: smaller ones are often dark by chance
NOISE = 2.0**-48  # largest error of double precision transforms, relative to the largest sum

# Costs as in direct.py, measured with scipy's transforms.
TRANSFORM = 9.0  # per number and step of a transform, of log2(n)
MULTIPLY = 14.0  # per complex multiply-add of spectra
COPY = 6.0  # per number copied into or out of a block
CALL_OVERHEAD = 5e5  # per call of NumPy or scipy
MIN_BUDGET = 2e6  # for less, no transform can be faster
MARGIN = 0.85  # of the budget, for predicted costs: on other machines transforms may be slower than measured


# Filters (groups, K / groups, C / groups, kd, kh, kw), and, if they serve many calls, the complex conjugates of their spectra
# (groups, K / groups, C / groups, *spectrum).
Filters = tuple[Array, Array | None]


class Fft(Layout):
    """Overlap-save blocks of one shape; a unit of work is some of them, for some groups and filters."""

    name = NAME
    error = 2.0
    any_arrays = True

    def __init__(self, problem: Problem, reuse: bool, axes: tuple[int, ...], blocks: Blocks) -> None:
        self.keeps_spectra, self.axes, self.blocks = reuse, axes, blocks  # axes: those along which kernels extend
        self.span = _spans(problem)
        depth, rows, columns = (max(min((span + 1) // 2, MIN_CELL), (span + 1) // 4) for span in self.span)
        self.cell = depth, rows, columns  # size of the cells whose brightness gives the dynamic range
        spectra = 0 if reuse else blocks.unit_filters * _spectrum_bytes(problem, blocks.size)
        workspace = blocks.unit_groups * (blocks.unit_blocks * _block_bytes(problem, blocks.size) + spectra)
        packing = (NAME, *axes, *blocks.size)
        super().__init__(problem, blocks.cost, workspace, packing)
        self._direct_layouts: dict[int, Layout] = {}  # by number of filters

    @property
    def how(self) -> str:
        return f"blocks of {'x'.join(str(self.blocks.size[axis]) for axis in self.axes)}"

    @property
    def products(self) -> float:
        """Multiplications of direct summation that would take as long, for one output."""
        return self.cost / direct.cost(self.problem) * self.problem.taps

    @property
    def spectrum(self) -> Triple:
        """Size of a block's spectrum: half along the last transformed axis (input is real), 1 along the others."""
        depth, rows, columns = (
            (n // 2 + 1 if axis == self.axes[-1] else n) if axis in self.axes else 1
            for axis, n in zip((-3, -2, -1), self.blocks.size, strict=True)
        )
        return depth, rows, columns

    @property
    def outputs(self) -> Triple:
        """Outputs of a block, per axis."""
        axes = zip(self.blocks.size, self.span, self.problem.stride, strict=True)
        depth, rows, columns = ((n - span) // stride + 1 for n, span, stride in axes)
        return depth, rows, columns

    def pack(self, weight: Array) -> Filters:
        """Return the filters, transformed if that serves many calls."""
        problem = self.problem
        filters = _weights.plain_filters(problem, weight)
        filters = filters.reshape(problem.groups, -1, *filters.shape[1:])
        if not self.keeps_spectra:
            return filters, None
        spectra = _core.empty((*filters.shape[:3], *self.spectrum), np.result_type(filters, np.complex64))
        for index in np.ndindex(filters.shape[:2]):
            spectra[index] = _filter_spectra(filters[index], self, filters.dtype)
        return filters, spectra

    def run(
        self,
        images: Array,
        packed: Filters,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        problem = self.problem
        images = images.reshape(len(images), problem.groups, -1, *images.shape[2:])
        maps = maps.reshape(len(maps), problem.groups, -1, *problem.output_size)
        residual = None if residual is None else residual.reshape(maps.shape)
        depth, rows, columns = self.outputs
        steps = (self.blocks.unit_groups, self.blocks.unit_filters, 1, depth, rows, columns * self.blocks.unit_blocks)
        sizes = (problem.groups, maps.shape[2], len(images), *problem.output_size)
        units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
        spectrum_of = _spectrum_lookup(packed, self, threads)
        with _naming_workspace(self):
            convolve = partial(_convolve_unit, images, packed[0], spectrum_of, bias, maps, residual, self)
            parallel_for(convolve, units, threads)

    def sum_directly(self, block: Array, filters: Array, bias: Array | None, residual: Array | None) -> Array:
        """Convolve one block (C / groups, D, H, W) with some filters of a group by direct summation."""
        if (layout := self._direct_layouts.get(len(filters))) is None:
            problem = self.problem.block(self.blocks.size, self.outputs, len(filters))
            layout = sweep.choose(problem, False, math.inf) or tiles.choose(problem, False, math.inf)
            assert layout is not None  # one of them computes every problem of floats
            self._direct_layouts[len(filters)] = layout
        maps = _core.empty(layout.problem.output_shape, block.dtype)
        if residual is not None:
            whole = np.zeros(maps.shape, maps.dtype)  # the block may reach beyond the maps
            whole[last_axes(map(slice, residual.shape[-3:]))] = residual
            residual = whole
        _blocks.convolve(layout, block, layout.pack(filters), bias, maps, 1, residual)
        return maps


class Blocks(NamedTuple):
    """The size of blocks, how many blocks, groups and filters form a unit of work, and the cost of one image."""

    size: Triple  # of a block, in pixels
    unit_blocks: int  # neighbours along the last axis
    unit_groups: int
    unit_filters: int  # of each group; spectra that are not kept must fit the workspace
    cost: float


def choose(problem: Problem, reuse: bool, budget: float) -> Fft | None:
    """Return the cheapest blocks."""
    forced = problem.algorithm == NAME
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if not forced and (budget < MIN_BUDGET or math.prod(problem.kernel) < MULTIPLY):
        return None
    spans = _spans(problem)
    transforms = (problem.channels + problem.filters) * (TRANSFORM * math.log2(math.prod(spans)) + COPY)
    products = problem.filters * problem.channels // problem.groups * MULTIPLY
    lower_bound = math.prod(problem.output_size) * (transforms + products)
    if not forced and lower_bound > MARGIN * budget:
        return None
    axes = tuple(axis for axis in (-3, -2, -1) if spans[axis] > 1) or (-1,)
    blocks = _cheapest_blocks(problem, reuse, axes)
    if not forced and blocks.cost >= MARGIN * budget:
        return None
    return Fft(problem, reuse, axes, blocks)


def _cheapest_blocks(problem: Problem, reuse: bool, axes: tuple[int, ...]) -> Blocks:
    """Return the cheapest blocks that fit the workspace, of all sizes on a grid of fast lengths."""
    channels, filters = problem.group_size
    spans = _spans(problem)
    lengths = [_block_lengths(problem, axis, axis in axes) for axis in (-3, -2, -1)]
    depth, rows, columns = np.ix_(*(np.array(candidates, float) for candidates in lengths))
    logs = np.ix_(*(np.array([math.log2(n) for n in candidates]) for candidates in lengths))
    counts = [
        np.ceil(size / ((n - span) // step + 1))
        for size, n, span, step in zip(problem.output_size, (depth, rows, columns), spans, problem.stride, strict=True)
    ]
    numbers = depth * rows * columns
    block_bytes = numbers * _block_bytes(problem, (1, 1, 1))
    spectrum_bytes = numbers * _spectrum_bytes(problem, (1, 1, 1))
    min_bytes = block_bytes + (0 if reuse else spectrum_bytes)
    max_bytes = float(max(WORKSPACE_BYTES, WORKSPACE_SPANS * math.prod(spans) * problem.accumulator.itemsize))
    if problem.algorithm == NAME:
        max_bytes = max(max_bytes, FORCED_WORKSPACE_RATIO * float(min_bytes.min()))
    unit_blocks = np.maximum(1, np.minimum(counts[2], UNIT_BYTES // block_bytes))
    unit_filters = np.full(numbers.shape, float(filters))
    if not reuse:
        unit_filters = np.maximum(1, np.minimum(filters, (max_bytes - unit_blocks * block_bytes) // spectrum_bytes))
    unit_bytes = unit_blocks * block_bytes + (0 if reuse else unit_filters * spectrum_bytes)
    groups = np.where(unit_filters == filters, np.maximum(1, np.minimum(problem.groups, UNIT_BYTES // unit_bytes)), 1)

    steps = sum(logs[axis] for axis in axes)
    units = counts[0] * counts[1] * np.ceil(counts[2] / unit_blocks) * np.ceil(problem.groups / groups)
    repeats = np.ceil(filters / unit_filters)  # how many times each block is transformed
    per_number = (channels * repeats + filters) * (TRANSFORM * steps + COPY) + filters * channels * MULTIPLY
    packing = 0.0 if reuse else problem.groups * filters * channels * (TRANSFORM * steps + COPY) * numbers
    blocks = counts[0] * counts[1] * counts[2]
    calls = CALL_OVERHEAD * (units * (4 * repeats + 3 * filters + filters * channels) + blocks * filters)
    cost = np.where(min_bytes <= max_bytes, blocks * problem.groups * numbers * per_number + packing + calls, math.inf)

    best = np.unravel_index(int(cost.argmin()), cost.shape)
    size = lengths[0][best[0]], lengths[1][best[1]], lengths[2][best[2]]
    return Blocks(size, int(unit_blocks[best]), int(groups[best]), int(unit_filters[best]), float(cost[best]))


def _filter_spectra(filters: Array, layout: Fft, dtype: np.dtype[Any]) -> Array:
    """Return the complex conjugates of the spectra of filters (..., kd, kh, kw), transformed in a dtype."""
    problem = layout.problem
    shape = [n if axis in layout.axes else 1 for axis, n in zip((-3, -2, -1), layout.blocks.size, strict=True)]
    taps = tuple(slice(0, span, step) for span, step in zip(_spans(problem), problem.dilation, strict=True))
    padded = np.zeros((*filters.shape[:-3], *shape), dtype)
    padded[last_axes(taps)] = filters
    with np.errstate(all="ignore"), _naming_workspace(layout):
        spectra: Array = library()[0].rfftn(padded, axes=layout.axes)
        return np.conjugate(spectra, out=spectra)


@contextmanager
def _naming_workspace(layout: Fft) -> Iterator[None]:
    """Replace a MemoryError, which scipy raises without a message, by one that says what memory was for."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"no memory for a workspace of {layout.workspace} bytes") from error


def _spectrum_lookup(weight: Filters, layout: Fft, threads: int) -> Callable[[int, int, np.dtype[Any]], Array]:
    """Return a function (group, k, dtype) -> spectra of filter k of a unit's groups (groups, C / groups, *spectrum).

    What was not transformed by pack, filters for one call or double precision, is transformed when needed and cached.
    """
    (filters, kept), blocks = weight, layout.blocks
    max_cached = blocks.unit_filters * threads
    if kept is not None:
        spectra_bytes = 2 * blocks.unit_groups * _spectrum_bytes(layout.problem, blocks.size)
        max_cached = min(max_cached, WORKSPACE_BYTES // spectra_bytes)

    @lru_cache(maxsize=max(1, max_cached))
    def transformed(group: int, k: int, dtype: np.dtype[Any]) -> Array:
        return _filter_spectra(filters[group : group + blocks.unit_groups, k], layout, dtype)

    def spectrum_of(group: int, k: int, dtype: np.dtype[Any]) -> Array:
        if kept is not None and dtype == layout.problem.accumulator:
            return kept[group : group + blocks.unit_groups, k]
        return transformed(group, k, dtype)

    return spectrum_of


def _convolve_unit(
    images: Array,
    filters: Array,
    spectrum_of: Callable[[int, int, np.dtype[Any]], Array],
    bias: Array | None,
    maps: Array,
    residual: Array | None,
    layout: Fft,
    unit: tuple[int, ...],
) -> None:
    """Compute a unit of work: neighbouring blocks of one image, for some groups and some of their filters."""
    problem = layout.problem
    group, first, n, *start = unit
    groups, ks = slice(group, group + layout.blocks.unit_groups), slice(first, first + layout.blocks.unit_filters)
    depth, rows, columns = layout.outputs
    sizes = depth, rows, columns * layout.blocks.unit_blocks
    box = [slice(first, first + size) for first, size in zip(start, sizes, strict=True)]
    place: Any = n, groups, ks, *box
    maps = maps[place]  # (groups, K / groups, D', H', W')
    some = None if bias is None else bias.reshape(-1, problem.groups, filters.shape[1])[:, groups, ks]
    offsets = None if some is None else some[0, ..., np.newaxis, np.newaxis, np.newaxis]
    slopes = None if some is None or len(some) == 1 else some[1]
    added = None if residual is None else list(_split_columns(residual[place], columns))
    strip, pads, image = _padded_strip(images[n, groups], layout, groups, start, maps.shape[-3:])
    blocks = _overlapping_blocks(strip, layout)
    targets = list(_split_columns(maps, columns))
    with np.errstate(all="ignore"):
        dtype, blank = _dtype_and_blank(image, pads, maps.shape[-3:], layout)
        valid = np.full(blocks.shape[:2], dtype is not None)
        if dtype is not None:
            pixels = blocks if dtype == strip.dtype else _overlapping_blocks(strip.astype(dtype), layout)
            spectra = library()[0].rfftn(pixels, axes=layout.axes)  # (blocks, groups, C / groups, *spectrum)
            for k in range(maps.shape[1]):
                products = _multiply_spectra(spectra, spectrum_of(group, first + k, dtype), k == maps.shape[1] - 1)
                values = _inverse_transform(products, layout)  # (blocks, groups, *outputs)
                if dtype != strip.dtype:
                    values = _rounded(values, strip.dtype)
                valid &= _all_finite(values)
                if blank is not None:
                    for b, block_blank in enumerate(_split_columns(blank, columns)):
                        values[b][last_axes(map(slice, block_blank.shape[1:]))][block_blank] = 0
                if offsets is not None:
                    values += offsets[:, k]
                if added is not None:
                    for block, more in zip(values, added, strict=True):
                        block[last_axes(map(slice, more.shape[-3:]))] += more[:, k]
                if problem.activation is not None:
                    of_filter = None if slopes is None else slopes[:, k].copy()
                    _core.apply_activation(values, problem.epilogue, of_filter)
                for target, block in zip(targets, values, strict=True):
                    target[:, k] = block[last_axes(map(slice, target.shape[-3:]))]
        # A transform spreads NaN and infinity, from the image or by overflow, over all of its block.
        for b, g in np.argwhere(~valid):
            offset = None if some is None else some[:, g].ravel()
            rest = None if added is None else added[b][g]
            values = layout.sum_directly(blocks[b, g], filters[groups, ks][g], offset, rest)
            targets[b][g] = values[last_axes(map(slice, targets[b][g].shape))]


def _all_finite(values: Array) -> Array:
    """Return for which blocks and groups (blocks, groups) all of values (blocks, groups, *outputs) are finite."""
    finite: Array = np.isfinite(np.asarray(values.sum(axis=(2, 3, 4))))  # fast; but sums of finite values may overflow
    return finite if finite.all() else np.asarray(np.isfinite(values).all(axis=(2, 3, 4)))


def _rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return sums (blocks, groups, *outputs) rounded to a dtype, 0 where they may be rounding errors of larger ones."""
    sizes = abs(values)
    values[sizes < NOISE * sizes.max(axis=(2, 3, 4), keepdims=True)] = 0
    return values.astype(dtype)


def _dtype_and_blank(
    image: Array, pads: Triple, outputs: Triple, layout: Fft
) -> tuple[np.dtype[Any] | None, Array | None]:
    """Return the dtype in which to transform the input of some outputs, and which of these are blank.

    image (groups, C / groups, D, H, W): their input. The mask of outputs that read only zeros is (groups, *outputs),
    None if none does. A blank receptive field has a blank cell in it, unless it has gaps (dilation) or extends too far
    into the padding.
    """
    problem, dtype = layout.problem, layout.problem.accumulator
    if not image.size:
        return dtype, np.ones((len(image), *outputs), bool)
    dynamic_range, has_blank_cells, is_partly_blank = _core.dynamic_range(image, layout.cell)
    blank = None
    if has_blank_cells or max(problem.dilation) > 1 or not _fields_hold_cells(image.shape[2:], pads, outputs, layout):
        blank = _core.blank_windows(image, pads, problem.kernel, problem.stride, problem.dilation, outputs)
    if dynamic_range > MAX_RANGE[8]:
        return None, blank
    return np.dtype(np.float64) if is_partly_blank or dynamic_range > MAX_RANGE[4] else dtype, blank


def _fields_hold_cells(size: tuple[int, ...], pads: Triple, outputs: Triple, layout: Fft) -> bool:
    """Return whether every receptive field has a whole cell of the image in it, apart from the padding."""
    for n, before, count, step, span, cell in zip(
        size, pads, outputs, layout.problem.stride, layout.span, layout.cell, strict=True
    ):
        after = (count - 1) * step + span - before - n
        if min(n, span - max(before, after)) < 2 * cell - 1:
            return False
    return True


def _padded_strip(
    image: Array, layout: Fft, groups: slice, start: Sequence[int], size: Sequence[int]
) -> tuple[Array, Triple, Array]:
    """Return the input of a unit, zero-padded to whole blocks; its zeros before each axis; and a view without zeros.

    image (groups, C / groups, D, H, W); start and size: of the outputs.
    """
    problem = layout.problem
    count = -(-size[2] // layout.outputs[2])
    width = layout.blocks.size[2] + (count - 1) * layout.outputs[2] * problem.stride[2]
    shape = (*image.shape[:2], *layout.blocks.size[:2], width)
    depth, rows, columns = (problem.input_range(axis, start[axis], start[axis] + size[axis]) for axis in range(3))
    ranges = (depth[0], rows[0], columns[0])
    if problem.border is None:
        image = take(image, ranges)
    else:
        border = problem.border.of_groups(groups, problem.groups)
        merged = image.reshape(1, -1, *image.shape[2:])
        merged = border.section(merged, cast(tuple[slice, ...], ranges), problem.accumulator)
        image = merged.reshape(*image.shape[:2], *merged.shape[2:])
    pads = (depth[1], rows[1], columns[1])
    if image.shape == shape and fits_core(image, problem.accumulator, 1):
        return image, pads, image
    strip = np.zeros(shape, problem.accumulator)
    inside = strip[last_axes(slice(before, before + n) for before, n in zip(pads, image.shape[2:], strict=True))]
    inside[...] = image
    return strip, pads, inside


def _overlapping_blocks(strip: Array, layout: Fft) -> Array:
    """Return a view of the blocks of a strip, which overlap: (blocks, groups, C / groups, *blocks.size)."""
    step = layout.outputs[2] * layout.problem.stride[2]
    count = (strip.shape[-1] - layout.blocks.size[2]) // step + 1
    if count == 1:
        return strip[np.newaxis]
    strides = (step * strip.strides[-1], *strip.strides)
    return as_strided(strip, (count, *strip.shape[:2], *layout.blocks.size), strides, writeable=False)


def _multiply_spectra(spectra: Array, weight: Array, overwrite: bool) -> Array:
    """Return the sum over channels of spectra times those of one filter of each group, (blocks, groups, *spectrum).

    spectra (blocks, groups, C / groups, *spectrum), weight (groups, C / groups, *spectrum); overwrite: spectra are not
    needed again.
    """
    total: Array = np.multiply(spectra[:, :, 0], weight[:, 0], out=spectra[:, :, 0] if overwrite else None)
    product = _core.empty(total.shape, total.dtype) if spectra.shape[2] > 1 else None
    for c in range(1, spectra.shape[2]):
        total += np.multiply(spectra[:, :, c], weight[:, c], out=product)
    return total


def _inverse_transform(values: Array, layout: Fft) -> Array:
    """Return the outputs of blocks from spectra (blocks, groups, *spectrum), axis by axis.

    Positions that the circular convolution makes invalid, or that a stride skips, are dropped before the next axis.
    """
    fft, in_place = library()
    for axis, span, stride in zip((-3, -2, -1), layout.span, layout.problem.stride, strict=True):
        if axis == layout.axes[-1]:
            continue
        if axis in layout.axes:
            values = fft.ifft(values, axis=axis, **in_place)
        values = _valid_outputs(values, axis, layout.blocks.size[axis] - span + 1, stride)
    axis = layout.axes[-1]
    values = fft.irfft(values, layout.blocks.size[axis], axis=axis)
    count = layout.blocks.size[axis] - layout.span[axis] + 1
    return _valid_outputs(values, axis, count, layout.problem.stride[axis])


def _valid_outputs(values: Array, axis: int, count: int, stride: int) -> Array:
    """Return every stride-th of the first `count` values along an axis."""
    valid: Array = values[last_axes([slice(0, count, stride), *[slice(None)] * (-1 - axis)])]
    return valid


def _split_columns(maps: Array, columns: int) -> Iterator[Array]:
    """Yield views of so many columns of maps, one block after another."""
    for first in range(0, maps.shape[-1], columns):
        yield maps[..., first : first + columns]


def _spans(problem: Problem) -> Triple:
    """Return the receptive field of one output."""
    return problem.span(0), problem.span(1), problem.span(2)


def _block_lengths(problem: Problem, axis: int, transformed: bool) -> list[int]:
    """Return the candidate lengths of blocks along an axis, up to the receptive field of all outputs."""
    span, whole = problem.span(axis), problem.span(axis, problem.output_size[axis])
    if not transformed:
        return [-(-whole // 2**power) for power in range(whole.bit_length())]
    first = next(i for i, n in enumerate(FAST_LENGTHS) if n >= span)
    last = next(i for i, n in enumerate(FAST_LENGTHS) if n >= min(whole, MAX_LENGTH_SPANS * span))
    return FAST_LENGTHS[first : last + 1]


def _block_bytes(problem: Problem, size: Triple) -> int:
    """Return the bytes of a block of one group: pixels and spectra of all channels, sums and outputs of one filter."""
    channels, filters = problem.group_size
    return (2 * channels + 2 + (channels > 1) + (filters > 1)) * math.prod(size) * problem.accumulator.itemsize


def _spectrum_bytes(problem: Problem, size: Triple) -> int:
    """Return the bytes of a filter's spectra, if every axis is transformed."""
    return problem.channels // problem.groups * math.prod(size) * problem.accumulator.itemsize


@cache
def library() -> tuple[Any, dict[str, bool]]:
    """Return the module of transforms, and its arguments that allow work in place."""
    try:
        return import_module("scipy.fft"), {"overwrite_x": True}
    except ImportError:
        return np.fft, {}
