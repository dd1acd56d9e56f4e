"""Convolution by Fourier transforms, for large kernels: which blocks.

An image is cut into blocks that overlap by the span of a kernel less one pixel (overlap-save), which are transformed in
pairs; core/fft_job.pxi tells how. Kernels of one row are lines, others are transformed along rows and columns.

A transform's rounding errors are proportional to the largest numbers of a pair of blocks, and spread over all of it. So
outputs that read only zeros (blank ones) get an exact sum of 0; pairs of high dynamic range, with parts much darker than
others, are transformed in double precision; and those of still higher range, or with sums that are not finite, are left
to direct summation.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _blocks, _core, _weights
from fastconv._arrays import last_axes, take
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import WORKSPACE_BYTES, Layout, direct, sweep, tiles

NAME = "fft"
DOMAIN = "it takes float32 or float64, and kernels that span less than 2**31 pixels along an axis"

VECTOR = 16  # lanes of the widest vector, of which rows and columns of a block are multiples
LENGTHS = sorted({factor * VECTOR << power for power in range(26) for factor in (1, 3, 5)})
MAX_LENGTH_SPANS = 12  # length of a block, at most, in spans of the kernel: longer ones have hardly less overlap
WORKSPACE_SPANS = 32  # volumes of a kernel's spans that fit a workspace, if these are more than WORKSPACE_BYTES
FORCED_WORKSPACE_RATIO = 4  # with algorithm="fft" a workspace may be this many times the smallest possible one
SPECTRA_BYTES = 2**20  # of the pairs of a unit of work, if they are more than one
MAX_PAIRS = 8  # of a unit: the spectra of kernels are fetched once for them
# Bytes of the spectra of a group's kernels, if they do not serve many calls; for more, filters take turns.
PACKED_BYTES = 3 * 2**20
GROUPS_BYTES = 2**20  # of those of several groups
# Bytes of what a pair of blocks reads and writes, whether all calls have to copy that -> at most.
PIECE_BYTES = {True: 2**21, False: 2**24}
# Bytes of a number -> highest dynamic range, of a pair's mean cell to its darkest, for which errors of dark outputs stay
# below 1e-4 of the sum of their products' magnitudes.
MAX_RANGE = {4: 24.0, 8: 2.0**33}
MIN_CELL = 4  # pixels of a cell along an axis: smaller ones are often dark by chance
TRANSFORMED, IN_DOUBLE, DIRECTLY = range(3)  # fates of a pair

# Costs as in direct.py, per point of a pair of blocks
TRANSFORM = 4.7  # per step of a transform, of log2(n)
TURN = 13.0  # of a transform along a second axis
LOAD = 60.0  # of the numbers of two blocks
MULTIPLY = 14.0  # per product of spectra,
ADD = 18.0  # and per sum of them
STORE = 20.0  # per output
PAIR_OVERHEAD = 2e4  # per transform of a pair
CALL_OVERHEAD = 2.6e6  # per image
CACHED_POINTS = 40_000  # of a block whose spectra stay in the second-level cache,
FETCH_POINTS = 0.15  # and what twice as many points take longer
CACHED_SPECTRA = 2**20  # bytes of the spectra of kernels that stay there,
FETCH_SPECTRA = 30.0  # and what others take longer to multiply, once for the pairs of a unit
MIN_TAPS = 40  # for kernels of fewer, no transform can be faster
MIN_BUDGET = 2e6
MARGIN = 0.95  # of the budget, for predicted costs: on other machines transforms may be slower than measured

# Filters (groups, K / groups, C / groups, kd, kh, kw); if they serve many calls, their spectra; whether all are finite.
Filters = tuple[Array, Array | None, bool]


class Blocks(NamedTuple):
    """The blocks of a layout, and the cost of one image."""

    size: tuple[int, ...]  # rows and columns, or the points of a line
    outputs: Triple  # depths of a unit of work, rows and columns of a block
    pair_axis: int  # along which the blocks of a pair are neighbours
    unit_pairs: int
    workspace: int  # bytes, about
    cost: float

    def pairs(self, output_size: Sequence[int]) -> tuple[int, ...]:
        """Return the units along the depth, and the pairs of blocks along rows and columns, of maps of this size."""
        steps = zip(output_size, self.step, strict=True)
        return tuple(-(-n // step) for n, step in steps)

    @property
    def step(self) -> Triple:
        """Outputs of a pair of blocks along each axis."""
        depth, rows, columns = (n * (1 + (axis == self.pair_axis)) for axis, n in enumerate(self.outputs))
        return depth, rows, columns


class Fft(Layout):
    """Overlap-save blocks of one size."""

    name = NAME
    error = 2.0

    def __init__(self, problem: Problem, blocks: Blocks, *, keeps_spectra: bool = True) -> None:
        self.keeps_spectra, self.blocks = keeps_spectra, blocks
        self._core_layout = _core_layout(problem, blocks, problem.bits)
        packing = (NAME, *blocks.size, *_core.current_isa())
        products = blocks.cost * math.prod(problem.batch_shape)
        super().__init__(
            problem, blocks.cost, self._core_layout.workspace, packing, products=products, whole_images=True
        )
        self.step = blocks.step
        kernels = problem.filters * problem.group_size[0] * problem.kernel[0]
        self.packed_bytes = kernels * self._core_layout.numbers * problem.accumulator.itemsize
        self._double: _core.FftLayout | None = None
        self._direct_layout: Layout | None = None

    @property
    def how(self) -> str:
        """The size of blocks."""
        return f"blocks of {'x'.join(map(str, self.blocks.size))}"

    @property
    def products(self) -> float:
        """Multiplications of direct summation that would take as long, for one output."""
        return self.cost / direct.cost(self.problem) * self.problem.taps

    def unpacked(self) -> Fft:
        return Fft(self.problem, self.blocks, keeps_spectra=False)

    def pack(self, weight: Array) -> Filters:
        """Return the filters, transformed if that serves many calls."""
        filters = _weights.plain_filters(self.problem, weight)
        filters = filters.reshape(self.problem.groups, -1, *filters.shape[1:])
        spectra = _spectra(filters, self._core_layout) if self.keeps_spectra else None
        return filters, spectra, _weights.all_finite(filters)

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
        (filters, spectra, finite), groups = packed, self.problem.groups
        fate = np.zeros((len(images), groups, *self.blocks.pairs(maps.shape[2:])), np.uint8)
        if not finite:
            fate[:] = DIRECTLY  # depths of padding are not transformed, but their zeros make NaN with such weights
        arrays = images, bias, maps, pads, threads, residual
        if spectra is None:
            self._run_parts(filters, self._core_layout, fate, TRANSFORMED, *arrays)
        else:
            whole = 0, groups, 0, filters.shape[1]
            _run_core(spectra, whole, self._core_layout, fate, TRANSFORMED, *arrays)
        if (fate == IN_DOUBLE).any():
            if self._double is None:
                self._double = _core_layout(self.problem, self.blocks, 64)
            with np.errstate(all="ignore"):
                exact = filters.astype(np.float64)
            self._run_parts(exact, self._double, fate, IN_DOUBLE, *arrays)
        for place in np.argwhere(fate == DIRECTLY):
            self._sum_directly(place, images, filters, bias, maps, pads, threads, residual)

    @staticmethod
    def _run_parts(filters: Array, core: _core.FftLayout, fate: Array, wanted: int, *arrays: Any) -> None:
        """Compute pairs of the wanted fate with some filters at a time, so that their spectra take little memory."""
        groups, count = filters.shape[:2]
        fit = max(1, PACKED_BYTES // (math.prod(filters.shape[2:4]) * core.numbers * filters.itemsize))
        together = max(1, fit * GROUPS_BYTES // PACKED_BYTES // count)
        some = min(fit, count)
        for group, first in itertools.product(range(0, groups, together), range(0, count, some)):
            part = group, min(group + together, groups), first, min(first + some, count)
            spectra = _spectra(filters[part[0] : part[1], part[2] : part[3]], core)
            _run_core(spectra, part, core, fate, wanted, *arrays)
            del spectra  # before there are others

    def _sum_directly(
        self,
        place: Array,
        images: Array,
        filters: Array,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None,
    ) -> None:
        """Convolve one pair of blocks of one group by direct summation."""
        n, group, *first = place
        step, problem = self.step, self.problem
        channels, count = problem.group_size
        starts = [index * outputs for index, outputs in zip(first, step, strict=True)]
        box = [slice(start, start + outputs) for start, outputs in zip(starts, step, strict=True)]
        target = maps[(n, slice(group * count, (group + 1) * count), *box)]
        given = problem._replace(size=images.shape[2:], pad=(pads[0], pads[1], pads[2]))
        if self._direct_layout is None:
            depth, rows, columns = (problem.span(axis, outputs) for axis, outputs in enumerate(step))
            block = problem.block((depth, rows, columns), step, count)
            chosen = sweep.choose(block, math.inf) or tiles.choose(block, math.inf)
            assert chosen is not None  # one of them computes every problem of floats
            self._direct_layout = chosen.unpacked() or chosen
        layout = self._direct_layout
        ends = zip(starts, target.shape[1:], strict=True)
        ranges = [given.input_range(axis, start, start + size) for axis, (start, size) in enumerate(ends)]
        pixels = take(images[n, group * channels : (group + 1) * channels], [indices for indices, _ in ranges])
        strip = np.zeros((channels, *layout.problem.size), problem.accumulator)
        befores = zip(ranges, pixels.shape[1:], strict=True)
        strip[last_axes(slice(before, before + size) for (_, before), size in befores)] = pixels
        sums = _core.empty((count, *step), problem.accumulator)
        inside = last_axes(map(slice, target.shape[1:]))
        more = None
        if residual is not None:
            more = np.zeros(sums.shape, sums.dtype)  # the block may reach beyond the maps
            more[inside] = residual[(n, slice(group * count, (group + 1) * count), *box)]
        some = None if bias is None else bias.reshape(-1, problem.groups, count)[:, group].ravel()
        _blocks.convolve(layout, strip, layout.pack(filters[group]), some, sums, threads, more)
        target[...] = sums[inside]


def _core_layout(problem: Problem, blocks: Blocks, bits: int) -> _core.FftLayout:
    """Return the core's layout for transforms of so many bits."""
    spans = [(kernel - 1) * dilation + 1 for kernel, dilation in zip(problem.kernel, problem.dilation, strict=True)]
    spans[0] = problem.kernel[0]
    depth, rows, columns = (max(min((span + 1) // 2, MIN_CELL), (span + 1) // 4) for span in spans)
    if len(blocks.size) == 1:  # whole rows of a folded line, or equal parts of them
        length = _core.fold_line(*blocks.size)[1]
        cell, columns = columns, length
        while columns > cell:
            columns = columns // 2 if columns % 2 == 0 else 1
        rows = max(1, cell // length)
    least = MAX_RANGE[bits // 8]
    return _core.FftLayout(
        problem.window,
        problem.weight_shape,
        bits,
        problem.bits,
        blocks.size,
        blocks.outputs,
        blocks.pair_axis,
        blocks.unit_pairs,
        (depth, rows, columns),
        (least, MAX_RANGE[8]),
    )


def _spectra(filters: Array, layout: _core.FftLayout) -> Array:
    """Return the spectra of filters (groups, K / groups, C / groups, kd, kh, kw) in their dtype."""
    filters = np.ascontiguousarray(filters)
    spectra = _core.empty((math.prod(filters.shape[:4]) * layout.numbers,), filters.dtype)
    _core.pack_fft(filters, spectra, layout, 1)
    return spectra


def _run_core(
    spectra: Array,
    part: tuple[int, int, int, int],
    core: _core.FftLayout,
    fate: Array,
    wanted: int,
    images: Array,
    bias: Array | None,
    maps: Array,
    pads: Sequence[int],
    threads: int,
    residual: Array | None,
) -> None:
    """Compute the pairs of the wanted fate for part of the filters: first group, last, first filter of each, last."""
    _core.convolve_fft(images, spectra, bias, maps, pads, core, fate.reshape(-1), wanted, part, threads, residual)


def choose(problem: Problem, budget: float) -> Fft | None:
    """Return the cheapest blocks."""
    forced = problem.algorithm == NAME
    if problem.accumulator.kind != "f" or problem.precision == "highest":
        return None
    if not forced and (budget < MIN_BUDGET or math.prod(problem.kernel) < MIN_TAPS):
        return None
    channels, filters = problem.group_size
    per_output = (channels + filters) * 8 * TRANSFORM + filters * (channels * problem.kernel[0] * MULTIPLY + 2 * STORE)
    if not forced and problem.groups * math.prod(problem.output_size) * per_output / 2 > MARGIN * budget:
        return None
    blocks = min(_all_blocks(problem), key=lambda one: one.cost, default=None)
    if blocks is None or (not forced and blocks.cost >= MARGIN * budget):
        return None
    return Fft(problem, blocks)


def _all_blocks(problem: Problem) -> list[Blocks]:
    """Return blocks of all sizes that fit the workspace."""
    is_line = problem.kernel[1] == 1
    rows = [1] if is_line else _block_lengths(problem, 1, LENGTHS)
    columns = _block_lengths(problem, 2, [VECTOR * n for n in LENGTHS] if is_line else LENGTHS)
    found = [_blocks_of(problem, size[is_line:]) for size in itertools.product(rows, columns)]
    spans = math.prod(problem.span(axis) for axis in (1, 2)) * problem.kernel[0] * problem.channels // problem.groups
    limit = max(WORKSPACE_BYTES, WORKSPACE_SPANS * spans * problem.accumulator.itemsize)
    if problem.algorithm == NAME:
        limit = max(limit, FORCED_WORKSPACE_RATIO * min((blocks.workspace for blocks in found), default=0))
    found = [blocks for blocks in found if blocks.workspace <= limit]
    pieces = [_piece_bytes(problem, blocks) for blocks in found]
    limit = max(PIECE_BYTES[problem.dtype != problem.accumulator], min(pieces, default=0))
    return [blocks for blocks, piece in zip(found, pieces, strict=True) if piece <= limit]


def _piece_bytes(problem: Problem, blocks: Blocks) -> int:
    """Return the bytes of what all channels of a pair of blocks read, and all maps of it."""
    sizes = [min(step, outputs) for step, outputs in zip(blocks.step, problem.output_size, strict=True)]
    pixels = math.prod(problem.span(axis, size) for axis, size in enumerate(sizes))
    return (problem.channels * pixels + problem.filters * math.prod(sizes)) * problem.accumulator.itemsize


def _block_lengths(problem: Problem, axis: int, lengths: Sequence[int]) -> Sequence[int]:
    """Return the candidate lengths of blocks along an axis, up to the receptive field of all outputs."""
    span, whole = problem.span(axis), problem.span(axis, problem.output_size[axis])
    first = bisect.bisect_left(lengths, span)
    last = bisect.bisect_left(lengths, min(whole, MAX_LENGTH_SPANS * span))
    return lengths[first : last + 1]


def _blocks_of(problem: Problem, size: tuple[int, ...]) -> Blocks:
    """Return the blocks of one size, with the cheapest way to take them together."""
    (channels, filters), taps = problem.group_size, problem.kernel[0]
    points, itemsize = math.prod(size), problem.accumulator.itemsize
    lengths = size if len(size) == 2 else (1, *size)
    rows, columns = (
        min(outputs, (n - problem.span(axis)) // stride + 1) if n > 1 else 1
        for axis, n, outputs, stride in zip((1, 2), lengths, problem.output_size[1:], problem.stride[1:], strict=True)
    )
    down, across = -(-problem.output_size[1] // rows), -(-problem.output_size[2] // columns)
    pair_axis = 2 if down * -(-across // 2) <= -(-down // 2) * across else 1
    pairs = min(down * -(-across // 2), -(-down // 2) * across)
    spectra = 2 * channels * points * itemsize
    depths = _unit_depths(problem, spectra)
    slots = _slots(problem, depths)
    unit_pairs = max(1, min(MAX_PAIRS, pairs, SPECTRA_BYTES // (spectra * slots))) if filters > 1 else 1
    workspace = unit_pairs * slots * spectra + 4 * points * itemsize

    y, x = (math.log2(n) for n in (_core.fold_line(points) if len(size) == 1 else size))
    valid = 1.0 if len(size) == 1 else min(1.0, ((columns - 1) * problem.stride[2] + VECTOR) / size[1])
    units = -(-problem.output_size[0] // depths)
    fold = MULTIPLY if len(size) == 1 else 0.0
    forth = points * (TRANSFORM * (y + x) + TURN + LOAD + fold) + PAIR_OVERHEAD
    back = (
        points * (TRANSFORM * (x + valid * y) + valid * TURN + fold + ADD + MULTIPLY * channels * taps) + PAIR_OVERHEAD
    )
    back += 2 * rows * columns * STORE
    if spectra * filters * taps > CACHED_SPECTRA:
        back += points * FETCH_SPECTRA * channels * taps / unit_pairs
    fetching = 1 + FETCH_POINTS * max(0.0, math.log2(points * itemsize / 4 / CACHED_POINTS))
    cost = fetching * pairs * (units * slots * channels * forth + problem.output_size[0] * filters * back)
    return Blocks(
        size,
        (depths, rows, columns),
        pair_axis,
        unit_pairs,
        workspace,
        problem.groups * cost + CALL_OVERHEAD,
    )


def _unit_depths(problem: Problem, spectra: int) -> int:
    """Return how many depths of outputs to compute together, for spectra of so many bytes for each depth that they read."""
    if problem.kernel[0] == 1:
        return 1
    depths = 1
    while depths < problem.output_size[0] and _slots(problem, 2 * depths) * spectra <= WORKSPACE_BYTES // 2:
        depths *= 2
    return min(depths, problem.output_size[0])


def _slots(problem: Problem, depths: int) -> int:
    """Return how many depths of the image the core transforms for some depths of outputs."""
    stride, dilation = problem.stride[0], problem.dilation[0]
    step = dilation if depths == 1 else math.gcd(stride, dilation)
    return (problem.span(0, depths) - 1) // step + 1
