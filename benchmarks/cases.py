"""What is measured: convolution layers of well-known networks, image filters, and one tiny call, as data.

Every case is float32, batch 1, without bias; its arrays come from a seed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One convolution: `input` (N, C, H, W) with `weight` (K, C/groups, kh, kw), square stride and dilation."""

    kind: str
    name: str
    input: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    stride: int = 1
    padding: int | tuple[int, int] = 0
    dilation: int = 1
    groups: int = 1
    separable: bool = False  # the kernel is a gaussian, the outer product of two 1-D ones
    quick: bool = False  # part of the --quick subset

    @property
    def options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def pads(self) -> tuple[int, int]:
        """Rows above and below, columns left and right."""
        return pair(self.padding)

    @property
    def output(self) -> tuple[int, int, int, int]:
        """Shape (N, K, H', W')."""
        height, width = (
            (n + 2 * pad - self.dilation * (k - 1) - 1) // self.stride + 1
            for n, pad, k in zip(self.input[2:], self.pads, self.weight[2:], strict=True)
        )
        return self.input[0], self.weight[0], height, width

    @property
    def macs(self) -> int:
        """Multiply-adds of direct summation, those with padding zeros included."""
        return math.prod(self.output) * math.prod(self.weight[1:])

    def arrays(self, seed: int = 0) -> tuple[Array, Array]:
        """Input and weight, float32."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(self.input, dtype=np.float32)
        if self.separable:
            g = gaussian(self.weight[-1])
            return x, np.outer(g, g).reshape(self.weight)
        return x, rng.standard_normal(self.weight, dtype=np.float32)


def gaussian(size: int) -> Array:
    """Sampled gaussian with a sum of 1; the ends lie three standard deviations out."""
    g = np.exp(-(np.linspace(-3, 3, size) ** 2) / 2)
    return np.asarray(g / g.sum(), dtype=np.float32)


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def layer(
    k: int | tuple[int, int],
    channels: int,
    filters: int,
    size: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    quick: bool = False,
) -> Case:
    """A network's layer: a bank of k x k, or (kh, kw), with the padding that keeps the size (at stride 1) unless given."""
    (kh, kw), (height, width) = pair(k), pair(size)
    if groups == 1:
        kind, channels_text = ("pointwise" if kh * kw == 1 else "dense"), f"{channels}->{filters}"
    elif groups == channels:
        kind, channels_text = "depthwise", f"depthwise {channels}"
    else:
        kind, channels_text = "grouped", f"groups {groups} {channels}->{filters}"
    name = f"{kh}x{kw} {channels_text} {height}x{width}"
    name += f" stride {stride}" * (stride > 1) + f" dilation {dilation}" * (dilation > 1)
    if padding is None:
        pads = dilation * (kh // 2), dilation * (kw // 2)
    else:
        pads = pair(padding)
        name += f" padding {padding}"
    shapes = (1, channels, height, width), (filters, channels // groups, kh, kw)
    return Case(kind, name, *shapes, stride, pads, dilation, groups, quick=quick)


def gray(k: int, *, separable: bool = False, quick: bool = False) -> Case:
    name = f"gray 2048x2048 {'gaussian ' * separable}{k}x{k}"
    return Case("gray", name, (1, 1, 2048, 2048), (1, 1, k, k), padding=k // 2, separable=separable, quick=quick)


def rgb(k: int) -> Case:
    return Case("rgb", f"rgb 1024x1024 {k}x{k} 3->32", (1, 3, 1024, 1024), (32, 3, k, k), padding=k // 2)


CASES = [
    layer(3, 64, 64, 224),  # VGG
    layer(3, 256, 256, 56),
    layer(3, 64, 64, 56, quick=True),  # ResNet
    layer(3, 128, 128, 28),
    layer(3, 256, 256, 14),
    layer(3, 512, 512, 7, quick=True),
    layer(7, 3, 64, 224, stride=2, quick=True),  # the stem of ResNet
    layer(3, 3, 64, 224),  # the first layer of VGG
    layer(3, 128, 128, 56, stride=2),
    layer(3, 256, 256, 28, dilation=2),
    layer(5, 64, 64, 56),
    layer(3, 1, 32, 28, quick=True),  # the first layer of an MNIST network
    layer(1, 64, 256, 56),
    layer(1, 256, 64, 56, quick=True),
    layer(1, 1024, 256, 14),
    layer(1, 512, 2048, 7),
    layer(1, 96, 576, (5, 8)),  # maps that do not fill vectors
    layer(1, 160, 960, 7),
    layer(1, 64, 384, 10),
    layer(1, 512, 512, 14),
    layer(1, 256, 256, 15),
    layer(1, 24, 144, 56),  # few channels, and few filters
    layer(1, 144, 24, 56),
    layer(3, 144, 144, 56, groups=144, quick=True),  # MobileNet
    layer(3, 144, 144, 56, groups=144, stride=2),
    layer(7, 96, 96, 56, groups=96),  # ConvNeXt
    layer(3, 128, 128, 56, groups=32, quick=True),  # ResNeXt
    layer(3, 3, 32, 224, stride=2),  # first layers with a stride
    layer(3, 16, 32, 112, stride=2),
    layer(3, 16, 16, 224, stride=2),
    layer(3, 32, 64, 80, stride=2),
    layer(3, 64, 64, 56, stride=2),
    layer(3, 32, 32, 112, stride=2, groups=32),
    layer(5, 96, 96, 28, stride=2, groups=96),
    layer(3, 576, 576, 14, stride=2, groups=576),
    layer((1, 3), 512, 512, (1, 1599), stride=2, padding=0),  # signals
    layer((1, 16), 1, 64, (1, 160000), stride=16, padding=0),
    layer((1, 400), 1, 64, (1, 160000), stride=160, padding=0),
    layer((1, 1024), 1, 64, (1, 320000), stride=256, padding=0),
    gray(3),
    gray(5, quick=True),
    gray(7),
    gray(11),
    gray(15),
    gray(31),
    gray(31, separable=True),
    gray(63),
    rgb(3),
    rgb(5),
    rgb(11),
    Case("tiny", "tiny 7x7 3x3", (1, 1, 7, 7), (1, 1, 3, 3), quick=True),
]
