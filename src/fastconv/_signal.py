"""Arguments of scipy.signal's convolutions -> sections of full convolutions: its modes, dtypes and axes."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from fastconv import _blocks, _check, _plan, _sections
from fastconv._cache import Cache
from fastconv._problem import Array
from fastconv._sections import Border, ByParts, DTypes, Images, Planes, Section, Signals, Task, Window

DType = np.dtype[Any]

PLAN_CACHE_BYTES = 2**22
PLAN_BYTES = 2**13  # of one convolution, about
_plans = Cache(PLAN_CACHE_BYTES)  # convolutions, by shapes, dtypes and options

SINGLE, DOUBLE, INTEGER = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
SMALL = 2**13  # products of a convolution: for fewer, looking at arrays takes longer than summing them as they are
MANY_TAPS = 15**2  # from which on Fourier transforms may be faster than exact sums of integers
EXACT_SINGLE, EXACT_DOUBLE = 2.0**24, 2.0**53  # magnitudes up to which integers are exact in floating point
EXACT_ROUNDED = 2.0**44  # magnitudes of sums up to which Fourier transforms in float64 are off by less than 0.1


Step = Signals | Images | ByParts | Planes  # what convolves arrays of given shapes and dtypes


class Sums(NamedTuple):
    """How to add up."""

    dtype: DType
    algorithm: str = "auto"
    rounded: bool = False  # to the nearest integers
    converted: bool = False  # all arrays, before and after it
    by_parts: bool = False  # of complex numbers


def section(mode: str, first: tuple[int, ...], second: tuple[int, ...]) -> Section:
    """Return the section that a mode means."""
    pairs = list(zip(first, second, strict=True))
    if mode == "full":
        return Section((0,) * len(first), tuple(n + m - 1 for n, m in pairs))
    if mode == "same":
        return Section(tuple((m - 1) // 2 for m in second), first)
    return Section(tuple(min(pair) - 1 for pair in pairs), tuple(abs(n - m) + 1 for n, m in pairs))


def check_mode(mode: object) -> str:
    """Return a mode; raise ValueError if it is none."""
    if isinstance(mode, str) and mode in ("full", "same", "valid"):
        return mode
    raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'; got mode={mode!r}")


def check_valid(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Return whether the second array is the longer one; raise ValueError if neither is, along all axes."""
    if all(n >= m for n, m in zip(first, second, strict=True)):
        return False
    if all(n <= m for n, m in zip(first, second, strict=True)):
        return True
    raise ValueError(
        "For 'valid' mode, one must be at least as large as the other in every dimension; "
        f"got shapes {first} and {second}"
    )


def check_shapes(mode: str, first: tuple[int, ...], second: tuple[int, ...]) -> None:
    """Raise ValueError if arrays of these shapes cannot be convolved."""
    if 0 in first or 0 in second:
        raise ValueError(f"in1 and in2 must not be empty; got shapes {first} and {second}")
    if mode == "valid":
        check_valid(first, second)


def check_method(method: object, dtype: DType, rank: int) -> None:
    """Raise ValueError if a method of `convolve` is none, or does not take arrays of this dtype and rank."""
    if not isinstance(method, str) or method not in ("auto", "direct", "fft"):
        raise ValueError(f"Acceptable method flags are 'auto', 'direct', or 'fft'; got method={method!r}")
    if rank > 1 and (dtype.char == "O" or (method == "direct" and dtype.char in "?e")):
        raise ValueError(f"Unsupported type for method={method!r} and more than one dimension: {dtype}")


def result_dtype(first: Array, second: Array) -> DType:
    """Return the dtype of a result, in native byte order."""
    same = first.dtype is second.dtype and first.dtype.isnative
    return first.dtype if same else np.result_type(first.dtype, second.dtype)


def convolve(
    first: Array,
    second: Array,
    mode: str | Section,
    dtype: DType,
    threads: int,
    correlated: bool = False,
    method: str = "auto",
    border: Border | None = None,
) -> Array:
    """Return a section of the full convolution of two arrays of the same rank; options as for `prepared`."""
    convolution = _plans.get(
        (first.shape, second.shape, first.dtype, second.dtype, mode, dtype, correlated, method, border)
    )
    if convolution is None:
        convolution = prepared(first, second, mode, dtype, correlated, method, border)
    return convolution.run(first, second, threads)


