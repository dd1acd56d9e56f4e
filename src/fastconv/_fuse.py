"""Banks in a row, strip by strip: strips of all maps between them stay in the cache, and no whole map is in memory.

Every strip of the last maps is followed back, bank by bank, to what it reads (`Problem.input_range`). A bank makes only
those outputs that it has not made yet, in whole tiles from where the tiles of the whole map lie, so that bits are those
of bank by bank; the next bank finds the older ones at the front of its buffer. Strips lie along the first axis that has
one. A thread takes a band of them, whose first strips read some outputs that the band before makes, too.

Here this becomes a program of steps once for each size of images, which the core runs (core/fused.pxi).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastconv import _core, _weights
from fastconv._arrays import is_plain
from fastconv._plan import Packed, Plan
from fastconv._problem import LINE_BYTES, Array, Problem
from fastconv.algorithms import Layout

CACHE_BYTES = 3 * 2**19  # of the image's strip and all buffers together, about, if rows are so short
MAX_BUFFER_BYTES = 2**22  # of these; for wider rows, banks run one by one
STRIP_BYTES = 2**18  # of the same, at least if that fits: for less, the overhead of strips counts
HEIGHT = 8  # of a strip, in what the next strip reads again
MIN_BYTES = 2**20  # of all maps between two banks: fewer stay in the cache in any case
PRODUCTS_PER_BYTE = 96  # of a map, at most, for which strips are 5 % faster: writing and reading a byte takes about 5
MIN_NUMBERS = 2**14  # of an image: of smaller ones, maps between banks stay in the cache in any case
MIN_STRIPS = 4  # of a band
STRIP_STEP = 4  # rows: strips are multiples of it
COPY, IMAGE, MAPS, BUFFERS = -1, 0, 1, 2  # as in core/fused.pxi
PROGRAM_BYTES = 2**15  # of a program and its objects for each stage, about


class Stage(NamedTuple):
    """How a bank computes its maps: a layout of which strips can be computed, and its weights and biases."""

    problem: Problem
    layout: Layout
    packed: Any
    bias: Array  # (K,), and slopes


class Strip(NamedTuple):
    """Some outputs of a stage, first..last along the axis of strips, what they read, and the padding before it."""

    stage: int
    first: int
    last: int
    reads: slice | list[int]
    before: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The first output of the stage before that is read, and the one behind the last."""
        reads = self.reads
        return (reads.start, reads.stop) if isinstance(reads, slice) else (min(reads), max(reads) + 1)

    @property
    def length(self) -> int:
        """How many outputs of the stage before are read, repeated ones included."""
        return self.reads.stop - self.reads.start if isinstance(self.reads, slice) else len(self.reads)


class Buffer(NamedTuple):
    """A place for some outputs of a map along the axis of strips: bytes from the start, and from channel to channel."""

    start: int
    channel_step: int


def stage(plan: Plan, packed: Packed, dtype: np.dtype[Any], bias: Array | None, slopes: Array | None) -> Stage | None:
    """Return how a bank computes its maps of images of a dtype; None if strips of them would have to be converted."""
    index, weights = packed
    problem, layout = plan.problem, plan.layouts[index]
    needs_conversion = not dtype == problem.dtype == problem.accumulator or not dtype.isnative
    if needs_conversion or problem.border is not None or plan.fold is not None or not problem.products:
        return None
    if layout.strip(problem.output_size, stays_cached=False) is None:
        return None
    values = np.zeros(problem.filters, problem.accumulator) if bias is None else bias.reshape(-1)
    if slopes is not None:
        values = _weights.with_slopes(bias, slopes, problem.accumulator)
    return Stage(problem, layout, weights, _weights.copy_unless_plain(values, problem.accumulator))


