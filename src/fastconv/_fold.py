"""Problem -> a smaller one with the same result, where kernels or receptive fields extend far beyond the image.

Along an axis of n pixels, tap t of output o reads pixel  o * stride + t * dilation - pad.  Outside the image, 0..n - 1,
there are only zeros or copies of its own pixels, so that

    zeros             taps that read only padding are cropped;
    replicate         taps that read only the first pixel and its copies are summed, likewise those of the last pixel;
    the other modes   are periodic: taps a multiple of the period apart are aliases, and are summed.

If the receptive fields of the remaining taps are still mostly gaps (wide dilation or stride), the pixels that they read
are gathered into a dense image. All later stages so meet kernels and receptive fields in proportion to the image and
the outputs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv import _check, _weights
from fastconv._problem import Array, Problem

MAX_UNFOLDED_SPAN = 32  # pixels: an axis whose outputs span no more is left as it is
GATHER_RATIO = 4  # pixels are gathered where outputs span more than this many times the image and the gathered axis
PIECE_WEIGHTS = 2**22  # weights summed at a time: interrupts (Ctrl-C) are handled in between


class Axis(NamedTuple):
    """One spatial axis of a problem."""

    size: int  # of the image, n
    taps: int
    outputs: int
    stride: int
    dilation: int
    pad: int

    @property
    def span(self) -> int:
        """Length of the receptive field of all outputs, in pixels, padding included."""
        return (self.outputs - 1) * self.stride + (self.taps - 1) * self.dilation + 1

    @property
    def gathered(self) -> Axis:
        """The axis after gathering: the receptive fields of all outputs one after another, without overlap."""
        return Axis(self.outputs * self.taps, self.taps, self.outputs, self.taps if self.outputs > 1 else 1, 1, 0)

    def gather_indices(self, mode: str) -> Array:
        """Return the pixel that each tap of each output reads, (outputs * taps,); -1 for a zero of the padding."""
        outputs, taps = np.arange(self.outputs)[:, np.newaxis], np.arange(self.taps)
        indices: Array = (outputs * self.stride + taps * self.dilation - self.pad).ravel()
        if mode == "zeros":
            return np.where((indices >= 0) & (indices < self.size), indices, -1)
        if mode == "replicate":
            return indices.clip(0, self.size - 1)
        period = _period(self.size, mode)
        indices %= period
        return np.where(indices < self.size, indices, period - indices - (mode == "symmetric"))


class Crop(NamedTuple):
    """Keeps taps first..last; if there are none, a single tap of weight 0."""

    first: int
    last: int

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return the cropped weights; there are no sums that would need the dtype."""
        if self.first == self.last:
            return np.zeros_like(_along(weight, axis, 0, 1))
        return _along(weight, axis, self.first, self.last)


