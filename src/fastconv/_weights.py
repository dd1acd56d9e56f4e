"""Filter banks on their way to the core: in the accumulator's dtype, flipped if that was asked for, and packed piece by piece.

Pieces bound the memory that conversions take, and the time that an interrupt has to wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from fastconv import _core
from fastconv._blocks import is_plain
from fastconv._problem import Array, Problem

CONVERTED_WEIGHTS = 2**20  # weights that are converted at a time
PAGE_BYTES, TOUCHED_PAGES = 2**12, 2**10  # of fresh memory, and pages that are touched at a time


class Packer(Protocol):
    """A core layout that packs weights."""

    @property
    def packed_numbers(self) -> int: ...
    @property
    def pieces(self) -> list[int]: ...


@contextmanager
def in_memory(shape: tuple[int, ...]) -> Iterator[None]:
    """Name the weights, of this shape, in a MemoryError that does not say what it is about."""
    try:
        yield
    except MemoryError as error:
        if str(error) and not str(error).startswith("Unable to allocate"):  # NumPy's message
            raise
        raise MemoryError(f"weight of shape {shape} needs more memory than there is") from error


def filters(problem: Problem, weight: Array, first: int = 0, last: int | None = None) -> Array:
    """Return some filters (K, C / groups, kd, kh, kw) in the accumulator's dtype, flipped if asked for; a view if possible."""
    some = weight.reshape(problem.weight_shape)[first:last]
    if problem.flip:
        some = some[:, :, ::-1, ::-1, ::-1]
    elif is_plain(some, problem.accumulator):
        return some
    return copy(some, problem.accumulator)


def copy(bank: Array, dtype: np.dtype[Any]) -> Array:
    """Return filters copied to a contiguous array of this dtype, some at a time."""
    copied: Array = _core.empty(bank.shape, dtype)
    step = max(1, CONVERTED_WEIGHTS // max(1, math.prod(bank.shape[1:])))
    for start in range(0, bank.shape[0], step):
        copied[start : start + step] = bank[start : start + step]
    return copied


def pack(
    problem: Problem, core: Packer, packers: dict[str, Callable[..., None]], piece: Callable[[int, int], Array]
) -> Array:
    """Return all filters, packed for a layout of the core; piece(first, last) returns some of them."""
    packed = _core.empty((core.packed_numbers,), problem.accumulator)
    # A piece is scattered over all of the array: without this, the first one would wait for all page faults.
    pages = packed.view(np.uint8)[::PAGE_BYTES]
    for start in range(0, pages.size, TOUCHED_PAGES):
        pages[start : start + TOUCHED_PAGES] = 0
    for first, last in pairwise(core.pieces):
        packers[problem.core_name](piece(first, last).reshape(last - first, -1), packed, first, core)
    return packed


def nbytes(packed: Any) -> int:
    """Return how many bytes packed weights take: one array, or tuples of arrays and what tells about them."""
    if isinstance(packed, tuple):
        return sum(map(nbytes, packed))
    return packed.nbytes if isinstance(packed, np.ndarray) else 0