class Fused:
    """Stages in a row, for images of one size."""

    def __init__(self, stages: Sequence[Stage], axis: int, rows: int) -> None:
        """`axis`: of strips; `rows`: outputs of the last stage in a strip."""
        self._stages, self._axis, self._rows = stages, axis, rows
        self._images, self._problem = math.prod(stages[0].problem.batch_shape), stages[-1].problem
        self._calls: dict[int, _core.FusedCalls | None] = {}  # by the number of bands
        self.count = len(stages)

    def accepts(self, image: Array, out: Array | None) -> bool:
        """Return whether the image can be read as it is, and the maps be written straight into out."""
        problem = self._problem
        return is_plain(image, problem.dtype) and (
            out is None
            or (
                type(out) is np.ndarray
                and out.shape == problem.output_shape
                and is_plain(out, problem.dtype)
                and out.flags.writeable
                and not np.may_share_memory(out, image)
            )
        )

    def run(self, image: Array, out: Array | None, threads: int) -> Array:
        """Return the maps of the last stage for plain images."""
        calls = self._calls_for(self._bands(threads)) or self._calls_for(1)
        assert calls is not None
        result = self._problem.empty_result() if out is None else out
        calls.run(image, result, threads)
        return result

    @property
    def workspace(self) -> int | None:
        """Bytes that a thread takes; None if the stages cannot be computed strip by strip."""
        calls = self._calls_for(1)
        return calls and calls.workspace

    @property
    def nbytes(self) -> int:
        """Bytes that this takes, about, without packed weights."""
        return PROGRAM_BYTES * len(self._stages)

    def _bands(self, threads: int) -> int:
        """Return into how many bands to cut each image, so that all threads have as many."""
        most = self._problem.output_size[self._axis] // (MIN_STRIPS * self._rows)
        return max(1, min(threads // math.gcd(threads, self._images), most))

    def _calls_for(self, bands: int) -> _core.FusedCalls | None:
        if bands not in self._calls:
            size, rows = self._problem.output_size[self._axis], self._rows
            count = -(-size // rows)
            starts = [min(size, count * band // bands * rows) for band in range(bands + 1)]
            schedules = []
            for band in pairwise(starts):
                if strips := schedule(self._stages, self._axis, *band, rows):
                    schedules.append(strips)
            is_local = len(schedules) == bands
            self._calls[bands] = _Program(self._stages, self._axis, schedules).calls() if is_local else None
        return self._calls[bands]


def schedule(stages: Sequence[Stage], axis: int, first: int, last: int, rows: int) -> list[Strip] | None:
    """Return the strips of all stages, in order, for a band of the last one's outputs, so many at a time.

    None if a strip reads nothing but padding, or, of a circular padding, what lies before the band.
    """
    made: dict[int, tuple[int, int]] = {}  # by a stage: its outputs so far
    strips: list[Strip] = []
    for start in range(first, last, rows):
        wanted, some = (start, min(start + rows, last)), []
        for index in range(len(stages) - 1, -1, -1):
            problem, layout, *_ = stages[index]
            reads = problem.input_range(axis, *wanted, layout.pixels_read(axis, wanted[1] - wanted[0]))
            some.append(Strip(index, *wanted, *reads))
            if not some[-1].length:
                return None
            if index == 0:
                break
            before, (low, high) = stages[index - 1], some[-1].bounds
            step, size = before.layout.step[axis], before.problem.output_size[axis]
            begin, done = made.get(index - 1, (low // step * step,) * 2)
            end = min(-(-high // step) * step, size)
            if low < begin:
                return None
            if end <= done:
                break
            wanted, made[index - 1] = (done, end), (begin, end)
        strips += reversed(some)
    return strips


class _Program:
    """Turns strips into steps of the core, and keeps the calls that these need."""

    def __init__(self, stages: Sequence[Stage], axis: int, schedules: Sequence[list[Strip]]) -> None:
        self._stages, self._axis, self._schedules = stages, axis, schedules
        self._itemsize = stages[0].problem.accumulator.itemsize
        self._units: dict[Any, tuple[int, _core.Units]] = {}
        self._steps: list[tuple[int, ...]] = []
        self._nbytes = 0
        self._kept = [self._oldest_rows(one) for one in schedules]
        heights, gathered = [0] * len(stages), [0] * len(stages)
        for one, kept in zip(schedules, self._kept, strict=True):
            for strip, oldest in zip(one, kept, strict=True):
                heights[strip.stage] = max(heights[strip.stage], strip.last - min(oldest, strip.first))
                if not isinstance(strip.reads, slice):
                    gathered[strip.stage] = max(gathered[strip.stage], strip.length)
        self._buffers = [
            self._buffer(stage.problem.filters, self._row_bytes(stage.problem.output_size), height)
            for stage, height in zip(stages[:-1], heights, strict=False)
        ]
        self._gathered = [
            self._buffer(stage.problem.channels, self._row_bytes(stage.problem.size), height)
            for stage, height in zip(stages, gathered, strict=True)
        ]

    def calls(self) -> _core.FusedCalls | None:
        """Return the program; None if its buffers are too large."""
        if self._nbytes > MAX_BUFFER_BYTES:
            return None
        bounds = [0]
        for strips, kept in zip(self._schedules, self._kept, strict=True):
            self._add_band(strips, kept)
            bounds.append(len(self._steps))
        first, last = self._stages[0].problem, self._stages[-1].problem
        return _core.FusedCalls(
            [units for _, units in self._units.values()],
            np.array(self._steps, np.int64),
            np.array(bounds, np.int64),
            self._nbytes,
            (math.prod(first.images_shape[1:]), math.prod(last.maps_shape[1:])),
            first.images_shape[0],
            self._itemsize,
        )

    def _row_bytes(self, size: tuple[int, ...]) -> int:
        """Return the bytes of one channel at one place along the axis of strips."""
        return math.prod(size[self._axis + 1 :]) * self._itemsize

    def _buffer(self, channels: int, row_bytes: int, height: int) -> Buffer:
        """Take room for so many rows of all channels, which begin a cache line apart modulo powers of two."""
        channel_step = (-(-row_bytes * height // LINE_BYTES) + 1) * LINE_BYTES
        self._nbytes += channels * channel_step if height else 0
        return Buffer(self._nbytes - channels * channel_step, channel_step)

    def _oldest_rows(self, strips: list[Strip]) -> list[int]:
        """Return for every strip the first output of its stage that is read from then on."""
        oldest, found = [math.inf] * (len(self._stages) + 1), []
        for strip in reversed(strips):
            found.append(int(min(oldest[strip.stage + 1], strip.first)))
            oldest[strip.stage] = min(oldest[strip.stage], strip.bounds[0])
        return found[::-1]

    def _add_band(self, strips: list[Strip], kept: list[int]) -> None:
        begins = [-1] * len(self._stages)  # the first output in each buffer
        ends = [-1] * len(self._stages)
        for strip, oldest in zip(strips, kept, strict=True):
            index, problem = strip.stage, self._stages[strip.stage].problem
            from_row, to_row = self._row_bytes(problem.size), self._row_bytes(problem.output_size)
            source, source_at, channel_step = IMAGE, strip.bounds[0] * from_row, problem.size[self._axis] * from_row
            if index:
                source, (start, channel_step) = BUFFERS, self._buffers[index - 1]
                source_at = start + (strip.bounds[0] - begins[index - 1]) * from_row
            if not isinstance(strip.reads, slice):
                source, source_at, channel_step = self._gather(strip, source, source_at, channel_step)
            target, target_at, map_step = MAPS, strip.first * to_row, problem.output_size[self._axis] * to_row
            if index < len(self._buffers):
                target, (start, map_step) = BUFFERS, self._buffers[index]
                if begins[index] < oldest < ends[index]:
                    moved = start + (oldest - begins[index]) * to_row, BUFFERS, start, (ends[index] - oldest) * to_row
                    self._steps.append((COPY, BUFFERS, *moved, problem.filters, map_step, map_step))
                begins[index], ends[index] = oldest, strip.last
                target_at = start + (strip.first - oldest) * to_row
            call = self._call(strip, channel_step, map_step)
            self._steps.append((call, source, source_at, target, target_at, 0, 0, 0, 0))

    def _gather(self, strip: Strip, source: int, source_at: int, channel_step: int) -> tuple[int, int, int]:
        """Copy the rows that a strip reads in the order in which it reads them; return where they are."""
        problem, (start, step) = self._stages[strip.stage].problem, self._gathered[strip.stage]
        row_bytes, lowest = self._row_bytes(problem.size), strip.bounds[0]
        assert not isinstance(strip.reads, slice)
        for place, row in enumerate(strip.reads):
            at = source_at + (row - lowest) * row_bytes
            self._steps.append(
                (COPY, source, at, BUFFERS, start + place * row_bytes, row_bytes, problem.channels, channel_step, step)
            )
        return BUFFERS, start, step

    def _call(self, strip: Strip, channel_step: int, map_step: int) -> int:
        """Return the index of the call that computes a strip of such sizes, steps and padding."""
        index, axis = strip.stage, self._axis
        key = index, strip.last - strip.first, strip.length, strip.before, channel_step
        if key not in self._units:
            problem, whole, packed, bias = self._stages[index]
            images = self._array(problem.channels, problem.size, strip.length, channel_step)
            maps = self._array(problem.filters, problem.output_size, strip.last - strip.first, map_step)
            layout = whole.strip(maps.shape[2:], stays_cached=index < len(self._buffers))
            pads = list(problem.pad)
            pads[axis] = strip.before
            assert layout is not None
            units = layout.run(images, packed, bias, maps, pads, threads=0)
            assert units is not None
            self._units[key] = len(self._units), units
        return self._units[key][0]

    def _array(self, channels: int, size: tuple[int, ...], length: int, channel_step: int) -> Array:
        """Return an array (1, channels, ...) without memory, for its shape and strides."""
        shape = (1, channels, *size[: self._axis], length, *size[self._axis + 1 :])
        dtype = self._stages[0].problem.accumulator
        inner = [dtype.itemsize * math.prod(shape[axis:]) for axis in (3, 4, 5)]
        return as_strided(np.empty(0, dtype), shape, (channels * channel_step, channel_step, *inner))


def fuse(stages: Sequence[Stage]) -> Fused | None:
    """Return the first stages, two or more, that are faster strip by strip; None if they are not."""
    count = 1 + sum(1 for _ in takewhile(lambda pair: _gains(*pair), pairwise(stages)))
    for some in range(count, 1, -1):
        axis = strip_axis(stages[:some])
        if rows := strip_rows(stages[:some], axis):
            fused = Fused(stages[:some], axis, rows)
            if fused.workspace is not None:
                return fused
    return None


def _gains(stage: Stage, following: Stage) -> bool:
    """Return whether the maps between two stages take so long to write and to read that strips are faster."""
    images, *sizes = stage.problem.maps_shape
    nbytes = math.prod(sizes) * stage.problem.accumulator.itemsize
    return images * nbytes >= MIN_BYTES and PRODUCTS_PER_BYTE * nbytes >= stage.layout.cost + following.layout.cost


def strip_axis(stages: Sequence[Stage]) -> int:
    """Return the first axis along which an image or a map has more than one place."""
    sizes = [size for stage in stages for size in (stage.problem.size, stage.problem.output_size)]
    return next((axis for axis in range(2) if any(size[axis] > 1 for size in sizes)), 2)


def strip_rows(stages: Sequence[Stage], axis: int) -> int:
    """Return how many outputs of the last stage make a strip: few, for the cache's sake; 0 if they would not fit it.

    But what strips read again is copied, and reading it may take other work twice, so that they should be much higher.
    """
    again = fixed = per_row = 0.0
    rows = 1.0  # of an image for a row of the last stage's maps
    for stage in reversed(stages):
        problem = stage.problem
        row_bytes = problem.channels * math.prod(problem.size[axis + 1 :]) * problem.accumulator.itemsize
        rows *= problem.stride[axis]
        again += (problem.span(axis) - 1) / rows
        fixed += row_bytes * (problem.span(axis) - 1)
        per_row += row_bytes * rows
    step = math.lcm(STRIP_STEP, stages[-1].layout.step[axis])
    wanted = min((CACHE_BYTES - fixed) / per_row, max(HEIGHT * again, STRIP_BYTES / per_row))
    size = stages[-1].problem.output_size[axis]
    height = min(max(1, int(wanted) // step) * step, size)
    return height if fixed + height * per_row <= MAX_BUFFER_BYTES else 0
