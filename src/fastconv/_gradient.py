"""Gradients of a convolution: of its input, by the transposed convolution, and of its weight.

Both are planned once for the shapes of a convolution, its Problem. Where the padding repeats pixels, the input's gradient
has parts at the padded borders, which are added to the pixels that they repeat.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np

from fastconv import _blocks, _check, _check_transposed, _core, _plan
from fastconv._arrays import fits_core, pieces, plain
from fastconv._border import Border
from fastconv._problem import Array, Problem
from fastconv.algorithms import GradientLayout, weight_direct, weight_dot, weight_exchanged, weight_winograd

# Bytes of images and gradients that are summed by themselves: what conversions to other dtypes take.
CHUNK_BYTES = 2**24
LONG_MAP = 256  # numbers that NumPy sums at once, pairwise
SUMMED_NUMBERS = 2**22  # at a time: interrupts (Ctrl-C) are handled in between
BIAS_IMAGES = 128  # images of shorter maps whose sums are added one after another

# Each has the lowest cost so far as its budget.
WEIGHT_ORDER = (weight_exchanged, weight_direct, weight_dot, weight_winograd)

Indices = slice | list[int]


class BorderPart(NamedTuple):
    """A part of the padded image, and the pixels of the image that it repeats."""

    plan: _plan.Plan
    pixels: tuple[Indices, ...]  # per axis


class InputGradient(NamedTuple):
    """How to compute the gradient of a convolution's input."""

    shape: tuple[int, ...]  # of the input
    maps_shape: tuple[int, ...]  # of the output's gradient, (N, K, D', H', W')
    plan: _plan.Plan
    borders: tuple[BorderPart, ...]  # parts of the padding that repeat pixels

    @property
    def plans(self) -> tuple[_plan.Plan, ...]:
        """The plans of all parts."""
        return (self.plan, *(border.plan for border in self.borders))

    @property
    def nbytes(self) -> int:
        return sum(plan.nbytes for plan in self.plans)


def plan_input(forward: Problem, input_shape: tuple[int, ...], dtypes: tuple[np.dtype[Any], ...]) -> InputGradient:
    """Return the plan of an input gradient, for an output gradient and a weight of these dtypes."""
    adjoint = _check_transposed.adjoint(forward, input_shape)
    modes = (forward.padding_mode,) * 3 if forward.border is None else forward.border.modes
    sections = [] if set(modes) == {"zeros"} else list(_sections(forward, modes))
    if len(sections) <= 1:
        return InputGradient(input_shape, adjoint.images_shape, _plan.make(adjoint, dtypes), ())
    adjoint = adjoint._replace(dtype=adjoint.accumulator)
    plans = []
    for section in sections:
        size = (section[0][1], section[1][1], section[2][1])
        z, y, x = (pad + first for pad, (first, _, _) in zip(adjoint.pad, section, strict=True))
        shape = (*adjoint.images_shape[:1], adjoint.filters, *size)
        part = adjoint._replace(output_shape=shape, batch_shape=shape[:1], output_size=size, pad=(z, y, x))
        plans.append(BorderPart(_plan.make(part, dtypes), tuple(pixels for _, _, pixels in section)))
    return InputGradient(input_shape, adjoint.images_shape, plans[0].plan, tuple(plans[1:]))


def _sections(forward: Problem, modes: Sequence[str]) -> Iterator[tuple[tuple[int, int, Indices], ...]]:
    """Yield the parts of the padded image, the image itself first: first position, size and pixels per axis."""
    axes: list[list[tuple[int, int, Indices]]] = []
    for axis, (size, pad, mode) in enumerate(zip(forward.size, forward.pad, modes, strict=True)):
        parts: list[tuple[int, int, Indices]] = [(0, size, slice(None))]
        end = forward.span(axis, forward.output_size[axis]) - pad if forward.output_size[axis] else 0
        for first, last in ((-pad, 0), (size, end)):
            if first < last and mode != "zeros":
                indices = _core.padded_indices(first, last, size, _core.PADDING_MODES[mode])
                parts.append((first, last - first, indices))
        axes.append(parts)
    yield from product(*axes)


def run_input(
    gradient: InputGradient, weight: Array, output_gradient: Array, threads: int, packed: tuple[_plan.Packed, ...] = ()
) -> Array:
    """Return the gradient of the input; packed: the weight packed for the plan of each part."""
    plan = gradient.plan
    first = packed[0] if packed else None
    maps = output_gradient.reshape(gradient.maps_shape) if gradient.borders else output_gradient
    result = _plan.run(plan, maps, weight, None, None, threads, first)
    for index, border in enumerate(gradient.borders, 1):
        part = _plan.run(border.plan, maps, weight, None, None, threads, packed[index] if packed else None)
        _add_to_pixels(
            result.reshape(plan.problem.maps_shape), part.reshape(border.plan.problem.maps_shape), border.pixels
        )
    return result.reshape(gradient.shape)


