"""Convolution of 8-bit integers with zero points and scales: sums by tiles of bytes or of floats, requantized to bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import _check, _core, _exact, _plan
from fastconv._arrays import Room
from fastconv._cache import Cache
from fastconv._check import Options
from fastconv._problem import Array, Problem
from fastconv.algorithms import byte_tiles
from fastconv.algorithms.byte_tiles import ByteTiles, Requantization

CONVERTED_BYTES = 2**22  # bytes of images that are packed at a time, if they are not larger
PLAN_CACHE_BYTES = 2**21
MAX_DIFFERENCE = 255  # of an integer of 8 bits and its zero point
INT32 = np.dtype(np.int32)
LARGEST_SUM = 2**31 - 1
BYTES = (np.dtype(np.uint8), np.dtype(np.int8))


class Filters:
    """A bank of 8-bit integers less its zero points, for images of one dtype and zero point.

    With a bias (K,) of int32, and, for bytes rather than sums as results, a requantization.
    """

    def __init__(
        self,
        weight: Array,
        weight_zero: Array,
        pixels: np.dtype[Any],
        zero: int,
        bias: Array | None,
        options: Options,
        output: Requantization | None,
    ) -> None:
        self._axes, self._pixels, self._zero, self._options = weight.ndim - 2, pixels, zero, options
        self._weight = np.subtract(weight, weight_zero.reshape(-1, *(1,) * (weight.ndim - 1)), dtype=np.int16)
        self._bias, self._output = bias, output
        # A bound of the sums; if it is too large, a tighter one.
        self._largest: float = MAX_DIFFERENCE**2 * self._weight[0].size
        if bias is not None:
            self._largest += int(np.abs(bias, dtype=np.float64).max())
        if self._largest > LARGEST_SUM:
            known = _exact.integers(self._weight, len(weight), bias)
            self._largest = math.inf if known is None else MAX_DIFFERENCE * known.reach + known.offset
        self._plans = Cache(PLAN_CACHE_BYTES)
        self._packed: dict[Any, Any] = {}  # by packing

    def __call__(self, input: Array, threads: int) -> Array:
        """Return the results for images (..., C, H, W)."""
        if self._largest > LARGEST_SUM:
            self._check_range(input)
        found = self._plans.get(input.shape)
        if found is None:
            found = self._planned(input.shape)
            self._plans.put(input.shape, found, _plan.PLAN_BYTES)
        problem, layout, plan = found
        result: Array = _core.empty_result(problem.output_shape, INT32 if self._output is None else self._output.dtype)
        if not result.size:
            return result
        if layout is None:
            self._run_plan(plan, input, result, threads)
            return result
        images, maps, room = input.reshape(layout.images_shape), result.reshape(layout.maps_shape), Room()
        packed, threads = self._packed[layout.packing], min(threads, layout.threads)
        count = max(1, CONVERTED_BYTES // max(1, math.prod(images.shape[1:])))
        for first in range(0, len(images), count):
            numbers = layout.load(images[first : first + count], room)
            layout.run(numbers, packed, None, maps[first : first + count], problem.pad, threads)
        return result

    def _planned(self, shape: tuple[int, ...]) -> tuple[Problem, ByteTiles | None, _plan.Plan | None]:
        """Return the problem for images of a shape, and its layout of bytes or else its plan in floating point."""
        dtypes = (np.dtype(np.int16), self._weight.dtype)
        problem = _check.problem(self._axes, shape, self._weight.shape, None, dtypes, self._options)
        problem = problem._replace(dtype=INT32, accumulator=INT32, algorithm="direct")
        of_bytes = problem._replace(pixels=self._pixels, zero=self._zero)
        if byte_tiles.suits(of_bytes):
            layout = byte_tiles.choose(of_bytes, math.inf, self._output)
            if layout is not None and layout.whole_images and self._pack(layout):
                return of_bytes, layout, None
        sums = _exact.sums_dtype(self._largest) or np.dtype(np.float64)
        problem = problem._replace(accumulator=sums, adds_integers=True)
        return problem, None, _plan.make(problem, dtypes)

    def _pack(self, layout: ByteTiles) -> bool:
        """Pack the weights for a layout unless they are; return whether it takes them."""
        if layout.packing not in self._packed:
            packed = layout.pack(self._weight)
            if packed is not None and self._bias is not None:
                packed = packed[0], packed[1] + self._bias
            self._packed[layout.packing] = packed
        return self._packed[layout.packing] is not None

    def _run_plan(self, plan: _plan.Plan | None, input: Array, result: Array, threads: int) -> None:
        """Convolve the pixels less their zero point in floating point."""
        assert plan is not None
        if plan.packing not in self._packed:
            self._packed[plan.packing] = _plan.prepare(plan, self._weight)
        images = np.subtract(input, self._zero, dtype=np.int16)
        out = result if self._output is None else None
        sums = _plan.run(plan, images, self._weight, self._bias, out, threads, self._packed[plan.packing])
        if self._output is not None:
            shape = (*plan.problem.maps_shape[:2], -1)
            output = self._output
            _core.requantize(
                sums.reshape(shape), result.reshape(shape), output.multipliers, output.zero, output.is_signed
            )

    def _check_range(self, input: Array) -> None:
        """Raise ValueError if a sum over these pixels could exceed int32."""
        pixels = np.subtract(input, self._zero, dtype=np.int16)
        _check.check_integer_range("input", INT32, pixels, self._weight, self._bias)


# Arguments


def bytes_of(name: str, value: Any) -> Array:
    """Return an array of uint8 or int8."""
    array = _check.as_array(name, value)
    if array.dtype not in BYTES:
        raise TypeError(f"{name} must hold uint8 or int8; got dtype {array.dtype}")
    return array


def zero_points(name: str, value: Any, dtype: np.dtype[Any], filters: int = 1) -> Array:
    """Return zero points that integers of a dtype may have, (1,) or one for each filter, as int16."""
    array = _check.as_array(name, value)
    if array.dtype.kind not in "iu" or array.shape not in ((), (1,), (filters,)):
        several = f", or one for each of the {filters} filters" if filters > 1 else ""
        kind = ValueError if array.dtype.kind in "iu" else TypeError
        raise kind(f"{name} must be an integer{several}; got shape {array.shape} and dtype {array.dtype}")
    limits = np.iinfo(dtype)
    if array.min() < limits.min or array.max() > limits.max:
        raise ValueError(f"{name} must be within {dtype}, {limits.min} to {limits.max}; got {array.tolist()}")
    return array.reshape(-1).astype(np.int16)


def scales(name: str, value: Any, filters: int = 1) -> Array:
    """Return positive scales, (1,) or one for each filter, as float32."""
    array = _check.as_array(name, value)
    if array.dtype.kind not in "fiu" or array.shape not in ((), (1,), (filters,)):
        several = f", or one for each of the {filters} filters" if filters > 1 else ""
        kind = ValueError if array.dtype.kind in "fiu" else TypeError
        raise kind(f"{name} must be a number{several}; got shape {array.shape} and dtype {array.dtype}")
    if not ((array > 0) & np.isfinite(array)).all():
        raise ValueError(f"{name} must be positive and finite; got {array.tolist()}")
    return array.reshape(-1).astype(np.float32)
