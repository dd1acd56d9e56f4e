"""Images whose channels come last, as views whose channels come first; and what `saturate` means for a call."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _check
from fastconv._problem import Array


def channels_first(name: str, array: Any, axes: int) -> Any:
    """Return a view (..., C, H, W) of an array (..., H, W, C) with so many spatial axes; masks of arrays come along."""
    if array.ndim <= axes:
        image = ", ".join(("D", "H", "W")[3 - axes :])
        wanted = f"(..., {image}, C) with channels_last=True"
        raise ValueError(f"{name} must have the axes {wanted}; got shape {array.shape}")
    return np.moveaxis(array, -1, -1 - axes)


def mask_first(mask: Any, axes: int) -> Any:
    """Return the view of a mask that broadcasts to an image, as `channels_first` has it."""
    flags = _check.as_array("mask", mask)
    return channels_first("mask", flags.reshape((1,) * (axes + 1 - flags.ndim) + flags.shape), axes)


def channels_last(result: Any, axes: int) -> Any:
    """Return the view (..., H, W, K) of a result (..., K, H, W), or of each in a tuple."""
    if isinstance(result, tuple):
        return tuple(channels_last(array, axes) for array in result)
    return np.moveaxis(result, -1 - axes, -1)


def shape_first(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Return the shape of `channels_first` of an array of this shape."""
    return (*shape[: -1 - axes], shape[-1], *shape[-1 - axes : -1])


def shape_last(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Return the shape of `channels_last` of an array of this shape."""
    return (*shape[: -1 - axes], *shape[-axes:], shape[-1 - axes])


def target_dtype(saturate: Any, image: Array, out: Any) -> Any:
    """Return the option `saturate` with the dtype in place of True."""
    return saturate if saturate is not True else image.dtype if out is None else out.dtype
