"""A table of convolutions that reaches every kernel and every way over the blocks, whatever the instruction set's vectors hold;
and the definition with its loops over pixels left to NumPy, to check them quickly."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from reference import ACTIVATIONS, NUMPY_PADDING_MODES, padding_pairs, per_axis

import fastconv as fc
from fastconv import _core, conv

CONV = {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 28, 30, 31, 32, 33, 47, 48, 49, 56, 63, 64, 65, 70]
EXACT = (None, "relu", "relu6")  # activations that return integers for integers


@dataclass(frozen=True)
class Case:
    image: tuple[int, ...]  # (N, C, H, W)
    weight: tuple[int, ...]  # (K, C/groups, kh, kw)
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ["x".join(map(str, shape)) for shape in (self.weight, self.image)]
        return " ".join(shapes + [f"{name}={option}" for name, option in self.options.items()])

    @property
    def has_bias(self) -> bool:
        return self.weight[0] % 4 != 3

    def draw(self, dtype: Any, *, integers: bool) -> list[Any]:
        """Input, weight and bias: integers so small that every sum is exact, or normally distributed numbers."""
        rng = np.random.default_rng(math.prod(self.image))
        shapes = [self.image, self.weight, self.weight[:1] if self.has_bias else None]
        number = (lambda shape: rng.integers(-3, 4, shape)) if integers else rng.standard_normal
        return [None if shape is None else np.asarray(number(shape)).astype(dtype) for shape in shapes]

    def convolve(self, arrays: Any, **more: Any) -> Any:
        return CONV[len(self.weight) - 2](*arrays, **self.options, **more)

    def expected(self, arrays: Any) -> Any:
        return convolve_tap_by_tap(*arrays, **self.options)

    def largest_sum(self, arrays: Any) -> float:
        """What rounding errors are measured by: the largest output before the activation."""
        return float(abs(convolve_tap_by_tap(*arrays, **{**self.options, "activation": None})).max())


def use_isa(name: str) -> None:
    _core.use_isa(name)
    conv._plans.clear()  # plans keep their kernels


def convolve_tap_by_tap(
    image: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    flip: bool = False,
    activation: str | None = None,
) -> Any:
    """Convolve a batch with a bank in float64 or complex128: for every tap one product of (K, C/groups) with what it sees of all pixels."""
    axes = weight.ndim - 2
    filters, channels, *kernel = weight.shape
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    pads = padding_pairs(padding, image.shape[2:], kernel, stride, dilation)
    padded = np.pad(image, [(0, 0), (0, 0), *pads], NUMPY_PADDING_MODES.get(padding_mode, padding_mode)).astype(
        complex if np.iscomplexobj(image) else float
    )
    weight = np.flip(weight, tuple(range(2, 2 + axes))) if flip else weight
    weight = weight.astype(padded.dtype).reshape(groups, filters // groups, channels, *kernel)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, stride, strict=True)]
    maps = np.zeros((len(image), groups, filters // groups, math.prod(size)), padded.dtype)
    for tap in itertools.product(*map(range, kernel)):
        steps = zip(tap, dilation, stride, size, strict=True)
        seen = padded[(..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, s, n in steps))]
        maps += weight[..., *tap] @ seen.reshape(len(image), groups, channels, -1)
    maps = maps.reshape(len(image), filters, *size)
    return ACTIVATIONS[activation](maps if bias is None else maps + bias.reshape(-1, *[1] * axes))


def _dense() -> Iterator[Case]:
    for width in range(1, 71):
        yield Case((1, 2, 4, width), (1 + 7 * width % 70, 2, 3, 3), {"padding": 1})
    for filters in range(1, 71):  # rows in place, panels of several rows, and filters in the lanes
        yield Case((1, 3, 3, 35), (filters, 3, 3, 3))
        yield Case((1, 3, 9, 10), (filters, 3, 2, 3), {"padding": ((0, 1), (1, 1))})
        yield Case((2, 2, 5, 5), (filters, 2, 3, 3), {"padding": 1})
    for width, filters in itertools.product([3, 7, 14, 17, 30, 48], [1, 5, 8, 20, 33]):  # chunks of taps
        yield Case((1, 70, 5, width), (filters, 70, 3, 3), {"padding": 1})
    yield Case((1, 64, 40, 60), (10, 64, 3, 3), {"padding": 1})  # several strips
    yield Case((3, 4, 30, 200), (9, 4, 5, 5), {"padding": "full"})


def _pointwise() -> Iterator[Case]:
    for height, width in [(1, n) for n in range(1, 41)] + [(7, 7), (14, 14), (5, 13), (28, 29)]:
        yield Case((2, 6, height, width), (1 + 5 * width % 29, 6, 1, 1))
    for filters, pixels in itertools.product([2, 4], [2, 4, 8, 16, 32, 48, 64, 80, 96]):
        yield Case((1, 6, 1, pixels), (filters, 6, 1, 1))
    for channels, (height, width), filters in itertools.product(
        [1, 600, 1024], [(1, 1), (3, 3), (4, 4), (7, 7), (9, 15)], [1, 3, 17, 40]
    ):
        yield Case((1, channels, height, width), (filters, channels, 1, 1))
    for filters in [1, 15, 40, 100]:  # kernels that see a whole image: one pixel
        yield Case((2, 66, 3, 3), (filters, 66, 3, 3))
        yield Case((2, 70, 1, 1), (2 * filters, 35, 1, 1), {"groups": 2})
    for width in WIDTHS:
        yield Case((1, 5, 5, width), (6, 5, 1, 1), {"stride": 2})
        yield Case((1, 3, 8, 4 * width + width % 4), (9, 3, 4, 4), {"stride": 4})
        yield Case((1, 5, 2, width), (13, 5, 1, 1), {"padding": (1, 2)})


def _strided_dilated_grouped() -> Iterator[Case]:
    for width, stride in itertools.product(WIDTHS, [2, (2, 1), (1, 2), 3, 4]):
        yield Case((1, 3, 7, width + 2), (10, 3, 3, 3), {"stride": stride, "padding": (0, 1)})
    for width, dilation in itertools.product([5, 16, 31, 33, 65], [2, 3, (1, 4)]):
        yield Case((1, 3, 9, width), (9, 3, 3, 3), {"dilation": dilation, "padding": "same"})
        yield Case((1, 3, 9, width), (9, 3, 3, 3), {"dilation": dilation, "padding": "full", "stride": (3, 2)})
    for width, groups, filters in itertools.product([4, 15, 33], [2, 5], [1, 3, 9]):
        yield Case((2, groups * 3, 5, width), (groups * filters, 3, 3, 3), {"groups": groups, "padding": 1})
        yield Case((2, groups * 3, 5, width), (groups * filters, 3, 1, 1), {"groups": groups})
    yield Case((1, 3, 40, 41), (20, 3, 7, 7), {"stride": 2, "padding": 3})
    yield Case((1, 12, 9, 40), (5, 12, 1, 7), {"padding": (0, 3)})
    yield Case((1, 12, 9, 40), (5, 12, 7, 1), {"stride": (2, 1)})


def _mostly_padding() -> Iterator[Case]:
    """Kernels that reach so far beyond small images that it pays to leave out what lies there, position by position."""
    for width, filters in itertools.product([9, 14, 25, 33], [16, 40, 100]):
        yield Case((1, 32, 33, width), (filters, 32, 3, 3), {"padding": 14, "dilation": 14})
    yield Case((2, 600, 12, 13), (64, 600, 3, 3), {"padding": (10, 11), "dilation": (10, 11)})  # chunks
    yield Case((2, 80, 40, 40), (60, 40, 3, 3), {"padding": 18, "dilation": 18, "groups": 2, "activation": "relu"})
    yield Case((1, 40, 41, 60), (24, 40, 3, 2), {"padding": ((60, 33), (7, 50)), "dilation": 30, "stride": (2, 3)})
    yield Case((1, 48, 200), (32, 48, 5), {"padding": 180, "dilation": 90, "activation": "silu"})
    yield Case((1, 32, 5, 9, 16), (16, 32, 3, 3, 3), {"padding": (4, 8, 12), "dilation": (4, 8, 12)})
    yield Case((1, 32, 20, 20), (16, 32, 1, 1), {"padding": 20})


def _one_channel() -> Iterator[Case]:
    kernels = [(3, 3), (5, 5), (7, 7), (2, 2), (1, 7), (9, 9), (11, 3)]
    for width in range(1, 71):  # depthwise, one or two filters a channel
        kernel = kernels[width % len(kernels)]
        yield Case((1, 2, 9, width), (2, 1, 3, 3), {"groups": 2, "padding": 1})
        yield Case((1, 3, 8, width), (6, 1, *kernel), {"groups": 3, "padding": "same", "stride": 1 + width % 2})
    for kernel, stride, dilation, width in itertools.product(kernels, [1, 2, (2, 1), (1, 2), 3], [1, 2], [6, 17, 70]):
        options = {"groups": 2, "stride": stride, "dilation": dilation, "padding": "same"}
        yield Case((1, 2, 12, width), (2, 1, *kernel), options)
    for height, kernel in itertools.product(range(1, 18), [3, 5, 9]):
        yield Case((1, 1, height, 37), (3, 1, kernel, kernel), {"padding": kernel // 2})
    for kernel in range(1, 32):  # gray images
        yield Case((1, 1, 40, 33 + kernel), (1, 1, kernel, kernel))
    for taps in [2, 9, 16, 17, 31, 33]:  # kernels of one row
        yield Case((1, 1, 3, 170 + taps), (1, 1, 1, taps))
        yield Case((1, 2, 3, 240), (2, 1, 1, taps), {"groups": 2, "padding": (0, taps // 2)})
    for kernel in [3, 5, 7, 9]:  # wide ones
        yield Case((1, 1, 12, 170), (1, 1, kernel, kernel), {"padding": kernel // 2})
        yield Case((1, 1, 16, 340), (1, 1, kernel, kernel), {"padding": kernel // 2, "stride": 2})
        yield Case((1, 2, 16, 20), (2, 1, kernel, kernel), {"padding": kernel // 2, "stride": 2, "groups": 2})
    for width, kernel in itertools.product([28, 31, 32, 33, 63, 64, 65, 97, 130], [3, 5]):  # pixels of a row dealt once
        options = {"padding": (kernel // 2, width % 3), "stride": 2, "groups": 2}
        yield Case((1, 2, 14 + width % 2, width), (2, 1, kernel, kernel), options)
    for width in [*range(1, 19), 28, 41, 70]:  # channels side by side
        height, (rows, taps) = 1 + 5 * width % 9, [(3, 3), (5, 5), (7, 7), (2, 5), (9, 3)][width % 5]
        for stride in [1, 2, (1, 2), (3, 1)]:
            yield Case((1, 21, height, width), (21, 1, rows, taps), {"groups": 21, "padding": "same", "stride": stride})
        yield Case((2, 33, rows, width + 6), (66, 1, rows, taps), {"groups": 33, "padding": (0, 1)})
    for taps in [1, 2, 3]:  # no row but those of the padding
        yield Case((1, 1, 1, 277), (1, 1, 4, taps), {"stride": (3, 2), "padding": (7, 19), "dilation": (3, 1)})
        yield Case(
            (1, 2, 1, 500), (4, 1, 4, taps), {"stride": (3, 1), "padding": (7, 19), "dilation": (3, 1), "groups": 2}
        )
    yield Case((1, 16, 9, 7), (16, 1, 5, 3), {"groups": 16, "padding": "same", "dilation": (2, 1)})
    yield Case((1, 17, 2, 6, 7), (17, 1, 1, 3, 3), {"groups": 17, "padding": 1})
    yield Case((1, 40, 150, 40), (40, 1, 7, 7), {"groups": 40, "padding": 3})  # several strips
    yield Case((2, 20, 200, 60), (20, 1, 3, 3), {"groups": 20, "padding": 1})  # several strips
    yield Case((2, 1, 40, 300), (5, 1, 3, 3), {"padding": 1, "padding_mode": "reflect"})


def _other_ranks() -> Iterator[Case]:
    for (channels, filters), stride in itertools.product([(1, 1), (1, 9), (2, 3), (5, 20)], [1, 2, 4, 64]):
        yield Case((1, channels, 1000), (filters, channels, 256), {"stride": stride})
    yield Case((2, 3, 50), (4, 3, 5), {"padding": "same", "dilation": 3})
    for width, (channels, filters) in itertools.product([3, 16, 21], [(1, 1), (2, 9), (1, 3)]):
        yield Case((1, channels, 5, 6, width), (filters, channels, 3, 3, 3), {"padding": 1})
    yield Case((1, 4, 5, 6, 20), (4, 1, 2, 3, 3), {"groups": 4, "stride": (2, 1, 2), "dilation": (1, 2, 1)})
    yield Case((1, 3, 4, 5, 6), (7, 3, 1, 1, 1))
    yield Case((1, 21, 3, 5, 17), (7, 21, 3, 3, 3), {"padding": 1, "padding_mode": "circular"})


def _options() -> Iterator[Case]:
    roads = [  # one problem for every way over the blocks
        ((1, 3, 6, 33), (10, 3, 3, 3), {}),  # rows where they are
        ((1, 3, 8, 11), (10, 3, 3, 3), {}),  # panels
        ((1, 3, 5, 5), (20, 3, 3, 3), {}),  # filters in the lanes
        ((1, 70, 6, 35), (5, 70, 3, 3), {}),  # the same three in chunks
        ((1, 70, 8, 11), (5, 70, 3, 3), {}),
        ((1, 70, 5, 5), (20, 70, 3, 3), {}),
        ((1, 3, 6, 33), (10, 3, 1, 1), {}),  # the image in place
        ((1, 3, 9, 33), (3, 1, 3, 3), {"groups": 3}),  # sweeps
        ((1, 3, 9, 33), (3, 1, 9, 9), {"groups": 3, "padding": 4, "stride": (2, 3)}),
        ((1, 3, 9, 99), (3, 1, 5, 5), {"groups": 3}),  # with vectors in the middle that no border touches
        ((1, 3, 9, 99), (3, 1, 5, 5), {"groups": 3, "stride": 2}),
        ((1, 20, 7, 7), (20, 1, 5, 5), {"groups": 20}),  # sweeps of channels side by side
    ]
    for image, weight, options in roads:
        for activation in list(ACTIVATIONS)[1:]:
            yield Case(image, weight, {**options, "activation": activation})
        for mode in ["reflect", "replicate", "circular", "symmetric"]:
            yield Case(image, weight, {**options, "padding": ((3, 1), (0, 5)), "padding_mode": mode})
        yield Case(image, weight, {**options, "flip": True})


def _small_maps() -> Iterator[Case]:
    """Strides from one to beyond the image, for all kinds of kernels: maps of one to three columns, of one to three or more rows."""
    kinds = [  # channels, filters, groups, rows and columns of a kernel
        *[(1, 1, 1, taps, taps) for taps in (2, 3, 4, 5, 7, 9, 11)],
        *[(1, 3, 1, rows, taps) for rows in (1, 3, 5) for taps in (3, 5, 7)],
        *[(groups, groups, groups, taps, taps) for groups in (2, 9, 21, 64) for taps in (3, 5, 7)],
        *[(17, 34, 17, 3, taps) for taps in (1, 2, 3, 5, 7, 9)],
        *[(3, 10, 1, 3, 3), (70, 20, 1, 3, 3), (16, 40, 1, 5, 2), (3, 20, 1, 7, 7), (40, 5, 1, 1, 7), (12, 9, 1, 7, 1)],
        *[(6, 9, 3, 3, 3), (40, 40, 5, 3, 3)],
        *[(6, 9, 1, 1, 1), (600, 17, 1, 1, 1), (20, 40, 2, 1, 1)],
    ]
    for number, ((channels, filters, groups, rows, taps), width) in enumerate(itertools.product(kinds, [28, 100])):
        image, weight = (1 + number % 2, channels, 12, max(width, taps)), (filters, channels // groups, rows, taps)
        for columns, padding in itertools.product([1, 2, 3], [0, 1]):
            stride = (image[3] + 2 * padding - taps) // columns + 1
            for step in [(1, stride), (image[2], stride)] if columns > 1 else [(2, stride), 3 * image[3]]:
                yield Case(image, weight, {"stride": step, "padding": padding, "groups": groups})
            narrow = (*image[:3], taps + columns - 1)
            yield Case(narrow, weight, {"stride": (1 + number % 3, 1), "padding": (padding, 0), "groups": groups})
    for channels, filters, groups in [(1, 1, 1), (1, 4, 1), (18, 18, 18), (5, 20, 1), (40, 6, 2)]:
        for taps, columns in itertools.product([1, 3, 5, 7, 32], [1, 2, 3]):
            for stride in {(100 - taps) // columns + 1, 100 if columns == 1 else 1 + 99 // columns}:
                yield Case(
                    (2, channels, 100), (filters, channels // groups, taps), {"stride": stride, "groups": groups}
                )
                volume, kernel = (1, channels, 4, 5, 40), (filters, channels // groups, 2, 3, min(taps, 7))
                yield Case(volume, kernel, {"stride": (1, 2, 1 + stride // 2), "groups": groups, "padding": 1})


CASES = list(
    itertools.chain(
        _dense(),
        _pointwise(),
        _strided_dilated_grouped(),
        _mostly_padding(),
        _one_channel(),
        _other_ranks(),
        _options(),
    )
)
SMALL_MAPS = list(_small_maps())
