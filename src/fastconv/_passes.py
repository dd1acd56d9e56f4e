"""Correlations of N-dimensional arrays: a kernel along some axes, or one pass after another along one axis each.

An array becomes the images of a convolution of one channel: neighbouring axes along which nothing is summed are merged,
up to three axes are spatial, and the others are batch. Results of integers are truncated towards zero, and wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fastconv import _axis, _blocks, _check, _core, _plan
from fastconv._arrays import Room, touch
from fastconv._problem import Array, Problem
from fastconv.algorithms import CONFLICT_BYTES, separable

DType = np.dtype[Any]

CONVERTED_BYTES = 2**20  # bytes of arrays that are converted as a whole
SMALL_BYTES = 2**15  # bytes of arrays whose passes are one call each; those that are converted may be larger
MAX_FUSED_TAPS = 256  # of passes that run together, by direct summation
BLOCK_BYTES = 2**19  # bytes of the blocks of an array that a pass copies
MIN_COLUMNS = 48  # of such a block
# Rows as long as this that lie below each other share places of the cache, which has room for so many of them.
LONG_ROW_BYTES, MAX_WAYS = 2**15, 8


class Window(NamedTuple):
    """How a kernel extends along one axis."""

    taps: int = 1
    before: int = 0  # positions in front of an output that it reads
    mode: str = "zeros"  # what it reads beyond the array: a padding mode, where zeros stand for cval


class DTypes(NamedTuple):
    """Of an array, of its sums and of the result."""

    image: DType
    sums: DType
    result: DType


class Arrangement(NamedTuple):
    """How arrays of one shape are images."""

    problem: Problem
    merged: tuple[int, ...] | None  # the shape with merged axes; None if arrays only need to be reshaped
    order: tuple[int, ...]  # of these axes: batch, then spatial ones

    def images(self, array: Array) -> Array:
        """Return a view of an array as images."""
        return array if self.merged is None else array.reshape(self.merged).transpose(self.order)


def arrange(
    shape: tuple[int, ...], windows: Sequence[Window], cval: complex, dtypes: DTypes, contiguous: bool, exact: bool
) -> Arrangement:
    """Return the problem of one correlation of arrays of one shape, all of which are contiguous, or not all.

    exact: sums must be, or almost, for they are those of integers.
    """
    axes = _merge(shape, windows) if contiguous else list(zip(shape, windows, strict=True))
    spatial = _spatial_axes([window.taps for _, window in axes])
    order = (*(axis for axis in range(len(axes)) if axis not in spatial), *spatial)
    reshaped = contiguous and order == tuple(range(len(axes)))
    sizes, used = [axes[axis][0] for axis in spatial], [axes[axis][1] for axis in spatial]
    batch = tuple(axes[axis][0] for axis in order[: len(axes) - len(spatial)])
    problem = Problem(
        output_shape=shape if reshaped else tuple(axes[axis][0] for axis in order),
        batch_shape=(math.prod(batch),) if reshaped else batch,
        channels=1,
        filters=1,
        groups=1,
        size=_check.triple(sizes),
        kernel=_check.triple([window.taps for window in used]),
        output_size=_check.triple(sizes),
        stride=(1, 1, 1),
        dilation=(1, 1, 1),
        pad=_check.triple([window.before for window in used], fill=0),
        padding_mode="zeros",
        flip=False,
        activation=None,
        algorithm="direct" if exact else "auto",
        precision="default",
        dtype=dtypes.result,
        accumulator=dtypes.sums,
    ).bordered(tuple(window.mode for window in used), (cval,) if cval else ())
    return Arrangement(problem, None if reshaped else tuple(n for n, _ in axes), order)


class Correlation:
    """Correlations of arrays of one shape and dtype with kernels of one shape."""

    def __init__(
        self, shape: tuple[int, ...], windows: Sequence[Window], cval: complex, dtypes: DTypes, contiguous: bool
    ) -> None:
        self.shape = shape
        small = math.prod(shape) * dtypes.sums.itemsize <= CONVERTED_BYTES and len(set(dtypes)) > 1
        self._converts = dtypes if small else None
        plan_dtypes = DTypes(*(dtypes.sums,) * 3) if small else dtypes
        self._arrangement = arrange(shape, windows, cval, plan_dtypes, contiguous, dtypes.image.kind not in "fc")
        self._plan = _plan.make(self._arrangement.problem, (plan_dtypes.image, dtypes.sums))
        self._direct = self._arrangement.merged is None and self._plan.fold is None and not small
        # For contiguous arrays of the sums' dtype.
        self.plan = self._plan if (self._direct and len(set(dtypes)) == 1) or (small and contiguous) else None

    def run(self, image: Array, kernel: Array, out: Array | None, threads: int) -> Array:
        """Return the correlation of an array with a kernel of the sums' dtype, in `out` if given."""
        if self._direct:
            return _plan.run(self._plan, image, kernel, None, out, threads)
        if self._converts is None:
            return self._run(image, kernel, out, threads)
        sums = self._run(image.astype(self._converts.sums), kernel, None, threads)
        if out is None:
            return _blocks.converted(sums, self._converts.result)
        _blocks.cast(sums, out)
        return out

    def _run(self, image: Array, kernel: Array, out: Array | None, threads: int) -> Array:
        arrangement = self._arrangement
        if arrangement.merged is None and self._plan.fold is None:
            return _plan.run(self._plan, image, kernel, None, out, threads)
        result = np.empty(image.shape, self._plan.problem.dtype) if out is None else out
        images, maps = arrangement.images(image), arrangement.images(result)
        if arrangement.merged is None:
            problem = arrangement.problem
            images = images.reshape(*problem.batch_shape, *problem.size)
        _plan.run(self._plan, images, kernel, None, maps, threads)
        return result


