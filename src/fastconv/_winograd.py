"""Winograd's minimal filtering: m sums of r neighbouring products from m + r - 1 multiplications.

A form F(m, r) computes, along one axis, y[k] = sum over t of w[t] x[k + t] for k < m as y = A ((G w) * (B x)), after Toom and Cook:
multiply polynomials by their values at m + r - 1 points, infinity among them. The transposed algorithm filters
(S. Winograd, "Arithmetic Complexity of Computations", 1980; A. Lavin and S. Gray, "Fast Algorithms for Convolutional
Neural Networks", 2016). Forms of the two image axes nest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._check import LINE_BYTES, Problem, Triple

Matrix = NDArray[np.float64]

# Positive points, each of which stands for itself and its negative, for so many positions m + r - 1. Infinity is always a point,
# and 0 if the number is even. Points around 1 that are simple fractions keep the rounding errors small.
POINTS: dict[int, tuple[float, ...]] = {
    2: (),
    3: (1,),
    4: (1,),
    5: (3 / 8, 5 / 4),
    6: (2 / 3, 3 / 2),
    7: (0.3087, 0.832, 1.854),
}

# For so many taps and so large a stride: outputs that there are kernels for, and how many times larger than with direct summation
# errors become (as measured; along both axes the product counts).
KNOWN: dict[tuple[int, int], dict[int, float]] = {
    (1, 1): {1: 1},
    (3, 1): {4: 2.6, 3: 1.55, 2: 1.2},
    (4, 1): {4: 3.3, 3: 2.15},
    (5, 1): {3: 3.5, 2: 2.1},
    (3, 2): {4: 1.6, 2: 1.1},
    (5, 2): {2: 1.9},
}
# How many times larger they may be: as a rule, and where sums go over no more than so many channels.
GROWTH = (6.8, 8.0)
SHORT = 32
DOMAIN = (
    "it takes float32 or float64, and kernels of depth 1 with at least 3 taps or 1 in rows and columns, or with a stride in their "
    "phases"
)

# What things cost, in products of the best direct kernel.
WORTH = 0.9  # part of the direct cost below which it pays for sure: machines differ
DIRECT = 1.2  # a product of an ordinary one, at most
STRIDED = 1.0  # the same where filters fill the lanes, and
LAY_OUT = 12.0  # beyond that, for all filters together
STORE = 4.0  # an output of direct summation, beyond its products
BY_POSITION = 1.15  # an ordinary one, one position of the kernel after the other
REORDER = 60.0  # a weight, for that
TRANSFORM = 16.0  # a number of a transformed tile, once for a channel and once for a filter
SPLIT = 22.0  # the same of a virtual channel, beyond that
SHARED = 1.15  # a product where parts share tiles
BLEND = 1.3  # a product where lanes are tiles
BLENDED_CHANNEL, BLENDED_FILTER = 20.0, 7.0  # a number of a transformed tile there
FETCH = 48.0  # a transformed weight, for every block of tiles that meets it, shared by these tiles: many hide it
FAR_OUTPUT = 20.0  # an output of large maps that is not written past the cache
EXPAND = 2.5  # a product in the transform of the weights

LANES = 16  # that channels and filters are counted in, whatever the vectors hold
BLOCK_BYTES = 2**21  # of transformed tiles at most
BLOCK_TILES = 32
SHARING_TILES = 64  # where parts share them
BLEND_TILES = 128
UNIT_PRODUCTS = 2**28  # at most in a unit: a call can be interrupted between units
BLEND_CHANNELS = 12  # at most, whose tiles stay in the nearest cache


class Form(NamedTuple):
    """One axis: `outputs` sums of `taps` products, `stride` inputs from one to the next."""

    outputs: int
    taps: int
    stride: int
    B: Matrix  # (positions, inputs), square
    A: Matrix  # (outputs, positions)
    G: Matrix  # (rows, taps)
    row: tuple[int, ...]  # of G, for every position: those of a single tap share one

    @property
    def positions(self) -> int:
        """Multiplications."""
        return len(self.B)


@cache
def form(outputs: int, taps: int, stride: int = 1) -> Form:
    """Return the form F(outputs, taps) for a stride of 1 or 2.

    With stride 2 every other input meets every other tap: two forms of stride 1, of the even and of the odd ones.
    """
    if stride == 1:
        B, A, G = _toom_cook(outputs, taps)
        return Form(outputs, taps, 1, B, A, G, tuple(min(i, len(G) - 1) for i in range(len(B))))
    phases = [form(outputs, (taps + 1) // 2), form(outputs, taps // 2)]
    positions, rows = sum(len(f.B) for f in phases), sum(len(f.G) for f in phases)
    B, A, G = np.zeros((positions, positions)), np.hstack([f.A for f in phases]), np.zeros((rows, taps))
    start, row, first_row = 0, [], 0
    for phase, f in enumerate(phases):
        B[start : start + f.positions, phase::2] = f.B
        G[first_row : first_row + len(f.G), phase::2] = f.G
        row += [first_row + i for i in f.row]
        start, first_row = start + f.positions, first_row + len(f.G)
    return Form(outputs, taps, 2, B, A, G, tuple(row))


def _toom_cook(outputs: int, taps: int) -> tuple[Matrix, Matrix, Matrix]:
    """Return B, A and G of F(outputs, taps); with a single tap there is nothing to save."""
    if taps == 1:
        return np.eye(outputs), np.eye(outputs), np.ones((1, 1))
    count = outputs + taps - 1
    points = [0.0] * (count % 2 == 0) + [sign * p for p in POINTS[count] for sign in (1, -1)]
    B, A, G = np.zeros((count, count)), np.zeros((outputs, count)), np.zeros((count, taps))
    for i, point in enumerate(points):
        others = [p for p in points if p != point]
        B[i, : count - 1] = np.poly(others)[::-1]
        A[:, i] = point ** np.arange(outputs)
        G[i] = point ** np.arange(taps) / np.prod([point - p for p in others])
    B[-1] = np.poly(points)[::-1]
    A[-1, -1] = G[-1, -1] = 1
    return B, A, G


class Split(NamedTuple):
    """Which taps of an axis make a kernel: with several parts, each meets an input of its own, a virtual channel.

    Part p has the taps p * apart, p * apart + step, and so on, of those that there are.
    """

    parts: int = 1
    step: int = 1
    apart: int = 0


class Choice(NamedTuple):
    """How to go about it: forms and splits of rows and columns, and how many rows and columns of tiles are worked on at a time."""

    forms: tuple[Form, Form]
    splits: tuple[Split, Split]
    blends: bool  # lanes are tiles rather than channels
    tile_rows: int
    tile_columns: int
    line_tiles: int = 0  # whose outputs are lines of the cache, which are written past it; 0 if they had better not be


def choose(problem: Problem, keeps_packed: bool) -> Choice | None:
    """Return the cheapest forms that are accurate enough, None if direct summation is about as cheap or none fits."""
    if problem.accumulator.kind != "f" or problem.kernel[0] > 1 or problem.algorithm not in ("auto", "winograd"):
        return None
    if problem.precision == "highest":
        return None
    best, least = None, WORTH * direct_cost(problem) if problem.algorithm == "auto" else math.inf
    for choice in _candidates(problem):
        if (expected := cost(problem, choice, keeps_packed)) < least:
            best, least = choice, expected
    return best


def knows(problem: Problem, output_size: Triple) -> bool:
    """Tell whether there are forms for a problem's dtype and kernel, and maps of this size, that see nothing but an image."""
    seeing = problem._replace(output_size=output_size, padding_mode="circular", algorithm="winograd")
    return choose(seeing, keeps_packed=True) is not None


