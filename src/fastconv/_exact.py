"""Integers summed in floating point: where the weights and the image's dtype prove that no sum is too large to be exact.

Sums of integers are exact in any order as long as every partial sum is one that the floating-point numbers hold, and the
sum of the magnitudes of all products bounds them all. Register tiles and sweeps are then exact, and much faster than
loops over integers; Winograd and Fourier transforms, whose weights are fractions, are not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv import _check, _core
from fastconv._problem import EXACT_DOUBLE, EXACT_SINGLE, Array, Problem
from fastconv.algorithms import byte_tiles

DType = np.dtype[Any]

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
PIECE_WEIGHTS = 2**20  # weights looked at in one call of NumPy
MAX_WEIGHTS = 2**26  # of a bank: more are not looked at


class Sums(NamedTuple):
    """How sums of integers may be computed, other than by loops over integers."""

    floating: DType | None  # a dtype of floating point in which they are exact
    pixels: DType | None  # the image's, if pixels and weights may be multiplied as bytes
    by_values: bool  # of the pixels, which say nothing about a padding with other ones


class Integers(NamedTuple):
    """What is known of the integers that a bank holds."""

    reach: float  # the largest sum of the magnitudes of a filter's weights
    offset: float  # the largest magnitude of a bias
    are_bytes: bool  # weights that tiles of bytes take

    def sums(self, dtype: DType, image: Array | None = None) -> Sums | None:
        """Return how sums over images of this dtype are exact; None for images of floats. Of 64 bits, values tell."""
        if dtype.kind not in "biu":
            return None
        floating = sums_dtype(largest_pixel(dtype, image) * self.reach + self.offset)
        return Sums(floating, dtype if dtype.itemsize == 1 and self.are_bytes else None, dtype.itemsize == 8)


def integers(weight: Array, filters: int, bias: Array | None = None) -> Integers | None:
    """Return what is known of weights and biases; None if they are not integers, or too many to be looked at."""
    if not weight.size or any(array is not None and array.dtype.kind not in "biu" for array in (weight, bias)):
        return None
    most = reach(weight, filters)
    if most is None:
        return None
    offset = 0.0 if bias is None else float(np.abs(bias, dtype=np.float64).max(initial=0))
    are_bytes = weight.dtype.itemsize == 1 and (
        _core.byte_format()[0] < 4 or weight.dtype.kind != "u" or int(weight.max()) < 128
    )
    return Integers(most, offset, are_bytes)


def largest_pixel(dtype: DType, image: Array | None) -> float:
    """Return a bound of the magnitudes of pixels: that of their dtype, or of 64 bits, if there is an image, their largest."""
    if dtype.itemsize == 8 and image is not None and image.size:
        values = _check.unbroadcast(image)
        return max(abs(float(values.min())), abs(float(values.max())))
    return float(_check.max_magnitude(dtype))


def reach(weight: Array, filters: int = 1) -> float | None:
    """Return the largest sum of the magnitudes of a filter's weights if all are whole numbers, else None."""
    if weight.size > MAX_WEIGHTS or (weight.size > PIECE_WEIGHTS and not weight.flags.c_contiguous):
        return None
    bank = weight.reshape(filters, -1)
    if bank.dtype.kind not in "biu" and not (bank == np.rint(bank)).all():
        return None
    step = max(1, PIECE_WEIGHTS // max(1, bank.shape[1]))
    wide = np.float64 if bank.dtype.itemsize > 2 else np.int32
    largest = 0.0
    for first in range(0, filters, step):
        sums: Any = 0.0
        for tap in range(0, bank.shape[1], PIECE_WEIGHTS):
            piece = np.abs(bank[first : first + step, tap : tap + PIECE_WEIGHTS].astype(wide))
            sums = sums + piece.sum(axis=1, dtype=np.float64)
        largest = max(largest, float(sums.max()))
    return largest


def sums_dtype(largest: float) -> DType | None:
    """Return the dtype of floating point in which sums up to this magnitude are exact, None if there is none."""
    return SINGLE if largest < EXACT_SINGLE else DOUBLE if largest < EXACT_DOUBLE else None


def of_call(axes: int, image: Array, weight: Array, bias: Array | None) -> Sums | None:
    """Return how the sums of a call of integers are exact; None for floats."""
    known = integers(weight, weight.shape[0] if weight.ndim == axes + 2 else 1, bias)
    return None if known is None else known.sums(image.dtype, image)


def summed(problem: Problem, sums: Sums | None) -> Problem:
    """Return a problem of integers with sums of bytes, or in floating point, where these are exact and faster."""
    if sums is None or problem.algorithm not in ("auto", "direct"):
        return problem
    has_values = problem.border is not None and any(problem.border.values)
    if has_values and (sums.by_values or problem.saturates):
        return problem
    if (
        sums.pixels is not None
        and problem.accumulator == np.int32
        and problem.border is None
        and byte_tiles.suits(problem)
    ):
        return problem._replace(pixels=sums.pixels, algorithm="direct")
    if sums.floating is None:
        return problem
    return problem._replace(accumulator=sums.floating, algorithm="direct", adds_integers=not problem.saturates)