class OneAxis:
    """Correlations of contiguous arrays along one axis: in place, and arrays of small integers always, by blocks."""

    def __init__(
        self, shape: tuple[int, ...], axis: int, windows: Sequence[Window], cval: complex, dtypes: DTypes
    ) -> None:
        window = windows[axis]
        side = _axis.Side(window.before, window.mode, cval.real)
        self._result = dtypes.result
        self._converted = _axis.AxisPass(shape, axis, window.taps, side, dtypes) if _axis.suits(dtypes) else None
        self._in_place = partial(AxisBlocks, shape, Pass(axis, window, np.empty(0)), cval, dtypes.sums)
        self._plain = Correlation(shape, windows, cval, dtypes, True)
        self.plan = None if self._converted else self._plain.plan

    def run(self, image: Array, kernel: Array, out: Array | None, threads: int) -> Array:
        """Return the correlation of an array with a kernel of the sums' dtype, in `out` if given."""
        if self._converted is not None:
            result = _core.empty_result(image.shape, self._result) if out is None else out
            return self._converted.run(image, kernel, result, threads)
        if out is not None and is_same(image, out):
            return self._in_place().run(image, kernel, out, threads)
        return self._plain.run(image, kernel, out, threads)


class TapByTap:
    """The same along too many axes for one problem: the sum of the correlations of all taps along one axis."""

    plan = None

    def __init__(
        self, axis: int, shape: tuple[int, ...], windows: Sequence[Window], cval: complex, dtypes: DTypes
    ) -> None:
        self._axis, self._window, self._cval, self._dtypes = axis, windows[axis], cval, dtypes
        rest = [Window() if index == axis else window for index, window in enumerate(windows)]
        self._of_a_tap = correlation(shape, rest, cval, DTypes(*(dtypes.sums,) * 3), True)

    def run(self, image: Array, kernel: Array, out: Array | None, threads: int) -> Array:
        """Return the correlation of an array with a kernel of the sums' dtype, in `out` if given."""
        size, window = image.shape[self._axis], self._window
        total = np.zeros(image.shape, self._dtypes.sums)
        for tap in range(window.taps):
            first = tap - window.before
            indices = np.array(_core.padded_indices(first, first + size, size, _core.PADDING_MODES[window.mode]))
            plane = image.take(indices, self._axis).astype(self._dtypes.sums)
            np.moveaxis(plane, self._axis, 0)[indices < 0] = self._cval
            total += self._of_a_tap.run(plane, np.ascontiguousarray(kernel.take([tap], self._axis)), None, threads)
        result = np.empty(image.shape, self._dtypes.result) if out is None else out
        _blocks.cast(total, result)
        return result