def prepared(
    first: Array,
    second: Array,
    mode: str | Section,
    dtype: DType,
    correlated: bool = False,
    method: str = "auto",
    border: Border | None = None,
) -> Convolution:
    """Return what convolves such arrays; correlated: the second one is reversed, but not conjugated, first."""
    key = (first.shape, second.shape, first.dtype, second.dtype, mode, dtype, correlated, method, border)
    convolution = _plans.get(key)
    if convolution is None:
        check_method(method, dtype, first.ndim)
        if not isinstance(mode, Section):
            check_shapes(check_mode(mode), first.shape, second.shape)
        where = mode if isinstance(mode, Section) else section(mode, first.shape, second.shape)
        dtypes = first.dtype, second.dtype, dtype
        convolution = Convolution(first.shape, second.shape, where, dtypes, correlated, method, border)
        _plans.put(key, convolution, PLAN_BYTES)
    return convolution


def takes_fft(first: Array, second: Array, mode: str) -> bool:
    """Return whether `convolve` takes Fourier transforms for two arrays."""
    if first.ndim != second.ndim or not (first.ndim and first.size and second.size):
        return False
    return prepared(first, second, mode, result_dtype(first, second)).takes_fft(first, second)


class Convolution:
    """Convolutions of two arrays of given shapes and dtypes; the one of fewer numbers is the kernel."""

    def __init__(
        self,
        first: tuple[int, ...],
        second: tuple[int, ...],
        where: Section,
        dtypes: tuple[DType, DType, DType],
        correlated: bool = False,
        method: str = "auto",
        border: Border | None = None,
    ) -> None:
        self._swapped = border is None and math.prod(second) > math.prod(first)
        if self._swapped:
            first, second = second, first
        image, kernel = (dtypes[1], dtypes[0]) if self._swapped else dtypes[:2]
        self._complex, self._dtype, self._method = (image.kind == "c", kernel.kind == "c"), dtypes[2], method
        reverse = (slice(None, None, -1),) * len(first)  # the core correlates
        self._turn_image = reverse if correlated and self._swapped else None
        self._turn_kernel = reverse if self._swapped or not correlated else None
        self._task = Task(
            first,
            second,
            where,
            border=border or Border(),
            dtypes=DTypes(image, self._dtype, self._dtype),
            algorithm="auto",
        )
        self._is_small = _sections.products(self._task) <= SMALL
        self._is_narrow = max(image.itemsize, kernel.itemsize) <= 2
        self._steps: dict[Sums, Step] = {}
        if len(first) == 1 and self._is_small and self._dtype.char not in "efd" and border is None:
            self._step: Step | None = Signals(self._task)
        else:
            sums = self._sums_of_floats()
            self._step = sums and self._step_for(sums)

    def run(self, first: Array, second: Array, threads: int) -> Array:
        """Return the convolution of two arrays."""
        image, kernel = (second, first) if self._swapped else (first, second)
        if self._turn_image is not None:
            image = image[self._turn_image]
        if self._turn_kernel is not None:
            kernel = kernel[self._turn_kernel]
        if self._step is not None:
            return self._step.run(image, kernel, threads)
        if self._dtype.char in "gGO":
            return _sections.by_taps(self._task, image, kernel)
        sums = self._sums_of_integers(image, kernel)
        if sums.converted:
            image, kernel = image.astype(sums.dtype), kernel.astype(sums.dtype)
        result: Array = self._step_for(sums).run(image, kernel, threads)
        if sums.rounded:
            np.rint(result, out=result)
        return result if result.dtype == self._dtype else _blocks.converted(result, self._dtype)

    def takes_fft(self, first: Array, second: Array) -> bool:
        """Return whether these arrays are convolved by Fourier transforms."""
        if self._dtype.char in "gGO":
            return False
        image, kernel = (second, first) if self._swapped else (first, second)
        step = self._step or self._step_for(self._sums_of_integers(image, kernel))
        return step.plan is not None and step.plan.layouts[0].name == "fft"

    def _step_for(self, sums: Sums) -> Step:
        step = self._steps.get(sums)
        if step is None:
            step = self._steps[sums] = self._make(sums)
        return step

    def _make(self, sums: Sums) -> Step:
        image = sums.dtype if sums.converted else self._task.dtypes.image
        result = sums.dtype if sums.converted or sums.rounded else self._dtype
        task = self._task._replace(dtypes=DTypes(image, sums.dtype, result), algorithm=sums.algorithm)
        if len(_sections.image_axes(task.kernel)) > 3:
            return Planes(task)
        return ByParts(task, *self._complex) if sums.by_parts else Images(task)

    def _sums_of_floats(self) -> Sums | None:
        """Return how to add up floating-point numbers; None for others."""
        algorithm = "direct" if self._method == "direct" else "auto"
        if self._dtype.char in "efd":
            return Sums(SINGLE if self._dtype.itemsize <= 4 else DOUBLE, algorithm)
        if self._dtype.char not in "FD":
            return None
        if self._is_small or len(_sections.image_axes(self._task.kernel)) > 3 or self._task.border != Border():
            return Sums(self._dtype, "direct")
        return Sums(SINGLE if self._dtype.itemsize == 8 else DOUBLE, algorithm, by_parts=True)

    def _sums_of_integers(self, image: Array, kernel: Array) -> Sums:
        """Return how to add up integers exactly or, where they are too large for that, modulo 2**64."""
        if self._is_small:
            fits = self._is_narrow or self._square_reach(image, kernel) <= EXACT_DOUBLE**2
            return Sums(DOUBLE, "direct", converted=True) if fits else Sums(INTEGER, "direct")
        largest = max(_largest(image), abs(self._task.border.value))
        reach = largest * float(np.abs(kernel.astype(DOUBLE)).sum())  # no sum has a larger magnitude
        if self._method != "direct" and kernel.size > MANY_TAPS and reach <= EXACT_ROUNDED:
            return Sums(DOUBLE, rounded=True)
        if reach <= EXACT_DOUBLE:
            return Sums(SINGLE if reach <= EXACT_SINGLE else DOUBLE, "direct")
        return Sums(INTEGER, "direct")

    def _square_reach(self, image: Array, kernel: Array) -> float:
        """Return a number that the square of no sum exceeds, by the inequality of Cauchy and Schwarz."""
        pixels, weights = image.astype(DOUBLE).ravel(), kernel.astype(DOUBLE).ravel()
        beyond = abs(self._task.border.value) ** 2 * weights.size
        return (float(pixels.dot(pixels)) + beyond) * float(weights.dot(weights))