def _candidates(problem: Problem) -> Iterator[Choice]:
    """Yield what is accurate enough: where outputs see little but padding they are small, and the errors are not."""
    relative = min(1.0, 2 * math.sqrt(problem.sight))
    for (y, split_y), (x, split_x) in itertools.product(_ways(problem, 1), _ways(problem, 2)):
        forms, splits = (y, x), (split_y, split_x)
        channels = virtual_channels(problem, splits)
        if growth(forms) > relative * GROWTH[channels <= SHORT] or y.taps == x.taps == 1:
            continue
        if all(sharing(s) == 1 or s.apart == f.outputs for s, f in zip(splits, forms, strict=True)):
            yield Choice(forms, splits, False, *_block(problem, forms, splits))
        blends = channels <= BLEND_CHANNELS and problem.dilation[2] == 1
        if blends and y.stride == x.stride == 1 and x.outputs in (1, 2, 4):
            yield Choice(forms, splits, True, *_blend_block(problem, forms, splits))


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


def direct_cost(problem: Problem) -> float:
    """Return how long direct summation takes on one image, in products at full speed."""
    outputs = math.prod(problem.output_size) * problem.filters
    product = STRIDED + LAY_OUT * problem.groups / problem.filters if max(problem.stride) > 1 else DIRECT
    return min(outputs * (min(product, DIRECT) * problem.taps + STORE), cost_by_position(problem))


