"""A pass along one axis of arrays of 8 or 16 bits: they are converted, summed and converted back block by block.

Sums of real weights are float64, as SciPy's. Sums of integers are float32 where that holds them exactly, and so are
means: an exact sum, times the reciprocal of the number of pixels and slightly more, is truncated to what the exact
quotient is truncated to.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv._problem import EXACT_SINGLE, Array

DType = np.dtype[Any]

BLOCK_BYTES = 2**18  # bytes of the sums of a block: with what they are summed from, they stay in the second-level cache
MAX_COLUMNS, MIN_COLUMNS = 496, 48  # of a block
MAX_INTERLEAVED = 16  # positions behind the axis up to which a block is rows rather than columns
NEAR = 2.0**30  # below it, no sum reaches 2^31, however it is rounded
# A float32 is off by 2^-24 of its magnitude: a reciprocal that is rounded up by more than twice that, times a sum, is no
# less than the quotient, and above it by less than MEAN_ERROR of it. Quotients by n are 1 / n below the next integer.
MEAN_NUDGE, MEAN_ERROR = 1 + 2.0**-22, 3 * 2.0**-23


class Side(NamedTuple):
    """What lies around an array along one axis."""

    before: int  # positions in front of an output that it reads
    mode: str  # a padding mode, where zeros stand for the value
    value: float


class AxisPass:
    """Correlations of contiguous arrays of one shape and dtype along one axis; see `suits`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        axis: int,
        taps: int,
        side: Side,
        dtypes: tuple[DType, DType, DType],
        scale: float = 1,
    ) -> None:
        image, sums, result = dtypes
        self._shape = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        self._taps, self._side, self._scale, self._largest = taps, side, scale, largest(image, side)
        self._sums = result if result.kind == "f" else sums
        self._by_rows = self._shape[2] <= MAX_INTERLEAVED
        self._layouts: dict[bool, tuple[tuple[int, int], _core.SweepLayout]] = {}  # and blocks; by: is it in place?

    def run(self, image: Array, kernel: Array | None, out: Array, threads: int) -> Array:
        """Return the correlation of an array with a kernel, None for one of ones, in `out`."""
        in_place = np.may_share_memory(image, out)
        if in_place and (image.dtype.itemsize != out.dtype.itemsize or image.ctypes.data != out.ctypes.data):
            image, in_place = image.copy(), False
        if in_place not in self._layouts:
            self._layouts[in_place] = self._layout(in_place)
        block, layout = self._layouts[in_place]
        is_near = kernel is None
        if kernel is not None:
            kernel = np.ascontiguousarray(kernel, self._sums)
            is_near = self._largest * float(np.abs(kernel).sum()) < NEAR
        before, mode, value = self._side
        edge = before, _core.PADDING_MODES[mode], value
        sums = self._scale, is_near
        _core.convolve_along(image, kernel, out, self._shape, edge, sums, block, self._by_rows, layout, threads)
        return out

    def _layout(self, in_place: bool) -> tuple[tuple[int, int], _core.SweepLayout]:
        """Return the size of a block, along the axis and across it, and its sweeps; in place, it holds all of the axis."""
        lead, length, trail = self._shape
        numbers, taps = BLOCK_BYTES // self._sums.itemsize, self._taps
        if self._by_rows:
            along = length if in_place else min(length, max(numbers // trail, taps))
            across = min(lead, max(1, numbers // (along * trail)))
            size, kernel, dilation = (1, across, along * trail), (1, 1, taps), (1, 1, trail)
        else:
            across = min(trail, MAX_COLUMNS)
            along = length if in_place else min(length, max(numbers // across, taps))
            across = min(across, max(MIN_COLUMNS, numbers // along))
            size, kernel, dilation = (1, along, across), (1, taps, 1), (1, 1, 1)
        window = kernel, (1, 1, 1), dilation, 1, _core.PADDING_MODES["zeros"], _core.ACTIVATIONS[None]
        bits = 8 * self._sums.itemsize
        layout = _core.sweep_layout(
            size, window, 1, bits, size[1], in_place=True, parts=1, nontemporal=False, zero_rows=False
        )
        return (along, across), layout


def suits(dtypes: tuple[DType, DType, DType]) -> bool:
    """Return whether there are passes for these dtypes of an array, of its sums and of the result."""
    image, sums, result = dtypes
    if image.kind not in "bui" or image.itemsize > 2 or sums.kind != "f":
        return False
    return (result.kind in "ui" and result.itemsize <= 2) or (result.kind == "f" and result.itemsize >= sums.itemsize)


def make(
    shape: tuple[int, ...], axis: int, side: Side, dtypes: tuple[DType, DType, DType], kernel: Array
) -> tuple[AxisPass, Array | None]:
    """Return a pass for one kernel, and the kernel as its `run` takes it."""
    image, sums, result = dtypes
    taps = kernel.size
    if result.kind in "ui":
        most = largest(image, side)
        if is_mean(kernel) and most * taps * MEAN_ERROR < 1 and not (side.mode == "zeros" and side.value):
            dtypes = image, np.dtype(np.float32), result
            return AxisPass(shape, axis, taps, side, dtypes, MEAN_NUDGE / taps), None
        if sums.itemsize == 4 and most * float(np.abs(kernel).sum()) >= EXACT_SINGLE:
            dtypes = image, np.dtype(np.float64), result
    return AxisPass(shape, axis, taps, side, dtypes), kernel


def is_mean(kernel: Array) -> bool:
    """Return whether all weights are alike, and sum to 1."""
    return bool((kernel == kernel[0]).all()) and abs(kernel.sum() - 1) < 1e-9


def largest(dtype: DType, side: Side) -> float:
    """Return the largest magnitude of a number of an array, or around it."""
    most = 1.0 if dtype.kind == "b" else -float(np.iinfo(dtype).min) or float(np.iinfo(dtype).max)
    return max(most, abs(side.value)) if side.mode == "zeros" else most