def correlation(
    shape: tuple[int, ...], windows: Sequence[Window], cval: complex, dtypes: DTypes, contiguous: bool
) -> Correlation | OneAxis | TapByTap:
    """Return what correlates arrays of this shape, all of them contiguous or not all, with kernels of the same rank."""
    long = [axis for axis, window in enumerate(windows) if window.taps > 1]
    if len(long) == 1 and contiguous and not is_small(shape, dtypes):
        return OneAxis(shape, long[0], windows, cval, dtypes)
    if len(long) + (bool(long) and long[-1] < len(shape) - 1) <= 3:
        return Correlation(shape, windows, cval, dtypes, contiguous)
    return TapByTap(long[0], shape, windows, cval, dtypes)


class Parts:
    """Real and imaginary parts of complex arrays, one after the other, by real kernels."""

    def __init__(
        self, make: Callable[..., Any], shape: tuple[int, ...], kernels: Sequence[Any], dtypes: DTypes, small: bool
    ) -> None:
        """`make`: `correlation` and windows, or `Chain` and passes."""
        self._make, self._shape, self._kernels, self._dtypes, self._small = make, shape, kernels, dtypes, small
        parts = DTypes(*(np.empty(0, dtype).real.dtype for dtype in dtypes))
        self._of_a_part = make(shape, kernels, 0, parts, False)

    @cached_property
    def _of_both(self) -> Any:
        """The same for both parts of a small array, side by side in one array."""
        moved = [one._replace(axis=one.axis + 1) if isinstance(one, Pass) else one for one in self._kernels]
        if self._make is not Chain:
            moved = [Window(), *moved]
        return self._make((2, *self._shape), moved, 0, self._dtypes, True)

    @property
    def plan(self) -> _plan.Plan | None:
        """The plan for both parts; None if there is none, or arrays are not small."""
        plan: _plan.Plan | None = self._of_both.plan if self._small else None
        return plan

    def passes(self) -> list[tuple[_plan.Plan, Array]]:
        """Return the same of passes, and their weights."""
        passes: list[tuple[_plan.Plan, Array]] = self._of_both.passes() if self._small else []
        return passes

    def run(self, image: Array, *rest: Any) -> Array:
        """Return the result for an array, as `run` of the steps does for either part."""
        *kernel, out, threads = rest
        result = np.empty(image.shape, self._dtypes.result) if out is None else out
        for part, target in ((image.real, result.real), (image.imag, result.imag)):
            self._of_a_part.run(part, *kernel, target, threads)
        return result


