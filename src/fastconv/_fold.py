"""Problem -> a smaller one with the same result, where kernels, or what they are spread over, reach far beyond the image.

Along an axis of n pixels, output o sees through tap t the padded pixel  o * stride + t * dilation - pad.  Around the image there
are only zeros, or its own pixels once more:

    zeros             taps that see nothing but padding are cropped;
    replicate         taps that never get beyond the first pixel are added up, and those that never leave the last one;
    the other modes   are periodic: taps that lie a multiple of the period apart are added up.

Where the taps that are left still span much more than they see, the pixels that they do see are picked out of the image. So
_plan.py, which asks for this first, and all that comes after it meet kernels and spans no larger than image and outputs call for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv import _check
from fastconv._problem import Array, Problem

NEAR = 32  # pixels: an axis that spans no more is dealt with as it is
WIDE = 4  # times what is there to be seen along an axis: if more is spanned, pixels are picked
PIECE = 2**22  # weights that are added up at a time: a call can be interrupted in between


class Axis(NamedTuple):
    """One axis of a problem."""

    size: int  # n
    taps: int
    outputs: int
    stride: int
    dilation: int
    pad: int

    @property
    def span(self) -> int:
        """Pixels from the first to the last that is seen, padding included."""
        return (self.outputs - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    @property
    def picked(self) -> Axis:
        """The same axis of an image that holds what each output sees, output by output."""
        return Axis(self.outputs * self.taps, self.taps, self.outputs, self.taps if self.outputs > 1 else 1, 1, 0)

    def places(self, mode: str) -> Array:
        """Return which pixel each output sees through each tap, (outputs * taps,); -1 for a zero of the padding."""
        outputs, taps = np.arange(self.outputs)[:, np.newaxis], np.arange(self.taps)
        places: Array = (outputs * self.stride + taps * self.dilation - self.pad).ravel()
        if mode == "zeros":
            return np.where((places >= 0) & (places < self.size), places, -1)
        if mode == "replicate":
            return places.clip(0, self.size - 1)
        period = _period(self.size, mode)
        places %= period
        return np.where(places < self.size, places, period - places - (mode == "symmetric"))


class Crop(NamedTuple):
    """Taps first..last are left; a single weight of zero if that is none."""

    first: int
    last: int

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return what is left of weights along an axis; dtype, for sums, does not matter."""
        if self.first == self.last:
            return np.zeros_like(_along(weight, axis, 0, 1))
        return _along(weight, axis, self.first, self.last)


class Ends(NamedTuple):
    """Taps first..last are left; those before are added to the first of them, and those behind to the last."""

    first: int
    last: int

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return what is left of weights along an axis, added up in this dtype."""
        if self.last - self.first == 1:
            return _sums(weight, axis, 1, dtype)
        before = _sums(_along(weight, axis, 0, self.first + 1), axis, 1, dtype)
        between: Array = _along(weight, axis, self.first + 1, self.last - 1).astype(dtype)
        behind = _sums(_along(weight, axis, self.last - 1, weight.shape[axis]), axis, 1, dtype)
        return np.concatenate([before, between, behind], axis)


class Cycle(NamedTuple):
    """Taps t, t + taps, t + 2 * taps and so on are added up; these sums are taken from `start` on, `step` by `step`, all round."""

    taps: int
    start: int = 0
    step: int = 1

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return what is left of weights along an axis, added up in this dtype."""
        order = (self.start + self.step * np.arange(self.taps)) % self.taps
        return _sums(weight, axis, self.taps, dtype).take(order, axis)


