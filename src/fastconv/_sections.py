"""Sections of the full convolution of two arrays of any rank, as convolutions of images, by plans.

With n numbers of the image and m of the kernel along an axis, the full convolution has n + m - 1 numbers there,

    z[i] = sum over j of image[j] * kernel[i - j]

Up to three axes are those of images, and the others batch; beyond that, planes of outputs are computed one by one.
Kernels come reversed: the core correlates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _check, _plan
from fastconv._passes import DTypes
from fastconv._problem import Array, Problem

DType = np.dtype[Any]

NUMPY_MODES: dict[str, Any] = {"zeros": "constant", "circular": "wrap", "symmetric": "symmetric"}


class Section(NamedTuple):
    """Where a section begins along each axis of the full convolution, and how long it is."""

    starts: tuple[int, ...]
    lengths: tuple[int, ...]


class Border(NamedTuple):
    """What lies beyond the image: a padding mode, where "zeros" stands for the value."""

    mode: str = "zeros"
    value: complex = 0


class Task(NamedTuple):
    """One section of the convolution of an image and a reversed kernel of the same rank, without their data."""

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    section: Section
    border: Border
    dtypes: DTypes
    algorithm: str


class Window(NamedTuple):
    """What a section reads along one axis of the image: these pixels, after so many beyond it."""

    pixels: slice
    before: int
    taps: int
    outputs: int


def windows(task: Task) -> list[Window]:
    """Return what a section reads of the image; only beyond borders of zeros it may leave out parts of it."""
    found = []
    for n, m, start, length in zip(task.image, task.kernel, *task.section, strict=True):
        first, last = start - m + 1, start + length
        pixels = slice(max(first, 0), min(last, n)) if task.border == Border() else slice(0, n)
        found.append(Window(pixels, pixels.start - first, m, length))
    return found


def image_axes(taps: tuple[int, ...]) -> list[int]:
    """Return the axes that are those of images: all of up to three, else those of the kernel and the last one."""
    last = len(taps) - 1
    return [axis for axis, count in enumerate(taps) if last < 3 or axis == last or count > 1]


def plan(
    task: Task,
    axes: Sequence[Window],
    batch: tuple[int, ...],
    channels: int = 1,
    filters: int = 0,
    groups: int = 1,
    stride: int = 1,
) -> _plan.Plan:
    """Return the plan for images along some axes; filters: 0 if maps have no axis for them; stride: of the last axis.

    Sums of int64 may wrap around, as SciPy's do.
    """
    problem = Problem(
        output_shape=(*batch, *([filters] if filters else []), *(axis.outputs for axis in axes)),
        batch_shape=batch,
        channels=channels,
        filters=filters or 1,
        groups=groups,
        size=_check.triple([axis.pixels.stop - axis.pixels.start for axis in axes]),
        kernel=_check.triple([axis.taps for axis in axes]),
        output_size=_check.triple([axis.outputs for axis in axes]),
        stride=(1, 1, stride),
        dilation=(1, 1, 1),
        pad=_check.triple([axis.before for axis in axes], fill=0),
        padding_mode="zeros",
        flip=False,
        activation=None,
        algorithm=task.algorithm,
        precision="default",
        dtype=task.dtypes.result,
        accumulator=task.dtypes.sums,
    ).bordered(task.border.mode, (task.border.value,) if task.border.value else ())
    return _plan.make(problem, task.dtypes[:2], may_wrap=True)


class Images:
    """Convolutions along up to three axes."""

    def __init__(self, task: Task) -> None:
        self._view = _View(task)
        self._sums, self._kernel_shape = task.dtypes.sums, tuple(axis.taps for axis in self._view.axes)
        self.is_plain = self._view.is_whole  # arrays are images as they are
        self.plan = plan(task, self._view.axes, self._view.batch)

    def run(self, image: Array, kernel: Array, threads: int) -> Array:
        """Return the convolution of an image with a reversed kernel."""
        if kernel.dtype != self._sums or not kernel.flags.c_contiguous:
            kernel = np.ascontiguousarray(kernel, self._sums)
        if self.is_plain:
            return _plan.run(self.plan, image, kernel, None, None, threads)
        return self._run(image, kernel, threads)

    def run_passes(self, image: Array, kernel: Array, threads: int) -> Array | None:
        """Return the convolution by a pass along each axis, if that is planned and the kernel allows it."""
        layout = self.plan.layouts[0]
        if layout.any_weights or self.plan.fold is not None:
            return None
        packed = layout.pack(kernel.astype(self._sums, copy=False).reshape(self._kernel_shape))
        return None if packed is None else self._run(image, kernel, threads, (0, packed))

    def _run(self, image: Array, kernel: Array, threads: int, packed: _plan.Packed | None = None) -> Array:
        images, kernel = self._view.images(image), kernel.reshape(self._kernel_shape)
        return self._view.restored(_plan.run(self.plan, images, kernel, None, None, threads, packed))


class Signals:
    """Convolutions of short signals, of any dtype, by NumPy."""

    plan = None

    def __init__(self, task: Task) -> None:
        (start,), (length,) = task.section
        self._part = slice(start, start + length)

    def run(self, image: Array, kernel: Array, threads: int) -> Array:
        """Return the convolution of an image with a reversed kernel."""
        return np.convolve(image, kernel[::-1])[self._part]


class ByParts:
    """Convolutions of complex numbers along up to three axes: real and imaginary parts are channels and maps.

    Sums are real: of images, kernels or both that are complex, (a + bi)(c + di) = (ac - bd) + (ad + bc)i.
    """

    def __init__(self, task: Task, complex_image: bool, complex_kernel: bool) -> None:
        self._view = _View(task)
        self._sums, self._dtype = task.dtypes.sums, task.dtypes.result
        self._complex_image, self._complex_kernel = complex_image, complex_kernel
        self._channels = 2 if complex_image else 1
        groups = 1 if complex_kernel else 2
        real = task._replace(dtypes=DTypes(self._sums, self._sums, self._sums))
        self._kernel_shape = tuple(axis.taps for axis in self._view.axes)
        self.plan = plan(real, self._view.axes, self._view.batch, self._channels, 2, groups)

    def run(self, image: Array, kernel: Array, threads: int) -> Array:
        """Return the convolution of an image with a reversed kernel."""
        rank = len(self._kernel_shape)
        images = self._view.images(image)
        parts = np.stack([images.real, images.imag][: self._channels], -rank - 1)  # (..., C, D, H, W)
        c, d = kernel.real.reshape(self._kernel_shape), kernel.imag.reshape(self._kernel_shape)
        weights = [[c, -d], [d, c]] if self._complex_kernel else [[c], [c]]
        bank = np.ascontiguousarray(
            [row[: self._channels] for row in weights], self._sums
        )  # (2, C / groups, kd, kh, kw)
        maps = _plan.run(self.plan, parts.astype(self._sums, copy=False), bank, None, None, threads)
        real, imaginary = np.moveaxis(maps, -rank - 1, 0)
        result: Array = np.empty(real.shape, self._dtype)
        result.real, result.imag = real, imaginary
        return self._view.restored(result)


class Planes:
    """Convolutions along more than three axes, for one place along all but the last three at a time.

    There, the planes of the image that are read are channels, and the kernel's a filter.
    """

    plan = None

    def __init__(self, task: Task) -> None:
        axes = windows(task)
        self._task, self._outer, self._axes = task, axes[:-3], axes[-3:]
        self._cut: tuple[Any, ...] = (..., *(axis.pixels for axis in self._axes))
        self._plans: dict[int, _plan.Plan] = {}  # by channels

    def run(self, image: Array, kernel: Array, threads: int) -> Array:
        """Return the convolution of an image with a reversed kernel."""
        task = self._task
        image = image[self._cut]
        kernel = np.ascontiguousarray(kernel, task.dtypes.sums)
        result: Array = np.empty(task.section.lengths, task.dtypes.result)
        for place in np.ndindex(result.shape[:-3]):
            firsts = [o + axis.pixels.start - axis.before for o, axis in zip(place, self._outer, strict=True)]
            seen = [
                slice(max(first, 0), min(first + axis.taps, n))
                for first, axis, n in zip(firsts, self._outer, task.image, strict=False)
            ]
            taps = [slice(part.start - first, part.stop - first) for part, first in zip(seen, firsts, strict=True)]
            channels = image[tuple(seen)].reshape(-1, *image.shape[-3:])  # (C, D, H, W)
            weights = kernel[tuple(taps)].reshape(-1, *kernel.shape[-3:])  # (C, kd, kh, kw)
            if len(channels) not in self._plans:
                self._plans[len(channels)] = plan(task, self._axes, (), len(channels))
            result[place] = _plan.run(self._plans[len(channels)], channels, weights, None, None, threads)
        return result


class _View:
    """How an array of any rank is a batch of images: what a section reads of it, image axes last."""

    def __init__(self, task: Task) -> None:
        spatial, along = image_axes(task.kernel), windows(task)
        rank = len(along)
        self._order = [*(axis for axis in range(rank) if axis not in spatial), *spatial]
        self._in_order = self._order == list(range(rank))
        self._cut = tuple(axis.pixels for axis in along)
        self.axes = [along[axis] for axis in spatial]
        self.batch = tuple(along[axis].outputs for axis in self._order[: rank - len(spatial)])
        self.is_whole = self._in_order and all(
            axis.pixels == slice(0, n) for axis, n in zip(along, task.image, strict=True)
        )

    def images(self, array: Array) -> Array:
        """Return what the section reads, as images."""
        view: Array = array[self._cut]
        return view if self._in_order else view.transpose(self._order)

    def restored(self, maps: Array) -> Array:
        """Return maps with the axes in the order of the array."""
        return maps if self._in_order else np.ascontiguousarray(maps.transpose(np.argsort(self._order)))


def by_taps(task: Task, image: Array, kernel: Array) -> Array:
    """Return the convolution of numbers that the core does not know, by one pass over the image for each tap."""
    starts = task.section.starts
    if task.border != Border():
        axes = windows(task)
        margins = [
            (one.before, max(0, one.outputs + one.taps - 1 - one.before - n))
            for one, n in zip(axes, image.shape, strict=True)
        ]
        value = {"constant_values": task.border.value} if task.border.mode == "zeros" else {}
        image = np.pad(image.astype(task.dtypes.result), margins, NUMPY_MODES[task.border.mode], **value)
        starts = tuple(one.taps - 1 for one in axes)
    kernel = kernel[(slice(None, None, -1),) * kernel.ndim]
    full: Array = np.zeros([n + m - 1 for n, m in zip(image.shape, kernel.shape, strict=True)], task.dtypes.result)
    for place in np.ndindex(kernel.shape):
        part = tuple(slice(first, first + n) for first, n in zip(place, image.shape, strict=True))
        full[part] += image * kernel[place]
    result: Array = full[tuple(slice(start, start + n) for start, n in zip(starts, task.section.lengths, strict=True))]
    return result.copy()


def products(task: Task) -> int:
    """Return how many products a direct summation takes."""
    return math.prod(task.section.lengths) * math.prod(task.kernel)