def _largest(values: Array) -> float:
    """Return the largest magnitude of some integers, or of all of their dtype if it is narrow."""
    if values.dtype.itemsize == 1:
        return 1.0 if values.dtype.kind == "b" else 255.0
    return max(abs(float(values.min())), abs(float(values.max())))


# Convolutions along some axes


def convolved_axes(axes: Any, rank: int) -> tuple[int, ...]:
    """Return the axes to convolve along, all of them by default, counted from the first one."""
    if axes is None:
        return tuple(range(rank))
    try:
        given = [operator.index(axis) for axis in (axes if isinstance(axes, Iterable) else (axes,))]
    except TypeError:
        raise ValueError(f"axes must be a scalar or iterable of integers; got {axes!r}") from None
    if not given:
        raise ValueError("when provided, axes cannot be empty")
    if not all(-rank <= axis < rank for axis in given):
        raise ValueError(f"axes exceeds dimensionality of input, {rank}; got {axes!r}")
    counted = tuple(axis % rank for axis in given)
    if len(set(counted)) < len(counted):
        raise ValueError(f"all axes must be unique; got {axes!r}")
    return counted


def convolve_along(first: Array, second: Array, mode: str, along: Any, threads: int) -> Array:
    """Return the convolution along some axes of arrays whose lengths along the others are equal, or 1."""
    key = (first.shape, second.shape, mode, along if along is None else _check.hashable(along))
    road = _plans.get(key)
    if road is None:
        road = road_along(first.shape, second.shape, mode, along)
        _plans.put(key, road, PLAN_BYTES)
    if not road.axes:
        product: Array = first * second
        return product[road.kept].copy()
    first, second = floating(first), floating(second)
    dtype = result_dtype(first, second)
    if road.is_plain:
        return convolve(first, second, road.section, dtype, threads)
    outer = road.outer
    images, kernels = (
        np.broadcast_to(moved, (*outer, *moved.shape[len(outer) :]))
        for moved in (array.transpose(road.order) for array in (first, second))
    )
    result: Array = np.empty((*outer, *road.section.lengths), dtype)
    for place in np.ndindex(outer):
        result[place] = convolve(images[place], kernels[place], road.section, dtype, threads)
    return np.ascontiguousarray(result[road.kept].transpose(np.argsort(road.order)))