class Fold(NamedTuple):
    """How to make a problem smaller: per axis, None where nothing is to be done."""

    asked: Problem
    problem: Problem  # that is left
    taps: tuple[Crop | Ends | Cycle | None, ...]
    picks: tuple[Axis | None, ...]

    def seen(self, weight: Array) -> Array:
        """Return those of the weights that see the image (K, C / groups, kd, kh, kw), none of them added up."""
        weight = self._kernels(weight)
        for axis, taps in enumerate(self.taps, 2):
            if isinstance(taps, Crop):
                weight = _along(weight, axis, taps.first, taps.last)
        return weight

    def weights(self, weight: Array) -> Array:
        """Return the weights of the problem that is left (K, C / groups, kd, kh, kw), flipped if that was asked for.

        Those that were cropped would have met zeros of the padding at every output. Not finite, they would have made it NaN, and
        so does one that is left.
        """
        kind = self.problem.accumulator.kind
        weight = self._kernels(weight)
        ruined = []
        if kind == "f" and self.asked.padding_mode == "zeros" and not _all_finite(weight):
            ruined = [k for k, kernels in enumerate(weight) if not all(map(_all_finite, _cropped(kernels, self.taps)))]
        if self.asked.padding_mode != "zeros" and _check.distinct(weight).size < weight.size:
            weight = np.ascontiguousarray(weight)  # there may be no end of weights that take no memory
        with np.errstate(all="ignore"):
            for axis, taps in enumerate(self.taps, 2):
                if taps is not None:
                    weight = taps.fold(weight, axis, {"i": np.int64, "f": np.float64, "c": np.complex128}[kind])
            weight = weight.astype(self.problem.accumulator)
        if ruined:
            weight[ruined, 0, 0, 0, 0] = np.nan
        return weight

    def image(self, image: Array) -> Array:
        """Return what is seen of an image (..., D, H, W), or of one of fewer axes."""
        for axis, pick in enumerate(self.picks, -3):
            if pick is not None:
                places = pick.places(self.asked.padding_mode)
                inside = places >= 0
                shape = (*image.shape[:axis], len(places), *image.shape[image.ndim + axis + 1 :])
                picked = np.zeros(shape, image.dtype)
                np.moveaxis(picked, axis, -1)[..., inside] = np.moveaxis(image, axis, -1)[..., places[inside]]
                image = picked
        return image

    def _kernels(self, weight: Array) -> Array:
        asked = self.asked
        weight = weight.reshape(asked.filters, asked.channels // asked.groups, *asked.kernel)
        return weight[:, :, ::-1, ::-1, ::-1] if asked.flip else weight


def fold(problem: Problem) -> Fold | None:
    """Return how to make a problem smaller, None if it sees all that it spans."""
    axes, taps, picks = [], [], []
    outputs = [max(1, n) for n in problem.output_size]  # nobody computes them if there are none
    window = zip(problem.size, problem.kernel, outputs, problem.stride, problem.dilation, problem.pad, strict=True)
    for axis, some in (_fold_axis(Axis(*numbers), problem.padding_mode) for numbers in window):
        wide = axis.size == 0 or axis.span > max(NEAR, WIDE * (axis.size + axis.outputs * axis.taps))
        axes.append(axis.picked if wide else axis)
        taps.append(some)
        picks.append(axis if wide else None)
    spans = tuple(axis.span for axis in axes)
    if problem.products and 128 * problem.channels * math.prod(spans) > sys.maxsize:  # workspaces are counted in bits
        raise MemoryError(
            f"dilation {problem.dilation} and stride {problem.stride} make the outputs see as much as {spans} pixels of "
            f"{problem.channels} channels: there is no memory for so many"
        )
    if not any(taps) and not any(picks):
        return None
    size, kernel, output_size, stride, dilation, pad = zip(*axes, strict=True)
    reduced = problem._replace(
        size=size, kernel=kernel, output_size=output_size, stride=stride, dilation=dilation, pad=pad, flip=False
    )
    return Fold(problem, reduced, tuple(taps), tuple(picks))


def _fold_axis(axis: Axis, mode: str) -> tuple[Axis, Crop | Ends | Cycle | None]:
    """Return what is left of an axis, and of its taps; None if that is all of them."""
    if axis.size and axis.span <= NEAR:
        return axis, None
    if mode == "zeros" or axis.size == 0:
        return _crop(axis)
    if mode == "replicate" and axis.size > 1:
        return _fold_ends(axis)
    return _fold_cycles(axis, _period(axis.size, mode))


def _crop(axis: Axis) -> tuple[Axis, Crop | None]:
    """Leave out taps that the last output sees before the image, or the first one behind it."""
    n, taps, outputs, stride, dilation, pad = axis
    first = max(0, -(((outputs - 1) * stride - pad) // dilation))
    last = min(taps, (n - 1 + pad) // dilation + 1)
    if n == 0 or first >= last:
        return Axis(0, 1, outputs, stride, 1, 0), Crop(0, 0)
    first = min(first, pad // dilation)  # there is no negative padding: one more tap may have to stay
    if last - first == taps:
        return axis, None
    return _axis(n, last - first, outputs, stride, dilation, pad - first * dilation), Crop(first, last)


def _fold_ends(axis: Axis) -> tuple[Axis, Ends | None]:
    """Add up taps that all outputs see at or before the first pixel, and those that all see at the last one or behind it.

    If no more than one is left in between, they need not lie further apart than the image, and what outputs span, are wide.
    """
    n, taps, outputs, stride, dilation, pad = axis
    reach = (outputs - 1) * stride
    first = min(max(0, (pad - reach) // dilation), taps - 1)
    last = min(-(-(n - 1 + pad) // dilation) + 1, taps)
    left, near, before = last - first, dilation, pad - first * dilation
    has_first, has_last = before >= reach, (left - 1) * dilation - before >= n - 1
    if left == has_first + has_last:
        near, before = reach + n - 1, reach
    elif left == has_first + 1 + has_last:
        between = has_first * dilation - before  # what the first output sees through the tap in between
        near = max(1, has_first * (between + reach), has_last * (n - 1 - between))
        before = has_first * near - between
    if left == taps and near == dilation:
        return axis, None
    return _axis(n, left, outputs, stride, near, before), Ends(first, last)


def _fold_cycles(axis: Axis, period: int) -> tuple[Axis, Cycle | None]:
    """Add up taps that see the same pixels, a multiple of the period apart, and move those that are left close to each other."""
    n, taps, outputs, stride, dilation, pad = axis
    divisor = math.gcd(dilation, period)
    different = period // divisor
    cycle, near = Cycle(min(taps, different)), dilation
    if taps >= different:  # they see all places that are a multiple of the divisor
        near = divisor
        cycle = Cycle(different, step=pow(dilation // divisor, -1, different))
    elif (taps - 1) * dilation > period:
        near = dilation % period
        if 2 * near > period:  # the other way round
            near = period - near
            cycle = Cycle(taps, start=taps - 1, step=-1)
            pad += (taps - 1) * near
    if cycle.taps == taps and near == dilation and stride <= period:
        return axis, None
    return _axis(n, cycle.taps, outputs, (stride - 1) % period + 1, near, pad % period), cycle


def _axis(size: int, taps: int, outputs: int, stride: int, dilation: int, pad: int) -> Axis:
    return Axis(size, taps, outputs, stride, dilation if taps > 1 else 1, pad)


def _period(size: int, mode: str) -> int:
    """Return after how many pixels the padding repeats itself."""
    return 1 if size == 1 else {"circular": size, "symmetric": 2 * size, "reflect": 2 * (size - 1)}[mode]


def _along(array: Array, axis: int, first: int, last: int) -> Array:
    """Return a view of first..last along an axis."""
    view: Array = array[(slice(None),) * axis + (slice(first, last),)]
    return view


def _sums(weight: Array, axis: int, taps: int, dtype: type) -> Array:
    """Return the sums of weights that lie a multiple of so many taps apart along an axis."""
    before, behind = weight.shape[:axis], weight.shape[axis + 1 :]
    sums = np.zeros((*before, taps, *behind), dtype)
    some = max(1, PIECE // sums.size) * taps
    for first in range(0, weight.shape[axis], some):
        part = np.ascontiguousarray(
            _along(weight, axis, first, first + some)
        )  # NumPy's order of adding up is that of memory
        rounds, rest = divmod(part.shape[axis], taps)
        whole = _along(part, axis, 0, rounds * taps).reshape(*before, rounds, taps, *behind)
        sums += whole.sum(axis, dtype)
        _along(sums, axis, 0, rest)[...] += _along(part, axis, rounds * taps, part.shape[axis]).astype(dtype)
    return sums


def _cropped(kernels: Array, taps: tuple[Any, ...]) -> Iterator[Array]:
    """Yield the parts of one filter's kernels (C / groups, kd, kh, kw) that are not left."""
    for axis, kept in enumerate(taps, 1):
        if kept is not None:
            yield _along(kernels, axis, 0, kept.first)
            yield _along(kernels, axis, kept.last, kernels.shape[axis])
            kernels = _along(kernels, axis, kept.first, kept.last)


def _all_finite(values: Array) -> bool:
    """Tell whether no number of an array is infinite or NaN."""
    if not values.size or values.dtype.kind in "biu":
        return True
    values = _check.distinct(values)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite([values.min(), values.max()]).all())
