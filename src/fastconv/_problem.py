"""Problem: one convolution without its data. Shapes, options and dtypes, and what outputs see of an image.

The three spatial axes are depth, rows and columns: 1-D and 2-D problems get axes of size one in front.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core

Array = NDArray[Any]
Triple = tuple[int, int, int]

LINE_BYTES = 64  # of a cache line
NONTEMPORAL_BYTES = (
    2**22
)  # of the maps of one image: larger ones bypass the cache, from which they would evict the input
MOST_INDICES = 2**31  # of pixels that are gathered one by one along an axis: 16 GB of indices


CORE_NAMES = {
    np.dtype(np.int32): "int32_t",
    np.dtype(np.int64): "int64_t",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
    np.dtype(np.complex64): "float complex",
    np.dtype(np.complex128): "double complex",
}


class Problem(NamedTuple):
    """One convolution: everything but the data."""

    output_shape: tuple[int, ...]
    batch_shape: tuple[int, ...]  # (N,), or whatever axes precede the channels
    channels: int  # of the input, C
    filters: int  # K
    groups: int
    size: Triple  # of the image
    kernel: Triple
    output_size: Triple  # of a feature map
    stride: Triple
    dilation: Triple
    pad: Triple  # before each axis; what lies after follows from the output size
    padding_mode: str
    flip: bool
    activation: str | None
    algorithm: str
    precision: str
    dtype: np.dtype[Any]  # of the result
    accumulator: np.dtype[Any]

    @property
    def taps(self) -> int:
        """Products that an output adds up."""
        return self.channels // self.groups * math.prod(self.kernel)

    @property
    def group_size(self) -> tuple[int, int]:
        """Channels and filters of a group."""
        return self.channels // self.groups, self.filters // self.groups

    @property
    def products(self) -> int:
        """Products of all outputs together."""
        return math.prod(self.output_shape) * self.taps

    @property
    def images_shape(self) -> tuple[int, ...]:
        """Shape of the input with its batch axes merged: (N, C, D, H, W)."""
        return (math.prod(self.batch_shape), self.channels, *self.size)

    @property
    def maps_shape(self) -> tuple[int, ...]:
        """Shape of the output with its batch axes merged: (N, K, D', H', W')."""
        return (math.prod(self.batch_shape), self.filters, *self.output_size)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the filter bank: (K, C / groups, kd, kh, kw)."""
        return (self.filters, self.channels // self.groups, *self.kernel)

    @property
    def is_pointwise(self) -> bool:
        """Whether every output sees just the pixel at its own place, so that an image may as well be one long column."""
        return self.kernel == self.stride == (1, 1, 1) and self.size == self.output_size and not any(self.pad)

    @property
    def inside_fraction(self) -> float:
        """Fraction of the products whose pixel lies inside the image, not in zeros around it."""
        if self.padding_mode != "zeros":
            return 1.0
        axes = zip(self.kernel, self.stride, self.dilation, self.pad, self.size, self.output_size, strict=True)
        return math.prod(_core.inside_fraction(*axis) for axis in axes)

    @property
    def bypasses_cache(self) -> bool:
        """Whether the maps of an image are so large that algorithms which write each output once use non-temporal stores."""
        return self.filters * math.prod(self.output_size) * self.accumulator.itemsize >= NONTEMPORAL_BYTES

    @property
    def core_name(self) -> str:
        """Which of the core's functions of many dtypes takes the accumulator's."""
        return CORE_NAMES[self.accumulator]

    @property
    def window(self) -> tuple[Triple, Triple, Triple, int, int, int]:
        """How kernels slide, what lies around the image, and what ends a sum, as the core's layouts take it."""
        mode, activation = _core.PADDING_MODES[self.padding_mode], _core.ACTIVATIONS[self.activation]
        return self.kernel, self.stride, self.dilation, self.groups, mode, activation

    def span(self, axis: int, outputs: int = 1) -> int:
        """Return how many pixels, padding included, so many neighbouring outputs see along an axis."""
        return (outputs - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def stays_inside(self, axis: int) -> bool:
        """Tell whether no output sees padding along an axis."""
        return self.pad[axis] == 0 and self.span(axis, self.output_size[axis]) <= self.size[axis]

    def reach(self, axis: int, start: int, stop: int, least: int = 0) -> tuple[slice | list[int], int]:
        """Return what outputs start..stop of an axis see of the image, and how many zeros of padding come before it.

        That is a slice, or a list of indices where the padding repeats pixels. At least so many pixels are returned as
        seen, if the image has them, for algorithms whose tiles reach beyond the outputs.
        """
        size, mode = self.size[axis], self.padding_mode
        first = start * self.stride[axis] - self.pad[axis]
        last = max(first + self.span(axis, stop - start), first + least)
        if mode != "zeros" and (first < 0 or last > size):
            if last - first > MOST_INDICES:
                raise MemoryError(
                    f"dilation and stride make outputs see {last - first} pixels: there is no memory for so many"
                )
            return _core.padded_indices(first, last, size, _core.PADDING_MODES[mode]), 0
        inside = min(max(first, 0), size)
        return slice(inside, max(inside, min(last, size))), inside - first

    def block(self, size: Triple, output_size: Triple, filters: int) -> Problem:
        """Return the problem of one block of an image, cut out with all that its outputs see, and some filters of a group."""
        stride_z, stride_y, stride_x = (1 if n == 1 else step for n, step in zip(output_size, self.stride, strict=True))
        return self._replace(
            output_shape=(filters, *output_size),
            batch_shape=(),
            channels=self.channels // self.groups,
            filters=filters,
            groups=1,
            size=size,
            output_size=output_size,
            stride=(stride_z, stride_y, stride_x),
            pad=(0, 0, 0),
            padding_mode="zeros",
            flip=False,
            algorithm="direct",
            dtype=self.accumulator,
        )
