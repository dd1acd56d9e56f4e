"""Kernels of rank 1, such as box, Gaussian and Sobel, in two passes: kw + kh products an output instead of kw * kh.

    weight[k] = columns[k] rows[k]^T:   map[k] = activation(bias[k] + rows[k] * (columns[k] * image)),   * being convolution

The first pass slides columns down some rows of output, over the whole width of the image; the second slides rows along them while
they are in the cache. NaN and infinity reach the outputs that direct summation would give them (though either may take the other's
place where weights are nothing beside the largest), and no sum on the way overflows unless direct summation might.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv._check import LINE_BYTES, Array, Problem

# How many roundings, each by half a unit in the last place, may part a kernel from one of rank 1: all weights together as
# large as if each had this many, one weight alone many more, for what was computed in few digits is least exact in the tails.
ROUNDINGS, ROUNDINGS_OF_ONE = 4, 512
STRIP_BYTES = 2**19  # of the first pass's sums
WORKSPACE_BYTES = 2**22

# What things cost, in products of the best direct kernel.
COLUMN, ROW = 1.5, 2.0  # a product of either pass
PIXEL = 9.5  # a sum of either pass, whatever it adds up
CALL = 1.5e5  # what a call takes longer
AT_A_TIME = 6  # rows that the sweeps of tall kernels compute
SPLIT = 1e8  # a problem so large that trying to split its kernels does not matter, if the result is used but once


class Passes(NamedTuple):
    """Kernels, split."""

    columns: Array  # (K, kh)
    rows: Array  # (K, kw)


class Layout(NamedTuple):
    """How to go over images in two passes, for kernels that turn out to be of rank 1."""

    columns: _core.Layout
    rows: _core.Layout
    strip_rows: int
    workspace: int


def choose(problem: Problem, keeps_packed: bool, most: float) -> int | None:
    """Return how many rows to compute at a time, None if two passes cannot do this or cost more than `most`."""
    if problem.channels != problem.groups or problem.accumulator.kind != "f" or problem.algorithm != "auto":
        return None
    if problem.kernel[0] > 1 or 1 in problem.kernel[1:] or (most < SPLIT and not keeps_packed):
        return None
    row_bytes = problem.filters // problem.groups * problem.size[2] * problem.accumulator.itemsize
    if 4 * row_bytes > WORKSPACE_BYTES or not row_bytes:
        return None
    strips = -(-problem.output_size[1] // max(4, STRIP_BYTES // row_bytes))
    rows = -(-problem.output_size[1] // strips)
    rows += -rows % AT_A_TIME if problem.output_size[1] > rows else 0
    return rows if cost(problem) < most else None


def cost(problem: Problem) -> float:
    """Return how long two passes take on one image, in products at full speed."""
    depth, rows, columns = problem.output_size
    _, kh, kw = problem.kernel
    pixels = problem.size[2] * (COLUMN * kh + PIXEL) + columns * (ROW * kw + PIXEL)
    return CALL + depth * problem.filters * rows * pixels


def layout(problem: Problem, strip_rows: int) -> Layout:
    """Return the layout that computes so many rows at a time."""
    filters, bits, mode = problem.filters // problem.groups, 8 * problem.accumulator.itemsize, problem.padding_mode
    stride, dilation = problem.stride, problem.dilation
    _, kh, kw = problem.kernel
    seen = (
        (problem.output_size[2] - 1) * stride[2] + (kw - 1) * dilation[2] + 1
    )  # columns of an image that comes padded
    width = max(problem.size[2], seen)
    columns = _core.Layout(
        (1, strip_rows, width),
        (1, kh, 1),
        (stride[0], stride[1], 1),
        (1, dilation[1], 1),
        1,
        _core.PADDING_MODES[mode],
        _core.ACTIVATIONS[None],
    )
    columns.sweep(filters, bits, strip_rows, in_place=True, parts=1, far_maps=False)
    rows = _core.Layout(
        (1, strip_rows, problem.output_size[2]),
        (1, 1, kw),
        (1, 1, stride[2]),
        (1, 1, dilation[2]),
        filters,
        _core.PADDING_MODES[mode],
        _core.ACTIVATIONS[problem.activation],
    )
    some_rows = min(strip_rows, 4)
    in_place = stride[2] == 1 and mode == "zeros"
    rows.sweep(1, bits, some_rows, in_place=in_place, parts=1, far_maps=problem.far_maps)
    workspace = filters * strip_rows * width * bits // 8 + LINE_BYTES + max(columns.workspace, rows.workspace)
    return Layout(columns, rows, strip_rows, workspace)


def split(kernels: Array, precision: str = "default") -> Passes | None:
    """Return kernels (K, kh, kw) split into columns and rows, None unless all of them are of rank 1 up to rounding.

    A kernel of rank 1 is the product of any of its columns and any of its rows, divided by the weight where they cross.
    """
    count, _, kw = kernels.shape
    exact = kernels.astype(np.float64)
    every = np.arange(count)
    y, x = np.divmod(np.abs(exact).reshape(count, -1).argmax(axis=1), kw)
    columns, rows, crossing = exact[every, :, x], exact[every, y], exact[every, y, x]
    if not crossing.all():
        return None
    if precision == "default":
        columns, rows = (_without_far_tails(lines, kernels.dtype) for lines in (columns, rows))
    # With columns that add up to no more than 1, sums of the first pass are not larger than the pixels.
    scale = np.exp2(np.ceil(np.log2(np.abs(columns).sum(axis=1))))
    with np.errstate(all="ignore"):
        passes = Passes(
            (columns / scale[:, np.newaxis]).astype(kernels.dtype),
            (rows * (scale / crossing)[:, np.newaxis]).astype(kernels.dtype),
        )
        products = passes.columns[:, :, np.newaxis].astype(np.float64) * passes.rows[:, np.newaxis]
        return passes if _agree(products, exact, kernels.dtype, precision) else None


def _without_far_tails(lines: Array, dtype: np.dtype[Any]) -> Array:
    """Return columns or rows (K, taps) without the weights that are nothing beside the largest.

    Their products with pixels would be subnormal numbers, which take a processor many times as long as others.
    """
    sizes = np.abs(lines)
    far: Array = sizes < _negligible(dtype) * sizes.max(axis=1, keepdims=True)
    return np.where(far, 0, lines)


def _negligible(dtype: np.dtype[Any]) -> float:
    """Return the part of the largest weight below which others do not matter: 2e-31 for float32."""
    return float(np.finfo(dtype).tiny / np.finfo(dtype).eps) * 2


def _agree(products: Array, kernels: Array, dtype: np.dtype[Any], precision: str) -> bool:
    """Tell whether products are the kernels (K, ...), but for rounding to this dtype."""
    weights, difference = np.abs(kernels), np.abs(products - kernels)
    rounding = float(np.finfo(dtype).eps) / 2
    if precision == "highest":
        return bool((difference <= ROUNDINGS * rounding * weights).all())
    axes = tuple(range(1, kernels.ndim))
    together = difference.sum(axis=axes) <= ROUNDINGS * rounding * weights.sum(axis=axes)
    tails = _negligible(dtype) * weights.max(axis=axes, keepdims=True)
    each = difference <= ROUNDINGS_OF_ONE * rounding * weights + tails
    return bool(together.all() and each.all())
