"""Problem and Transposed: one convolution, or transposed one, without its data: shapes, options, dtypes, receptive fields.

There are always three spatial axes, depth, rows and columns: 1-D and 2-D problems get leading axes of size 1.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core
from fastconv._border import MAX_INDICES, Border

Array = NDArray[Any]
Triple = tuple[int, int, int]
Activation = str | tuple[Any, ...] | None  # a name, or one followed by parameters that are not the default ones

EXACT_SINGLE, EXACT_DOUBLE = 2.0**24, 2.0**53  # magnitudes up to which integers are exact in floating point
LINE_BYTES = 64  # bytes of a cache line
# Bytes of the maps of one image, from which on they are written by non-temporal stores: cached, they would evict the
# input.
NONTEMPORAL_BYTES = 2**22


class Problem(NamedTuple):
    """One convolution, without its data."""

    output_shape: tuple[int, ...]
    batch_shape: tuple[int, ...]  # the axes before the channels, such as (N,)
    channels: int  # of the input, C
    filters: int  # K
    groups: int
    size: Triple  # of the image
    kernel: Triple
    output_size: Triple  # of a feature map
    stride: Triple
    dilation: Triple
    pad: Triple  # pixels before each axis; those after it follow from the output size
    padding_mode: str
    flip: bool
    activation: Activation  # slopes of prelu come with the bias
    algorithm: str
    precision: str
    dtype: np.dtype[Any]  # of the result
    accumulator: np.dtype[Any]
    exchanged: bool = False  # weights come as those of a transposed convolution, (C, K / groups, kd, kh, kw)
    border: Border | None = None  # of images whose padding padding_mode does not describe
    channels_last: int = 0  # in the memory of the result: the channels come behind so many axes
    parts: str = "both"  # of a complex problem: whether image, weight or both are complex
    saturates: bool = False  # sums, rounded and clipped to the range of the result's integers
    adds_integers: bool = False  # in floating point, exactly, to a result of integers
    pixels: np.dtype[Any] | None = None  # of bytes that are multiplied as they are, less a zero point:
    zero: int = 0  # which is what the padding holds, too

    @property
    def of_weights(self) -> Problem:
        """The problem without its image: all that packed weights depend on, and what their layout does not say."""
        zero = (0, 0, 0)
        return self._replace(
            output_shape=(), batch_shape=(), size=zero, output_size=zero, pad=zero, border=None, channels_last=0
        )

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return False

    @property
    def taps(self) -> int:
        """Products summed for one output."""
        return self.channels // self.groups * math.prod(self.kernel)

    @property
    def rounds(self) -> bool:
        """Whether sums become the nearest integers that the result holds."""
        return self.saturates or self.adds_integers

    @property
    def bits(self) -> int:
        """Of the numbers that the core computes with."""
        return 8 * self.accumulator.itemsize

    @property
    def group_size(self) -> tuple[int, int]:
        """Channels and filters of one group."""
        return self.channels // self.groups, self.filters // self.groups

    @property
    def products(self) -> int:
        """Products summed for all outputs together."""
        return math.prod(self.output_shape) * self.taps

    def empty_result(self) -> Array:
        """Return an array for the result, with the channels first whatever its memory."""
        axes, shape = self.channels_last, self.output_shape
        if not axes:
            return _core.empty_result(shape, self.dtype)
        first = len(shape) - axes - 1
        memory = _core.empty_result((*shape[:first], *shape[first + 1 :], shape[first]), self.dtype)
        return np.moveaxis(memory, -1, first)

    @property
    def images_shape(self) -> tuple[int, ...]:
        """Shape of the input with its batch axes merged: (N, C, D, H, W)."""
        return (math.prod(self.batch_shape), self.channels, *self.size)

    @property
    def image_bytes(self) -> int:
        """Bytes of the input in the accumulator's dtype."""
        return math.prod(self.images_shape) * self.accumulator.itemsize

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
        """Whether kernels are 1x1 without stride or padding, so that planes may be flattened."""
        return self.kernel == self.stride == (1, 1, 1) and self.size == self.output_size and not any(self.pad)

    @property
    def inside_fraction(self) -> float:
        """Fraction of the products whose pixel lies inside the image, not in the zero padding."""
        if self.padding_mode != "zeros":
            return 1.0
        axes = zip(self.kernel, self.stride, self.dilation, self.pad, self.size, self.output_size, strict=True)
        return math.prod(_core.inside_fraction(*axis) for axis in axes)

    @property
    def bypasses_cache(self) -> bool:
        """Whether maps are large enough for non-temporal stores, in algorithms that write each output once."""
        return self.filters * math.prod(self.output_size) * self.accumulator.itemsize >= NONTEMPORAL_BYTES

    @property
    def epilogue(self) -> tuple[float, ...]:
        """The activation as the core takes it: kind, low or slope, high."""
        if isinstance(self.activation, tuple):
            name, *given = self.activation
            return (*_core.ACTIVATIONS[name][:1], *given, 0.0)[:3]
        return _core.ACTIVATIONS[self.activation]

    @property
    def window(self) -> tuple[Triple, Triple, Triple, int, int, tuple[float, ...]]:
        """Kernel, stride, dilation, groups, padding mode and activation, as the core's layouts take them."""
        mode = _core.PADDING_MODES[self.padding_mode]
        return self.kernel, self.stride, self.dilation, self.groups, mode, self.epilogue

    def bordered(self, modes: str | tuple[str, ...], values: tuple[complex, ...]) -> Problem:
        """Return the problem with these padding modes, one or one per axis, and values of padding with constants."""
        if isinstance(modes, str) and (modes != "zeros" or not values):
            return self._replace(padding_mode=modes)
        z, y, x = (modes,) * 3 if isinstance(modes, str) else ("zeros",) * (3 - len(modes)) + modes
        outside = {mode for axis, mode in enumerate((z, y, x)) if not self.stays_inside(axis)}
        if len(outside) <= 1 and not ("zeros" in outside and values):
            return self._replace(padding_mode=outside.pop() if outside else "zeros")
        return self._replace(border=Border((z, y, x), values or (0,), self.size, self.pad))

    def interleaved(self, count: int) -> Problem | None:
        """Return the problem of so many images of one channel whose pixels lie side by side, as one of longer rows.

        Or of complex numbers, whose parts do. None if there is a stride along the rows.
        """
        if self.stride[2] > 1:
            return None

        def longer(triple: Triple) -> Triple:
            return (*triple[:2], triple[2] * count)

        made = self._replace(
            output_shape=(*self.output_shape[-3:-1], self.output_shape[-1] * count),
            batch_shape=(),
            size=longer(self.size),
            output_size=longer(self.output_size),
            dilation=longer(self.dilation) if self.kernel[2] > 1 else self.dilation,
            pad=longer(self.pad),
            channels_last=0,
        )
        border = self.surroundings
        if self.border is None and (self.padding_mode == "zeros" or self.stays_inside(2)):
            return made
        if self.border is None:
            made = made._replace(padding_mode="zeros").padded
        longer_border = border._replace(size=longer(border.size), pad=longer(border.pad), interleaved=count)
        return made._replace(border=longer_border)

    @property
    def surroundings(self) -> Border:
        """What lies beyond an image."""
        return self.border or Border((self.padding_mode,) * 3, (0,), self.size, self.pad)

    @property
    def padded(self) -> Problem:
        """The convolution of the image with its border, without padding."""
        depth, rows, columns = (self.span(axis, n) if n else 0 for axis, n in enumerate(self.output_size))
        return self._replace(size=(depth, rows, columns), pad=(0, 0, 0))

    def span(self, axis: int, outputs: int = 1) -> int:
        """Return the length of the receptive field of neighbouring outputs along an axis, padding included."""
        return (outputs - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def stays_inside(self, axis: int) -> bool:
        """Return whether no output's receptive field extends into the padding of an axis."""
        return self.pad[axis] == 0 and self.span(axis, self.output_size[axis]) <= self.size[axis]

    def input_range(self, axis: int, start: int, stop: int, minimum: int = 0) -> tuple[slice | list[int], int]:
        """Return the receptive field of outputs start..stop along an axis, and how many zeros of padding precede it.

        It indexes the image: a slice, or a list of indices where the padding repeats pixels. `minimum` extends it to so
        many pixels, if the image has them, for algorithms whose tiles extend beyond the outputs.
        """
        size, mode = self.size[axis], self.padding_mode
        first = start * self.stride[axis] - self.pad[axis]
        last = max(first + self.span(axis, stop - start), first + minimum)
        if mode != "zeros" and (first < 0 or last > size):
            if last - first > MAX_INDICES:
                raise MemoryError(
                    f"dilation and stride make outputs see {last - first} pixels: there is no memory for so many"
                )
            return _core.padded_indices(first, last, size, _core.PADDING_MODES[mode]), 0
        inside = min(max(first, 0), size)
        return slice(inside, max(inside, min(last, size))), inside - first

    def of_group(self, output_size: Triple) -> Problem:
        """Return the problem of a block of outputs of one group, whose image is its receptive field."""
        depth, rows, columns = (self.span(axis, n) for axis, n in enumerate(output_size))
        return self.block((depth, rows, columns), output_size, self.filters // self.groups)

    def block(self, size: Triple, output_size: Triple, filters: int) -> Problem:
        """Return the problem of a block of outputs and some filters of a group, whose image is its receptive field."""
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
            exchanged=False,
            border=None,
        )


class Transposed(Problem):
    """One transposed convolution, without its data: the adjoint of a convolution of images of output_size.

    Of the input, channels and size; of the output, filters and output_size. With o the place of an output,

        out[k, o] = bias[k] + sum over channels c and taps t of weight[c, k, t] * input[c, (o + pad - t * dilation) / stride]

    where the quotient is whole and in the input. Outputs with the same remainder by the stride, a phase, have the same
    taps. pad may be negative: for a section of a larger output.
    """

    __slots__ = ()

    @property
    def transposed(self) -> bool:
        return True

    @property
    def taps(self) -> int:
        """Products summed for one output, at most."""
        phases = zip(self.kernel, self.stride, self.dilation, strict=True)
        return self.channels // self.groups * math.prod(-(-k // (s // math.gcd(s, d))) for k, s, d in phases)

    @property
    def products(self) -> int:
        pixels = math.prod(self.batch_shape) * math.prod(self.size)
        return pixels * self.channels * (self.filters // self.groups) * math.prod(self.kernel)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the bank: (C, K / groups, kd, kh, kw)."""
        return (self.channels, self.filters // self.groups, *self.kernel)

    @property
    def is_pointwise(self) -> bool:
        return False

    @property
    def convolution(self) -> Problem | None:
        """The same without stride as a convolution; None if it would crop the input, or is empty."""
        z, y, x = ((k - 1) * d - pad for k, d, pad in zip(self.kernel, self.dilation, self.pad, strict=True))
        if self.stride != (1, 1, 1) or min(z, y, x) < 0 or 0 in self.size + self.output_size:
            return None
        turned = not self.flip and self.kernel != (1, 1, 1)
        return Problem(*self._replace(pad=(z, y, x), flip=turned, exchanged=True))

    def span(self, axis: int, outputs: int = 1) -> int:
        """Return how many pixels of the input neighbouring outputs read along an axis, at most."""
        return (outputs - 1 + (self.kernel[axis] - 1) * self.dilation[axis]) // self.stride[axis] + 1

    def stays_inside(self, axis: int) -> bool:
        first, last = self._pixels(axis, 0, self.output_size[axis])
        return first >= 0 and last <= self.size[axis]

    def input_range(self, axis: int, start: int, stop: int, minimum: int = 0) -> tuple[slice, int]:
        """Return the pixels that outputs start..stop read along an axis, and the pad of these outputs from these pixels."""
        first, last = self._pixels(axis, start, stop)
        inside = min(max(first, 0), self.size[axis])
        last = max(inside, min(max(last, first + minimum), self.size[axis]))
        return slice(inside, last), self.pad[axis] + start - inside * self.stride[axis]

    def _pixels(self, axis: int, start: int, stop: int) -> tuple[int, int]:
        """Return the first pixel that outputs start..stop read along an axis, and the one behind the last, inside or not."""
        reach = (self.kernel[axis] - 1) * self.dilation[axis]
        return -((reach - start - self.pad[axis]) // self.stride[axis]), (stop - 1 + self.pad[axis]) // self.stride[
            axis
        ] + 1
