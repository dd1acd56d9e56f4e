"""Winograd's minimal filtering F(m, r): m outputs of r taps from m + r - 1 multiplications, along each axis.

Tiles of pixels, and kernels, are transformed, multiplied element by element, summed over channels and transformed back,
by the forms in winograd_forms.py, nested for rows and columns. Forms and block sizes (in tiles) are chosen here by
cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._problem import LINE_BYTES, Array, Problem, Triple
from fastconv.algorithms import Layout, total
from fastconv.algorithms.winograd_forms import Form, form

NAME = "winograd"
DOMAIN = (
    "it takes float32 or float64, and kernels of depth 1 with at least 3 taps or 1 in rows and columns, or with a stride in their "
    "phases"
)

# (taps r, stride) -> {m: error of F(m, r) relative to direct summation, as measured}, of all forms with micro-kernels.
ERROR_GROWTH: dict[tuple[int, int], dict[int, float]] = {
    (1, 1): {1: 1},
    (3, 1): {4: 2.6, 3: 1.55, 2: 1.2},
    (4, 1): {4: 3.3, 3: 2.15},
    (5, 1): {3: 3.5, 2: 2.1},
    (3, 2): {4: 1.6, 2: 1.1},
    (5, 2): {2: 1.9},
}
MAX_ERROR_GROWTH, MAX_ERROR_GROWTH_SHORT = 6.8, 8.0  # in general, and for sums over at most SHORT_SUM channels
SHORT_SUM = 32

MARGIN = 0.95  # of the budget, for predicted costs: machines differ, and direct summation is more accurate

# Costs, for `total`; those with lanes of tiles are of the variant for few channels, whose lanes are tiles.
COSTS = {
    "call": 1.4e6,
    "group": 1e4,  # per plane of maps
    "block": 5e4,  # per block of tiles
    "output": 25.0,
    "cached output": 35.0,  # in addition, where maps are large enough for non-temporal stores, but these cannot be used
    "product": 1.25,
    "product, shared tiles": 0.12,  # in addition, where parts of kernels share tiles
    "channel tile": 90.0,  # per channel and tile
    "channel number": 27.0,  # per channel and number of a transformed tile
    "split number": 45.0,  # in addition, for virtual channels
    "filter number": 18.0,  # per filter and number of a transformed tile
    "late weight": 15.0,  # per transformed weight and block, where too few tiles hide that it is fetched from afar
    "few product": 1.45,
    "few channel number": 29.0,
    "few output": 25.0,
}

NEAR_BYTES = 2**20  # bytes of weights that stay in the second-level cache
HIDING_TILES = 26  # tiles of a block whose products take as long as fetching a weight

# Costs of a partition over threads, in products.
TRANSFORM = 16.0  # per number of a transformed tile, for each channel and each filter
REFETCH = 3.0  # per transformed weight and unit of work
HALO_TILE = 8.0  # per channel and tile of a row of tiles that two units share

VECTOR = 16  # lanes for which channels and filters are rounded up, on all instruction sets alike
BLOCK_BYTES = 2**21  # bytes of transformed tiles, at most: the second-level cache
BLOCK_TILES = 32  # tiles of a block, at most: they hide that weights are fetched
SHARING_BLOCK_TILES = 64  # the same where parts share tiles
FEW_BLOCK_TILES = 128  # tiles of a row of a block, at most, and its rows of tiles
MAX_SPLIT_STRIDE = 16  # beyond, each pixel of a phase lies in a cache line of its own
MAX_FEW_CHANNELS = 12  # for more, transformed tiles would not stay in the first-level cache
MAX_UNIT_PRODUCTS = 2**28  # products of a unit of work of the few-channel variant: interrupts wait for its end
MAX_PARTITIONS = 64  # cached per layout
UNITS_PER_THREAD = 8  # units of work, at most, so that threads end at about the same time


class Split(NamedTuple):
    """How the taps of an axis are split into parts, shorter kernels whose inputs are virtual channels.

    Part p has the taps p * offset, p * offset + step, p * offset + 2 * step, ...
    """

    parts: int = 1
    step: int = 1
    offset: int = 0


Phases = tuple[tuple[Form, ...], tuple[Form, ...]]  # of rows and columns, by the stride of a transposed convolution


class Variant(NamedTuple):
    """Forms and splits of rows and columns, and the rows and columns of tiles in a block."""

    forms: tuple[Form, Form]
    splits: tuple[Split, Split]
    few: bool  # lanes are tiles rather than channels
    tile_rows: int
    tile_columns: int
    line_tiles: int = 0  # tiles whose outputs fill whole cache lines, for non-temporal stores; 0 without these


class Winograd(Layout):
    """A variant, and the partitions of its work over threads."""

    name = NAME
    _numbers_per_product = 1.0  # of a transformed tile, that are transformed for each product

    def __init__(
        self,
        problem: Problem,
        variant: Variant,
        cost: float,
        error: float,
        phases: Phases | None = None,
        *,
        packed: bool = True,
    ) -> None:
        """Make a layout of a variant.

        `phases`: the forms of all phases of a transposed convolution, the last ones of which are the variant's.
        `packed`: filters are transformed beforehand, rather than by every unit of work, chunk by chunk.
        """
        forms = phases or tuple((form,) for form in variant.forms)
        self._core_layout = _core.winograd_layout(
            problem.window,
            *problem.group_size,
            problem.bits,
            forms,
            variant.splits,
            variant.few,
            variant.tile_rows,
            variant.tile_columns,
            variant.line_tiles,
            packed=packed,
            transposed=phases is not None,
        )
        names = tuple(tuple(form[:3] for form in axis) for axis in forms)
        packing = (NAME, *_core.current_isa(), phases is not None, names, variant.splits, variant.few)
        super().__init__(problem, cost, self._core_layout.workspace, packing)
        self.error, self.step = error, self._core_layout.tile_size
        self.packed_bytes = self._core_layout.packed_numbers * problem.accumulator.itemsize
        self._variant, self._packed = variant, packed
        self._partitions: dict[tuple[object, ...], tuple[int, int, int]] = {}

    @property
    def how(self) -> str:
        variant = self._variant
        y, x = variant.forms
        parts = "x".join(str(split.parts) for split in variant.splits)
        return (
            f"F({y.outputs}, {y.taps}) x F({x.outputs}, {x.taps}) with stride {y.stride}x{x.stride}, "
            + (f"kernels in {parts} parts, " if parts != "1x1" else "")
            + ("tiles in the lanes, " if variant.few else "")
            + f"blocks of {variant.tile_rows}x{variant.tile_columns} tiles"
        )

    @property
    def products(self) -> float:
        y, x = self._variant.forms
        positions = y.positions * x.positions / (y.outputs * x.outputs)
        return positions * virtual_channels(self.problem, self._variant.splits)

    def unpacked(self) -> Winograd | None:
        variant = self._variant
        if variant.few or variant.splits != (Split(), Split()) or not _is_one_block(self.problem, variant):
            return None
        return Winograd(self.problem, variant, self.cost, self.error, packed=False)

    def pack(self, weight: Array) -> tuple[Array, Array | None]:
        """Return the weights as given, to recompute outputs that are not finite, and their transforms if packed."""
        filters = _weights.filters(self.problem, weight)
        if not self._packed:
            return filters, None
        transformed = _weights.pack(
            self.problem, self._core_layout, _core.pack_winograd, lambda first, last: filters[first:last]
        )
        return filters, transformed

    def run(
        self,
        images: Array,
        packed: tuple[Array, Array | None],
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> _core.Units | None:
        blocks = None if threads <= 1 else self._blocks_for(maps.shape, threads)
        return _core.convolve_winograd(images, *packed, bias, maps, pads, self._core_layout, blocks, threads, residual)

    def strip(self, size: Triple, stays_cached: bool) -> Winograd:
        if not (stays_cached and self._variant.line_tiles):
            return self
        cached = self._variant._replace(line_tiles=0)
        return Winograd(self.problem, cached, self.cost, self.error, packed=self._packed)

    def pixels_read(self, axis: int, outputs: int) -> int:
        return self._core_layout.pixels_read(axis, outputs)

    def _tiles(self, problem: Problem) -> tuple[int, int]:
        """Return the rows and columns of tiles in one phase by the dilation."""
        return count_tiles(problem, self._variant.forms)

    def _blocks_for(self, maps_shape: tuple[int, ...], threads: int) -> tuple[int, int, int]:
        blocks = self._partitions.get((maps_shape, threads))
        if blocks is None:  # other threads may do the same
            if len(self._partitions) >= MAX_PARTITIONS:
                self._partitions.clear()
            blocks = self._partitions[maps_shape, threads] = self._partition(maps_shape, threads)
        return blocks

    def _partition(self, maps_shape: tuple[int, ...], threads: int) -> tuple[int, int, int]:
        """Return into how many blocks to split the rows and the columns of tiles, and into how many parts the filters.

        One thread takes blocks that fill the cache. Several take smaller ones, or a part of the filters each, so that all
        end at about the same time; but each part of the filters transforms the image again, and each block reads all
        weights.
        """
        problem, variant = self.problem, self._variant
        images, _, depth, height, width = maps_shape
        rows, columns = self._tiles(problem._replace(output_size=(depth, height, width)))
        min_row_blocks, min_column_blocks = -(-rows // variant.tile_rows), -(-columns // variant.tile_columns)
        filter_blocks, block_filters = self._core_layout.filter_blocks
        filters, line_tiles = problem.filters // problem.groups, max(1, variant.line_tiles)
        max_column_blocks = min_column_blocks if variant.few else -(-columns // line_tiles)
        planes = images * depth * problem.groups * problem.dilation[1]
        max_units = max(UNITS_PER_THREAD * threads // planes, min_row_blocks * min_column_blocks)  # of a plane
        candidates = [
            (row_blocks, column_blocks, parts)
            for row_blocks in range(min_row_blocks, min(rows, max_units // min_column_blocks) + 1)
            for column_blocks in range(min_column_blocks, min(max_column_blocks, max_units // row_blocks) + 1)
            for parts in range(1, max(1, min(filter_blocks, max_units // (row_blocks * column_blocks))) + 1)
        ]
        row_blocks, column_blocks, parts = np.array(candidates, float).T
        channels = virtual_channels(problem, variant.splits)
        y_sharing, x_sharing = (1 if variant.few else parts_sharing_tiles(split) for split in variant.splits)
        transformed_channels = channels * self._numbers_per_product / (y_sharing * x_sharing)

        def unit_cost(tiles: Array, unit_filters: Array) -> Array:
            products = channels * unit_filters
            tiles = tiles * problem.dilation[2]
            return tiles * (products + TRANSFORM * (transformed_channels + unit_filters)) + REFETCH * products

        block_rows = np.ceil(rows / row_blocks)
        block_columns = np.ceil(np.ceil(columns / line_tiles) / column_blocks) * line_tiles
        if y_sharing * x_sharing > 1:  # parts of kernels share tiles, and need a halo of tiles around the block
            tiles = block_rows * block_columns
            halo_tiles = (block_rows + y_sharing - 1) * (block_columns + x_sharing - 1) - tiles
            halo = TRANSFORM * transformed_channels * halo_tiles
        elif variant.few:
            tiles, halo = block_rows * block_columns, np.zeros(len(candidates))
        else:  # blocks may end in the middle of a row
            tiles = np.ceil(rows * block_columns / row_blocks)
            halo = np.where(rows % row_blocks, HALO_TILE * channels * block_columns, 0)
        largest = unit_cost(tiles, np.minimum(filters, np.ceil(filter_blocks / parts) * block_filters)) + halo
        mean = unit_cost(rows * columns / (row_blocks * column_blocks), filters / parts) + halo
        units = planes * row_blocks * column_blocks * parts
        time = np.minimum(np.ceil(units / threads) * largest, (units * mean + (threads - 1) * largest) / threads)
        # Of candidates within 1 % take the last, which has the most units: a delayed thread then costs least.
        fastest_so_far = np.minimum.accumulate(time)
        best: int = np.flatnonzero(time[1:] < 1.01 * fastest_so_far[:-1]).max(initial=-1) + 1
        return candidates[best]


def choose(problem: Problem, budget: float) -> Winograd | None:
    """Return the cheapest variant that is accurate enough."""
    if problem.accumulator.kind != "f" or problem.kernel[0] > 1 or problem.precision == "highest":
        return None
    best, lowest = None, MARGIN * budget
    for variant in _variants(problem):
        if (expected := cost(problem, variant)) < lowest:
            best, lowest = variant, expected
    if best is None:
        return None
    layout = Winograd(problem, best, lowest, error_growth(best.forms))
    layout.counts = counts(problem, best)
    return layout


def _is_one_block(problem: Problem, variant: Variant) -> bool:
    """Return whether one block of tiles is all that the filters are applied to, on one thread."""
    rows, columns = count_tiles(problem, variant.forms)
    others = problem.images_shape[0] * problem.output_size[0] * problem.dilation[1]
    return others == 1 and rows <= variant.tile_rows and columns <= variant.tile_columns


def supports(problem: Problem, output_size: Triple) -> bool:
    """Return whether there are forms for a problem's dtype and kernel, for maps of this size without zero padding."""
    without_zeros = problem._replace(output_size=output_size, padding_mode="circular", algorithm=NAME)
    return choose(without_zeros, math.inf) is not None


