"""Kernels of rank 1, such as box, Gaussian and Sobel, in two passes: kh + kw products per output instead of kh * kw.

    weight[k] = columns[k] rows[k]^T:   map[k] = activation(bias[k] + rows[k] * (columns[k] * image))   (*: convolution)

The first pass convolves a strip of output rows with the columns, over the whole width of the image; the second
convolves the strip with the rows while it is in the cache. 3-D kernels take one more pass before these, along the depth
axis of a slab of planes: for a volume (D, H, W) that is a pass of columns over an image (D, H * W).

NaN and infinity reach the same outputs as with direct summation (one may replace the other where weights are negligible
beside the largest), and no intermediate sum overflows where direct summation could not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core, _weights
from fastconv._arrays import fits_core, plain
from fastconv._blocks import cast, lies_as
from fastconv._problem import LINE_BYTES, Array, Problem, Triple
from fastconv._threads import parallel_for
from fastconv.algorithms import WORKSPACE_BYTES, Layout
from fastconv.algorithms.sweep import TALL_SWEEP_ROWS

NAME = "separable"
DOMAIN = "it takes float32 and float64, and filters of one channel whose kernels are of rank 1"

# How far a kernel may differ from one of rank 1, in half units in the last place: the magnitudes of all differences
# together, relative to those of all weights, and each weight. Weights computed with few digits are least accurate in
# the tails of a kernel.
KERNEL_HALF_ULPS, WEIGHT_HALF_ULPS = 4, 512
ROUGHLY = 1e-3  # far more than that, as a fraction
STRIP_BYTES = 2**19  # bytes of the sums of the pass of columns: they stay in the second-level cache
SLAB_BYTES = 2**21  # bytes of the sums of the pass of depths
MAX_SLAB_PLANES = 12  # a multiple of the rows that sweeps compute at a time
MIN_SLAB_ROWS = 12

# Costs as in direct.py.
COLUMN_PRODUCT, ROW_PRODUCT = 1.2, 1.6  # per product of either pass
SUM = 28.0  # per sum of either pass, in addition
CALL_OVERHEAD = 1.7e6
MIN_BUDGET = 3e6  # for less, testing whether weights of a single call are of rank 1 would cost too much


class Factors(NamedTuple):
    """The factors of kernels of rank 1."""

    depths: Array  # (K, kd)
    columns: Array  # (K, kh)
    rows: Array  # (K, kw)


class Passes(Layout):
    """What layouts of two and of three passes have in common."""

    name = NAME
    any_weights = False

    def __init__(self, problem: Problem, workspace: int) -> None:
        expected = cost(problem)
        products = math.prod(problem.batch_shape) * expected
        super().__init__(problem, expected, workspace, (NAME,), products=products, whole_images=True)
        self._kernel = problem.kernel[problem.kernel[0] == 1 :]  # along the axes of the passes

    @property
    def products(self) -> float:
        return float(sum(self._kernel))

    def pack(self, weight: Array) -> Factors | None:
        kernels = _weights.plain_filters(self.problem, weight).reshape(-1, *self._kernel)
        return factorize(kernels, self.problem.precision) if may_be_of_rank_1(kernels[0]) else None


class TwoPasses(Passes):
    """Strip by strip, a pass of columns over the image, then a pass of rows over its sums."""

    def __init__(
        self, problem: Problem, columns: _core.SweepLayout, rows: _core.SweepLayout, strip_rows: int, workspace: int
    ) -> None:
        super().__init__(problem, workspace)
        self._columns, self._rows, self._strip_rows = columns, rows, strip_rows

    @property
    def how(self) -> str:
        kh, kw = self._kernel
        return f"two passes, {kh}x1 then 1x{kw}, strips of {self._strip_rows} rows"

    def run(
        self,
        images: Array,
        packed: Factors,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> _core.Units | None:
        _, columns, rows = packed
        layouts = self._columns, self._rows
        return _core.convolve_separable(
            images, columns, rows, bias, maps, pads, *layouts, self.workspace, threads, residual
        )

    def strip(self, size: Triple, stays_cached: bool) -> TwoPasses | None:
        return _two_passes(self.problem, bypasses_cache=False) if stays_cached else self

    def sweeps(self, size: Triple) -> tuple[tuple[_core.SweepLayout, ...], int] | None:
        made = _two_passes(self.problem.of_group(size), strip_rows=size[1])
        return ((made._columns, made._rows), made.workspace) if made else None

    def of_longer_rows(self, problem: Problem) -> TwoPasses | None:
        return _two_passes(problem)


class ThreePasses(Passes):
    """Slab by slab and filter by filter, a pass of depths through a volume, then two passes over its sums."""

    any_arrays = True

    def __init__(
        self, problem: Problem, depths: _core.SweepLayout, planes: TwoPasses, slab: tuple[int, int], workspace: int
    ) -> None:
        super().__init__(problem, workspace)
        self._depths, self._planes, self._slab = depths, planes, slab  # planes and rows of a slab's output

    @property
    def how(self) -> str:
        (kd, kh, kw), (planes, rows) = self._kernel, self._slab
        return f"three passes, {kd}x1x1, 1x{kh}x1 then 1x1x{kw}, slabs of {planes} planes of {rows} rows"

    def run(
        self,
        images: Array,
        packed: Factors,
        bias: Array | None,
        maps: Array,
        pads: Sequence[int],
        threads: int,
        residual: Array | None = None,
    ) -> None:
        problem, (planes, rows) = self.problem, self._slab
        if not fits_core(images, problem.accumulator, 2):
            rows = min(rows, _slab_rows(problem, problem.span(0, planes)))  # their input is copied
        steps, sizes = (1, 1, planes, rows), maps.shape[:4]
        units = itertools.product(*(range(0, size, step) for size, step in zip(sizes, steps, strict=True)))
        parallel_for(partial(self._convolve_slab, images, packed, bias, maps, residual, rows), units, threads)

    def part(self, problem: Problem) -> ThreePasses:
        made = _three_passes(problem)
        assert made is not None  # it is smaller
        return made

    def _convolve_slab(
        self,
        images: Array,
        factors: Factors,
        bias: Array | None,
        maps: Array,
        residual: Array | None,
        rows: int,
        unit: tuple[int, ...],
    ) -> None:
        """Compute one slab of one map, up to `rows` rows; unit: its image, filter, first plane and first row."""
        n, k, plane, row = unit
        problem, only_k = self.problem, slice(k, k + 1)
        place = slice(n, n + 1), only_k, slice(plane, plane + self._slab[0]), slice(row, row + rows)
        target = maps[place]
        volume = images[n, k * problem.groups // problem.filters]
        volume, pad = _slab_input(volume, problem, (plane, row), target.shape[2:4])
        slab = _core.empty((1, 1, target.shape[2], *volume.shape[1:]), problem.accumulator)
        more = None if residual is None else residual[place]
        is_alike = more is None or lies_as(more, target)
        fits = fits_core(target, problem.accumulator, 2) and is_alike
        block = target if fits else _core.empty(target.shape, problem.accumulator)
        flat, flat_slab = (array.reshape(1, 1, 1, array.shape[-3], -1) for array in (volume, slab))
        if more is not None and not fits:
            more = np.ascontiguousarray(more, problem.accumulator)
        factors = Factors(*(kernels[only_k] for kernels in factors))
        bias = None if bias is None else bias[k :: problem.filters].copy()  # and the slope
        _core.convolve(flat, factors.depths.reshape(-1), None, flat_slab, (0, pad[0], 0), self._depths, 1)
        self._planes.run(slab, factors, bias, block, (0, pad[1], problem.pad[2]), 1, more)
        if not fits:
            cast(block, target)


def choose(problem: Problem, budget: float) -> TwoPasses | ThreePasses | None:
    """Return the layout of two or three passes, for single channels."""
    if problem.channels != problem.groups or problem.accumulator.kind != "f":
        return None
    if 1 in problem.kernel[1:] or 0 in (*problem.size, *problem.output_size) or budget < MIN_BUDGET:
        return None
    if cost(problem) >= budget:
        return None
    layout = _two_passes(problem) if problem.kernel[0] == 1 else _three_passes(problem)
    return layout if layout and layout.workspace <= 2 * WORKSPACE_BYTES else None


def cost(problem: Problem) -> float:
    """Return the cost of one image."""
    depth, rows, columns = problem.output_size
    kd, kh, kw = problem.kernel
    plane = rows * (problem.size[2] * (COLUMN_PRODUCT * kh + SUM) + columns * (ROW_PRODUCT * kw + SUM))
    plane += problem.size[1] * problem.size[2] * (COLUMN_PRODUCT * kd + SUM) if kd > 1 else 0
    slabs = -(-depth // MAX_SLAB_PLANES) if kd > 1 else 1
    return CALL_OVERHEAD * slabs + depth * problem.filters * plane


def _two_passes(problem: Problem, bypasses_cache: bool = True, strip_rows: int = 0) -> TwoPasses | None:
    """Return the layout of two passes; None if rows are too wide for the workspace.

    bypasses_cache: whether large maps do; strip_rows: outputs at a time, by default as many as the cache holds.
    """
    filters, bits = problem.filters // problem.groups, problem.bits
    stride, dilation = problem.stride, problem.dilation
    _, kh, kw = problem.kernel
    _, _, _, _, mode, activation = problem.window
    strip_rows = strip_rows or _strip_rows(problem)
    if not strip_rows:
        return None
    width = max(problem.size[2], problem.span(2, problem.output_size[2]))  # of the image, or of a padded one
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
        in_place=stride[2] == 1,
        parts=1,
        nontemporal=bypasses_cache and problem.bypasses_cache,
        borders=problem.padding_mode != "zeros" and not problem.stays_inside(2),
    )
    workspace = filters * strip_rows * width * bits // 8 + LINE_BYTES + max(columns.workspace, rows.workspace)
    return TwoPasses(problem, columns, rows, strip_rows, workspace)


def _strip_rows(problem: Problem) -> int:
    """Return how many output rows form a strip; 0 if rows are too wide for the workspace."""
    row_bytes = problem.filters // problem.groups * problem.size[2] * problem.accumulator.itemsize
    if 4 * row_bytes > WORKSPACE_BYTES:
        return 0
    strips = -(-problem.output_size[1] // max(4, STRIP_BYTES // row_bytes))
    rows = -(-problem.output_size[1] // strips)
    return rows + (-rows % TALL_SWEEP_ROWS if problem.output_size[1] > rows else 0)


def _three_passes(problem: Problem) -> ThreePasses | None:
    """Return the layout of three passes; None if rows are too wide, or kernels read far more padding than volume."""
    if problem.border is not None:
        return None
    if problem.padding_mode != "zeros" and any(problem.span(axis) > 2 * problem.size[axis] for axis in (0, 1)):
        return None
    planes = min(problem.output_size[0], MAX_SLAB_PLANES)
    rows = _slab_rows(problem, planes)
    input_rows, width = min(problem.span(1, rows), problem.size[1]), problem.size[2]
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
        (1, planes, input_rows * width), window, 1, problem.bits, planes, in_place=True, parts=1, nontemporal=False
    )
    workspace = planes * input_rows * width * itemsize + max(depths.workspace, in_planes.workspace)
    return ThreePasses(problem, depths, in_planes, (planes, rows), workspace)


def _slab_rows(problem: Problem, planes: int) -> int:
    """Return how many output rows form a slab, if so many planes of their input are held in memory."""
    input_rows = SLAB_BYTES // (planes * problem.size[2] * problem.accumulator.itemsize)
    if input_rows >= problem.size[1]:
        return problem.output_size[1]
    rows = (input_rows - problem.span(1)) // problem.stride[1] + 1
    return min(max(rows, MIN_SLAB_ROWS), problem.output_size[1])


def _slab_input(
    volume: Array, problem: Problem, start: tuple[int, int], count: tuple[int, int]
) -> tuple[Array, tuple[int, int]]:
    """Return the input of a slab of outputs, readable by the core, and the padding before it.

    volume (D, H, W); start and count: of the slab's planes and rows.
    """
    rows: slice | list[int] = slice(None)
    above = problem.pad[1]
    if count[1] < problem.output_size[1]:
        rows, above = _nonempty_range(problem, 1, start[1], count[1])
    if isinstance(rows, slice) and fits_core(volume, problem.accumulator, 2):
        return volume[:, rows], (problem.pad[0] - start[0] * problem.stride[0], above)
    planes, before = _nonempty_range(problem, 0, start[0], count[0])
    return plain(volume[planes][:, rows], problem.accumulator), (before, above)


def _nonempty_range(problem: Problem, axis: int, start: int, count: int) -> tuple[slice | list[int], int]:
    """Return problem.input_range of some outputs, extended to a pixel of the image if it is empty."""
    pixels, before = problem.input_range(axis, start, start + count)
    if isinstance(pixels, slice) and pixels.start == pixels.stop:
        return slice(0, 1), before - pixels.start
    return pixels, before


def may_be_of_rank_1(kernel: Array) -> bool:
    """Return whether two lines of a kernel are about proportional: a test that most others fail at once."""
    lines = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    sizes = np.abs(lines)
    first, column = divmod(int(sizes.argmax()), lines.shape[1])
    pivot = lines[first, column]
    sizes[first, column] = 0
    second = int(sizes[:, column].argmax())
    with np.errstate(all="ignore"):
        one, other = lines[second] * pivot, lines[first] * lines[second, column]
        difference = np.abs(one - other).sum()
        return not difference > ROUGHLY * (np.abs(one).sum() + pivot * pivot)


def factorize(kernels: Array, precision: str = "default") -> Factors | None:
    """Return the factors of kernels (K, kh, kw) or (K, kd, kh, kw); None unless all are of rank 1 up to rounding.

    A kernel of rank 1 is the outer product of its lines through any nonzero weight, one line per axis, divided by that
    weight once less than there are axes. The largest weight is taken.
    """
    exact = kernels.astype(np.float64)
    count, *size = exact.shape
    pivot = np.unravel_index(np.abs(exact).reshape(count, -1).argmax(axis=1), size)
    largest = exact[np.arange(count), *pivot]
    if not largest.all():
        return None
    lines = [exact[np.arange(count), *pivot[:axis], :, *pivot[axis + 1 :]] for axis in range(len(size))]  # (K, taps)
    if precision == "default":
        lines = [_without_negligible(line, kernels.dtype) for line in lines]
    *others, rows = lines
    factors = []
    with np.errstate(all="ignore"):
        for line in others:
            # Magnitudes that sum to at most 1 keep the sums before the last pass no larger than the pixels.
            scale = np.exp2(np.ceil(np.log2(np.abs(line).sum(axis=1))))
            rows = rows * (scale / largest)[:, np.newaxis]
            factors.append((line / scale[:, np.newaxis]).astype(kernels.dtype))
        factors.append(rows.astype(kernels.dtype))
        products = np.ones(count)
        for line in factors:
            products = products[..., np.newaxis] * line.reshape(count, *[1] * (products.ndim - 1), -1)
        if not _equal_up_to_rounding(products, exact, kernels.dtype, precision):
            return None
    depths = factors[0] if len(size) == 3 else np.ones((count, 1), kernels.dtype)
    return Factors(depths, *factors[-2:])


def _without_negligible(lines: Array, dtype: np.dtype[Any]) -> Array:
    """Return columns or rows (K, taps) with the weights set to 0 that are negligible beside the largest.

    Their products with pixels would be subnormal numbers, which are many times slower.
    """
    sizes = np.abs(lines)
    negligible: Array = sizes < _negligible_ratio(dtype) * sizes.max(axis=1, keepdims=True)
    return np.where(negligible, 0, lines)


def _negligible_ratio(dtype: np.dtype[Any]) -> float:
    """Return the fraction of the largest weight below which others are negligible: 2e-31 for float32."""
    return float(np.finfo(dtype).tiny / np.finfo(dtype).eps) * 2


def _equal_up_to_rounding(products: Array, kernels: Array, dtype: np.dtype[Any], precision: str) -> bool:
    """Return whether products of factors equal the kernels (K, ...) up to rounding to this dtype."""
    weights, difference = np.abs(kernels), np.abs(products - kernels)
    half_ulp = float(np.finfo(dtype).eps) / 2
    if precision == "highest":
        return bool((difference <= KERNEL_HALF_ULPS * half_ulp * weights).all())
    axes = tuple(range(1, kernels.ndim))
    together = difference.sum(axis=axes) <= KERNEL_HALF_ULPS * half_ulp * weights.sum(axis=axes)
    negligible = _negligible_ratio(dtype) * weights.max(axis=axes, keepdims=True)
    each = difference <= WEIGHT_HALF_ULPS * half_ulp * weights + negligible
    return bool(together.all() and each.all())
