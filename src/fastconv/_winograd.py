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

from fastconv._check import Problem

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
    8: (0.4908, 1.0086, 1.9163),
}

# For so many taps and so large a stride: outputs that there are kernels for, and how many times larger than with direct summation
# errors become (as measured; along both axes the product counts).
KNOWN: dict[tuple[int, int], dict[int, float]] = {
    (1, 1): {1: 1},
    (3, 1): {4: 2.6, 3: 1.55, 2: 1.2},
    (4, 1): {4: 2.7, 3: 1.65},
    (5, 1): {3: 3.5, 2: 2.1},
    (7, 1): {2: 6.5},
    (3, 2): {4: 1.6, 2: 1.1},
    (5, 2): {2: 1.9},
}
GROWTH = {"default": 7.0, "highest": 1.5}  # of errors, that a precision allows
DOMAIN = "it takes float32 or float64, and kernels of depth 1 whose rows and columns have 3, 4, 5 or 7 taps (or one)"

# What things cost, in products of the best direct kernel.
DIRECT = 1.2  # a product of an ordinary one
TRANSFORM = 18.0  # a number of a transformed tile, once for a channel and once for a filter
FETCH = 4.5  # a transformed weight, for every block of tiles that meets it
EXPAND = 2.5  # a product in the transform of the weights

LANES = 16  # that channels and filters are counted in, whatever the vectors hold
BLOCK_BYTES = 2**19  # of transformed tiles
BLOCK_TILES = 32


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


class Choice(NamedTuple):
    """The forms of rows and columns, and how many rows and columns of tiles are worked on at a time."""

    forms: tuple[Form, Form]
    tile_rows: int
    tile_columns: int


def choose(problem: Problem, keeps_packed: bool) -> Choice | None:
    """Return the cheapest forms that are accurate enough, None if direct summation is cheaper or none fits."""
    if problem.accumulator.kind != "f" or problem.kernel[0] > 1 or problem.algorithm not in ("auto", "winograd"):
        return None
    best, least = None, direct_cost(problem) if problem.algorithm == "auto" else math.inf
    for forms in _candidates(problem):
        choice = Choice(forms, *_block(problem, forms))
        if (expected := cost(problem, choice, keeps_packed)) < least:
            best, least = choice, expected
    return best


def _candidates(problem: Problem) -> Iterator[tuple[Form, Form]]:
    """Yield forms of rows and columns that are accurate enough: with their stride, or for the phases of a strided kernel."""
    for split in (False, True):
        if split and (problem.stride == (1, 1, 1) or problem.dilation != (1, 1, 1)):
            return
        taps = [-(-k // s) if split else k for k, s in zip(problem.kernel, problem.stride, strict=True)][1:]
        strides = [1 if split else s for s in problem.stride][1:]
        if taps == [1, 1]:
            continue
        rows, columns = (KNOWN.get(axis, {}) for axis in zip(taps, strides, strict=True))
        for m, n in itertools.product(rows, columns):
            if rows[m] * columns[n] <= GROWTH[problem.precision]:
                yield form(m, taps[0], strides[0]), form(n, taps[1], strides[1])


def virtual_channels(problem: Problem, forms: tuple[Form, Form]) -> int:
    """Return the channels of a group, or the phases that a stride makes of them."""
    split = forms[0].stride < problem.stride[1] or forms[1].stride < problem.stride[2]
    return problem.channels // problem.groups * (math.prod(problem.stride[1:]) if split else 1)


def growth(forms: tuple[Form, Form]) -> float:
    """Return how many times larger than with direct summation errors are expected to be."""
    return math.prod(KNOWN[form.taps, form.stride][form.outputs] for form in forms)


def direct_cost(problem: Problem) -> float:
    """Return how long direct summation takes on one image, in products at full speed."""
    rows, columns = problem.output_size[1:]
    return DIRECT * problem.output_size[0] * rows * columns * problem.filters * problem.taps


def cost(problem: Problem, choice: Choice, keeps_packed: bool) -> float:
    """Return how long these forms take on one image, in products at full speed."""
    y, x = choice.forms
    groups, channels, filters = (
        problem.groups,
        virtual_channels(problem, choice.forms),
        problem.filters // problem.groups,
    )
    tile_rows, tile_columns = _tiles(problem, choice.forms)
    tiles = tile_rows * tile_columns * problem.dilation[1] * problem.dilation[2]
    blocks = problem.dilation[1] * -(-tile_rows // choice.tile_rows) * -(-tile_columns // choice.tile_columns)
    lanes = _whole_vectors(filters)
    weights = channels * lanes * len(y.G) * len(x.G)
    once = 0.0 if keeps_packed else EXPAND * channels * lanes * (len(y.G) * (len(x.G) + y.taps) * x.taps)
    products = tiles * y.positions * x.positions * (channels * lanes + TRANSFORM * (_whole_vectors(channels) + lanes))
    return problem.output_size[0] * groups * (products + FETCH * weights * blocks) + groups * once


def _tiles(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return how many rows and columns of tiles the outputs with one remainder by the dilation make."""
    rows, columns = (
        math.ceil(math.ceil(problem.output_size[axis] / problem.dilation[axis]) / forms[axis - 1].outputs)
        for axis in (1, 2)
    )
    return rows, columns


def _block(problem: Problem, forms: tuple[Form, Form]) -> tuple[int, int]:
    """Return how many rows and columns of tiles fit into the cache, as evenly as can be."""
    rows, columns = _tiles(problem, forms)
    tile = forms[0].positions * forms[1].positions * virtual_channels(problem, forms) * problem.accumulator.itemsize
    most = max(1, min(BLOCK_TILES, BLOCK_BYTES // tile) // problem.dilation[2])
    some_columns = -(-columns // -(-columns // most))
    some_rows = max(1, most // some_columns)
    return -(-rows // -(-rows // some_rows)), some_columns


def _whole_vectors(count: int) -> int:
    return -(-count // LANES) * LANES
