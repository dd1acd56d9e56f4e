"""Weights as the core takes them: in the accumulator's dtype, flipped for true convolution, packed piece by piece.

Pieces bound the memory that conversions take, and how long an interrupt (Ctrl-C) waits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._arrays import fits_core, is_plain, touch
from fastconv._problem import Array, Problem

PIECE_WEIGHTS = 2**20  # weights converted at a time


@contextmanager
def naming_weight(shape: tuple[int, ...]) -> Iterator[None]:
    """Replace a MemoryError that does not name an argument by one that names weight and its shape."""
    try:
        yield
    except MemoryError as error:
        if str(error) and not str(error).startswith("Unable to allocate"):  # NumPy's: names none
            raise
        raise MemoryError(f"weight of shape {shape} needs more memory than there is") from error


def filters(problem: Problem, weight: Array, first: int = 0, last: int | None = None) -> Array:
    """Return filters[first:last] (..., C / groups, kd, kh, kw) in the accumulator's dtype, flipped if asked.

    They are a view of any steps where the weights need no conversion.
    """
    return _converted(problem, bank_of(problem, weight)[first:last])


def channels(problem: Problem, weight: Array) -> Array:
    """Return the weights of a transposed convolution (C, K / groups, kd, kh, kw) likewise, in the order given."""
    return _converted(problem, weight.reshape(problem.weight_shape))


def _converted(problem: Problem, bank: Array) -> Array:
    if problem.flip:
        bank = bank[:, :, ::-1, ::-1, ::-1]
    return bank if fits_core(bank, problem.accumulator, 0) else copy(bank, problem.accumulator)


def plain_filters(problem: Problem, weight: Array) -> Array:
    """Return `filters` as a contiguous array."""
    return copy_unless_plain(filters(problem, weight), problem.accumulator)


def copy_unless_plain(weight: Array, dtype: np.dtype[Any]) -> Array:
    """Return weights as a contiguous array of this dtype, the same one if possible."""
    return weight if is_plain(weight, dtype) else copy(weight, dtype)


def bank_of(problem: Problem, weight: Array) -> Array:
    """Return weights as given as a view (K, C / groups, kd, kh, kw); a copy if several groups must be exchanged."""
    channels, filters = problem.group_size
    if not (problem.exchanged or problem.transposed):
        return weight.reshape(problem.filters, channels, *problem.kernel)
    bank: Array = weight.reshape(problem.groups, channels, filters, *problem.kernel)
    return bank.swapaxes(1, 2).reshape(problem.filters, channels, *problem.kernel)


def all_finite(weight: Array) -> bool:
    """Return whether no weight is NaN or infinite."""
    with np.errstate(all="ignore"):
        if math.isfinite(abs(weight.sum(dtype=np.float32 if weight.dtype.itemsize == 2 else None))):
            return True
    return bool(np.isfinite(weight).all())  # the sum of finite numbers may overflow


def copy(bank: Array, dtype: np.dtype[Any]) -> Array:
    """Return a contiguous copy of a filter bank in this dtype, made piece by piece."""
    copied: Array = _core.empty(bank.shape, dtype)
    step = max(1, PIECE_WEIGHTS // max(1, math.prod(bank.shape[1:])))
    for start in range(0, bank.shape[0], step):
        copied[start : start + step] = bank[start : start + step]
    return copied


def pack(
    problem: Problem,
    core_layout: _core.TileLayout | _core.TransposedLayout | _core.WinogradLayout,
    packer: Callable[..., None],
    piece: Callable[[int, int], Array],
) -> Array:
    """Return all filters packed for a layout of the core; piece(first, last) returns filters[first:last]."""
    packed = _core.empty((core_layout.packed_numbers,), problem.accumulator)
    touch(packed)  # packing the first piece writes all over it
    for first, last in pairwise(core_layout.piece_bounds):
        packer(piece(first, last), packed, first, core_layout)
    return packed


def nbytes(packed: Any, given: Array | None = None) -> int:
    """Return the bytes of packed weights: of an array, or of all arrays in nested tuples; but not of those given."""
    if isinstance(packed, tuple):
        return sum(nbytes(part, given) for part in packed)
    if not isinstance(packed, np.ndarray) or (given is not None and np.may_share_memory(packed, given)):
        return 0
    return packed.nbytes


def with_slopes(bias: Array | None, slopes: Array, dtype: np.dtype[Any]) -> Array:
    """Return bias (K,), zero by default, followed by slopes (K,), as the core takes them."""
    both = np.zeros((2, len(slopes)), dtype)
    both[0], both[1] = (0 if bias is None else bias.reshape(-1)), slopes
    return both.reshape(-1)
