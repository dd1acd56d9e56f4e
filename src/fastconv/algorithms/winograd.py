"""Winograd's minimal filtering: m sums of r neighbouring products from m + r - 1 multiplications, along each axis of an image.

Tiles of pixels and kernels are transformed, multiplied number by number, added up over channels and transformed back, by the forms of
winograd_forms.py; forms of rows and columns nest. Which forms, and in blocks of how many tiles, is decided here by their cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._problem import LINE_BYTES, Array, Problem, Triple
from fastconv.algorithms import Layout
from fastconv.algorithms.winograd_forms import Form, form

NAME = "winograd"
DOMAIN = (
    "it takes float32 or float64, and kernels of depth 1 with at least 3 taps or 1 in rows and columns, or with a stride in their "
    "phases"
)

# (taps, stride) -> outputs that there are micro-kernels for, and how many times larger than with direct summation errors become, as
# measured; along both axes the product counts.
KNOWN: dict[tuple[int, int], dict[int, float]] = {
    (1, 1): {1: 1},
    (3, 1): {4: 2.6, 3: 1.55, 2: 1.2},
    (4, 1): {4: 3.3, 3: 2.15},
    (5, 1): {3: 3.5, 2: 2.1},
    (3, 2): {4: 1.6, 2: 1.1},
    (5, 2): {2: 1.9},
}
MAX_ERROR_GROWTH, MAX_ERROR_GROWTH_SHORT = 6.8, 8.0  # in all, and where sums go over at most SHORT_SUM channels
SHORT_SUM = 32

# Costs as in direct.py.
MARGIN = 0.9  # of the budget, or less: machines differ
TRANSFORM = 16.0  # a number of a transformed tile, once for a channel and once for a filter
SPLIT = 22.0  # the same of a virtual channel, beyond that
SHARED_PRODUCT = 1.15  # a product where parts of kernels share tiles
FEW_PRODUCT = 1.3  # a product where lanes are tiles
FEW_CHANNEL, FEW_FILTER = 20.0, 7.0  # a number of a transformed tile there
FETCH = 48.0  # a transformed weight, for every block of tiles, shared by the tiles of the block: many hide it
CACHED_STORE = 20.0  # an output of maps that should bypass the cache, but do not
TRANSFORM_WEIGHT = 2.5  # a product in the transform of the weights
REFETCH = 3.0  # a transformed weight, for every unit of work
HALO_TILE = 8.0  # a tile, for every channel, of a row of tiles that two units share

VECTOR = 16  # channels and filters are counted in whole vectors of so many, whatever the instruction set
BLOCK_BYTES = 2**21  # of transformed tiles at most: the second-level cache
BLOCK_TILES = 32  # more do not hide more of FETCH
SHARING_TILES = 64  # where parts share tiles
FEW_TILES = 128  # of a row, where lanes are tiles
FEW_CHANNELS = 12  # at most: their tiles stay in the first-level cache
UNIT_PRODUCTS = 2**28  # at most in a unit: interrupts wait for its end
MOST_PARTITIONS = 64  # that are remembered
UNITS_PER_THREAD = 8  # at most, for threads to end at about the same time


class Split(NamedTuple):
    """Which taps of an axis make a kernel: with several parts, each meets an input of its own, a virtual channel.

    Part p has the taps p * apart, p * apart + step, and so on, of those that there are.
    """

    parts: int = 1
    step: int = 1
    apart: int = 0


class Choice(NamedTuple):
    """Forms and splits of rows and columns, and how many rows and columns of tiles are worked on at a time."""

    forms: tuple[Form, Form]
    splits: tuple[Split, Split]
    few: bool  # lanes are tiles rather than channels
    tile_rows: int
    tile_columns: int
    line_tiles: int = 0  # whose outputs fill cache lines, which are written past the cache; 0 if they should not be


class Winograd(Layout):
    """The forms of rows and columns, in blocks of so many tiles."""

    name = NAME

    def __init__(self, problem: Problem, choice: Choice, cost: float) -> None:
        (channels, filters), bits = problem.group_size, 8 * problem.accumulator.itemsize
        self._core = _core.winograd_layout(problem.window, channels, filters, bits, *choice)
        forms = tuple(form[:3] for form in choice.forms)
        packing = (NAME, *_core.current_isa(), *forms, choice.splits, choice.few)
        super().__init__(problem, cost, self._core.workspace, packing)
        self.error, self.step = growth(choice.forms), self._core.tile_size
        self._choice = choice
        self._convolve = _core.convolve_winograd[problem.core_name]
        self._partitions: dict[tuple[object, ...], tuple[int, int, int]] = {}

    @property
    def how(self) -> str:
        choice = self._choice
        y, x = choice.forms
        parts = "x".join(str(split.parts) for split in choice.splits)
        return (
            f"F({y.outputs}, {y.taps}) x F({x.outputs}, {x.taps}) with stride {y.stride}x{x.stride}, "
            + (f"kernels in {parts} parts, " if parts != "1x1" else "")
            + ("tiles in the lanes, " if choice.few else "")
            + f"blocks of {choice.tile_rows}x{choice.tile_columns} tiles"
        )

    @property
    def products(self) -> float:
        y, x = self._choice.forms
        positions = y.positions * x.positions / (y.outputs * x.outputs)
        return positions * virtual_channels(self.problem, self._choice.splits)

    def pack(self, weight: Array) -> tuple[Array, Array]:
        """Return all weights one after another, for sums that are not finite, and their transforms."""
        filters = _weights.filters(self.problem, weight)
        transformed = _weights.pack(
            self.problem, self._core, _core.pack_winograd, lambda first, last: filters[first:last]
        )
        return filters.reshape(-1), transformed

    def run(
        self,
        images: Array,
        packed: tuple[Array, Array],
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
    ) -> None:
        blocks = None if threads == 1 else self._blocks_for(maps.shape, threads)
        self._convolve(images, *packed, bias, maps, pads, self._core, blocks, threads)

    def pixels_read(self, axis: int, outputs: int) -> int:
        return self._core.seen(axis, outputs)

    def _blocks_for(self, maps_shape: tuple[int, ...], threads: int) -> tuple[int, int, int]:
        key = maps_shape, threads
        if key not in self._partitions:
            if len(self._partitions) >= MOST_PARTITIONS:
                self._partitions.clear()
            self._partitions[key] = self._partition(maps_shape, threads)
        return self._partitions[key]

    def _partition(self, maps_shape: tuple[int, ...], threads: int) -> tuple[int, int, int]:
        """Return into how many blocks to part the rows and the columns of tiles, and into how many parts the filters.

        Blocks that are smaller than the cache holds, or some of the filters at a time, let several threads end at about the same
        time; but each part of the filters transforms the image again, and each block reads all the weights.
        """
        problem, choice = self.problem, self._choice
        images, _, depth, height, width = maps_shape
        rows, columns = _tiles(problem._replace(output_size=(depth, height, width)), choice.forms)
        least_rows, least_columns = -(-rows // choice.tile_rows), -(-columns // choice.tile_columns)
        filter_blocks, block_filters = self._core.filter_blocks
        filters, line_tiles = problem.filters // problem.groups, max(1, choice.line_tiles)
        most_columns = least_columns if choice.few else -(-columns // line_tiles)
        others = images * depth * problem.groups * problem.dilation[1]
        most = max(UNITS_PER_THREAD * threads // others, least_rows * least_columns)  # blocks times parts
        candidates = [
            (row_blocks, column_blocks, parts)
            for row_blocks in range(least_rows, min(rows, most // least_columns) + 1)
            for column_blocks in range(least_columns, min(most_columns, most // row_blocks) + 1)
            for parts in range(1, max(1, min(filter_blocks, most // (row_blocks * column_blocks))) + 1)
        ]
        row_blocks, column_blocks, parts = np.array(candidates, float).T
        channels = virtual_channels(problem, choice.splits)
        y_sharing, x_sharing = (sharing(split) for split in choice.splits)
        views = channels if choice.few else channels // (y_sharing * x_sharing)

        def unit_time(tiles: Array, some_filters: Array) -> Array:
            products = channels * some_filters
            tiles = tiles * problem.dilation[2]
            return tiles * (products + TRANSFORM * (views + some_filters)) + REFETCH * products

        some_rows = np.ceil(rows / row_blocks)
        some_columns = np.ceil(np.ceil(columns / line_tiles) / column_blocks) * line_tiles
        if channels > views:  # parts of kernels share tiles, which reach beyond the block
            tiles = some_rows * some_columns
            halo = TRANSFORM * views * ((some_rows + y_sharing - 1) * (some_columns + x_sharing - 1) - tiles)
        elif choice.few:
            tiles, halo = some_rows * some_columns, np.zeros(len(candidates))
        else:  # blocks may end in the middle of a row
            tiles = np.ceil(rows * some_columns / row_blocks)
            halo = np.where(rows % row_blocks, HALO_TILE * channels * some_columns, 0)
        largest = unit_time(tiles, np.minimum(filters, np.ceil(filter_blocks / parts) * block_filters)) + halo
        mean = unit_time(rows * columns / (row_blocks * column_blocks), filters / parts) + halo
        units = others * row_blocks * column_blocks * parts
        time = np.minimum(np.ceil(units / threads) * largest, (units * mean + (threads - 1) * largest) / threads)
        # Of about equal ones the last, which has the most units: threads may be held up.
        so_far = np.minimum.accumulate(time)
        best: int = np.flatnonzero(time[1:] < 1.01 * so_far[:-1]).max(initial=-1) + 1
        return candidates[best]


def choose(problem: Problem, reuse: bool, budget: float) -> Winograd | None:
    """Return the cheapest forms that are accurate enough."""
    if problem.accumulator.kind != "f" or problem.kernel[0] > 1 or problem.precision == "highest":
        return None
    best, least = None, MARGIN * budget
    for choice in _candidates(problem):
        if (expected := cost(problem, choice, reuse)) < least:
            best, least = choice, expected
    return Winograd(problem, best, least) if best else None


def supports(problem: Problem, output_size: Triple) -> bool:
    """Tell whether there are forms for a problem's dtype and kernel, and maps of this size, that see nothing but an image."""
    seeing = problem._replace(output_size=output_size, padding_mode="circular", algorithm=NAME)
    return choose(seeing, reuse=True, budget=math.inf) is not None