class MergeEnds(NamedTuple):
    """Keeps taps first..last; those before are added to the first of them, those after to the last."""

    first: int
    last: int

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return the folded weights, summed in this dtype."""
        if self.last - self.first == 1:
            return _sums(weight, axis, 1, dtype)
        left = _sums(_along(weight, axis, 0, self.first + 1), axis, 1, dtype)
        middle: Array = _along(weight, axis, self.first + 1, self.last - 1).astype(dtype)
        right = _sums(_along(weight, axis, self.last - 1, weight.shape[axis]), axis, 1, dtype)
        return np.concatenate([left, middle, right], axis)


class Alias(NamedTuple):
    """Sums taps t, t + taps, t + 2 * taps, ... into sum t; new tap i is sum number (start + i * step) mod taps."""

    taps: int
    start: int = 0
    step: int = 1

    def fold(self, weight: Array, axis: int, dtype: type) -> Array:
        """Return the folded weights, summed in this dtype."""
        order = (self.start + self.step * np.arange(self.taps)) % self.taps
        return _sums(weight, axis, self.taps, dtype).take(order, axis)


class Fold(NamedTuple):
    """How to make a problem smaller; per axis, None where it stays as it is."""

    given: Problem
    reduced: Problem
    tap_folds: tuple[Crop | MergeEnds | Alias | None, ...]
    gathered_axes: tuple[Axis | None, ...]

    def crop_weight(self, weight: Array) -> Array:
        """Return the weights that can read the image (K, C / groups, kd, kh, kw), none of them summed."""
        weight = self._flipped(weight)
        for axis, tap_fold in enumerate(self.tap_folds, 2):
            if isinstance(tap_fold, Crop):
                weight = _along(weight, axis, tap_fold.first, tap_fold.last)
        return weight

    def reduce_weight(self, weight: Array) -> Array:
        """Return the weights of the reduced problem (K, C / groups, kd, kh, kw), flipped if asked.

        A cropped weight would meet zeros of the padding at every output: infinite or NaN, it would make all outputs of
        its filter NaN. A NaN in place of the filter's first weight does the same.
        """
        kind = self.reduced.accumulator.kind
        weight = self._flipped(weight)
        nan_filters = []
        if kind == "f" and self.given.padding_mode == "zeros" and not _all_finite(weight):
            cropped = [_cropped(kernels, self.tap_folds) for kernels in weight]
            nan_filters = [k for k, parts in enumerate(cropped) if not all(map(_all_finite, parts))]
        if self.given.padding_mode != "zeros" and _check.unbroadcast(weight).size < weight.size:
            weight = np.ascontiguousarray(weight)  # raises MemoryError if a broadcast array is too large to sum
        with np.errstate(all="ignore"):
            for axis, tap_fold in enumerate(self.tap_folds, 2):
                if tap_fold is not None:
                    weight = tap_fold.fold(weight, axis, {"i": np.int64, "f": np.float64, "c": np.complex128}[kind])
            weight = weight.astype(self.reduced.accumulator)
        if nan_filters:
            weight[nan_filters, 0, 0, 0, 0] = np.nan
        return weight

    def reduce_image(self, image: Array) -> Array:
        """Return the image of the reduced problem, from one (..., D, H, W), or (..., H, W), or (..., W)."""
        for axis, gathered_axis in enumerate(self.gathered_axes, -3):
            if gathered_axis is not None:
                indices = gathered_axis.gather_indices(self.given.padding_mode)
                inside = indices >= 0
                shape = (*image.shape[:axis], len(indices), *image.shape[image.ndim + axis + 1 :])
                gathered = np.zeros(shape, image.dtype)
                np.moveaxis(gathered, axis, -1)[..., inside] = np.moveaxis(image, axis, -1)[..., indices[inside]]
                image = gathered
        return image

    def _flipped(self, weight: Array) -> Array:
        """Return a view (K, C / groups, kd, kh, kw) of the given weights, flipped if asked."""
        bank = _weights.bank_of(self.given, weight)
        return bank[:, :, ::-1, ::-1, ::-1] if self.given.flip else bank


def fold(problem: Problem) -> Fold | None:
    """Return how to make a problem smaller, None if it stays as it is."""
    axes, tap_folds, gathered_axes = [], [], []
    outputs = [max(1, n) for n in problem.output_size]  # an empty result still needs a plan
    window = zip(problem.size, problem.kernel, outputs, problem.stride, problem.dilation, problem.pad, strict=True)
    for axis, tap_fold in (_fold_axis(Axis(*numbers), problem.padding_mode) for numbers in window):
        dense = max(MAX_UNFOLDED_SPAN, GATHER_RATIO * (axis.size + axis.outputs * axis.taps))
        gathers = axis.size == 0 or axis.span > dense
        axes.append(axis.gathered if gathers else axis)
        tap_folds.append(tap_fold)
        gathered_axes.append(axis if gathers else None)
    spans = tuple(axis.span for axis in axes)
    bits = 128 * problem.channels * math.prod(spans)  # of complex128; the core counts workspaces in bits
    if problem.products and bits > sys.maxsize:
        raise MemoryError(
            f"dilation {problem.dilation} and stride {problem.stride} make the outputs see as much as {spans} pixels of "
            f"{problem.channels} channels: there is no memory for so many"
        )
    if not any(tap_folds) and not any(gathered_axes):
        return None
    size, kernel, output_size, stride, dilation, pad = zip(*axes, strict=True)
    reduced = problem._replace(
        size=size,
        kernel=kernel,
        output_size=output_size,
        stride=stride,
        dilation=dilation,
        pad=pad,
        flip=False,
        exchanged=False,
    )
    return Fold(problem, reduced, tuple(tap_folds), tuple(gathered_axes))


def _fold_axis(axis: Axis, mode: str) -> tuple[Axis, Crop | MergeEnds | Alias | None]:
    """Return a folded axis, and how to fold its taps; None if all of them stay."""
    if axis.size and axis.span <= MAX_UNFOLDED_SPAN:
        return axis, None
    if mode == "zeros" or axis.size == 0:
        return _crop(axis)
    if mode == "replicate" and axis.size > 1:
        return _merge_ends(axis)
    return _alias(axis, _period(axis.size, mode))


def _crop(axis: Axis) -> tuple[Axis, Crop | None]:
    """Crop taps that read pixels before the image even at the last output, or after it even at the first."""
    n, taps, outputs, stride, dilation, pad = axis
    first = max(0, -(((outputs - 1) * stride - pad) // dilation))
    last = min(taps, (n - 1 + pad) // dilation + 1)
    if n == 0 or first >= last:
        return Axis(0, 1, outputs, stride, 1, 0), Crop(0, 0)
    first = min(first, pad // dilation)  # padding cannot be negative: this may keep more taps
    if last - first == taps:
        return axis, None
    return _axis(n, last - first, outputs, stride, dilation, pad - first * dilation), Crop(first, last)


def _merge_ends(axis: Axis) -> tuple[Axis, MergeEnds | None]:
    """Sum taps that read pixel 0 or copies of it at every output, and likewise those of the last pixel.

    If at most one tap remains between the two sums, the dilation shrinks to the least that still keeps the sums on
    copies.
    """
    n, taps, outputs, stride, dilation, pad = axis
    shift = (outputs - 1) * stride  # from the first output to the last
    first = min(max(0, (pad - shift) // dilation), taps - 1)
    last = min(-(-(n - 1 + pad) // dilation) + 1, taps)
    kept, new_dilation, new_pad = last - first, dilation, pad - first * dilation
    has_left, has_right = new_pad >= shift, (kept - 1) * dilation - new_pad >= n - 1
    if kept == has_left + has_right:
        new_dilation, new_pad = shift + n - 1, shift
    elif kept == has_left + 1 + has_right:
        middle = has_left * dilation - new_pad  # the pixel that the tap in between reads at the first output
        new_dilation = max(1, has_left * (middle + shift), has_right * (n - 1 - middle))
        new_pad = has_left * new_dilation - middle
    if kept == taps and new_dilation == dilation:
        return axis, None
    return _axis(n, kept, outputs, stride, new_dilation, new_pad), MergeEnds(first, last)


def _alias(axis: Axis, period: int) -> tuple[Axis, Alias | None]:
    """Sum taps a multiple of the period apart, which read the same pixels; take dilation, stride and pad modulo it."""
    n, taps, outputs, stride, dilation, pad = axis
    divisor = math.gcd(dilation, period)
    residues = period // divisor  # different multiples of the dilation modulo the period
    alias, new_dilation = Alias(min(taps, residues)), dilation
    if taps >= residues:  # every multiple of the divisor has a tap: in ascending order they are `divisor` apart
        new_dilation = divisor
        alias = Alias(residues, step=pow(dilation // divisor, -1, residues))
    elif (taps - 1) * dilation > period:
        new_dilation = dilation % period
        if 2 * new_dilation > period:  # shorter steps in the other direction, with the taps reversed
            new_dilation = period - new_dilation
            alias = Alias(taps, start=taps - 1, step=-1)
            pad += (taps - 1) * new_dilation
    if alias.taps == taps and new_dilation == dilation and stride <= period:
        return axis, None
    return _axis(n, alias.taps, outputs, (stride - 1) % period + 1, new_dilation, pad % period), alias


def _axis(size: int, taps: int, outputs: int, stride: int, dilation: int, pad: int) -> Axis:
    return Axis(size, taps, outputs, stride, dilation if taps > 1 else 1, pad)


def _period(size: int, mode: str) -> int:
    """Return the period of an image padded in this mode, in pixels."""
    return 1 if size == 1 else {"circular": size, "symmetric": 2 * size, "reflect": 2 * (size - 1)}[mode]


def _along(array: Array, axis: int, first: int, last: int) -> Array:
    """Return array[first:last] along an axis."""
    view: Array = array[(slice(None),) * axis + (slice(first, last),)]
    return view


def _sums(weight: Array, axis: int, taps: int, dtype: type) -> Array:
    """Return weights summed along an axis modulo taps: sum t is that of weights t, t + taps, t + 2 * taps, ..."""
    leading, trailing = weight.shape[:axis], weight.shape[axis + 1 :]
    sums = np.zeros((*leading, taps, *trailing), dtype)
    step = max(1, PIECE_WEIGHTS // sums.size) * taps
    for first in range(0, weight.shape[axis], step):
        # NumPy sums in the order of memory: the copy makes results independent of the strides.
        piece = np.ascontiguousarray(_along(weight, axis, first, first + step))
        rounds, rest = divmod(piece.shape[axis], taps)
        whole = _along(piece, axis, 0, rounds * taps).reshape(*leading, rounds, taps, *trailing)
        sums += whole.sum(axis, dtype)
        _along(sums, axis, 0, rest)[...] += _along(piece, axis, rounds * taps, piece.shape[axis]).astype(dtype)
    return sums


def _cropped(kernels: Array, tap_folds: tuple[Any, ...]) -> Iterator[Array]:
    """Yield the parts of one filter's kernels (C / groups, kd, kh, kw) that are cropped."""
    for axis, kept in enumerate(tap_folds, 1):
        if kept is not None:
            yield _along(kernels, axis, 0, kept.first)
            yield _along(kernels, axis, kept.last, kernels.shape[axis])
            kernels = _along(kernels, axis, kept.first, kept.last)


def _all_finite(values: Array) -> bool:
    """Return whether no number in an array is infinite or NaN."""
    if not values.size or values.dtype.kind in "biu":
        return True
    values = _check.unbroadcast(values)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite([values.min(), values.max()]).all())