class Along(NamedTuple):
    """How to convolve along some axes only."""

    axes: tuple[int, ...]  # along which both arrays are longer than 1
    is_plain: bool  # one of the arrays has length 1 along all others
    section: Section  # along all axes if plain, else along these
    order: tuple[int, ...]  # of axes: the others, then these
    outer: tuple[int, ...]  # lengths of the result along the others, before "same" cuts them
    kept: tuple[slice, ...]  # what it keeps


def road_along(first: tuple[int, ...], second: tuple[int, ...], mode: str, along: Any) -> Along:
    """Return how to convolve arrays of these shapes along some axes."""
    rank = len(first)
    axes = tuple(axis for axis in convolved_axes(along, rank) if first[axis] != 1 and second[axis] != 1)
    others = tuple(axis for axis in range(rank) if axis not in axes)
    if any(first[axis] != second[axis] and 1 not in (first[axis], second[axis]) for axis in others):
        raise ValueError(f"incompatible shapes for in1 and in2: {first} and {second}")
    inner = [tuple(shape[axis] for axis in axes) for shape in (first, second)]
    if check_mode(mode) == "valid":
        check_valid(*inner)
    where = section(mode, *inner)
    outer = tuple(max(first[axis], second[axis]) for axis in others)
    starts, lengths = [0] * rank, [0] * rank
    for axis, n in zip(others, outer, strict=True):
        lengths[axis] = first[axis] if mode == "same" else n
        starts[axis] = (n - lengths[axis]) // 2
    kept = tuple(slice(starts[axis], starts[axis] + lengths[axis]) for axis in others)
    is_plain = any(all(shape[axis] == 1 for axis in others) for shape in (first, second))
    if is_plain:
        for axis, start, length in zip(axes, *where, strict=True):
            starts[axis], lengths[axis] = start, length
        where = Section(tuple(starts), tuple(lengths))
    return Along(axes, is_plain, where, others + axes, outer, kept)


def floating(array: Array) -> Array:
    """Return an array for Fourier transforms: float64 for integers, float32 for float16."""
    if array.dtype.kind in "fc" and array.dtype.itemsize > 2:
        return array
    return array.astype(np.float32 if array.dtype.kind == "f" else np.float64)


# Matrices with a border

