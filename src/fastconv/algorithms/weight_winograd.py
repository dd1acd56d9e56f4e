"""Weight gradients by the adjoint of Winograd's algorithm: fewer multiplications, as in the forward pass.

Forward, a tile of outputs is A ((G w) * (B x)). So the gradient of w is G' [sum over tiles of (A' g) * (B x)], where g is the
tile of the outputs' gradient: at every position, a product of matrices that sums over the tiles of all images. Forms and the
tiles of a block are chosen here by cost.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fastconv import _core
from fastconv._problem import Array, Problem
from fastconv.algorithms import MIN_PRODUCTS_PER_THREAD, GradientLayout
from fastconv.algorithms.winograd import Split, count_tiles, virtual_channels, whole_vectors
from fastconv.algorithms.winograd_forms import Form, form

NAME = "winograd"

# (taps, stride) -> {outputs: error relative to direct summation, as measured}, of the forms that may be used along an axis.
ERROR_GROWTH: dict[tuple[int, int], dict[int, float]] = {
    (1, 1): {1: 1},
    (3, 1): {4: 2.1, 3: 1.5, 2: 1.15},
    (4, 1): {4: 3.0, 3: 1.9},
    (5, 1): {3: 3.5, 2: 2.3},
    (3, 2): {4: 1.4, 2: 1.05},
    (5, 2): {2: 1.6},
}
MAX_ERROR_GROWTH = {"default": 6.7, "highest": 1.5}  # of both axes: errors of 2e-6 and 5e-7 of the largest gradient

# Costs as in direct.py.
MARGIN = 0.9  # of the budget, for predicted costs: machines differ
PRODUCT = 1.3  # per product
TRANSFORM = 16.0  # per number of a transformed tile, for each channel and each filter
SPLIT = 10.0  # per number of a transformed tile of a virtual channel, in addition
TILE_OVERHEAD = 4.0  # tiles: what a register tile costs beside its products
COLLECT = 2.5  # per product in the transform of sums to taps
TOTAL = 6.0  # per weight and block

BLOCK_TILES = 64  # tiles of a block
BLOCK_BYTES = 2**24  # of its transformed tiles, at most
MAX_STRIP_TILES = 96  # tiles of a row that are not cut into strips


class Variant(NamedTuple):
    """Forms and splits of rows and columns, and the strips of a block and tiles of a strip."""

    forms: tuple[Form, Form]
    splits: tuple[Split, Split]
    block_strips: int
    strip_tiles: int


class WeightWinograd(GradientLayout):
    """A variant; where the gradient is not finite, another layout must find out which of it is."""

    name = NAME
    any_values = False

    def __init__(self, forward: Problem, variant: Variant, cost: float) -> None:
        super().__init__(forward, cost)
        forms, splits, block_strips, strip_tiles = self._variant = variant
        (y, x), parts = forms, "x".join(str(split.parts) for split in splits)
        self.how = (
            f"F({y.outputs}, {y.taps}) x F({x.outputs}, {x.taps}) with stride {y.stride}x{x.stride}, "
            + (f"kernels in {parts} parts, " if parts != "1x1" else "")
            + f"blocks of {block_strips} rows of {strip_tiles} tiles"
        )
        self._core_layout = _core.weight_winograd_layout(
            forward.window, *forward.group_size, forward.bits, forms, splits, block_strips, strip_tiles
        )

    def run(self, images: Array, maps: Array, threads: int) -> Array | None:
        forward, (y, x) = self.forward, self._variant.forms
        (parts_y, _, _), (parts_x, _, _) = self._variant.splits
        channels, kernel = forward.channels // forward.groups, forward.kernel
        shape = (forward.filters, parts_y, channels, parts_x, y.taps, x.taps)
        gradient = _core.empty(shape, forward.accumulator)
        products = len(images) * forward.products // max(1, math.prod(forward.batch_shape))
        threads = min(threads, max(1, products // MIN_PRODUCTS_PER_THREAD))
        core = self._core_layout
        if not _core.weight_gradient_winograd(images, maps, gradient, forward.pad, core, threads):
            return None
        if parts_y * parts_x > 1:  # tap t of part p is tap t * parts + p of the kernel
            taps = gradient.transpose(0, 2, 4, 1, 5, 3).reshape(
                forward.filters, channels, y.taps * parts_y, x.taps * parts_x
            )
            gradient = np.ascontiguousarray(taps[:, :, : kernel[1], : kernel[2]])
        return gradient.reshape(forward.weight_shape)


def choose(forward: Problem, budget: float) -> WeightWinograd | None:
    """Return the cheapest variant that is accurate enough."""
    if (
        forward.accumulator.kind != "f"
        or forward.kernel[0] > 1
        or forward.algorithm == "direct"
        or not forward.products
    ):
        return None
    best, lowest = None, MARGIN * budget
    for variant in _variants(forward):
        if (expected := cost(forward, variant)) < lowest:
            best, lowest = variant, expected
    return WeightWinograd(forward, best, lowest) if best else None


def _variants(forward: Problem) -> Iterator[Variant]:
    """Yield the variants that are accurate enough."""
    max_growth = MAX_ERROR_GROWTH[forward.precision]
    for (y, split_y), (x, split_x) in itertools.product(_axis_forms(forward, 1), _axis_forms(forward, 2)):
        growth = math.prod(ERROR_GROWTH[f.taps, f.stride][f.outputs] for f in (y, x))
        if growth <= max_growth and not y.taps == x.taps == 1:
            forms, splits = (y, x), (split_y, split_x)
            yield Variant(forms, splits, *_block(forward, forms, splits))


def _axis_forms(forward: Problem, axis: int) -> Iterator[tuple[Form, Split]]:
    """Yield the forms of an axis, for the whole kernel or its phases by the stride."""
    taps, stride = forward.kernel[axis], forward.stride[axis]
    splits = [(taps, stride, Split())]
    if stride > 1 and forward.dilation[axis] == 1:
        splits.append((-(-taps // stride), 1, Split(min(stride, taps), stride, 1)))
    for part_taps, step, split in splits:
        for outputs in ERROR_GROWTH.get((part_taps, step), {}):
            yield form(outputs, part_taps, step), split


def cost(forward: Problem, variant: Variant) -> float:
    """Return the cost of one image."""
    y, x = variant.forms
    channels, filters = virtual_channels(forward, variant.splits), forward.filters // forward.groups
    images = max(1, math.prod(forward.batch_shape))
    rows, columns = count_tiles(forward, variant.forms)
    positions, width = y.positions * x.positions, whole_vectors(filters)
    tiles = rows * columns * forward.dilation[1] * forward.dilation[2] * forward.output_size[0] * images
    strips = rows * -(-columns // variant.strip_tiles) * forward.dilation[1] * forward.output_size[0] * images
    blocks = -(-strips // variant.block_strips)
    products = PRODUCT * (tiles + TILE_OVERHEAD * blocks) * positions * channels * width
    transforms = TRANSFORM * tiles * positions * (whole_vectors(channels) + width)
    if any(split.parts > 1 for split in variant.splits):
        transforms += SPLIT * tiles * positions * whole_vectors(channels)
    collecting = COLLECT * x.positions * y.taps * (y.positions + x.taps) + TOTAL * y.taps * x.taps
    return forward.groups * (products + transforms + blocks * collecting * channels * width) / images


def _block(forward: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int]:
    """Return the strips of a block, which are rows of tiles, and the tiles of a strip with one remainder by the dilation."""
    channels, filters = virtual_channels(forward, splits), forward.filters // forward.groups
    tile_bytes = forms[0].positions * forms[1].positions * (channels + filters) * forward.accumulator.itemsize
    _, columns = count_tiles(forward, forms)
    max_tiles = max(1, min(BLOCK_TILES, BLOCK_BYTES // tile_bytes) // forward.dilation[2])
    strips = -(-columns * forward.dilation[2] // MAX_STRIP_TILES)
    strip_tiles = -(-columns // strips)
    return max(1, max_tiles // strip_tiles), strip_tiles
