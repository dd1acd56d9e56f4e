"""Convolution of signals that come in pieces, and of images that come row by row: `FilterBank.stream`.

A stream keeps the samples that outputs to come will read, and computes an output, or a tile of them, once it has all that
this reads. Outputs are parts of one whole (`_parts.py`), which is planned as a signal without end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _parts, _plan, config
from fastconv._arrays import last_axes
from fastconv._problem import Array, Problem
from fastconv.algorithms import Layout

if TYPE_CHECKING:
    from fastconv.bank import FilterBank

__all__ = ["Stream"]

ENDLESS = 2**20  # samples: as long as this a signal is planned, if its length is not known,
END = 2**48  # and where it ends for the arithmetic of places: no stream comes so far
MAX_STEPS = 64  # kept, for pieces of different lengths
# Fields of a problem that depend on the length of a signal.
OF_LENGTH = ("output_shape", "size", "output_size", "pad", "padding_mode", "border")


class Step(NamedTuple):
    """What is computed each time that as many samples come together, of a signal that has begun."""

    inner: _parts.Inner | None  # None: no outputs yet
    outputs: int


class Stream:
    """A convolution of signals that come in pieces; `FilterBank.stream` makes it.

    Call it on pieces ``(..., C, n)`` of any lengths n, 0 and 1 included, of images for a bank for images: it returns the
    feature maps that can be told so far, ``(..., K, m)``. `flush` returns the rest, and makes it ready for another signal.

    Parameters
    ----------
    bank : FilterBank
        The filters, with their options.
    axis : int
        The axis, counted from the last one, along which pieces follow one another.
    length : int, optional
        Of the whole signal, if it is known.

    Raises
    ------
    ValueError, TypeError
        If `axis` is not one of those that kernels slide along, or the padding depends on what is still to come.

    Notes
    -----
    Pieces put together are the result of ``bank(signal)``, bit for bit: of a signal of this `length`, or else of one for
    which the same algorithm is the fastest as for a signal without end. That is all signals longer than the kernel where
    real numbers are summed directly, as with ``algorithm="direct"``, which has the least latency, too.

    Copies of a stream, and pickled ones, go on from the same sample.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> mean = fc.FilterBank(np.full((1, 1, 4), 0.25), padding="causal").stream()
    >>> mean([[4.0, 4.0, 8.0]])
    array([[1., 2., 4.]])
    >>> mean([[8.0]]), mean.latency
    (array([[6.]]), 0)
    """

    def __init__(self, bank: FilterBank, axis: int = -1, length: int | None = None) -> None:
        self._bank, self._given, self._length = bank, axis, length
        self._axes = axes = len(bank.receptive_field)
        places = range(-axes - 1, -1) if bank.channels_last else range(-axes, 0)
        if axis not in places:
            raise ValueError(f"axis must be one of {list(places)}, which kernels slide along; got {axis!r}")
        if length is not None:
            length = _check.positive_int("length", length)
        self._axis = int(axis) + (1 if bank.channels_last else 0)  # where channels come first
        self._after = self._remembered(axes + self._axis)
        self._shape: tuple[int, ...] | None = None  # of pieces, without their length, and their dtype: of the first one
        self._restart()

    def _remembered(self, place: int) -> int:
        """Return how many samples the padding at the end repeats; raise ValueError if padding depends on what is to come."""
        padding, modes = self._bank._checked.padding, self._bank._checked.padding_mode
        pads = padding if isinstance(padding, str) else padding[place]
        mode = modes if isinstance(modes, str) else modes[place]
        reach, step = self._bank.receptive_field[place] - 1, self._bank.stride[place]
        if pads in ("same", "same_lower") and step > 1 and self._length is None:
            raise ValueError(
                f"padding must not depend on the length of a signal, as {pads!r} does with stride {step}: pass length="
            )
        if isinstance(pads, tuple):
            before, after = pads
        else:
            before, after = 0 if pads == "valid" else reach, 0 if pads in ("valid", "causal") else reach
        if not (before or after) or mode in ("zeros", "constant"):
            return 0
        if mode == "circular":
            raise ValueError("padding_mode must not need the end of a signal at its start, as 'circular' does")
        return 1 if mode == "replicate" else after + 1

    def _restart(self) -> None:
        """Forget what has come."""
        self._received = self._done = self._start = 0  # samples; outputs; the first sample that is kept
        self._kept: Array = np.empty(0)  # (..., C, ...), the samples from there on
        self._dtype: np.dtype[Any] = np.dtype(np.float32)
        self._shape = None

    def _begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Plan for pieces of this shape, channels first."""
        axis, bank = len(shape) + self._axis, self._bank
        before, behind = shape[:axis], shape[axis + 1 :]
        self._shape, self._dtype = (*before, 0, *behind), dtype
        self._kept = np.empty(self._shape, dtype)
        whole = (*before, self._length or ENDLESS, *behind)
        self._place = 3 + self._axis
        self._plan, self._packed = bank._whole(whole, dtype)
        if self._plan.fold is not None:
            raise ValueError(
                f"weight must not be much larger than the image for a stream; got {bank.weight.shape} for {shape}"
            )
        if self._length is None:
            self._plan = _without_end(self._plan, self._packed[0], self._place)
        problem, layout = self._plan.problem, self._plan.layouts[self._packed[0]]
        self._stride, self._pad = problem.stride[self._place], problem.surroundings.pad[self._place]
        self._tile = layout.step[self._place]
        self._most = problem.output_size[self._place] // self._tile * self._tile  # outputs before the signal has ended
        self._bias = bank._biases(self._plan)
        self._steps: dict[tuple[int, int], Step] = {}
        self._has_border = problem.border is not None or layout.problem.border is not None  # layouts may add one
        self._is_plain = not self._has_border and dtype == problem.accumulator == problem.dtype and dtype.isnative

    def __call__(self, piece: ArrayLike, *, threads: int | None = None) -> Array:
        """Return the feature maps that a piece, which follows those before, makes known."""
        array = piece if type(piece) is np.ndarray else _check.as_array("piece", piece)
        bank, axis = self._bank, self._axis
        if bank.channels_last:
            array = bank._first("piece", array)
        if self._shape is None:
            if array.ndim < self._axes:
                raise ValueError(f"piece must have {self._axes} axes that kernels slide along; got shape {array.shape}")
            self._begin(array.shape, array.dtype)
        elif array.dtype != self._dtype or not self._follows(array.shape):
            raise ValueError(
                f"piece must have the shape {self._shape} of those before, but for its length, and their dtype {self._dtype}; "
                f"got {array.shape} and {array.dtype}"
            )
        samples = np.concatenate((self._kept, array), axis) if self._kept.size else array
        self._received += array.shape[axis]
        offset = self._done * self._stride - self._pad - self._start  # of what the next output reads first
        if offset < 0 or self._has_border:
            outputs = self._known() - self._done
            maps = self._part(self._plan, samples, outputs, threads)
        else:
            key = samples.shape[axis], offset
            step = self._steps.get(key)
            if step is None or step.outputs > self._most - self._done:
                step = self._step(*key)
            maps, outputs = self._inner(step, self._cut(samples, offset), threads), step.outputs
        self._done += outputs
        start = max(self._start, min(self._done * self._stride - self._pad, self._received) - self._after)
        self._kept, self._start = self._cut(samples, start - self._start).copy(), start
        return bank._as_given(maps, None) if bank.channels_last else maps

    def _follows(self, shape: tuple[int, ...]) -> bool:
        """Return whether a piece of this shape, channels first, goes with those before."""
        assert self._shape is not None
        place = len(shape) + self._axis
        return shape[:place] == self._shape[:place] and shape[place + 1 :] == self._shape[place + 1 :]

    def _step(self, length: int, offset: int) -> Step:
        """Return what is computed of so many samples, of which the next output reads those from offset on."""
        problem, layout = self._plan.problem, self._plan.layouts[self._packed[0]]
        place, have = self._place, length - offset
        outputs = max(0, (have - problem.span(place)) // self._stride + 1) // self._tile * self._tile
        outputs = min(outputs, self._most - self._done)
        while outputs and max(problem.span(place, outputs), layout.pixels_read(place, outputs)) > have:
            outputs -= self._tile
        inner = None
        if outputs:
            assert self._shape is not None
            batch = self._shape[: len(problem.batch_shape)]
            inner = _parts.inner(self._plan, self._packed[0], place, batch, have, outputs)
        step = Step(inner, outputs)
        if outputs < self._most - self._done:  # else it is the last one
            if len(self._steps) >= MAX_STEPS:
                self._steps.clear()
            self._steps[length, offset] = step
        return step

    def _inner(self, step: Step, pixels: Array, threads: int | None) -> Array:
        """Return the maps of outputs that see nothing but pixels, those from the first one on."""
        if step.inner is None:
            return self._part(self._plan, pixels, 0, threads)
        call, count = step.inner.call, config.num_threads(threads)
        if call is not None and self._is_plain:
            maps: Array | None = call.run(pixels, self._packed[1], self._bias, count, None)
            if maps is not None:
                return maps
        return step.inner.compute(self._plan, self._packed, self._bank.weight, pixels, self._bias, count)

    def _known(self) -> int:
        """Return how many outputs can be told, in whole tiles, where some see the start of the signal."""
        problem = self._plan.problem
        span = problem.span(self._place) - self._pad
        outputs = min(max(0, (self._received - span) // self._stride + 1) // self._tile * self._tile, self._most)
        while outputs > self._done:
            read = _parts.axis_part(self._plan, self._packed[0], self._place, self._done, outputs).pixels
            if not read or read[-1].stop <= self._received:
                break
            outputs -= self._tile
        return max(outputs, self._done)

    def _part(self, plan: _plan.Plan, samples: Array, outputs: int, threads: int | None) -> Array:
        """Return the next outputs, from the samples that are kept and new ones."""
        problem, place = plan.problem, self._place
        batch = samples.shape[: len(problem.batch_shape)]
        sizes = list(problem.output_size)
        sizes[place] = outputs
        shape = *batch, problem.filters, *sizes[3 - self._axes :]
        if not outputs:
            return np.empty(shape, problem.dtype)
        wanted = [slice(0, n) for n in sizes]
        wanted[place] = slice(self._done, self._done + outputs)
        part = _parts.part_of(plan, self._packed[0], wanted)
        pixels = samples.reshape(
            math.prod(batch), problem.channels, *(1,) * (3 - self._axes), *samples.shape[-self._axes :]
        )
        for axis, along in enumerate(part.axes):
            start = self._start if axis == place else 0
            outer = (slice(None),) * (axis + 2)
            runs = [pixels[(*outer, slice(run.start - start, run.stop - start))] for run in along.pixels]
            pixels = np.concatenate(runs, axis + 2) if len(runs) > 1 else runs[0] if runs else pixels.take([], axis + 2)
        maps = _parts.compute(
            plan, self._packed, part, self._bank.weight, pixels, self._bias, config.num_threads(threads)
        )
        return maps.reshape(shape)

    def flush(self, *, threads: int | None = None) -> Array:
        """Return the rest of the feature maps, of which some see what lies beyond the signal's end.

        Raises
        ------
        ValueError
            If there has been no piece, or not as many samples as were announced, or if the kernel does not fit.
        """
        bank, received = self._bank, self._received
        if self._shape is None:
            raise ValueError("flush needs a piece before it, if only an empty one: it says of what shape the maps are")
        if self._length not in (None, received):
            raise ValueError(f"length must be that of the signal; got {self._length} for one of {received} samples")
        shape = list(self._shape)
        shape[self._axis] = received
        whole, index = bank._unfolded(tuple(shape), self._dtype), self._packed[0]
        of_length = {name: getattr(whole, name) for name in OF_LENGTH}
        problem = self._plan.layouts[index].problem._replace(**of_length)
        maps = self._part(
            _resized(self._plan, index, problem), self._kept, problem.output_size[self._place] - self._done, threads
        )
        self._restart()
        return bank._as_given(maps, None) if bank.channels_last else maps

    @property
    def latency(self) -> int:
        """How many samples must follow sample ``i * stride`` before output i is told, at most.

        That is none for ``padding="causal"`` and direct summation; blocks of transforms need all of their samples.
        """
        if self._shape is None:
            if self._axes > 1:
                raise ValueError("latency is known only after a piece, which says how large images are")
            self._begin((self._bank.in_channels, 0), np.result_type(self._bank.weight, np.float16))
            latency = self.latency
            self._restart()
            return latency
        layout = self._plan.layouts[self._packed[0]]
        spans = self._plan.problem.span(self._place, self._tile), layout.pixels_read(self._place, self._tile)
        return max(0, max(spans) - 1 - self._pad)

    def _cut(self, samples: Array, first: int) -> Array:
        """Return the samples from one on, a view."""
        return samples if first == 0 else samples[last_axes([slice(first, None), *[slice(None)] * (-1 - self._axis)])]

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._kept, self._received, self._done, self._start
        return _restored, (self._bank, self._given, self._length, self._shape, state)

    def __repr__(self) -> str:
        length = "" if self._length is None else f", length={self._length}"
        return f"{self._bank!r}.stream(axis={self._given}{length})"


def _without_end(plan: _plan.Plan, index: int, place: int) -> _plan.Plan:
    """Return a plan whose images have no end that any stream comes to, along an axis."""
    problem = plan.layouts[index].problem
    outputs = END // problem.stride[place]
    output_size, size = list(problem.output_size), list(problem.size)
    output_size[place], size[place] = outputs, problem.span(place, outputs)
    border = problem.border
    if border is not None:
        within = list(border.size)
        within[place] = size[place]  # the end of its padding is as far away
        border = border._replace(size=(within[0], within[1], within[2]))
    problem = problem._replace(
        output_size=(output_size[0], output_size[1], output_size[2]), size=(size[0], size[1], size[2]), border=border
    )
    return _resized(plan, index, problem)


def _resized(plan: _plan.Plan, index: int, problem: Problem) -> _plan.Plan:
    """Return a plan of which one layout computes a problem of another length."""
    layouts = list(plan.layouts)
    layouts[index] = Layout.resized(layouts[index], problem)
    return plan._replace(problem=problem, layouts=tuple(layouts))


def _restored(
    bank: FilterBank, axis: int, length: int | None, shape: tuple[int, ...] | None, state: tuple[Any, ...]
) -> Stream:
    """Return a stream that goes on where another one was."""
    stream = Stream(bank, axis, length)
    if shape is not None:
        stream._begin(shape, state[0].dtype)
        stream._kept, stream._received, stream._done, stream._start = state
    return stream
