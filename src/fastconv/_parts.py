"""Parts of a convolution that is planned as a whole: any outputs, from the pixels that they read, with the bits of one call.

The plan is that of the whole, and tiles and blocks of outputs lie in a part where they lie in the whole: a part is computed
from the first tile that it touches to the last one, and what is not wanted of these is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from fastconv import _blocks, _check, _core, _weights
from fastconv._arrays import Indices, last_axes, take
from fastconv._border import Border
from fastconv._plan import Packed, Plan
from fastconv._problem import Array, Problem, Triple
from fastconv.algorithms import Layout

MAX_LAYOUTS = 64  # of parts of different sizes, kept with the layout of the whole


class Whole(NamedTuple):
    """The plan of a whole, and packed weights."""

    plan: Plan
    packed: Packed


class AxisPart(NamedTuple):
    """Part of the outputs along one axis, and what they read."""

    outputs: slice  # whole tiles
    wanted: slice  # of these
    pixels: tuple[slice, ...]  # of the image, in ascending order
    shown: Indices  # which of these the outputs see one after another; -1: what surrounds the image
    pad: int  # before these: of zeros, known to the core


class Part(NamedTuple):
    """Part of all outputs of one image, along each axis."""

    axes: tuple[AxisPart, AxisPart, AxisPart]

    @property
    def size(self) -> Triple:
        """Outputs along each axis, whole tiles."""
        depth, rows, columns = (axis.outputs.stop - axis.outputs.start for axis in self.axes)
        return depth, rows, columns

    @property
    def read(self) -> Triple:
        """Pixels along each axis."""
        depth, rows, columns = (sum(run.stop - run.start for run in axis.pixels) for axis in self.axes)
        return depth, rows, columns


def axis_part(plan: Plan, index: int, axis: int, first: int, last: int) -> AxisPart:
    """Return the part of an axis, 0 to 2, that has outputs first..last, for a plan's layout."""
    layout, problem = plan.layouts[index], plan.problem
    if plan.fold is not None or not problem.products:  # images are folded as a whole
        size = (plan.fold.given if plan.fold else problem.surroundings).size[axis]
        return AxisPart(slice(0, problem.output_size[axis]), slice(first, last), (slice(0, size),), slice(None), 0)
    step, border = layout.step[axis], problem.border
    start, stop = first // step * step, min(-(-last // step) * step, problem.output_size[axis])
    outputs, wanted = slice(start, stop), slice(first - start, last - start)
    seen, pad = problem.input_range(axis, start, stop, layout.pixels_read(axis, stop - start))
    if border is not None:
        assert isinstance(seen, slice)
        seen = _seen_beyond(border, axis, seen)
    if isinstance(seen, slice):
        return AxisPart(outputs, wanted, (seen,), slice(None), pad)
    indices = np.array(seen)
    pixels = np.unique(indices[indices >= 0])
    runs = [run for run in np.split(pixels, np.flatnonzero(np.diff(pixels) > 1) + 1) if run.size]
    shown = np.where(indices < 0, -1, np.searchsorted(pixels, indices))
    return AxisPart(outputs, wanted, tuple(slice(int(run[0]), int(run[-1]) + 1) for run in runs), shown.tolist(), pad)


def part_of(plan: Plan, index: int, wanted: Sequence[slice]) -> Part:
    """Return the part that has outputs wanted along each of three axes."""
    depth, rows, columns = (axis_part(plan, index, axis, some.start, some.stop) for axis, some in enumerate(wanted))
    return Part((depth, rows, columns))


def _seen_beyond(border: Border, axis: int, positions: slice) -> Indices:
    """Return the pixels that positions of a padded image show along an axis; -1 for the border's values."""
    first, last, size = positions.start - border.pad[axis], positions.stop - border.pad[axis], border.size[axis]
    if first >= 0 and last <= size:
        return slice(first, last)
    if border.modes[axis] == "zeros":
        return [x if 0 <= x < size else -1 for x in range(first, last)]
    return _core.padded_indices(first, last, size, _core.PADDING_MODES[border.modes[axis]])


class Inner(NamedTuple):
    """Some outputs in a row along one axis, which see no padding there, and all along the others."""

    layout: Layout
    call: _core.Call | None  # for plain arrays

    def compute(
        self, plan: Plan, packed: Packed, weight: Array, pixels: Array, bias: Array | None, threads: int
    ) -> Array:
        """Return the maps; arrays as for the function `compute`, but of the bank's rank."""
        _check_sums(plan, weight, pixels, bias)
        maps = self.layout.problem.empty_result()
        _blocks.convolve(self.layout, pixels, packed[1], bias, maps, min(threads, self.layout.threads), None, True)
        return maps