def _variants(problem: Problem) -> Iterator[Variant]:
    """Yield the variants that are accurate enough.

    Outputs that read mostly zero padding are small, and errors are larger relative to them: they allow less error
    growth.
    """
    relative = min(1.0, 2 * math.sqrt(problem.inside_fraction))
    for (y, split_y), (x, split_x) in itertools.product(_axis_forms(problem, 1), _axis_forms(problem, 2)):
        forms, splits = (y, x), (split_y, split_x)
        channels = virtual_channels(problem, splits)
        max_growth = relative * (MAX_ERROR_GROWTH_SHORT if channels <= SHORT_SUM else MAX_ERROR_GROWTH)
        if error_growth(forms) > max_growth or y.taps == x.taps == 1:
            continue
        if all(parts_sharing_tiles(s) == 1 or s.offset == f.outputs for s, f in zip(splits, forms, strict=True)):
            yield Variant(forms, splits, False, *_block(problem, forms, splits))
        few = channels <= MAX_FEW_CHANNELS and problem.dilation[2] == 1
        if few and y.stride == x.stride == 1 and x.outputs in (1, 2, 4):
            yield Variant(forms, splits, True, *_few_block(problem, forms, splits))


def _axis_forms(problem: Problem, axis: int) -> Iterator[tuple[Form, Split]]:
    """Yield the forms of an axis: for the whole kernel, for its phases by the stride, or for parts of a long kernel."""
    taps, stride = problem.kernel[axis], problem.stride[axis]
    splits = [(taps, stride, Split())]
    if 1 < stride <= MAX_SPLIT_STRIDE and problem.dilation[axis] == 1:
        splits.append((-(-taps // stride), 1, Split(min(stride, taps), stride, 1)))
    if stride == 1:
        splits += [(part, 1, Split(-(-taps // part), 1, part)) for part in (3, 4) if taps > part]
    for part_taps, step, split in splits:
        for outputs in ERROR_GROWTH.get((part_taps, step), {}):
            yield form(outputs, part_taps, step), split


def virtual_channels(problem: Problem, splits: tuple[Split, Split]) -> int:
    """Return the channels of a group times the parts of its kernels."""
    return problem.channels // problem.groups * splits[0].parts * splits[1].parts


def parts_sharing_tiles(split: Split) -> int:
    """Return how many parts read the same transformed tiles, each at an offset of one tile (if lanes are channels)."""
    return split.parts if split.step == 1 else 1


def error_growth(forms: tuple[Form, Form]) -> float:
    """Return the expected error relative to direct summation: those of both axes multiply."""
    return math.prod(ERROR_GROWTH[form.taps, form.stride][form.outputs] for form in forms)


def cost(problem: Problem, variant: Variant) -> float:
    """Return the cost of one image."""
    return total(COSTS, counts(problem, variant))


def counts(problem: Problem, variant: Variant) -> dict[str, float]:
    """Return how often each of COSTS is paid for one image."""
    y, x = variant.forms
    channels, filters = virtual_channels(problem, variant.splits), problem.filters // problem.groups
    tile_rows, tile_columns = count_tiles(problem, variant.forms)
    lanes, positions = whole_vectors(filters), y.positions * x.positions
    planes, outputs = problem.groups * problem.output_size[0], problem.filters * math.prod(problem.output_size)
    blocks = problem.dilation[1] * -(-tile_rows // variant.tile_rows) * -(-tile_columns // variant.tile_columns)
    some = {"call": 1.0, "group": planes, "block": planes * blocks}
    if variant.few:
        numbers = planes * positions * tile_rows * problem.dilation[1] * whole_vectors(tile_columns)
        return some | {
            "few product": numbers * channels * filters,
            "few channel number": numbers * channels,
            "few output": outputs,
            "cached output": outputs if problem.bypasses_cache and problem.channels_last else 0,
        }
    tiles = planes * tile_rows * tile_columns * problem.dilation[1] * problem.dilation[2]
    halo = [parts_sharing_tiles(split) - 1 for split in variant.splits]
    with_halo = (1 + halo[0] / variant.tile_rows) * (1 + halo[1] / variant.tile_columns)
    channel_tiles = tiles * (channels // ((1 + halo[0]) * (1 + halo[1])))
    channel_numbers = tiles * positions * with_halo * whole_vectors(channels // ((1 + halo[0]) * (1 + halo[1])))
    weights, is_split = channels * lanes * positions, any(split.step > 1 for split in variant.splits)
    is_far = problem.groups * weights * problem.accumulator.itemsize > NEAR_BYTES
    is_cached = problem.channels_last > 0 or not variant.line_tiles
    late = max(0.0, 1 - tiles / (planes * blocks * HIDING_TILES)) if is_far else 0.0
    return some | {
        "output": outputs,
        "cached output": outputs if problem.bypasses_cache and is_cached else 0,
        "product": tiles * positions * channels * lanes,
        "product, shared tiles": tiles * positions * channels * lanes if max(halo) else 0,
        "channel tile": channel_tiles,
        "channel number": channel_numbers,
        "split number": channel_numbers if is_split else 0,
        "filter number": tiles * positions * lanes,
        "late weight": late * planes * weights * blocks,
    }


def count_tiles(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return the rows and columns of tiles in one phase by the dilation (outputs with the same remainder)."""
    rows, columns = (
        math.ceil(math.ceil(problem.output_size[axis] / problem.dilation[axis]) / forms[axis - 1].outputs)
        for axis in (1, 2)
    )
    return rows, columns


def _block(problem: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int, int]:
    """Return the rows and columns of tiles in a block that fits the cache, and line_tiles; blocks are nearly equal."""
    rows, columns = count_tiles(problem, forms)
    y, x = (parts_sharing_tiles(split) for split in splits)
    numbers = forms[0].positions * forms[1].positions * virtual_channels(problem, splits) // (y * x)
    fit = BLOCK_BYTES // (numbers * problem.accumulator.itemsize * problem.dilation[2])
    max_tiles = max_columns = max(1, min(BLOCK_TILES // problem.dilation[2], fit))
    if y > 1 or x > 1:  # nearly square blocks have the smallest halo
        side = math.isqrt(fit)
        max_tiles = max(1, side + 1 - y) * max(1, side + 1 - x)
        max_tiles = min(max(1, SHARING_BLOCK_TILES // problem.dilation[2]), max_tiles)
        max_columns = max(1, math.isqrt(max_tiles * x // y), max_tiles // rows)
    line_tiles = _line_tiles(problem, forms[1])
    line_tiles *= line_tiles <= max_columns
    return *even_blocks(rows, columns, max_tiles, max_columns, line_tiles or 1), line_tiles


def even_blocks(rows: int, columns: int, max_tiles: int, max_columns: int, step: int = 1) -> tuple[int, int]:
    """Return the rows and columns of tiles in a block, such that blocks are nearly equal: columns are multiples of a step."""
    steps = -(-columns // step)
    block_columns = -(-steps // -(-steps // (max_columns // step))) * step
    block_rows = max(1, max_tiles // block_columns)
    return -(-rows // -(-rows // block_rows)), block_columns


def _line_tiles(problem: Problem, x: Form) -> int:
    """Return the tiles in a row whose outputs fill a cache line; 0 if maps are small or not made of whole lines."""
    line_outputs = LINE_BYTES // problem.accumulator.itemsize
    if not problem.bypasses_cache or problem.output_size[2] % line_outputs or x.outputs not in (2, 4):
        return 0
    return line_outputs // x.outputs


def _few_block(problem: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int, int]:
    """Return the block of the few-channel variant and line_tiles; wide blocks write maps in long runs."""
    rows, columns = count_tiles(problem, forms)
    columns = min(whole_vectors(columns), FEW_BLOCK_TILES)
    products = columns * forms[0].positions * forms[1].positions * virtual_channels(problem, splits) * problem.filters
    line_tiles = VECTOR if _line_tiles(problem, forms[1]) else 0  # whole vectors of tiles
    return max(1, min(rows, FEW_BLOCK_TILES, MAX_UNIT_PRODUCTS // products)), columns, line_tiles


def whole_vectors(count: int) -> int:
    """Return a number of channels or filters rounded up to whole vectors."""
    return -(-count // VECTOR) * VECTOR