def _candidates(problem: Problem) -> Iterator[Choice]:
    """Yield what is accurate enough: where outputs see little but padding they are small, and the errors are not."""
    relative = min(1.0, 2 * math.sqrt(problem.inside_fraction))
    for (y, split_y), (x, split_x) in itertools.product(_ways(problem, 1), _ways(problem, 2)):
        forms, splits = (y, x), (split_y, split_x)
        channels = virtual_channels(problem, splits)
        if (
            growth(forms) > relative * (MAX_ERROR_GROWTH_SHORT if channels <= SHORT_SUM else MAX_ERROR_GROWTH)
            or y.taps == x.taps == 1
        ):
            continue
        if all(sharing(s) == 1 or s.apart == f.outputs for s, f in zip(splits, forms, strict=True)):
            yield Choice(forms, splits, False, *_block(problem, forms, splits))
        few = channels <= FEW_CHANNELS and problem.dilation[2] == 1
        if few and y.stride == x.stride == 1 and x.outputs in (1, 2, 4):
            yield Choice(forms, splits, True, *_few_block(problem, forms, splits))


def _ways(problem: Problem, axis: int) -> Iterator[tuple[Form, Split]]:
    """Yield the forms of an axis: of the kernel as it is, of the phases that a stride makes, or of parts of long kernels."""
    taps, stride = problem.kernel[axis], problem.stride[axis]
    splits = [(taps, stride, Split())]
    if stride > 1 and problem.dilation[axis] == 1:
        splits.append((-(-taps // stride), 1, Split(min(stride, taps), stride, 1)))
    if stride == 1:
        splits += [(part, 1, Split(-(-taps // part), 1, part)) for part in (3, 4) if taps > part]
    for some, step, split in splits:
        for outputs in KNOWN.get((some, step), {}):
            yield form(outputs, some, step), split


def virtual_channels(problem: Problem, splits: tuple[Split, Split]) -> int:
    """Return the channels of a group, for every part of the kernels."""
    return problem.channels // problem.groups * splits[0].parts * splits[1].parts


def sharing(split: Split) -> int:
    """Return how many parts see the same tiles, each those a tile further on, where lanes are channels."""
    return split.parts if split.step == 1 else 1


def growth(forms: tuple[Form, Form]) -> float:
    """Return how many times larger than with direct summation errors are expected to be."""
    return math.prod(KNOWN[form.taps, form.stride][form.outputs] for form in forms)


def cost(problem: Problem, choice: Choice, reuse: bool) -> float:
    """Return how long these forms take on one image, in products at full speed."""
    y, x = choice.forms
    channels, filters = virtual_channels(problem, choice.splits), problem.filters // problem.groups
    tile_rows, tile_columns = _tiles(problem, choice.forms)
    lanes = _whole_vectors(filters)
    weights = channels * lanes * len(y.G) * len(x.G)
    once = 0.0 if reuse else TRANSFORM_WEIGHT * channels * lanes * (len(y.G) * (len(x.G) + y.taps) * x.taps)
    if choice.few:
        tiles = tile_rows * problem.dilation[1] * _whole_vectors(tile_columns)
        numbers = FEW_PRODUCT * channels * filters + FEW_CHANNEL * channels + FEW_FILTER * filters
        fetched = 0.0
    else:
        tiles = tile_rows * tile_columns * problem.dilation[1] * problem.dilation[2]
        beyond = [sharing(split) - 1 for split in choice.splits]
        transformed = (1 + beyond[0] / choice.tile_rows) * (1 + beyond[1] / choice.tile_columns)
        views = channels // ((1 + beyond[0]) * (1 + beyond[1]))
        product = SHARED_PRODUCT if channels > views else 1.0
        numbers = product * channels * lanes + TRANSFORM * (transformed * _whole_vectors(views) + lanes)
        numbers += SPLIT * transformed * views if any(split.step > 1 for split in choice.splits) else 0.0
        blocks = problem.dilation[1] * -(-tile_rows // choice.tile_rows) * -(-tile_columns // choice.tile_columns)
        fetched = FETCH * weights * blocks * blocks / tiles
        if problem.bypasses_cache and not choice.line_tiles:
            fetched += CACHED_STORE * math.prod(problem.output_size[1:]) * filters
    products = tiles * y.positions * x.positions * numbers
    return problem.groups * (problem.output_size[0] * (products + fetched) + once)


def _tiles(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return how many rows and columns of tiles the outputs with one remainder by the dilation make."""
    rows, columns = (
        math.ceil(math.ceil(problem.output_size[axis] / problem.dilation[axis]) / forms[axis - 1].outputs)
        for axis in (1, 2)
    )
    return rows, columns


def _block(problem: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int, int]:
    """Return how many rows and columns of tiles fit into the cache, as evenly as can be, and how many make a line."""
    rows, columns = _tiles(problem, forms)
    y, x = (sharing(split) for split in splits)
    numbers = forms[0].positions * forms[1].positions * virtual_channels(problem, splits) // (y * x)
    fit = BLOCK_BYTES // (numbers * problem.accumulator.itemsize * problem.dilation[2])
    most = widest = max(1, min(BLOCK_TILES // problem.dilation[2], fit))
    if y > 1 or x > 1:  # few tiles beyond the block
        side = math.isqrt(fit)
        most = min(max(1, SHARING_TILES // problem.dilation[2]), max(1, side + 1 - y) * max(1, side + 1 - x))
        widest = max(1, math.isqrt(most * x // y), most // rows)
    line_tiles = _line_tiles(problem, forms[1])
    line_tiles *= line_tiles <= widest
    unit = line_tiles or 1
    units = -(-columns // unit)
    some_columns = -(-units // -(-units // (widest // unit))) * unit
    some_rows = max(1, most // some_columns)
    return -(-rows // -(-rows // some_rows)), some_columns, line_tiles


def _line_tiles(problem: Problem, x: Form) -> int:
    """Return how many tiles make a line of the cache, 0 if maps had better not be written past it, or have no whole lines."""
    line_outputs = LINE_BYTES // problem.accumulator.itemsize
    if not problem.bypasses_cache or problem.output_size[2] % line_outputs or x.outputs not in (2, 4):
        return 0
    return line_outputs // x.outputs


def _few_block(problem: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int, int]:
    """Return the same where lanes are tiles: a row is worked on at a time, so that maps are written in long runs."""
    rows, columns = _tiles(problem, forms)
    columns = min(_whole_vectors(columns), FEW_TILES)
    products = columns * forms[0].positions * forms[1].positions * virtual_channels(problem, splits) * problem.filters
    line_tiles = VECTOR if _line_tiles(problem, forms[1]) else 0  # whole vectors of tiles
    return max(1, min(rows, FEW_TILES, UNIT_PRODUCTS // products)), columns, line_tiles


def _whole_vectors(count: int) -> int:
    return -(-count // VECTOR) * VECTOR
