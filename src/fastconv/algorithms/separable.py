"""Kernels of rank 1, such as box, Gaussian and Sobel, in two passes: kw + kh products an output instead of kw * kh.

    weight[k] = columns[k] rows[k]^T:   map[k] = activation(bias[k] + rows[k] * (columns[k] * image)),   * being convolution

The first pass slides columns down some rows of output, over the whole width of the image; the second slides rows along them while
they are in the cache. Kernels of three axes take one more pass before these, by the depths of a kernel through some planes; down
a volume (D, H, W), that is the same as columns down an image (D, H * W).

NaN and infinity reach the outputs that direct summation would give them (though either may take the other's place where weights
are negligible beside the largest), and no sum on the way overflows unless direct summation might.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._blocks import cast, is_readable
from fastconv._problem import LINE_BYTES, Array, Problem
from fastconv._threads import parallel_for
from fastconv.algorithms import WORKSPACE_BYTES, Layout

NAME = "separable"
DOMAIN = "it takes float32 and float64, and filters of one channel whose kernels are of rank 1"

# How many roundings, each by half a unit in the last place, may part a kernel from one of rank 1: the magnitudes of all weights
# together, if each had this many; a single weight many more, for those computed in few digits are least exact in the tails.
ROUNDINGS, ROUNDINGS_OF_ONE = 4, 512
STRIP_BYTES = 2**19  # of the sums of a pass of columns: they stay in the second-level cache
SLAB_BYTES = 2**21  # of those of a pass of depths
SLAB_PLANES = 12  # of a slab, at most: a multiple of what sweeps compute at a time
LEAST_ROWS = 12  # of a slab
AT_A_TIME = 6  # rows that the sweeps of tall kernels compute

# Costs as in direct.py.
COLUMN_PRODUCT, ROW_PRODUCT = 1.5, 2.0  # a product of either pass
SUM = 9.5  # a sum of either pass, whatever it adds up
CALL = 1.5e5  # the overhead of a call
LEAST_BUDGET = 1e8  # below which it does not pay to find out whether weights that serve one call are of rank 1


class Lines(NamedTuple):
    """Kernels, split."""

    depths: Array  # (K, kd)
    columns: Array  # (K, kh)
    rows: Array  # (K, kw)


class TwoPasses(Layout):
    """Columns down an image, then rows along their sums, strip by strip."""

    name = NAME
    any_weights = False

    def __init__(
        self, problem: Problem, columns: _core.SweepLayout, rows: _core.SweepLayout, strip_rows: int, workspace: int
    ) -> None:
        expected = cost(problem)
        products = math.prod(problem.batch_shape) * expected
        super().__init__(problem, expected, workspace, (NAME,), products=products, whole_images=True)
        self._columns, self._rows, self._strip_rows = columns, rows, strip_rows
        self._convolve = _core.convolve_separable[problem.core_name]

    @property
    def how(self) -> str:
        _, kh, kw = self.problem.kernel
        return f"two passes, {kh}x1 then 1x{kw}, strips of {self._strip_rows} rows"

    @property
    def products(self) -> float:
        return float(sum(self.problem.kernel[1:]))

    def pack(self, weight: Array) -> Lines | None:
        problem = self.problem
        return split(_weights.filters(problem, weight).reshape(-1, *problem.kernel[1:]), problem.precision)

    def run(
        self, images: Array, packed: Lines, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        _, columns, rows = packed
        self._convolve(images, columns, rows, bias, maps, pads, self._columns, self._rows, self.workspace, threads)


class ThreePasses(Layout):
    """Depths through a volume, then columns and rows in the planes of their sums, slab by slab and filter by filter."""

    name = NAME
    any_weights = False
    any_arrays = True

    def __init__(
        self, problem: Problem, depths: _core.SweepLayout, planes: TwoPasses, slab: tuple[int, int], workspace: int
    ) -> None:
        expected = cost(problem)
        products = math.prod(problem.batch_shape) * expected
        super().__init__(problem, expected, workspace, (NAME,), products=products, whole_images=True)
        self._depths, self._planes, self._slab = depths, planes, slab  # planes and rows of a slab's output
        self._convolve_depths = _core.convolve[problem.core_name]

    @property
    def how(self) -> str:
        (kd, kh, kw), (planes, rows) = self.problem.kernel, self._slab
        return f"three passes, {kd}x1x1, 1x{kh}x1 then 1x1x{kw}, slabs of {planes} planes of {rows} rows"

    @property
    def products(self) -> float:
        return float(sum(self.problem.kernel))

    def pack(self, weight: Array) -> Lines | None:
        problem = self.problem
        return split(_weights.filters(problem, weight).reshape(-1, *problem.kernel), problem.precision)

    def run(
        self, images: Array, packed: Lines, bias: Array | None, maps: Array, pads: Sequence[int], threads: int
    ) -> None:
        problem, (planes, rows) = self.problem, self._slab
        if not is_readable(images, problem.accumulator, 2):
            rows = min(rows, _slab_rows(problem, problem.span(0, planes)))  # of which a copy is made
        steps, sizes = (1, 1, planes, rows), maps.shape[:4]
        units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
        parallel_for(partial(self._convolve_slab, images, packed, bias, maps, rows), units, threads)

    def _convolve_slab(
        self, images: Array, lines: Lines, bias: Array | None, maps: Array, rows: int, unit: tuple[int, ...]
    ) -> None:
        """Compute some rows of some planes of one map."""
        n, k, plane, row = unit
        problem, this = self.problem, slice(k, k + 1)
        target = maps[n : n + 1, this, plane : plane + self._slab[0], row : row + rows]
        volume, pad = _seen(images[n, k * problem.groups // problem.filters], problem, (plane, row), target.shape[2:4])
        slab = _core.empty((1, 1, target.shape[2], *volume.shape[1:]), problem.accumulator)
        readable = is_readable(target, problem.accumulator, 2)
        block = target if readable else _core.empty(target.shape, problem.accumulator)
        flat, flat_slab = (array.reshape(1, 1, 1, array.shape[-3], -1) for array in (volume, slab))
        some, offset = Lines(*(kernels[this] for kernels in lines)), None if bias is None else bias[this]
        self._convolve_depths(flat, some.depths.reshape(-1), None, flat_slab, (0, pad[0], 0), self._depths, 1)
        self._planes.run(slab, some, offset, block, (0, pad[1], problem.pad[2]), 1)
        if not readable:
            cast(block, target)


def choose(problem: Problem, reuse: bool, budget: float) -> TwoPasses | ThreePasses | None:
    """Return the layout of two or three passes."""
    if problem.channels != problem.groups or problem.accumulator.kind != "f":
        return None
    if 1 in problem.kernel[1:] or 0 in (*problem.size, *problem.output_size) or (budget < LEAST_BUDGET and not reuse):
        return None
    if cost(problem) >= budget:
        return None
    layout = _two_passes(problem) if problem.kernel[0] == 1 else _three_passes(problem)
    return layout if layout and layout.workspace <= 2 * WORKSPACE_BYTES else None


def cost(problem: Problem) -> float:
    """Return how long the passes take on one image."""
    depth, rows, columns = problem.output_size
    kd, kh, kw = problem.kernel
    pixels = rows * (problem.size[2] * (COLUMN_PRODUCT * kh + SUM) + columns * (ROW_PRODUCT * kw + SUM))
    pixels += problem.size[1] * problem.size[2] * (COLUMN_PRODUCT * kd + SUM) if kd > 1 else 0
    slabs = -(-depth // SLAB_PLANES) if kd > 1 else 1
    return CALL * slabs + depth * problem.filters * pixels


def _two_passes(problem: Problem) -> TwoPasses | None:
    """Return the layout of two passes, some rows at a time, None if rows are too wide for that."""
    filters, bits = problem.filters // problem.groups, 8 * problem.accumulator.itemsize
    stride, dilation = problem.stride, problem.dilation
    _, kh, kw = problem.kernel
    _, _, _, _, mode, activation = problem.window
    strip_rows = _strip_rows(problem)
    if not strip_rows:
        return None
    width = max(problem.size[2], problem.span(2, problem.output_size[2]))  # of an image that comes padded
    window = (1, kh, 1), (stride[0], stride[1], 1), (1, dilation[1], 1), 1, mode, _core.ACTIVATIONS[None]
    columns = _core.sweep_layout(
        (1, strip_rows, width), window, filters, bits, strip_rows, in_place=True, parts=1, nontemporal=False
    )
    window = (1, 1, kw), (1, 1, stride[2]), (1, 1, dilation[2]), filters, mode, activation
    rows = _core.sweep_layout(
        (1, strip_rows, problem.output_size[2]),
        window,
        1,
        bits,
        min(strip_rows, 4),
        in_place=stride[2] == 1 and problem.padding_mode == "zeros",
        parts=1,
        nontemporal=problem.bypasses_cache,
    )
    workspace = filters * strip_rows * width * bits // 8 + LINE_BYTES + max(columns.workspace, rows.workspace)
    return TwoPasses(problem, columns, rows, strip_rows, workspace)


def _strip_rows(problem: Problem) -> int:
    """Return how many rows to compute at a time, 0 if they are too wide."""
    row_bytes = problem.filters // problem.groups * problem.size[2] * problem.accumulator.itemsize
    if 4 * row_bytes > WORKSPACE_BYTES:
        return 0
    strips = -(-problem.output_size[1] // max(4, STRIP_BYTES // row_bytes))
    rows = -(-problem.output_size[1] // strips)
    return rows + (-rows % AT_A_TIME if problem.output_size[1] > rows else 0)


def _three_passes(problem: Problem) -> ThreePasses | None:
    """Return the layout of three passes, None if rows are too wide or kernels see far more padding than volume."""
    if problem.padding_mode != "zeros" and any(problem.span(axis) > 2 * problem.size[axis] for axis in (0, 1)):
        return None
    planes = min(problem.output_size[0], SLAB_PLANES)
    rows = _slab_rows(problem, planes)
    seen, width = min(problem.span(1, rows), problem.size[1]), problem.size[2]
    in_planes = _two_passes(
        problem._replace(
            channels=1,
            filters=1,
            groups=1,
            kernel=(1, *problem.kernel[1:]),
            output_size=(planes, rows, problem.output_size[2]),
            stride=(1, *problem.stride[1:]),
        )
    )
    if not in_planes:
        return None
    _, _, _, _, mode, _ = problem.window
    window = (
        (1, problem.kernel[0], 1),
        (1, problem.stride[0], 1),
        (1, problem.dilation[0], 1),
        1,
        mode,
        _core.ACTIVATIONS[None],
    )
    itemsize = problem.accumulator.itemsize
    depths = _core.sweep_layout(
        (1, planes, seen * width), window, 1, 8 * itemsize, planes, in_place=True, parts=1, nontemporal=False
    )
    workspace = planes * seen * width * itemsize + max(depths.workspace, in_planes.workspace)
    return ThreePasses(problem, depths, in_planes, (planes, rows), workspace)


def _slab_rows(problem: Problem, planes: int) -> int:
    """Return how many rows of output to compute at a time, of which so many planes are held at once."""
    seen = SLAB_BYTES // (planes * problem.size[2] * problem.accumulator.itemsize)
    if seen >= problem.size[1]:
        return problem.output_size[1]
    rows = (seen - problem.span(1)) // problem.stride[1] + 1
    return min(max(rows, LEAST_ROWS), problem.output_size[1])


def _seen(
    volume: Array, problem: Problem, start: tuple[int, int], count: tuple[int, int]
) -> tuple[Array, tuple[int, int]]:
    """Return what some rows of some planes see of a volume (D, H, W), as the core reads it, and the padding before that."""
    rows: slice | list[int] = slice(None)
    above = problem.pad[1]
    if count[1] < problem.output_size[1]:
        rows, above = _reach(problem, 1, start[1], count[1])
    if isinstance(rows, slice) and is_readable(volume, problem.accumulator, 2):
        return volume[:, rows], (problem.pad[0] - start[0] * problem.stride[0], above)
    planes, before = _reach(problem, 0, start[0], count[0])
    return np.require(volume[planes][:, rows], problem.accumulator, ["C", "A"]), (before, above)


def _reach(problem: Problem, axis: int, start: int, count: int) -> tuple[slice | list[int], int]:
    """Return what some outputs see of an axis, at least one pixel, and how much zero-padding comes before it."""
    here, before = problem.input_range(axis, start, start + count)
    if isinstance(here, slice) and here.start == here.stop:
        return slice(0, 1), before - here.start
    return here, before


def split(kernels: Array, precision: str = "default") -> Lines | None:
    """Return kernels (K, kh, kw) or (K, kd, kh, kw) split into lines, None unless all of them are of rank 1 up to rounding.

    A kernel of rank 1 is the product of its lines through any weight, one along each axis, divided by that weight for each of
    them but one.
    """
    exact = kernels.astype(np.float64)
    count, *size = exact.shape
    place = np.unravel_index(np.abs(exact).reshape(count, -1).argmax(axis=1), size)
    crossing = exact[np.arange(count), *place]
    if not crossing.all():
        return None
    lines = [exact[np.arange(count), *place[:axis], :, *place[axis + 1 :]] for axis in range(len(size))]  # (K, taps)
    if precision == "default":
        lines = [_without_far_tails(line, kernels.dtype) for line in lines]
    *others, rows = lines
    passes = []
    with np.errstate(all="ignore"):
        for line in others:
            # With lines that add up to no more than 1, sums before the last pass are not larger than the pixels.
            scale = np.exp2(np.ceil(np.log2(np.abs(line).sum(axis=1))))
            rows = rows * (scale / crossing)[:, np.newaxis]
            passes.append((line / scale[:, np.newaxis]).astype(kernels.dtype))
        passes.append(rows.astype(kernels.dtype))
        products = np.ones(count)
        for line in passes:
            products = products[..., np.newaxis] * line.reshape(count, *[1] * (products.ndim - 1), -1)
        if not _agree(products, exact, kernels.dtype, precision):
            return None
    depths = passes[0] if len(size) == 3 else np.ones((count, 1), kernels.dtype)
    return Lines(depths, *passes[-2:])


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
