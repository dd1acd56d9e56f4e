"""scipy.signal.fftconvolve along some axes: arrays whose lengths along the others are equal, or 1."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _check, _signal, _weights
from fastconv._problem import Array
from fastconv._sections import Section
from fastconv._signal import PLAN_BYTES, check_mode, check_valid, plans, result_dtype, section
from fastconv._spectra import Spectra

PLANE_OVERHEAD = 3e5  # of one of many convolutions, in products


class Along(NamedTuple):
    """How to convolve along some axes."""

    axes: tuple[int, ...]  # along which both arrays are longer than 1
    others: tuple[int, ...]
    is_plain: bool  # one of the arrays has length 1 along all others
    section: Section  # of all axes: along the others, what "same" keeps


def convolve(first: Array, second: Array, mode: str, axes: Any, threads: int) -> Array:
    """Return a convolution along some axes."""
    key: object = (first.shape, second.shape, mode, axes if axes is None else _check.hashable(axes))
    along = plans.get(key)
    if along is None:
        along = choose(first.shape, second.shape, mode, axes)
        plans.put(key, along, PLAN_BYTES)
    if not along.axes:
        product: Array = first * second
        return product[_slices(along.section)].copy()
    first, second = floating(first), floating(second)
    dtype = result_dtype(first, second)
    if along.is_plain:
        return _signal.convolve(first, second, along.section, dtype, threads, spectra=True)
    key = (first.shape, second.shape, dtype, along)
    spectra = plans.get(key)
    if spectra is None:
        spectra = Spectra(first.shape, second.shape, along.axes, along.section.starts, along.section.lengths, dtype)
        plans.put(key, spectra, PLAN_BYTES)
    pairs = [(first.shape[axis], second.shape[axis]) for axis in along.axes]
    planes = math.prod(along.section.lengths[axis] for axis in along.others)
    products = math.prod(along.section.lengths) * math.prod(map(min, pairs))
    if dtype.char in "fdFD" and spectra.cost < planes * PLANE_OVERHEAD + products:
        result: Array = spectra.run(first, second)
        if _weights.all_finite(result):
            return result
    return _plane_by_plane(first, second, along, dtype, threads)


def _plane_by_plane(first: Array, second: Array, along: Along, dtype: np.dtype[Any], threads: int) -> Array:
    order = (*along.others, *along.axes)
    outer = np.broadcast_shapes(*(tuple(array.shape[axis] for axis in along.others) for array in (first, second)))
    images, kernels = (
        np.broadcast_to(moved, (*outer, *moved.shape[len(outer) :]))
        for moved in (array.transpose(order) for array in (first, second))
    )
    starts, lengths = (tuple(values[axis] for axis in order) for values in along.section)
    inner = Section(starts[len(outer) :], lengths[len(outer) :])
    result: Array = np.empty(lengths, dtype)
    for place in np.ndindex(lengths[: len(outer)]):
        source = tuple(start + one for start, one in zip(starts, place, strict=False))
        result[place] = _signal.convolve(images[source], kernels[source], inner, dtype, threads)
    return np.ascontiguousarray(result.transpose(np.argsort(order)))


def choose(first: tuple[int, ...], second: tuple[int, ...], mode: str, axes: Any) -> Along:
    """Return how to convolve arrays of these shapes along some axes."""
    rank = len(first)
    used = tuple(axis for axis in convolved_axes(axes, rank) if 1 not in (first[axis], second[axis]))
    others = tuple(axis for axis in range(rank) if axis not in used)
    if any(first[axis] != second[axis] and 1 not in (first[axis], second[axis]) for axis in others):
        raise ValueError(f"incompatible shapes for in1 and in2: {first} and {second}")
    inner = [tuple(shape[axis] for axis in used) for shape in (first, second)]
    if check_mode(mode) == "valid":
        check_valid(*inner)
    starts, lengths = [0] * rank, [max(pair) for pair in zip(first, second, strict=True)]
    for axis, start, length in zip(used, *section(mode, *inner), strict=True):
        starts[axis], lengths[axis] = start, length
    for axis in others if mode == "same" else ():
        starts[axis], lengths[axis] = (lengths[axis] - first[axis]) // 2, first[axis]
    is_plain = any(all(shape[axis] == 1 for axis in others) for shape in (first, second))
    return Along(used, others, is_plain, Section(tuple(starts), tuple(lengths)))


def convolved_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """Return the axes to convolve along, all of them by default, counted from the first one."""
    if axes is None:
        return tuple(range(rank))
    try:
        given = [operator.index(axis) for axis in (axes if isinstance(axes, Iterable) else (axes,))]
    except TypeError:
        raise ValueError(f"axes must be a scalar or iterable of integers; got {axes!r}") from None
    if not given:
        raise ValueError("when provided, axes cannot be empty")
    if not all(-rank <= axis < rank for axis in given):
        raise ValueError(f"axes exceeds dimensionality of input, {rank}; got {axes!r}")
    counted = tuple(axis % rank for axis in given)
    if len(set(counted)) < len(counted):
        raise ValueError(f"all axes must be unique; got {axes!r}")
    return counted


def floating(array: Array) -> Array:
    """Return an array for Fourier transforms: float64 for integers, float32 for float16."""
    if array.dtype.kind in "fc" and array.dtype.itemsize > 2:
        return array
    return array.astype(np.float32 if array.dtype.kind == "f" else np.float64)


def _slices(where: Section) -> tuple[slice, ...]:
    return tuple(slice(start, start + length) for start, length in zip(*where, strict=True))