class FusedPasses:
    """Passes along the last two axes of contiguous arrays, on strips of rows that stay in the cache; in place by planes."""

    def __init__(self, layout: separable.Passes) -> None:
        self._layout = layout
        rows, columns = layout.problem.size[1:]
        self._planes = max(1, BLOCK_BYTES // (rows * columns * layout.problem.accumulator.itemsize))  # copied at a time

    def run(self, image: Array, factors: separable.Factors, out: Array, threads: int) -> Array:
        """Return the result of all passes, in `out`."""
        layout = self._layout
        threads = min(threads, layout.threads)
        if not np.may_share_memory(image, out):
            _blocks.convolve(layout, image, factors, None, out, threads)
            return out
        room, size = Room(), layout.problem.size
        images, maps = (array.reshape(-1, 1, *size) for array in (image, out))
        for first in range(0, len(images), self._planes):
            planes = images[first : first + self._planes]
            copy = room.array(planes.shape, image.dtype)
            np.copyto(copy, planes)
            layout.run(copy, factors, None, maps[first : first + self._planes], layout.problem.pad, threads)
        return out


class AxisBlocks:
    """A pass along one axis of contiguous arrays by blocks that do not depend on each other, and so in place.

    They are copied, to where rows of a kernel do not evict each other from the cache.
    """

    def __init__(self, shape: tuple[int, ...], one: Pass, cval: complex, sums: DType) -> None:
        self._window, self._cval, self._sums = one.window, cval, sums
        self._shape = (math.prod(shape[: one.axis]), shape[one.axis], math.prod(shape[one.axis + 1 :]))
        room = max(1, BLOCK_BYTES // (sums.itemsize * shape[one.axis]))
        columns = min(self._shape[2], max(MIN_COLUMNS, room))
        columns -= columns * sums.itemsize % CONFLICT_BYTES == 0
        self._steps: dict[tuple[int, ...], Correlation] = {}  # by shape of the block
        self._block = (max(1, room // columns) if columns == self._shape[2] else 1), columns

    def run(self, image: Array, kernel: Array, out: Array, threads: int) -> Array:
        """Return the correlation of an array with a kernel of the sums' dtype, in `out`."""
        rooms = Room(), Room()
        images, maps = image.reshape(self._shape), out.reshape(self._shape)
        kernel = kernel.reshape(1, -1, 1)
        (count, _, width), (lead, columns) = self._shape, self._block
        for first, column in product(range(0, count, lead), range(0, width, columns)):
            block = slice(first, first + lead), slice(None), slice(column, column + columns)
            pixels = images[block]
            copy, sums = (room.array(pixels.shape, self._sums) for room in rooms)
            np.copyto(copy, pixels, casting="unsafe")
            step = self._step(pixels.shape)
            step.run(copy.reshape(step.shape), kernel, sums.reshape(step.shape), threads)
            _blocks.cast(sums, maps[block])
        return out

    def _step(self, shape: tuple[int, ...]) -> Correlation:
        step = self._steps.get(shape)
        if step is None:
            windows = (Window(), self._window) if shape[2] == 1 else (Window(), self._window, Window())
            dtypes = DTypes(*(self._sums,) * 3)
            step = self._steps[shape] = Correlation(shape[: len(windows)], windows, self._cval, dtypes, True)
        return step


class Pass(NamedTuple):
    """A kernel along one axis."""

    axis: int
    window: Window
    kernel: Array


class Chain:
    """Passes along one axis each, which end in the result's dtype: in order where that matters."""

    def __init__(
        self, shape: tuple[int, ...], passes: Sequence[Pass], cval: complex, dtypes: DTypes, contiguous: bool
    ) -> None:
        exact = dtypes.sums == np.float32 and _axis.suits(dtypes) and dtypes.result.kind in "ui"  # modulo powers of two
        if (dtypes.result.kind in "fc" or exact) and not cval:  # one order, whatever the arrays' layout
            passes = sorted(passes, key=lambda one: one.axis)
        self._dtype, self._small = dtypes.result, is_small(shape, dtypes)
        self._contiguous = contiguous and not self._small
        self._given = shape, passes, cval, dtypes
        fused, rest = _fuse(shape, passes, cval, dtypes) if self._contiguous else (None, passes)
        self._steps = self._separate(shape, rest, cval, dtypes, contiguous, False)
        if fused:
            self._steps.append(fused)
        self._steps_in_place: list[tuple[Any, Any]] = []  # made when needed

    def _separate(
        self,
        shape: tuple[int, ...],
        passes: Sequence[Pass],
        cval: complex,
        dtypes: DTypes,
        contiguous: bool,
        in_place: bool,
    ) -> list[tuple[Any, Any]]:
        """Return one step for each pass, with its kernel; in_place: the first one as well as all others."""
        steps: list[tuple[Any, Any]] = []
        for one in passes:
            windows = [one.window if index == one.axis else Window() for index in range(len(shape))]
            row_bytes = math.prod(shape[one.axis + 1 :]) * dtypes.sums.itemsize
            conflicts = one.window.taps > MAX_WAYS and row_bytes >= LONG_ROW_BYTES
            side = _axis.Side(one.window.before, one.window.mode, cval.real)
            kernel = rounded(one.kernel, dtypes.sums).reshape(
                [-1 if index == one.axis else 1 for index in range(len(shape))]
            )
            if self._contiguous and _axis.suits(dtypes):
                steps.append(_axis.make(shape, one.axis, side, dtypes, one.kernel))
            elif self._contiguous and (in_place or steps or conflicts):
                steps.append((AxisBlocks(shape, one, cval, dtypes.sums), np.ascontiguousarray(kernel)))
            else:
                steps.append((correlation(shape, windows, cval, dtypes, contiguous), np.ascontiguousarray(kernel)))
            dtypes = dtypes._replace(image=dtypes.result)
        return steps

    def passes(self) -> list[tuple[_plan.Plan, Array]]:
        """Return the plans of all passes of small arrays, and their weights; none if there is one without a plan."""
        steps = self._steps if self._small else []
        return [] if any(step.plan is None for step, _ in steps) else [(step.plan, kernel) for step, kernel in steps]

    def run(self, image: Array, out: Array | None, threads: int) -> Array:
        """Return the result of all passes, in `out` if given."""
        steps = self._steps
        if self._small and out is None:
            for step, kernel in steps:
                image = step.run(image, kernel, None, threads)
            return image
        if self._contiguous and out is not None and np.may_share_memory(image, out):
            if is_same(image, out):
                self._steps_in_place = self._steps_in_place or self._separate(*self._given, True, True)
                steps = self._steps_in_place
            else:
                image = image.copy()
        result = _core.empty_result(image.shape, self._dtype) if out is None else out
        temporary = result if self._contiguous or len(steps) == 1 else _core.empty(image.shape, self._dtype)
        if out is None:
            touch(result)
        if temporary is not result:
            touch(temporary)
        remaining = len(steps)
        for step, kernel in steps:
            remaining -= 1
            image = step.run(image, kernel, temporary if remaining % 2 else result, threads)
        return result


def is_same(image: Array, out: Array) -> bool:
    """Return whether arrays of one shape are the same numbers of one type, and contiguous."""
    contiguous = image.flags.c_contiguous and out.flags.c_contiguous
    return contiguous and image.dtype == out.dtype and bool(image.ctypes.data == out.ctypes.data)


def is_small(shape: tuple[int, ...], dtypes: DTypes) -> bool:
    """Return whether passes over an array are one call each, on a copy of the sums' dtype if any dtype is another."""
    if len(set(dtypes)) == 1:
        return math.prod(shape) * dtypes.sums.itemsize <= SMALL_BYTES
    itemsize = 8 if _axis.suits(dtypes) else dtypes.sums.itemsize  # larger ones are converted block by block
    return math.prod(shape) * itemsize <= CONVERTED_BYTES


def _fuse(
    shape: tuple[int, ...], passes: Sequence[Pass], cval: complex, dtypes: DTypes
) -> tuple[tuple[FusedPasses, separable.Factors] | None, Sequence[Pass]]:
    """Return the passes along the last two axes as one step with its kernels, and the others; None and all if it cannot be."""
    by_axis = {one.axis - len(shape): one for one in passes}
    if len(set(dtypes)) > 1 or dtypes.sums.kind != "f" or not {-2, -1} <= by_axis.keys() or len(by_axis) < len(passes):
        return None, passes
    modes = {by_axis[-2].window.mode, by_axis[-1].window.mode}
    if (
        len(modes) > 1
        or (cval and "zeros" in modes)
        or max(by_axis[-2].window.taps, by_axis[-1].window.taps) > MAX_FUSED_TAPS
    ):
        return None, passes
    windows = [Window()] * (len(shape) - 2) + [by_axis[-2].window, by_axis[-1].window]
    kernels = [by_axis[-2].kernel, by_axis[-1].kernel]
    problem = arrange(shape, windows, 0, dtypes, True, dtypes.image.kind not in "fc").problem
    layout = separable.choose(problem, math.inf)
    if layout is None:
        return None, passes
    columns, rows = (rounded(kernel, dtypes.sums).reshape(1, -1) for kernel in kernels)
    factors = separable.Factors(np.ones((1, 1), dtypes.sums), columns, rows)
    return (FusedPasses(layout), factors), [one for one in passes if one.axis - len(shape) not in (-2, -1)]


def rounded(kernel: Array, dtype: DType) -> Array:
    """Return a kernel in another dtype: where its weights are rounded, the largest so that their sum stays what it is."""
    weights: Array = kernel.astype(dtype)
    if dtype == np.float32:
        largest = int(np.abs(weights).argmax())
        weights[largest] += kernel.sum() - weights.sum(dtype=np.float64)
    return weights


def _merge(shape: tuple[int, ...], windows: Sequence[Window]) -> list[tuple[int, Window]]:
    """Return the axes of a contiguous array, neighbours along which nothing is summed as one."""
    merged: list[tuple[int, Window]] = []
    for size, window in zip(shape, windows, strict=True):
        if merged and window.taps == merged[-1][1].taps == 1:
            merged[-1] = merged[-1][0] * size, window
        else:
            merged.append((size, window))
    return merged


def _spatial_axes(taps: Sequence[int]) -> list[int]:
    """Return the axes that are those of images: those of the kernel, what lies between them, and the last one."""
    last = len(taps) - 1
    kernel = [axis for axis, count in enumerate(taps) if count > 1] or [last]
    if kernel == [last] and last > 0:
        return [last - 1, last]  # rows of one long image
    whole = list(range(kernel[0], last + 1))
    return whole if len(whole) <= 3 else sorted({*kernel, last})
