"""Weight gradients by the forward engine: the convolution of images by gradients, with batch and channels exchanged.

    dw[k, c, t] = sum over images n and outputs o of g[n, k, o] * image[n, c, o * stride + t * dilation - pad]

is a convolution of "images" (C, N, ...) by "filters" (K, N, ...), the outputs of the forward pass being the taps of the
kernel; stride and dilation change places. It takes every dtype.
"""

from __future__ import annotations

import math

from fastconv import _blocks, _core
from fastconv._problem import Array, Problem
from fastconv.algorithms import GradientLayout, Layout, direct, sweep, tiles

# Costs as in direct.py.
PRODUCT = 6.0  # per product
GROUP = 2.0**20  # per group: a call, with its own weights to be packed


class Exchanged(GradientLayout):
    """A forward layout for every group and number of images."""

    name = direct.NAME
    how = "forward convolution of images by gradients"

    def __init__(self, forward: Problem) -> None:
        products = forward.products / max(1, math.prod(forward.batch_shape))
        super().__init__(forward, PRODUCT * products + GROUP * forward.groups)
        self._layouts: dict[int, Layout] = {}

    def run(self, images: Array, maps: Array, threads: int) -> Array:
        forward, count = self.forward, len(images)
        channels, filters = forward.group_size
        layout = self._layouts.get(count) or self._layouts.setdefault(count, _layout(forward, count))
        result = _core.empty(forward.weight_shape, forward.accumulator)
        for group in range(forward.groups):
            some_images = images[:, group * channels : (group + 1) * channels].swapaxes(
                0, 1
            )  # (C / groups, N, D, H, W)
            some_maps = maps[:, group * filters : (group + 1) * filters].swapaxes(0, 1)
            part = _core.empty(layout.maps_shape, forward.accumulator)
            _blocks.convolve(layout, some_images, layout.pack(some_maps), None, part, min(threads, layout.threads))
            result[group * filters : (group + 1) * filters] = part.swapaxes(0, 1)
        return result


def _layout(forward: Problem, count: int) -> Layout:
    """Return the layout of one group's convolution, for so many images."""
    channels, filters = forward.group_size
    problem = forward._replace(
        output_shape=(channels, filters, *forward.kernel),
        batch_shape=(channels,),
        channels=count,
        filters=filters,
        groups=1,
        kernel=forward.output_size,
        output_size=forward.kernel,
        stride=forward.dilation,
        dilation=forward.stride,
        flip=False,
        activation=None,
        algorithm=direct.NAME,
        dtype=forward.accumulator,
    )
    if problem.accumulator.kind != "f":
        return direct.Rows(problem)
    layout = sweep.choose(problem, math.inf) or tiles.choose(problem, math.inf)
    assert layout is not None  # one of these two takes any floats
    return layout.unpacked() or layout


def choose(forward: Problem, budget: float) -> Exchanged:
    """Return the layout, which takes everything."""
    return Exchanged(forward)
