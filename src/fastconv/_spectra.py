"""Convolutions by one Fourier transform of each array, where that is faster than transforms of blocks.

Transforms are scipy's if it is installed, else NumPy's. Axis by axis, only what is not zero is transformed forth, and only the section that is wanted back. What such a
convolution cannot do, keep a NaN or infinity from spreading over the result, is left to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from fastconv._problem import Array

ODD_FACTORS = sorted(3**i * 5**j for i in range(5) for j in range(4))  # of lengths of fast transforms

# Costs as in algorithms/direct.py
TRANSFORM = 10.0  # per number and step of a transform, of log2(n), if many are made at once
SINGLE_TRANSFORM = 12.0  # if it is the only one
FAR_TRANSFORM = 40.0  # if it is the only one, of more numbers than fit the cache
FAR_NUMBERS = 2**18
COPY = 6.0  # per number copied or multiplied
OVERHEAD = 1e6  # of a call


class Spectra:
    """Convolutions of two arrays along some axes; their lengths along the others are equal, or 1.

    starts and lengths: of the section of the result, along all axes.
    """

    def __init__(
        self,
        first: tuple[int, ...],
        second: tuple[int, ...],
        axes: Sequence[int],
        starts: Sequence[int],
        lengths: Sequence[int],
        dtype: np.dtype[Any],
    ) -> None:
        self._is_real, self._dtype = dtype.kind == "f", dtype
        self._axes = tuple(sorted(axes))
        self._sizes = sizes = {axis: fast_length(first[axis] + second[axis] - 1) for axis in self._axes}
        self._parts = [
            (slice(None),) * axis + (slice(start, start + length),)
            for axis, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ]
        self._others = tuple(
            slice(None) if axis in sizes else slice(start, start + length)
            for axis, (start, length) in enumerate(zip(starts, lengths, strict=True))
        )
        self.cost = self._predicted(first, second, lengths) if sizes else math.inf

    def _predicted(self, first: tuple[int, ...], second: tuple[int, ...], lengths: Sequence[int]) -> float:
        result = [max(n, m) for n, m in zip(first, second, strict=True)]
        cost = OVERHEAD
        for shape in (list(first), list(second)):
            for axis in reversed(self._axes):
                shape[axis] = self._sizes[axis]
                cost += transform_cost(shape, axis)
        for axis in self._axes:
            result[axis] = self._sizes[axis]
        cost += COPY * math.prod(result)
        for axis in self._axes:
            cost += transform_cost(result, axis)
            result[axis] = lengths[axis]
        return cost * (1 if self._is_real else 2)

    def run(self, first: Array, second: Array) -> Array:
        """Return the section of the convolution of two arrays."""
        (fourier, in_place), last = library(), self._axes[-1]
        with np.errstate(all="ignore"):
            one, other = self._transformed(first), self._transformed(second)
            if one.size < other.size:
                one, other = other, one
            whole = one.shape == np.broadcast_shapes(one.shape, other.shape)
            spectrum = np.multiply(one, other, out=one if whole else None)
            for axis in self._axes[:-1]:
                spectrum = fourier.ifft(spectrum, axis=axis, **in_place)[self._parts[axis]]
            inverse = fourier.irfft if self._is_real else fourier.ifft
            result: Array = inverse(spectrum, self._sizes[last], axis=last, **in_place)[self._parts[last]]
        return np.ascontiguousarray(result[self._others])

    def _transformed(self, array: Array) -> Array:
        (fourier, in_place), last = library(), self._axes[-1]
        array = array.astype(self._dtype, copy=False)
        transform = fourier.rfft if self._is_real else fourier.fft
        spectrum: Array = transform(array, self._sizes[last], axis=last)
        for axis in self._axes[-2::-1]:
            spectrum = fourier.fft(spectrum, self._sizes[axis], axis=axis, **in_place)
        return spectrum


def transform_cost(shape: Sequence[int], axis: int) -> float:
    """Return the cost of transforming an array of real numbers along an axis."""
    numbers, n = math.prod(shape), shape[axis]
    per_step = TRANSFORM if numbers > n else SINGLE_TRANSFORM if n <= FAR_NUMBERS else FAR_TRANSFORM
    return numbers * (per_step * math.log2(n) + COPY)


def fast_length(n: int) -> int:
    """Return the shortest length of a fast transform that holds n numbers."""
    lengths: list[int] = [odd << max(2, (-(-n // odd) - 1).bit_length()) for odd in ODD_FACTORS]
    return min(lengths)


@cache
def library() -> tuple[Any, dict[str, bool]]:
    """Return the module of transforms, and its arguments that allow work in place."""
    try:
        return import_module("scipy.fft"), {"overwrite_x": True}
    except ImportError:
        return np.fft, {}
