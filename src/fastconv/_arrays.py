"""Arrays on their way into the core and out of it: what it takes as it is, copies in memory that is used again, conversions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import _core

Array = NDArray[Any]
Indices = slice | list[int]

NEW_BYTES = 2**24  # from which on mapping an array's pages takes long
PAGE_BYTES, TOUCHED_PAGES = 2**12, 2**12  # of a page at the least; pages between two interrupts (Ctrl-C)
CORE_AXES = 5  # (N, C, D, H, W)
TYPES = {np.dtype(name): number for name, number in _core.NUMBER_TYPES.items() if name != "bfloat16"}


class Room:
    """Memory for one array after another: new memory for each would cost more than filling it."""

    def __init__(self) -> None:
        self._bytes: Array = np.empty(0, np.uint8)
        self._last: Array = self._bytes

    @property
    def nbytes(self) -> int:
        """Bytes taken."""
        return int(self._bytes.size)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array, as np.empty does, in place of the last one."""
        if self._last.shape != shape or self._last.dtype != dtype:
            size = math.prod(shape) * dtype.itemsize
            if self._bytes.size < size:
                self._bytes = _core.empty((size,), np.dtype(np.uint8))
            self._last = self._bytes[:size].view(dtype).reshape(shape)
        return self._last


def pieces(shape: tuple[int, ...], most: int) -> Iterator[tuple[Any, ...]]:
    """Yield indices of parts of about `most` numbers that cover an array: interrupts (Ctrl-C) are handled in between."""
    axis, rest = len(shape), 1
    while axis and rest * shape[axis - 1] <= most:
        axis -= 1
        rest *= shape[axis]
    if not axis:
        yield ()
        return
    step = max(1, most // max(1, rest))
    for outer in np.ndindex(*shape[: axis - 1]):
        for start in range(0, shape[axis - 1], step):
            yield (*outer, slice(start, start + step))


def touch(array: Array) -> None:
    """Map all pages of a new, contiguous array, some at a time: what is written all over it first would wait for all."""
    if array.nbytes >= NEW_BYTES:
        pages = array.reshape(-1).view(np.uint8)[::PAGE_BYTES]
        for start in range(0, pages.size, TOUCHED_PAGES):
            pages[start : start + TOUCHED_PAGES] = 0


def fits_core(array: Array, dtype: np.dtype[Any], contiguous_axes: int) -> bool:
    """Return whether the core takes an array: of this dtype, aligned, its last `contiguous_axes` axes contiguous."""
    flags = array.flags
    if array.dtype != dtype or not flags.aligned:
        return False
    if flags.c_contiguous:
        return True
    if any(stride % dtype.itemsize for stride in array.strides):
        return False
    step = dtype.itemsize
    for size, stride in zip(array.shape[: -1 - contiguous_axes : -1], array.strides[::-1], strict=False):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def is_plain(array: Array, dtype: np.dtype[Any]) -> bool:
    """Return whether an array is C-contiguous, aligned and of this dtype."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def plain(array: Array, dtype: np.dtype[Any], room: Room | None = None) -> Array:
    """Return an array as a plain one of this dtype, the same one if possible."""
    if is_plain(array, dtype):
        return array
    copy = (room or Room()).array(array.shape, dtype)
    load(array, copy)
    return copy


def load(array: Array, out: Array) -> None:
    """Copy an array to one of another dtype: without warnings, and fast if that is of floats in contiguous rows."""
    if (
        out.dtype.char not in "fd"
        or not (numbers := numbers_of(array))
        or not _core.load_numbers(*numbers, _five_axes(out))
    ):
        with np.errstate(all="ignore"):
            np.copyto(out, array, casting="unsafe")


def store(values: Array, out: Array, bypasses_cache: bool = False) -> None:
    """Copy floats to an array of another dtype or strides: integers are rounded, ties to even, and saturate."""
    if values.ndim and values.strides[-1] != values.itemsize:
        values = np.ascontiguousarray(values)
    if not (numbers := numbers_of(out)) or not _core.store_numbers(
        _five_axes(values), numbers[1], numbers[0], bypasses_cache
    ):
        whole: Array = np.empty(out.shape, out.dtype.newbyteorder("="))
        if whole.dtype.kind in "iu":
            store(values, whole)
        else:
            with np.errstate(all="ignore"):
                np.copyto(whole, values, casting="unsafe")
        np.copyto(out, whole)


def numbers_of(array: Array) -> tuple[Array, int] | None:
    """Return an array as the core converts it, with its type; None if it does not."""
    dtype = array.dtype
    found = TYPES.get(dtype)
    if found is None and dtype.name == "bfloat16" and dtype.isnative:
        array, found = array.view(np.uint16), _core.NUMBER_TYPES[dtype.name]
    if found is None or array.ndim > CORE_AXES or not array.flags.aligned:
        return None
    itemsize = dtype.itemsize
    return None if any(stride % itemsize for stride in array.strides) else (_five_axes(array), found)


def _five_axes(array: Array) -> Array:
    """Return an array with axes of length 1 in front."""
    return array if array.ndim == CORE_AXES else array[(np.newaxis,) * (CORE_AXES - array.ndim)]


def take(images: Array, indices: Sequence[Indices]) -> Array:
    """Return the pixels at these indices of images (..., D, H, W); a view if they are slices."""
    lists = [(axis, index) for axis, index in enumerate(indices, -3) if not isinstance(index, slice)]
    if not lists:
        inside: Array = images[last_axes(indices)]
        return inside
    images = images[last_axes(index if isinstance(index, slice) else slice(None) for index in indices)]
    if len(lists) > 1:
        axes = zip(indices, images.shape[-3:], strict=True)
        picked: Array = images[
            last_axes(np.ix_(*(range(n) if isinstance(index, slice) else index for index, n in axes)))
        ]
        return picked
    for axis, index in lists:
        first = min(index, default=0)  # of what is read: `take` copies all that is not contiguous
        images = images[last_axes([slice(first, max(index, default=0) + 1), *[slice(None)] * (-axis - 1)])]
        images = images.take([place - first for place in index], axis)
    return images


def last_axes(indices: Iterable[Any]) -> tuple[Any, ...]:
    """Return the NumPy index of these indices along the last axes."""
    return (..., *indices)
