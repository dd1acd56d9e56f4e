"""scipy.signal's convolutions -> sections of full convolutions: its modes and borders, and how to add up each dtype."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastconv import _blocks, _plan, _ready, _sections, _weights
from fastconv._cache import Cache
from fastconv._passes import DTypes
from fastconv._problem import EXACT_DOUBLE, EXACT_SINGLE, Array
from fastconv._sections import Border, ByParts, Images, Planes, Section, Signals, Task
from fastconv._spectra import Spectra

DType = np.dtype[Any]

PLAN_CACHE_BYTES = 2**22
PLAN_BYTES = 2**13  # of one convolution, about
plans = Cache(PLAN_CACHE_BYTES)  # convolutions, by shapes, dtypes and options

SINGLE, DOUBLE, INTEGER = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int64)
SMALL = 2**13  # products of a convolution: for fewer, looking at arrays takes longer than summing them as they are
# Products of a convolution whose errors should be relative to every output, as those of SciPy's sums are: up to so many,
# transforms save little.
SUMMED = 2**24
MANY_INTEGERS = 2**15  # of an image: it is converted by blocks
MANY_TAPS = 15**2  # from which on Fourier transforms may be faster than exact sums of integers
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
    spectra: bool = False,
) -> Array:
    """Return a section of the full convolution of two arrays of the same rank; options as for `prepared`."""
    convolution = plans.get(
        (first.shape, second.shape, first.dtype, second.dtype, mode, dtype, correlated, method, border, spectra)
    )
    if convolution is None:
        convolution = prepared(first, second, mode, dtype, correlated, method, border, spectra)
    return convolution.run(first, second, threads)


def prepared(
    first: Array,
    second: Array,
    mode: str | Section,
    dtype: DType,
    correlated: bool = False,
    method: str = "auto",
    border: Border | None = None,
    spectra: bool = False,
) -> Convolution:
    """Return what convolves such arrays; correlated: the second one is reversed, but not conjugated, first.

    spectra: Fourier transforms of whole arrays are allowed, whose errors are relative to the largest numbers.
    """
    key = (first.shape, second.shape, first.dtype, second.dtype, mode, dtype, correlated, method, border, spectra)
    convolution = plans.get(key)
    if convolution is None:
        check_method(method, dtype, first.ndim)
        if not isinstance(mode, Section):
            check_shapes(check_mode(mode), first.shape, second.shape)
        where = mode if isinstance(mode, Section) else section(mode, first.shape, second.shape)
        dtypes = first.dtype, second.dtype, dtype
        convolution = Convolution(first.shape, second.shape, where, dtypes, correlated, method, border, spectra)
        plans.put(key, convolution, PLAN_BYTES)
    return convolution


def takes_fft(first: Array, second: Array, mode: str) -> bool:
    """Return whether `convolve` takes Fourier transforms for two arrays."""
    if first.ndim != second.ndim or not (first.ndim and first.size and second.size):
        return False
    return prepared(first, second, mode, result_dtype(first, second), spectra=True).takes_fft(first, second)


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
        spectra: bool = False,
    ) -> None:
        self._swapped = border is None and math.prod(second) > math.prod(first)
        if self._swapped:
            first, second = second, first
        image, kernel = (dtypes[1], dtypes[0]) if self._swapped else dtypes[:2]
        self._complex, self._dtype, self._method = (image.kind == "c", kernel.kind == "c"), dtypes[2], method
        self._turn = reverse = (slice(None, None, -1),) * len(first)  # the core correlates
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
        products = _sections.products(self._task)
        self._is_small, self._is_summed = products <= SMALL, products <= SUMMED and not spectra
        self._is_narrow = max(image.itemsize, kernel.itemsize) <= 2
        self._steps: dict[Sums, Step] = {}
        self._spectra: Spectra | None = None
        if len(first) == 1 and self._is_small and self._dtype.char not in "efd" and border is None:
            self._step: Step | None = Signals(self._task)
        else:
            sums = self._sums_of_floats()
            self._step = sums and self._step_for(sums)
            if sums is not None and sums.algorithm == "auto" and spectra and not self._is_small:
                self._spectra = self._cheaper_spectra(sums)

    def run(self, first: Array, second: Array, threads: int) -> Array:
        """Return the convolution of two arrays."""
        image, kernel = (second, first) if self._swapped else (first, second)
        result: Array | None
        if self._turn_image is not None:
            image = image[self._turn_image]
        if self._turn_kernel is not None:
            kernel = kernel[self._turn_kernel]
        if self._spectra is not None:
            result = self._run_spectra(self._spectra, image, kernel, threads)
            if result is not None:
                return result
        if self._step is not None:
            return self._step.run(image, kernel, threads)
        if self._dtype.char in "gGO":
            return _sections.by_taps(self._task, image, kernel)
        sums = self._sums_of_integers(image, kernel)
        if sums.converted:
            image, kernel = image.astype(sums.dtype), kernel.astype(sums.dtype)
        result = self._step_for(sums).run(image, kernel, threads)
        if sums.rounded:
            np.rint(result, out=result)
        return result if result.dtype == self._dtype else _blocks.converted(result, self._dtype)

    def _run_spectra(self, spectra: Spectra, image: Array, kernel: Array, threads: int) -> Array | None:
        """Return the convolution by passes, if the kernel allows that, or by spectra; None if NaN or infinity spread."""
        if isinstance(self._step, Images):
            result = self._step.run_passes(image, kernel, threads)
            if result is not None:
                return result
        result = spectra.run(image, kernel[self._turn])
        if not _weights.all_finite(result):
            return None
        return result if result.dtype == self._dtype else _blocks.converted(result, self._dtype)

    def remember(self, options: object, arrays: tuple[Any, Any], conjugated: int | None = None) -> None:
        """Remember a ready call under its options, if there is one; conjugated: which array is."""
        plan = self.plan
        if plan is None:
            return
        image, kernel = (1, 0) if self._swapped else (0, 1)
        turns = {image: self._turn_image, kernel: self._turn_kernel}
        details: dict[str, Any] = {
            "image": image,
            "turned": [index for index, turn in turns.items() if turn],
            "conjugated": [] if conjugated is None else [conjugated],
        }
        if self._dtype.kind in "biu" and not self._is_narrow:
            details |= {"limit": EXACT_DOUBLE, "largest": abs(self._task.border.value)}
        lengths = self._task.section.lengths
        _ready.remember(options, arrays, None, [_ready.Pass(plan)], self._dtype, lengths, **details)

    @cached_property
    def plan(self) -> _plan.Plan | None:
        """The plan of ready calls, for arrays of the sums' dtype; None if there are none."""
        sums, few = self._sums_of_floats(), False
        if self._spectra is not None or self._dtype.char in "gGO" or len(self._task.image) > 3:
            return None
        if sums is None:
            few = math.prod(self._task.image) <= MANY_INTEGERS and math.prod(self._task.kernel) <= MANY_TAPS
            if not (self._is_small or few) or (self._dtype.kind == "b" and len(self._task.image) == 1):
                return None
            sums = Sums(DOUBLE, "direct", converted=True)
        images = [step for step in (self._step,) if isinstance(step, Images)]
        if not (images and images[0].plan.single.call is not None):
            if (isinstance(self._step, Signals) and self._dtype.kind == "c") or not (few or self._is_small):
                return None
            dtypes = DTypes(sums.dtype, sums.dtype, sums.dtype)
            images = [Images(self._task._replace(dtypes=dtypes, algorithm=sums.algorithm))]
        return images[0].plan if images[0].is_plain else None

    def takes_fft(self, first: Array, second: Array) -> bool:
        """Return whether these arrays are convolved by Fourier transforms."""
        if self._dtype.char in "gGO":
            return False
        image, kernel = (second, first) if self._swapped else (first, second)
        if self._spectra is not None:
            return True
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

    def _cheaper_spectra(self, sums: Sums) -> Spectra | None:
        """Return a convolution by one transform of each array if it costs less than the planned one."""
        task, step = self._task, self._step
        planned = 1.2 * _sections.products(task)
        if step is not None and step.plan is not None:
            planned = step.plan.layouts[-1].cost * math.prod(step.plan.problem.batch_shape)
        axes = [axis for axis, pair in enumerate(zip(task.image, task.kernel, strict=True)) if 1 not in pair]
        dtype = np.result_type(sums.dtype, np.complex64) if self._dtype.kind == "c" else sums.dtype
        spectra = Spectra(task.image, task.kernel, axes, task.section.starts, task.section.lengths, dtype)
        return spectra if axes and spectra.cost < planned else None

    def _sums_of_floats(self) -> Sums | None:
        """Return how to add up floating-point numbers; None for others."""
        algorithm = "direct" if self._method == "direct" or self._is_summed else "auto"
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
    first: Array,
    second: Array,
    mode: str,
    boundary: Any,
    fillvalue: Any,
    threads: int,
    correlated: bool,
    meaning: object,
) -> Array:
    """Return the convolution of two matrices, or their correlation; meaning: what it is remembered by."""
    if not isinstance(fillvalue, (int, float, complex)):
        fillvalue = fill_value(fillvalue)
    kind = type(fillvalue)  # for 0j equals 0
    key = (first.shape, second.shape, first.dtype, second.dtype, mode, boundary, fillvalue, kind, correlated)
    road = plans.get(key)
    if road is None:
        road = road_of_matrices(first, second, mode, boundary, fillvalue, correlated)
        plans.put(key, road, PLAN_BYTES)
    if road.convolution is None:
        return np.zeros(road.shape, result_dtype(first, second))
    road.convolution.remember(meaning, (first, second), road.conjugated)
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
