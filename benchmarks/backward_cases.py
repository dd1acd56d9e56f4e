"""What `--suite backward` measures, as data: transposed convolutions, gradients of the forward suite's layers at batch 1
and 16, and training steps of small networks. Everything is float32; arrays come from a seed."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from cases import CASES, Array


@dataclass(frozen=True)
class BackwardCase:
    """One transposed convolution of `input` (N, C, *size) with `weight` (C, K/groups, *kernel), or one gradient of the
    convolution of `input` with `weight` (K, C/groups, *kernel); the options are the same along every axis."""

    kind: str
    name: str
    computes: str  # "transposed", "input" or "weight": the transposed convolution, or the gradient of what
    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    output_padding: int = 0
    quick: bool = False

    @property
    def axes(self) -> int:
        return len(self.input) - 2

    @property
    def options(self) -> dict[str, int]:
        options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return options | {"output_padding": self.output_padding} if self.computes == "transposed" else options

    @property
    def maps(self) -> tuple[int, ...]:
        """Shape of the output of the (transposed) convolution."""
        s, twice, reach = self.stride, 2 * self.padding, [self.dilation * (k - 1) + 1 for k in self.weight[2:]]
        sizes = zip(self.input[2:], reach, strict=True)
        if self.computes == "transposed":
            size = [(n - 1) * s - twice + r + self.output_padding for n, r in sizes]
            return self.input[0], self.weight[1] * self.groups, *size
        return self.input[0], self.weight[0], *((n + twice - r) // s + 1 for n, r in sizes)

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the result."""
        return {"transposed": self.maps, "input": self.input, "weight": self.weight}[self.computes]

    @property
    def macs(self) -> int:
        """Multiply-adds of direct summation, those with padding zeros included."""
        stamped = self.input if self.computes == "transposed" else self.maps
        return math.prod(stamped) * math.prod(self.weight[1:])

    def arrays(self, seed: int = 0) -> tuple[Array, Array]:
        """The two arrays to be given: input and weight, the gradient of the maps in place of what has no part in it."""
        rng = np.random.default_rng(seed)
        first = self.maps if self.computes == "input" else self.input
        second = self.maps if self.computes == "weight" else self.weight
        return rng.standard_normal(first, dtype=np.float32), rng.standard_normal(second, dtype=np.float32)


class NetLayer(NamedTuple):
    weight: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True)
class Net:
    """A training step: the maps of a batch of images, then the gradients of all weights (and of the images) from theirs."""

    name: str
    input: tuple[int, ...]
    layers: tuple[NetLayer, ...]
    quick: bool = False
    kind: str = "training step"

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Of the images, and of every layer's maps."""
        sizes = [self.input[2:]]
        for weight, options in self.layers:
            stride, twice = options.get("stride", 1), 2 * options.get("padding", 0)
            sizes.append(tuple((n + twice - k) // stride + 1 for n, k in zip(sizes[-1], weight[2:], strict=True)))
        return sizes

    @property
    def weight(self) -> tuple[tuple[int, ...], ...]:
        return tuple(layer.weight for layer in self.layers)

    @property
    def options(self) -> dict[str, Any]:
        return {"layers": [layer.options for layer in self.layers]}

    @property
    def output(self) -> tuple[int, ...]:
        """Of the result: the gradients of all weights, one after the other."""
        return (sum(map(math.prod, self.weight)),)

    @property
    def macs(self) -> int:
        """Those of the maps and of two gradients for each layer."""
        pixels = map(math.prod, self.sizes[1:])
        return 3 * self.input[0] * sum(map(math.prod, zip(pixels, map(math.prod, self.weight), strict=True)))

    def arrays(self, seed: int = 0) -> tuple[Array, list[Array]]:
        """Images, and the gradient of the last maps followed by the weights."""
        rng = np.random.default_rng(seed)
        last = (self.input[0], self.weight[-1][0], *self.sizes[-1])
        weights = [rng.standard_normal(shape, dtype=np.float32) / math.prod(shape[1:]) ** 0.5 for shape in self.weight]
        images, gradient = (rng.standard_normal(shape, dtype=np.float32) for shape in (self.input, last))
        return images, [gradient, *weights]


def transposed(
    k: int, channels: int, filters: int, size: tuple[int, ...], stride: int = 1, padding: int = 0, **more: Any
) -> BackwardCase:
    groups = more.get("groups", 1)
    text = f"{channels}->{filters}" if groups == 1 else f"depthwise {channels}"
    name = f"{'x'.join([str(k)] * len(size))} {text} {'x'.join(map(str, size))} stride {stride}"
    weight = (channels, filters // groups, *[k] * len(size))
    return BackwardCase(
        "transposed", f"transposed {name}", "transposed", (1, channels, *size), weight, stride, padding, **more
    )


def gradient(layer: BackwardCase, computes: str, batch: int) -> BackwardCase:
    """The gradient of a layer at a batch size."""
    kind, name = f"{computes} gradient", f"{computes} {layer.name}"
    if batch > 1:
        kind, name = f"{kind} x{batch}", f"{name} x{batch}"
    quick, shape = layer.quick and batch == 1, (batch, *layer.input[1:])
    return replace(layer, kind=kind, name=name, computes=computes, input=shape, quick=quick)


def small_net(size: int, **more: Any) -> Net:
    layers = (
        NetLayer((16, 1, 3, 3), {"padding": 1, "activation": "relu"}),
        NetLayer((16, 16, 3, 3), {"padding": 1, "stride": 2, "activation": "relu"}),
        NetLayer((32, 16, 3, 3), {"padding": 1, "activation": "relu"}),
        NetLayer((10, 32, size // 2, size // 2), {}),  # a linear layer
    )
    return Net(f"digits {size}x{size} batch 64", (64, 1, size, size), layers, **more)


TRANSPOSED = [
    transposed(4, 64, 32, (32, 32), 2, 1, quick=True),
    transposed(2, 256, 128, (28, 28), 2, quick=True),
    transposed(16, 512, 256, (1000,), 8, 4),  # a vocoder
    transposed(3, 128, 64, (56, 56), 2, 1, output_padding=1),
    transposed(4, 96, 96, (56, 56), 2, 1, groups=96),
    transposed(3, 64, 64, (56, 56), 1, 1, quick=True),
    transposed(2, 512, 256, (32, 32), 2),  # U-Net
    transposed(2, 128, 64, (128, 128), 2),
    transposed(4, 1024, 512, (4, 4), 2, 1),  # DCGAN
    transposed(4, 128, 3, (32, 32), 2, 1, quick=True),
    transposed(2, 32, 16, (16, 16, 16), 2),
    transposed(4, 32, 16, (16, 16, 16), 2, 1),
]
LAYERS = [
    BackwardCase(c.kind, c.name, "input", c.input, c.weight, c.stride, c.pads[0], c.dilation, c.groups, quick=c.quick)
    for c in CASES
    if c.kind in ("dense", "pointwise", "depthwise", "grouped")
]
BACKWARD_CASES: list[Any] = [
    *TRANSPOSED,
    *(gradient(layer, computes, batch) for batch in (1, 16) for computes in ("weight", "input") for layer in LAYERS),
    small_net(8, quick=True),
    small_net(28),
]