BOUNDARIES = {
    "fill": "zeros",
    "pad": "zeros",
    "wrap": "circular",
    "circular": "circular",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


def convolve2d(
    first: Array, second: Array, mode: str, boundary: Any, fillvalue: Any, threads: int, correlated: bool
) -> Array:
    """Return the convolution of two matrices, or their correlation."""
    if not isinstance(fillvalue, (int, float, complex)):
        fillvalue = fill_value(fillvalue)
    kind = type(fillvalue)  # for 0j equals 0
    key = (first.shape, second.shape, first.dtype, second.dtype, mode, boundary, fillvalue, kind, correlated)
    road = _plans.get(key)
    if road is None:
        road = road_of_matrices(first, second, mode, boundary, fillvalue, correlated)
        _plans.put(key, road, PLAN_BYTES)
    if road.convolution is None:
        return np.zeros(road.shape, result_dtype(first, second))
    if road.conjugated is not None:
        first, second = (first.conj(), second) if road.conjugated == 0 else (first, second.conj())
    return road.convolution.run(first, second, threads)


class Matrices(NamedTuple):
    """How to convolve matrices."""

    convolution: Convolution | None  # None of empty ones
    conjugated: int | None  # which one is
    shape: tuple[int, ...]  # of the result


def road_of_matrices(
    first: Array, second: Array, mode: str, boundary: Any, fillvalue: Any, correlated: bool
) -> Matrices:
    """Return how to convolve or correlate matrices; "same" correlations are those that follow `correlate`'s."""
    dtype = result_dtype(first, second)
    if dtype.char in "?eO":
        raise ValueError(f"in1 and in2 must be numbers of 32 bits or more, or integers; got dtype {dtype}")
    if not isinstance(boundary, str) or boundary not in BOUNDARIES:
        raise ValueError(f"Acceptable boundary flags are {', '.join(map(repr, BOUNDARIES))}; got {boundary!r}")
    if isinstance(fillvalue, complex) and dtype.kind != "c":
        raise ValueError(f"could not cast `fillvalue` directly to the output type {dtype}: {fillvalue!r} is complex")
    with np.errstate(all="ignore"):
        border: Border | None = Border(BOUNDARIES[boundary], np.array(fillvalue).astype(dtype).item())
    is_swapped = check_mode(mode) == "valid" and check_valid(first.shape, second.shape)
    where = section(mode, first.shape, second.shape)
    if mode == "same" and correlated:
        where = where._replace(starts=tuple(m // 2 for m in second.shape))
    if not (first.size and second.size):
        return Matrices(None, None, tuple(max(0, n) for n in where.lengths))
    if mode == "valid" or border == Border():
        border = None
    convolution = prepared(first, second, where, dtype, correlated, "auto", border)
    conjugated = 0 if is_swapped else 1
    is_complex = (first, second)[conjugated].dtype.kind == "c"
    return Matrices(convolution, conjugated if correlated and is_complex else None, where.lengths)


def fill_value(value: Any) -> complex:
    """Return the number in an array."""
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biufc":
        wanted = "`fillvalue` must be scalar or an array with one number, and cannot be an empty array"
        raise ValueError(f"{wanted}; got {value!r}")
    number: complex = array.item()
    return number


# FIR filters


def filter_state(state: Array, signals: tuple[int, ...], axis: int, taps: int) -> Array:
    """Return a filter's state, broadcast to what signals of this shape and so many taps before the newest one need."""
    wanted = tuple(taps if index == axis else n for index, n in enumerate(signals))
    fits = state.ndim == len(wanted) and state.shape[axis] == taps
    if not fits or any(n not in (1, m) for n, m in zip(state.shape, wanted, strict=True)):
        raise ValueError(f"Unexpected shape for parameter zi: expected {wanted}, found {state.shape}")
    return np.broadcast_to(state, wanted)


# Resampling


EXTENSIONS = (
    "constant",
    "wrap",
    "edge",
    "smooth",
    "symmetric",
    "reflect",
    "antisymmetric",
    "antireflect",
    "line",
)


def check_extension(mode: object) -> str:
    """Return the name of what lies beyond a signal, in lower case."""
    if isinstance(mode, str) and mode.lower() in EXTENSIONS:
        return mode.lower()
    raise ValueError(f"Unknown mode: it must be one of {', '.join(map(repr, EXTENSIONS))}; got {mode!r}")


def extended(x: Array, count: int, mode: str, value: complex) -> Array:
    """Return signals (N, W) with so many samples more at each end."""
    n, index = x.shape[1], np.arange(-count, x.shape[1] + count)
    if mode == "constant":
        return np.pad(x, ((0, 0), (count, count)), constant_values=value)
    if mode == "wrap":
        return x[:, index % n]
    if mode in ("symmetric", "antisymmetric"):
        turns, place = np.divmod(index, n)
        mirrored = x[:, np.where(turns % 2, n - 1 - place, place)]
        return np.where(turns % 2, -mirrored, mirrored) if mode == "antisymmetric" else mirrored
    first, last = x[:, :1], x[:, -1:]
    if mode in ("reflect", "antireflect") and n > 1:
        turns, place = np.divmod(index, n - 1)
        mirrored = x[:, np.where(turns % 2, n - 1 - place, place)]
        if mode == "antireflect":
            mirrored = np.where(turns % 2, 2 * last - mirrored, mirrored) + turns // 2 * 2 * (last - first)
        return mirrored.astype(x.dtype, copy=False)
    result: Array = x[:, np.clip(index, 0, n - 1)]
    if mode in ("line", "smooth") and n > 1:
        slopes = [(last - first) / (n - 1)] * 2 if mode == "line" else [x[:, 1:2] - first, last - x[:, -2:-1]]
        result[:, :count] += slopes[0] * index[:count]
        result[:, count + n :] += slopes[1] * (index[count + n :] - (n - 1))
    return result


class Polyphase(NamedTuple):
    """A filter between samples of two rates: output k sees those samples j for which h[k * down - j * up] is there.

    With period = up / gcd(up, down), outputs r + period * q of one phase r are a convolution of stride
    down / gcd(up, down). Phases that read about the same samples are the filters of one bank.
    """

    outputs: int  # of one signal
    period: int
    banks: tuple[tuple[slice, int, Array, Any], ...]  # phases, samples to skip, their weights in h, and the plan


def upfirdn(h: Array, x: Array, up: int, down: int, extension: tuple[str, Any], threads: int) -> Array:
    """Return signals (N, W) upsampled by zeros between samples, filtered, and downsampled, in the dtype of h.

    extension: a mode, and what lies beyond the signals if it is "constant".
    """
    outputs, lead = -(-((x.shape[1] - 1) * up + len(h)) // down), (len(h) - 1) // up
    if not x.size:
        return np.zeros((len(x), max(0, outputs)), h.dtype)
    if extension == ("constant", 0):
        lead = 0
    else:
        x = extended(x.astype(h.dtype), lead, *extension)
    key = (x.shape, h.shape, x.dtype, h.dtype, up, down, lead)
    filter_ = _plans.get(key)
    if filter_ is None:
        filter_ = polyphase(x.shape, lead, outputs, len(h), up, down, DTypes(x.dtype, h.dtype, h.dtype))
        _plans.put(key, filter_, PLAN_BYTES * (1 + len(filter_.banks)))
    if filter_.period == 1:
        _, skipped, _, plan = filter_.banks[0]
        return _plan.run(plan, x[:, skipped:], np.ascontiguousarray(h[::up][::-1]), None, None, threads)
    padded = np.append(h, np.zeros(1 + -len(h) % up, h.dtype))  # the last one is no weight of the filter
    rows = -(-filter_.outputs // filter_.period)
    result: Array = np.empty((len(x), rows, filter_.period), h.dtype)
    for phases, skipped, index, plan in filter_.banks:
        maps = _plan.run(plan, x[:, skipped:], padded[index], None, None, threads)  # (N, phases, outputs)
        result[:, : maps.shape[2], phases] = maps.transpose(0, 2, 1)
    return result.reshape(len(x), -1)[:, : filter_.outputs]


def polyphase(
    shape: tuple[int, int], lead: int, outputs: int, taps: int, up: int, down: int, dtypes: DTypes
) -> Polyphase:
    """Return the plans of a filter of so many taps for signals (N, W), of which `lead` samples precede the first."""
    signals, samples = shape
    divisor = math.gcd(up, down)
    period, stride, reach = up // divisor, down // divisor, -(-taps // up)
    newest = [
        lead + phase * down // up for phase in range(period)
    ]  # the last sample that the first output of a phase sees
    task = Task((), (), Section((), ()), Border(), dtypes, "auto")
    banks, first = [], 0
    while first < min(period, outputs):
        last = first + 1
        while last < min(period, outputs) and newest[last] - newest[first] < reach:
            last += 1
        tap = [[phase * down % up + i * up for i in range(reach)] for phase in range(first, last)]
        columns = reach + newest[last - 1] - newest[first]
        index = np.full((last - first, columns), reach * up)  # of the weight 0 behind those of h
        for row, phase in enumerate(range(first, last)):
            offset = newest[phase] - newest[first]
            index[row, offset : offset + reach] = tap[row][::-1]
        before = reach - 1 - newest[first]
        skipped = max(0, -before)
        count = -(-(outputs - first) // period)
        window = Window(slice(skipped, samples), max(0, before), columns, count)
        plan = _sections.plan(task, [window], (signals,), filters=last - first if period > 1 else 0, stride=stride)
        banks.append((slice(first, last), skipped, index, plan))
        first = last
    return Polyphase(outputs, period, tuple(banks))