def inner(plan: Plan, index: int, axis: int, batch_shape: tuple[int, ...], pixels: int, outputs: int) -> Inner:
    """Return how a layout computes so many outputs along an axis, from as many pixels as are there from the first on."""
    problem = plan.layouts[index].problem
    size, output_size, pad = list(problem.size), list(problem.output_size), list(problem.pad)
    size[axis], output_size[axis], pad[axis] = pixels, outputs, 0
    axes = len(problem.output_shape) - len(problem.batch_shape) - 1
    made = problem._replace(
        output_shape=(*batch_shape, problem.filters, *output_size[3 - axes :]),
        batch_shape=batch_shape,
        size=(size[0], size[1], size[2]),
        output_size=(output_size[0], output_size[1], output_size[2]),
        pad=(pad[0], pad[1], pad[2]),
        channels_last=0,
    )
    layout = plan.layouts[index].part(made)
    return Inner(layout, layout.ready_call())


def _check_sums(plan: Plan, weight: Array, pixels: Array, bias: Array | None) -> None:
    """Raise ValueError if sums of integers may be too large."""
    bank_of = partial(_weights.bank_of, plan.problem) if plan.fold is None else plan.fold.crop_weight
    _check.check_sums(plan.problem, pixels, partial(bank_of, weight), bias, None, plan.integers_may_overflow)


def compute(
    plan: Plan,
    packed: Packed,
    part: Part,
    weight: Array,
    pixels: Array,
    bias: Array | None,
    threads: int,
) -> Array:
    """Return the wanted maps (N, K, D', H', W') of a part.

    pixels (N, C, D, H, W): those that the part reads, one run after another along each axis; packed: `prepare(plan, weight)`;
    bias (K,), plain, is followed by slopes.
    """
    index, weights = packed
    layout, problem = plan.layouts[index], plan.problem
    wanted = last_axes(axis.wanted for axis in part.axes)
    _check_sums(plan, weight, pixels, bias)
    if plan.fold is not None:
        pixels = plan.fold.reduce_image(pixels)
        layout = _layout_of(layout, len(pixels), problem.size, problem.output_size, problem.pad)
    else:
        pixels = _surrounded(pixels, part, problem)
        depth, rows, columns = pixels.shape[2:]
        z, y, x = (axis.pad for axis in part.axes)
        layout = _layout_of(layout, len(pixels), (depth, rows, columns), part.size, (z, y, x))
    maps = layout.problem.empty_result()
    if maps.size:
        _blocks.convolve(layout, pixels, weights, bias, maps, min(threads, layout.threads), None, True)
    found: Array = maps[wanted]
    return found


def _layout_of(layout: Layout, count: int, size: Triple, output_size: Triple, pad: Triple) -> Layout:
    """Return the layout of `count` images of a part of this size; made only once."""
    if (key := ("part", count, size, output_size, pad)) not in layout.derived:
        problem = layout.problem._replace(
            output_shape=(count, layout.problem.filters, *output_size),
            batch_shape=(count,),
            size=size,
            output_size=output_size,
            pad=pad,
            border=None,
            channels_last=0,
        )
        if size != layout.problem.size or pad != layout.problem.pad:
            problem = problem._replace(padding_mode="zeros")
        kept = [name for name in layout.derived if isinstance(name, tuple) and name[0] == "part"]
        if len(kept) >= MAX_LAYOUTS:
            layout.derived.pop(kept[0], None)
        layout.derived[key] = layout.part(problem)
    found: Layout = layout.derived[key]
    return found


def _surrounded(pixels: Array, part: Part, problem: Problem) -> Array:
    """Return what a part's outputs see, one pixel after another, of the pixels that it reads."""
    shown = [axis.shown for axis in part.axes]
    if problem.border is None or not any(isinstance(axis, list) and -1 in axis for axis in shown):
        return take(pixels, shown)
    values = problem.border.values * (1 if len(problem.border.values) > 1 else problem.channels)
    sizes = [n if isinstance(axis, slice) else len(axis) for axis, n in zip(shown, pixels.shape[2:], strict=True)]
    seen = np.empty((*pixels.shape[:2], *sizes), problem.accumulator)
    seen[...] = np.array(values, problem.accumulator).reshape(-1, 1, 1, 1)
    inside = [axis if isinstance(axis, slice) else [x for x in axis if x >= 0] for axis in shown]
    places = []  # of these, side by side, since only values lie beyond an axis that has any
    for axis, left in zip(shown, inside, strict=True):
        before = 0 if isinstance(axis, slice) else next((n for n, x in enumerate(axis) if x >= 0), 0)
        places.append(slice(before, None if isinstance(left, slice) else before + len(left)))
    np.copyto(seen[last_axes(places)], take(pixels, inside), casting="unsafe")
    return seen
