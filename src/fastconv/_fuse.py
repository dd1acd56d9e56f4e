"""Banks in a row, strip by strip: strips of all maps between them stay in the cache, and no whole map is in memory.

Every strip of the last maps is followed back, bank by bank, to what it reads (`Problem.input_range`). A bank makes only
those outputs that it has not made yet, in whole tiles from where the tiles of the whole map lie, so that bits are those
of bank by bank; the next bank finds the older ones at the front of its buffer. Strips lie along the first axis that has
one. A thread takes a band of them, whose first strips read some outputs that the band before makes, too.

Here this becomes a program of steps once for each size of images, which the core runs (core/fused.pxi).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product, takewhile
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
MIN_ROWS, STRIP_STEP = 8, 4  # of a strip, and what it is a multiple of
MIN_COLUMNS, COLUMN_STEP = 256, 64  # the same of a tile
COLUMNS = 2  # of the spatial axes
COPY, IMAGE, MAPS, BUFFERS = -1, 0, 1, 2  # as in core/fused.pxi
PROGRAM_BYTES = 2**15  # of a program and its objects for each stage, about


class Stage(NamedTuple):
    """How a bank computes its maps: a layout of which strips can be computed, and its weights and biases."""

    problem: Problem
    layout: Layout
    packed: Any
    bias: Array  # (K,), and slopes


class Strip(NamedTuple):
    """Some outputs of a stage, first..last along an axis, what they read, and the padding before it."""

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


class Place(NamedTuple):
    """Where a strip begins: in which array, and at which byte; and bytes from row to row, and from channel to channel."""

    array: int
    at: int
    row_bytes: int
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

    def __init__(self, stages: Sequence[Stage], axis: int, rows: int, columns: int | None = None) -> None:
        """`axis`: of strips; `rows`: outputs of the last stage in a strip; `columns`: of them in a tile, by default all."""
        self._stages, self._axis, self._rows = stages, axis, rows
        self._images, self._problem = math.prod(stages[0].problem.batch_shape), stages[-1].problem
        width = self._problem.output_size[COLUMNS]
        self._tiles = [(start, min(start + (columns or width), width)) for start in range(0, width, columns or width)]
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
        return max(1, min(threads // math.gcd(threads, self._images * len(self._tiles)), most))

    def _calls_for(self, bands: int) -> _core.FusedCalls | None:
        if bands not in self._calls:
            size, rows = self._problem.output_size[self._axis], self._rows
            count = -(-size // rows)
            starts = [min(size, count * band // bands * rows) for band in range(bands + 1)]
            parts = [schedule(self._stages, self._axis, *band, rows) for band in pairwise(starts)]
            both = list(product(parts, map(self._columns, self._tiles)))
            whole = [(strips, columns) for strips, columns in both if strips and columns]
            self._calls[bands] = _Program(self._stages, self._axis, whole).calls() if len(whole) == len(both) else None
        return self._calls[bands]

    def _columns(self, tile: tuple[int, int]) -> list[Strip] | None:
        """Return the columns of every stage for a tile of the last one's; None if some are not side by side."""
        if len(self._tiles) == 1:  # the core knows all padding modes
            problems = [stage.problem for stage in self._stages]
            whole = [
                (problem.output_size[COLUMNS], problem.size[COLUMNS], problem.pad[COLUMNS]) for problem in problems
            ]
            return [Strip(n, 0, outputs, slice(0, size), pad) for n, (outputs, size, pad) in enumerate(whole)]
        columns = schedule(self._stages, COLUMNS, *tile, tile[1] - tile[0])
        return columns if columns and all(isinstance(one.reads, slice) for one in columns) else None


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

    def __init__(self, stages: Sequence[Stage], axis: int, bands: Sequence[tuple[list[Strip], list[Strip]]]) -> None:
        """`bands`: strips of rows, in order, and the columns of every stage."""
        self._stages, self._axis, self._bands = stages, axis, bands
        self._itemsize = stages[0].problem.accumulator.itemsize
        self._units: dict[Any, tuple[int, _core.Units]] = {}
        self._steps: list[tuple[int, ...]] = []
        self._nbytes = 0
        made, gathered = [0] * len(stages), [0] * len(stages)  # bytes of a channel
        for strips, columns in bands:
            for strip, oldest in zip(strips, self._oldest_rows(strips), strict=True):
                index = strip.stage
                problem, across = stages[index].problem, columns[index]
                row = self._row_bytes(problem.output_size, across.last - across.first)
                made[index] = max(made[index], row * (strip.last - oldest))
                if self._gathers(strip, columns):
                    row = self._row_bytes(problem.size, across.length)
                    gathered[index] = max(gathered[index], row * strip.length)
        self._is_whole = len({columns[-1].first for _, columns in bands}) == 1  # rows of the last maps
        self._buffers = [
            self._buffer(stage.problem.filters, nbytes)
            for stage, nbytes in zip(stages[:-1] if self._is_whole else stages, made, strict=False)
        ]
        self._gathered = [
            self._buffer(stage.problem.channels, nbytes) for stage, nbytes in zip(stages, gathered, strict=True)
        ]

    def calls(self) -> _core.FusedCalls | None:
        """Return the program; None if its buffers are too large."""
        if self._nbytes > MAX_BUFFER_BYTES:
            return None
        bounds = [0]
        for band in self._bands:
            self._add_band(*band)
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

    def _row_bytes(self, size: tuple[int, ...], columns: int) -> int:
        """Return the bytes of one channel at one place along the axis of strips, of so many columns."""
        return math.prod((*size[self._axis + 1 : COLUMNS], columns if self._axis < COLUMNS else 1)) * self._itemsize

    def _buffer(self, channels: int, nbytes: int) -> Buffer:
        """Take room for so many bytes of all channels, which begin a cache line apart modulo powers of two."""
        start, channel_step = self._nbytes, (-(-nbytes // LINE_BYTES) + 1) * LINE_BYTES
        self._nbytes += channels * channel_step if nbytes else 0
        return Buffer(start, channel_step)

    def _oldest_rows(self, strips: list[Strip]) -> list[int]:
        """Return for every strip the first output of its stage that is read from then on."""
        oldest, found = [math.inf] * (len(self._stages) + 1), []
        for strip in reversed(strips):
            found.append(int(min(oldest[strip.stage + 1], strip.first)))
            oldest[strip.stage] = min(oldest[strip.stage], strip.bounds[0])
        return found[::-1]

    def _add_band(self, strips: list[Strip], columns: list[Strip]) -> None:
        begins = [-1] * len(self._stages)  # the first output in each buffer
        ends = [-1] * len(self._stages)
        for strip, oldest in zip(strips, self._oldest_rows(strips), strict=True):
            index, across = strip.stage, columns[strip.stage]
            problem = self._stages[index].problem
            source = self._source(strip, columns, begins)
            to_row = self._row_bytes(problem.output_size, across.last - across.first)
            target = self._in_maps(strip.first, 0)
            if index < len(self._buffers):
                start, map_step = self._buffers[index]
                buffer = Place(BUFFERS, start, to_row, map_step)
                if begins[index] < oldest < ends[index]:
                    kept = self._row_of(buffer, oldest - begins[index])
                    self._copy(kept, buffer, (ends[index] - oldest) * to_row, 1, problem.filters)
                begins[index], ends[index] = oldest, strip.last
                target = self._row_of(buffer, strip.first - oldest)
            call = self._call(strip, across, source, target)
            self._steps.append((call, source.array, source.at, target.array, target.at, *[0] * 7))
            if index == len(self._stages) - 1 and not self._is_whole:
                place = self._in_maps(strip.first, across.first)
                self._copy(target, place, to_row, strip.last - strip.first, problem.filters)

    def _in_maps(self, row: int, column: int) -> Place:
        """Return a place in the last maps."""
        size = self._stages[-1].problem.output_size
        row_bytes = self._row_bytes(size, size[COLUMNS])
        return Place(MAPS, row * row_bytes + column * self._itemsize, row_bytes, size[self._axis] * row_bytes)

    def _source(self, strip: Strip, columns: list[Strip], begins: list[int]) -> Place:
        """Return where a strip finds what it reads, given the first output in each buffer."""
        index, across, size = strip.stage, columns[strip.stage], self._stages[strip.stage].problem.size
        row_bytes = self._row_bytes(size, size[COLUMNS])
        place = Place(IMAGE, 0, row_bytes, size[self._axis] * row_bytes)
        origin = 0, 0
        if index:
            before = columns[index - 1]
            origin = begins[index - 1], before.first
            start, channel_step = self._buffers[index - 1]
            place = Place(BUFFERS, start, self._row_bytes(size, before.last - before.first), channel_step)
        shift = (across.bounds[0] - origin[1]) * self._itemsize
        place = self._row_of(place._replace(at=place.at + shift), strip.bounds[0] - origin[0])
        if not self._gathers(strip, columns):
            return place
        start, channel_step = self._gathered[index]
        row_bytes = self._row_bytes(size, across.length)
        gathered = Place(BUFFERS, start, row_bytes, channel_step)
        channels = self._stages[index].problem.channels
        if isinstance(strip.reads, slice):
            self._copy(place, gathered, row_bytes, strip.length, channels)
        else:
            for n, row in enumerate(strip.reads):
                source = self._row_of(place, row - strip.bounds[0])
                self._copy(source, self._row_of(gathered, n), row_bytes, 1, channels)
        return gathered

    def _gathers(self, strip: Strip, columns: list[Strip]) -> bool:
        """Return whether rows must be copied: the padding repeats some, or a layout reads those of a tile as one."""
        index, length = strip.stage, columns[strip.stage].length
        width = columns[index - 1].last - columns[index - 1].first if index else self._stages[0].problem.size[COLUMNS]
        reads_one = self._stages[index].layout.contiguous_axes > 1 and self._axis < COLUMNS
        return not isinstance(strip.reads, slice) or (reads_one and length < width)

    def _row_of(self, place: Place, row: int) -> Place:
        return place._replace(at=place.at + row * place.row_bytes)

    def _copy(self, source: Place, target: Place, nbytes: int, rows: int, channels: int) -> None:
        """Copy so many bytes of some rows of all channels."""
        places = source.array, source.at, target.array, target.at
        steps = rows, source.row_bytes, target.row_bytes, channels, source.channel_step, target.channel_step
        self._steps.append((COPY, *places, nbytes, *steps))

    def _call(self, strip: Strip, across: Strip, source: Place, target: Place) -> int:
        """Return the index of the call that computes a strip of such sizes, steps and padding."""
        index, rows, columns = strip.stage, strip.last - strip.first, across.last - across.first
        steps = source.row_bytes, source.channel_step, target.channel_step
        key = index, rows, strip.length, strip.before, columns, across.length, across.before, steps
        if key not in self._units:
            problem, whole, packed, bias = self._stages[index]
            images = self._array(problem.channels, problem.size, strip.length, across.length, source)
            maps = self._array(problem.filters, problem.output_size, rows, columns, target)
            layout = whole.strip(maps.shape[2:], stays_cached=index < len(self._buffers))
            pads = list(problem.pad)
            pads[COLUMNS] = across.before
            pads[self._axis] = strip.before
            assert layout is not None
            units = layout.run(images, packed, bias, maps, pads, threads=0)
            assert units is not None
            self._units[key] = len(self._units), units
        return self._units[key][0]

    def _array(self, channels: int, size: tuple[int, ...], rows: int, columns: int, place: Place) -> Array:
        """Return an array (1, channels, ...) without memory, for its shape and strides."""
        sizes = [*size[:COLUMNS], columns]
        sizes[self._axis] = rows
        dtype = self._stages[0].problem.accumulator
        row = place.row_bytes if self._axis == 1 else columns * dtype.itemsize
        strides = (channels * place.channel_step, place.channel_step, place.row_bytes, row, dtype.itemsize)
        return as_strided(np.empty(0, dtype), (1, channels, *sizes), strides)


def fuse(stages: Sequence[Stage]) -> Fused | None:
    """Return the first stages, two or more, that are faster strip by strip; None if they are not."""
    count = 1 + sum(1 for _ in takewhile(lambda pair: _gains(*pair), pairwise(stages)))
    for some in range(count, 1, -1):
        axis = strip_axis(stages[:some])
        for size in tile_sizes(stages[:some], axis):
            fused = Fused(stages[:some], axis, *size)
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


def tile_sizes(stages: Sequence[Stage], axis: int) -> Iterator[tuple[int, int | None]]:
    """Yield how many outputs of the last stage make a strip, and how many columns a tile, None for all: the best first.

    Few, for the cache's sake. But what strips read again is copied, and reading it may take other work twice, so that
    they should be much higher; if rows are too wide for that, they are cut into tiles, which read some columns twice.
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
    last = stages[-1]
    size, width = last.problem.output_size[axis], last.problem.output_size[COLUMNS]
    step = math.lcm(STRIP_STEP, last.layout.step[axis])
    column_step = math.lcm(COLUMN_STEP, last.layout.step[COLUMNS])
    for tiles in range(1, 1 + max(1, width // MIN_COLUMNS if axis == 1 else 1)):
        fit = CACHE_BYTES if tiles == 1 else CACHE_BYTES // 2  # narrower tiles cost little
        wanted = min((fit * tiles - fixed) / per_row, max(HEIGHT * again, STRIP_BYTES * tiles / per_row))
        height = min(int(wanted) // step * step, size)
        if height >= min(size, MIN_ROWS):
            yield height, None if tiles == 1 else -(-width // (tiles * column_step)) * column_step
            break
    height = min(size, step)
    if fixed + height * per_row <= MAX_BUFFER_BYTES:
        yield height, None