def cost_by_position(problem: Problem) -> float:
    """Return the same for one position of the kernel after the other, which leaves out what lies in the padding."""
    channels, filters = problem.channels // problem.groups, problem.filters // problem.groups
    if problem.accumulator.kind != "f" or channels < 32 or filters < 16 or problem.output_size[2] < 8:
        return math.inf  # too few for the tiles
    outputs = math.prod(problem.output_size) * problem.filters
    products = outputs * (DIRECT * BY_POSITION * problem.taps * problem.sight + STORE)
    return products + REORDER * problem.filters * problem.taps  # packed or not: sums are the same


def cost(problem: Problem, choice: Choice, keeps_packed: bool) -> float:
    """Return how long these forms take on one image, in products at full speed."""
    y, x = choice.forms
    channels, filters = virtual_channels(problem, choice.splits), problem.filters // problem.groups
    tile_rows, tile_columns = _tiles(problem, choice.forms)
    lanes = _whole_vectors(filters)
    weights = channels * lanes * len(y.G) * len(x.G)
    once = 0.0 if keeps_packed else EXPAND * channels * lanes * (len(y.G) * (len(x.G) + y.taps) * x.taps)
    if choice.blends:
        tiles = tile_rows * problem.dilation[1] * _whole_vectors(tile_columns)
        numbers = BLEND * channels * filters + BLENDED_CHANNEL * channels + BLENDED_FILTER * filters
        fetched = 0.0
    else:
        tiles = tile_rows * tile_columns * problem.dilation[1] * problem.dilation[2]
        beyond = [sharing(split) - 1 for split in choice.splits]
        transformed = (1 + beyond[0] / choice.tile_rows) * (1 + beyond[1] / choice.tile_columns)
        views = channels // ((1 + beyond[0]) * (1 + beyond[1]))
        product = SHARED if channels > views else 1.0
        numbers = product * channels * lanes + TRANSFORM * (transformed * _whole_vectors(views) + lanes)
        numbers += SPLIT * transformed * views if any(split.step > 1 for split in choice.splits) else 0.0
        blocks = problem.dilation[1] * -(-tile_rows // choice.tile_rows) * -(-tile_columns // choice.tile_columns)
        fetched = FETCH * weights * blocks * blocks / tiles
        if problem.far_maps and not choice.line_tiles:
            fetched += FAR_OUTPUT * math.prod(problem.output_size[1:]) * filters
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
    if not problem.far_maps or problem.output_size[2] % line_outputs or x.outputs not in (2, 4):
        return 0
    return line_outputs // x.outputs


def _blend_block(problem: Problem, forms: tuple[Form, Form], splits: tuple[Split, Split]) -> tuple[int, int, int]:
    """Return the same where lanes are tiles: a row is worked on at a time, so that maps are written in long runs."""
    rows, columns = _tiles(problem, forms)
    columns = min(_whole_vectors(columns), BLEND_TILES)
    products = columns * forms[0].positions * forms[1].positions * virtual_channels(problem, splits) * problem.filters
    line_tiles = LANES if _line_tiles(problem, forms[1]) else 0  # whole vectors of tiles
    return max(1, min(rows, BLEND_TILES, UNIT_PRODUCTS // products)), columns, line_tiles


def _whole_vectors(count: int) -> int:
    return -(-count // LANES) * LANES