def _add_to_pixels(images: Array, part: Array, pixels: tuple[Indices, ...]) -> None:
    """Add a part of the padded images (N, C, d, h, w) to the pixels of images (N, C, D, H, W) that it repeats."""
    repeating = [axis for axis, indices in enumerate(pixels, 2) if not isinstance(indices, slice)]
    for axis in reversed(repeating):
        target = images
        if axis != repeating[0]:
            target = np.zeros((*part.shape[:axis], images.shape[axis], *part.shape[axis + 1 :]), part.dtype)
        slices, pixel_slices = np.moveaxis(part, axis, 0), np.moveaxis(target, axis, 0)
        for position, pixel in enumerate(cast("list[int]", pixels[axis - 2])):
            pixel_slices[pixel] += slices[position]
        part = target


class WeightGradient(NamedTuple):
    """How to compute the gradient of a convolution's weight; a layout that cannot sum some values is followed by others."""

    shape: tuple[int, ...]  # of the weight
    forward: Problem  # of images with their border, if they have one
    border: Border | None
    layouts: tuple[GradientLayout, ...]
    integers_may_overflow: bool

    @property
    def nbytes(self) -> int:
        return len(self.layouts) * _plan.PLAN_BYTES


def plan_weight(forward: Problem, weight_shape: tuple[int, ...], dtypes: tuple[np.dtype[Any], ...]) -> WeightGradient:
    """Return the plan of a weight gradient, for images and output gradients of these dtypes."""
    outputs = math.prod(forward.batch_shape) * math.prod(forward.output_size)  # products of a sum
    dtype, accumulator = _check.result_types(dtypes, outputs)
    forward, border = forward._replace(dtype=dtype, accumulator=accumulator), forward.border
    if border is not None:
        forward = forward.padded._replace(border=None)
    layouts: tuple[GradientLayout, ...] = ()
    for algorithm in WEIGHT_ORDER:
        layout = algorithm.choose(forward, layouts[0].cost if layouts else math.inf)
        if layout is not None:
            layouts = (layout,) if layout.any_values else (layout, *layouts)
    return WeightGradient(weight_shape, forward, border, layouts, _check.may_overflow(dtypes, outputs, accumulator))


def run_weight(gradient: WeightGradient, input: Array, output_gradient: Array, threads: int) -> Array:
    """Return the gradient of the weight, from some images at a time."""
    forward, border = gradient.forward, gradient.border
    images_shape = forward.images_shape if border is None else (*forward.images_shape[:2], *border.size)
    images, maps = input.reshape(images_shape), output_gradient.reshape(forward.maps_shape)
    if gradient.integers_may_overflow:
        filters = np.moveaxis(maps, 1, 0).reshape(forward.filters, -1)
        _check.check_integer_range(
            "grad_output", forward.accumulator, images, filters, None, border.values if border else ()
        )
    total: Array | None = None
    if math.prod(forward.images_shape) and maps.size:
        image_numbers = math.prod(forward.images_shape[1:]) + math.prod(maps.shape[1:])
        step = max(1, CHUNK_BYTES // (image_numbers * forward.accumulator.itemsize))
        for first in range(0, len(images), step):
            some_images = images[first : first + step]
            if border is not None:
                some_images = border.section(some_images, [slice(0, n) for n in forward.size], forward.accumulator)
            some_images = _contiguous(some_images, forward.accumulator, 1)
            some_maps = _contiguous(maps[first : first + step], forward.accumulator, 3)
            part = _sum(gradient.layouts, some_images, some_maps, threads)
            total = part if total is None else total + part
    if total is None:
        total = np.zeros(forward.weight_shape, forward.accumulator)
    if forward.flip:
        total = total[:, :, ::-1, ::-1, ::-1]
    if forward.flip or forward.dtype != total.dtype:
        result = np.empty(total.shape, forward.dtype)
        _blocks.cast(total, result)
        total = result
    return total.reshape(gradient.shape)


def _sum(layouts: tuple[GradientLayout, ...], images: Array, maps: Array, threads: int) -> Array:
    """Return the gradient by the first layout that can sum these values."""
    for layout in layouts:
        result = layout.run(images, maps, threads)
        if result is not None:
            break
    assert result is not None  # the last layout can sum all values
    return result


def _contiguous(array: Array, dtype: np.dtype[Any], axes: int) -> Array:
    """Return an array of this dtype whose last axes are contiguous, the same one if possible."""
    return array if fits_core(array, dtype, axes) else plain(array, dtype)


def run_bias(output_gradient: Array, axes: int) -> Array:
    """Return the gradient of the bias (K,): the sum of (..., K, *sizes) over all axes but that of the filters."""
    filters, numbers = output_gradient.shape[-axes - 1], math.prod(output_gradient.shape[-axes:])
    maps = output_gradient.reshape(math.prod(output_gradient.shape[: -axes - 1]), filters, numbers)
    dtype = np.dtype(np.int64) if maps.dtype.kind in "biu" else maps.dtype.newbyteorder("=")
    accumulator = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    if numbers >= LONG_MAP:
        parts = np.empty(maps.shape[:2], accumulator)
        for place in pieces(parts.shape, SUMMED_NUMBERS // numbers):
            np.sum(maps[place], axis=-1, dtype=accumulator, out=parts[place])
    else:  # faster over the images, some at a time for small rounding errors
        starts = range(0, max(1, len(maps)), BIAS_IMAGES)
        parts = np.stack([maps[i : i + BIAS_IMAGES].sum(axis=0, dtype=accumulator).sum(axis=1) for i in starts])
    result = np.empty(filters, dtype)
    _blocks.cast(parts.sum(axis=0), result)
    return result
