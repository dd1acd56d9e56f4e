"""Arguments of scipy.ndimage's filters -> correlations: its modes, axes, origins, dtypes and errors."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _core, _exact, _ready
from fastconv._cache import Cache
from fastconv._exact import DOUBLE, SINGLE
from fastconv._passes import Chain, DTypes, Parts, Pass, Window, correlation
from fastconv._problem import EXACT_DOUBLE, Array

DType = np.dtype[Any]

PLAN_CACHE_BYTES = 2**22
PLAN_BYTES = 2**13  # of one correlation, about
_plans = Cache(PLAN_CACHE_BYTES)  # filters, by shapes, dtypes and options

MODES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "replicate",
    "wrap": "circular",
    "grid-wrap": "circular",
    "constant": "zeros",
    "grid-constant": "zeros",
}
SMALL = 2**17  # numbers of an array: see is_small
LARGEST_SUM = 2.0**62  # magnitudes below which integers are summed in int64
NUDGE = 1 + 2.0**-44  # on means that are truncated: a constant image stays what it is, not what is below
SMALL_NUMBER = 2.0**40  # for nudges


class Filter:
    """A filter for arrays of one shape and dtype; its steps are made when needed, by the dtype of the sums."""

    def __init__(self, dtype: DType, small: bool, make: Callable[[DType], Any], cval: Any) -> None:
        self._dtype, self._small, self._make, self._by_parts = dtype, small, make, not cval
        self._steps: dict[DType, Any] = {}

    def step(self, image: Array, kernel: Array | float | None) -> tuple[Any, DType]:
        """Return the step for an array, and the dtype of its sums; kernel: or its `reach`."""
        sums = sums_dtype(image, self._dtype, kernel, self._small)
        is_real = not (isinstance(kernel, np.ndarray) and kernel.dtype.kind == "c")
        if self._by_parts and is_real and image.dtype.kind == "c":
            sums = SINGLE if image.dtype == sums == np.complex64 else DOUBLE
        step = self._steps.get(sums)
        if step is None:
            step = self._steps[sums] = self._make(sums)
        return step, sums


class Placement(NamedTuple):
    """How a kernel lies along the axes of an array."""

    windows: Sequence[Window]
    flips: tuple[slice, ...]  # of the kernel, as given
    shape: tuple[int, ...]  # of the kernel, with an axis for each of the array


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any,
    cval: Any,
    options: tuple[Any, ...],
    place: Callable[..., Placement],
    threads: int,
) -> Array:
    """Correlate an array with a kernel, which `place(image's rank, kernel's shape, *options)` places along the axes.

    The last option is whether it is turned; complex weights are conjugated unless it is.
    """
    meaning = place, options, cval, type(cval)
    result = _core.run_ready(_ready.calls, meaning, (input, weights), output, threads)
    if result is not None:
        return result
    image, kernel, turned = as_image(input), as_kernel(weights), options[-1]
    is_complex = image.dtype.kind == "c" or kernel.dtype.kind == "c"
    dtype, out = output_array(output, image, is_complex, cval)
    contiguous = is_small(image) or (image.flags.c_contiguous and (out is None or out.flags.c_contiguous))
    key = (place, image.shape, image.dtype, dtype, contiguous, kernel.shape, cval)
    found, options = find(key, options)
    if found is None:
        made = place(image.ndim, kernel.shape, *options)
        shape, windows = image.shape or (1,), made.windows or [Window()]

        def make(sums: DType) -> Any:
            dtypes = DTypes(image.dtype, sums, dtype)
            if image.dtype.kind == "c" and sums.kind != "c":
                return Parts(correlation, shape, windows, dtypes, is_small(image))
            return correlation(shape, windows, cval, dtypes, contiguous)

        found = Filter(dtype, is_small(image), make, cval), made
        _plans.put((*key, options), found, PLAN_BYTES)
    filter_, placement = found
    if not image.size:
        return np.empty(image.shape, dtype) if out is None else out
    step, sums = filter_.step(image, kernel)
    if step.plan is not None and image.ndim and (image.dtype.kind not in "biu" or is_small(image)):
        details = {"turned": (1,) if turned else (), "conjugated": () if turned else (1,), **limits(image, cval)}
        _ready.remember(meaning, (image, kernel), output, [_ready.Pass(step.plan)], dtype, image.shape, **details)
    kernel = kernel[placement.flips].reshape(placement.shape)
    if kernel.dtype.kind == "c" and not turned:
        kernel = kernel.conj()
    if kernel.dtype != sums or not kernel.flags.c_contiguous:
        kernel = np.ascontiguousarray(kernel, sums)
    if not image.ndim:
        return stored(step.run(image.reshape(1), kernel.reshape(1), None, 1).reshape(()), out)
    result = step.run(image, kernel, native(out), threads)
    return result if out is None else stored(result, out)


def run_passes(
    input: ArrayLike,
    output: Any,
    cval: Any,
    options: tuple[Any, ...],
    passes: Callable[..., Sequence[Pass]],
    threads: int,
) -> Array:
    """Return the result of `passes(image's rank, *options)`, along one axis each."""
    meaning = passes, options, cval, type(cval)
    result = _core.run_ready(_ready.calls, meaning, (input,), output, threads)
    if result is not None:
        return result
    image = as_image(input)
    dtype, out = output_array(output, image, image.dtype.kind == "c", cval)
    if not image.flags.c_contiguous and image.dtype == dtype and not is_small(image):
        return in_result(image, dtype, out, lambda result: run_passes(result, result, cval, options, passes, threads))
    contiguous = is_small(image) or (image.flags.c_contiguous and (out is None or out.flags.c_contiguous))
    truncates = dtype.kind in "biu" and (image.dtype.itemsize < 8 or holds_small_numbers(image))
    key = (passes, image.shape, image.dtype, dtype, contiguous, truncates, cval)
    found, options = find(key, options)
    if found is None:
        steps = passes(image.ndim, *options)
        if truncates:
            steps = nudged(steps)
        reaches = [_exact.reach(one.kernel) for one in steps]
        reach = None if None in reaches else math.prod(float(value or 0) for value in reaches)

        def make(sums: DType) -> Any:
            dtypes = DTypes(image.dtype, sums, dtype)
            if image.dtype.kind == "c" and sums.kind != "c":
                return Parts(Chain, image.shape, steps, dtypes, is_small(image))
            return Chain(image.shape, steps, cval, dtypes, contiguous)

        found = Filter(dtype, is_small(image), make, cval), reach, len(steps)
        _plans.put((*key, options), found, PLAN_BYTES * max(1, len(steps)))
    filter_, reach, count = found
    if not image.size or not count:
        result = np.empty(image.shape, dtype) if out is None else out
        result[...] = image
        return result
    chain = filter_.step(image, reach)[0]
    if is_small(image) and truncates == (dtype.kind in "biu"):
        ready = [_ready.Pass(*one) for one in chain.passes()]
        _ready.remember(
            meaning, (image,), output, ready, dtype, image.shape, **limits(image, cval, truncates, reach or 1)
        )
    result = chain.run(image, native(out), threads)
    return result if out is None else stored(result, out)


def limits(image: Array, cval: Any, truncates: bool = False, reach: float = 1.0) -> dict[str, float]:
    """Return up to which magnitudes integers of 64 bits are exact in ready calls, and those beyond the array."""
    if image.dtype.kind not in "iu" or image.dtype.itemsize < 8:
        return {}
    limit = EXACT_DOUBLE / max(1.0, reach)
    return {"limit": min(limit, SMALL_NUMBER) if truncates else limit, "largest": abs(cval)}


def in_result(image: Array, dtype: DType, out: Array | None, filter_in_place: Callable[[Array], Array]) -> Array:
    """Return an array filtered where its copy will be the result: there is no other memory for it."""
    fits = out is not None and out.flags.c_contiguous and out.dtype.isnative
    result = out if out is not None and fits else _core.empty_result(image.shape, dtype)
    np.copyto(result, image)
    return stored(filter_in_place(result), out)


def nudged(passes: Sequence[Pass]) -> Sequence[Pass]:
    """Return passes of means with weights that sum to slightly more than 1; others as they are."""
    if any(one.kernel.min() < 0 or abs(one.kernel.sum() - 1) > 1e-9 for one in passes):
        return passes
    return [one._replace(kernel=one.kernel * NUDGE) for one in passes]


def holds_small_numbers(image: Array) -> bool:
    """Return whether all numbers are so small that a nudge does not reach the next integer."""
    return image.size > 0 and float(image.min()) > -SMALL_NUMBER and float(image.max()) < SMALL_NUMBER


def is_small(image: Array) -> bool:
    """Return whether an array is so small that looking at it, or at weights, takes longer than filtering it."""
    return image.size <= SMALL


def find(key: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return what is remembered for a key and options, None if nothing is, and the options without lists."""
    try:
        return _plans.get((*key, options)), options
    except TypeError:  # an option is a list
        options = tuple(map(_check.hashable, options))
        return _plans.get((*key, options)), options


def sums_dtype(image: Array, result: DType, kernel: Array | float | None, small: bool = False) -> DType:
    """Return the dtype in which to add up: float32 for float32, for integers one in which sums are exact.

    kernel: or its `reach`. In small arrays of up to 32 bits, sums are float64 as SciPy's.
    """
    kind = image.dtype.kind
    if result.kind == "c":
        return np.dtype(np.complex64 if result == np.complex64 else np.complex128)
    if kind == "f":
        single = image.dtype.itemsize <= 4 and result.kind == "f" and result.itemsize <= 4
        return SINGLE if single else DOUBLE
    if small and image.dtype.itemsize <= 4:
        return DOUBLE
    most = _exact.reach(kernel) if isinstance(kernel, np.ndarray) else kernel
    if most is None:
        return DOUBLE
    largest = _exact.largest_pixel(image.dtype, image) * most
    sums = _exact.sums_dtype(largest)
    if sums is None:
        sums = DOUBLE if kind == "u" or largest >= LARGEST_SUM else np.dtype(np.int64)
    return DOUBLE if small and sums == SINGLE else sums


# Arguments


def as_image(input: ArrayLike) -> Array:
    """Return the input as an array of a dtype that is supported, in native byte order."""
    image = input if type(input) is np.ndarray else _check.as_array("input", input)
    check_dtype(image.dtype)
    return image if image.dtype.isnative else image.astype(image.dtype.newbyteorder("="))


def as_kernel(weights: ArrayLike) -> Array:
    """Return weights as an array of integers, float64 or complex numbers."""
    kernel = weights if type(weights) is np.ndarray else np.asarray(weights)
    if (kernel.dtype.kind in "iuf" and kernel.dtype.itemsize <= 8) or kernel.dtype.kind == "c":
        return kernel
    return kernel.astype(np.float64)


def check_dtype(dtype: DType) -> None:
    """Raise RuntimeError, as SciPy does, for dtypes that are not supported."""
    if dtype.kind not in "biufc" or dtype.char in "gG":
        raise RuntimeError(f"array type {dtype!r} not supported")


def output_array(output: Any, image: Array, is_complex: bool, cval: Any) -> tuple[DType, Array | None]:
    """Return the dtype of the result in native byte order, and the array to write to if one is given."""
    if image.dtype.kind != "c" and isinstance(cval, (complex, np.complexfloating)):
        raise ValueError(f"cval must be real for a real image; got {cval!r}")
    if output is None:
        return (np.promote_types(image.dtype, np.complex64) if is_complex else image.dtype), None
    array: Array | None = None
    if isinstance(output, (type, np.dtype)):
        dtype = np.dtype(output)
        if is_complex and dtype.kind != "c":
            warnings.warn("promoting specified output dtype to complex", UserWarning, stacklevel=4)
            dtype = np.promote_types(dtype, np.complex64)
    elif isinstance(output, str):
        dtype = np.dtype(output)
        if not issubclass(dtype.type, np.number):
            raise RuntimeError(f"output must have numeric dtype; got {output!r}")  # noqa: TRY004 - as SciPy does
    else:
        array = np.asarray(output)
        dtype = array.dtype
        if array.shape != image.shape:
            raise RuntimeError(f"output shape not correct: it must be {image.shape}; got {array.shape}")
    check_dtype(dtype)
    if is_complex != (dtype.kind == "c"):
        wanted = "complex dtype for a complex image or weights" if is_complex else "real dtype for real ones"
        raise RuntimeError(f"output must have {wanted}; got {dtype}")
    return dtype.newbyteorder("="), array


def native(out: Array | None) -> Array | None:
    """Return an array if results can be written to it as they are."""
    return out if out is not None and out.dtype.isnative and (out.flags.c_contiguous or not is_small(out)) else None


def stored(result: Array, out: Array | None) -> Array:
    """Return the result, copied to the array that was given as output unless it is there already."""
    if out is None or out is result:
        return result
    out[...] = result
    return out


def padding_mode(mode: object) -> str:
    """Return the padding mode of one of SciPy's modes."""
    if isinstance(mode, str) and mode in MODES:
        return MODES[mode]
    if not isinstance(mode, str) and isinstance(mode, Iterable):
        raise RuntimeError(  # noqa: TRY004 - as SciPy does
            f"A sequence of modes is not supported: mode must be one name; got {mode!r}"
        )
    raise RuntimeError(f"boundary mode not supported: mode must be one of {', '.join(map(repr, MODES))}; got {mode!r}")


def per_axis(value: Any, count: int) -> list[Any]:
    """Return one value per axis: the same one, unless they are given as a sequence."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise RuntimeError(f"sequence argument must have length equal to input rank, {count}; got {values!r}")
    return values


def axis_index(axis: Any, rank: int) -> int:
    """Return an axis, counted from the first one."""
    index = operator.index(axis)
    if not -rank <= index < rank:
        raise np.exceptions.AxisError(index, rank)
    return index % rank


def axis_indices(axes: Any, rank: int) -> tuple[int, ...]:
    """Return axes, all of them by default, counted from the first one."""
    if axes is None:
        return tuple(range(rank))
    given = [operator.index(axis) for axis in (axes if isinstance(axes, Iterable) else (axes,))]
    for index in given:
        if not -rank <= index < rank:
            raise ValueError(f"specified axis: {index} is out of range for axes of an array of rank {rank}")
    counted = tuple(index % rank for index in given)
    if len(set(counted)) < len(counted):
        raise ValueError(f"axes must be unique; got {tuple(given)}")
    return counted


def window(taps: int, origin: Any, mode: object) -> Window:
    """Return the window of a kernel whose anchor is moved by an origin."""
    shift = operator.index(origin)
    if not -(taps // 2) <= shift <= (taps - 1) // 2:
        raise ValueError(
            f"Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= (len(weights)-1) // 2, "
            f"here {-(taps // 2)} to {(taps - 1) // 2}; got {shift}"
        )
    return Window(taps, taps // 2 + shift, padding_mode(mode))


# Kernels


def place_everywhere(
    rank: int, kernel_shape: tuple[int, ...], mode: object, origin: Any, axes: Any, flip: bool
) -> Placement:
    """Return how a kernel lies along several axes; those of fewer axes than the array's lie in ascending order."""
    along = axis_indices(axes, rank)
    if len(kernel_shape) != len(along):
        raise RuntimeError(f"weights.ndim ({len(kernel_shape)}) must match len(axes) ({len(along)})")
    if 0 in kernel_shape:
        raise RuntimeError(f"weights must have at least one element; got shape {kernel_shape}")
    origins = [operator.index(shift) for shift in per_axis(origin, len(along))]
    if flip:
        origins = [-shift - (n % 2 == 0) for shift, n in zip(origins, kernel_shape, strict=True)]
    if len(along) == rank:
        along = tuple(range(rank))
    shifts = dict(zip(along, origins, strict=True))
    sizes = dict(zip(sorted(along), kernel_shape, strict=True))
    shape = tuple(sizes.get(axis, 1) for axis in range(rank))
    windows = [window(n, shifts.get(axis, 0), mode) for axis, n in enumerate(shape)]
    padding_mode(mode)
    return Placement(windows, (slice(None, None, -1 if flip else 1),) * len(along), shape)


def place_along(
    rank: int, kernel_shape: tuple[int, ...], mode: object, origin: Any, axis: Any, flip: bool
) -> Placement:
    """Return how a kernel of rank 1 lies along one axis."""
    along = axis_index(axis, rank)
    if len(kernel_shape) != 1 or not kernel_shape[0]:
        raise RuntimeError(
            f"no filter weights given: weights must be an array of rank 1 that is not empty; got shape {kernel_shape}"
        )
    shift = operator.index(origin)
    side = window(kernel_shape[0], -shift - (kernel_shape[0] % 2 == 0) if flip else shift, mode)
    windows = [side if index == along else Window() for index in range(rank)]
    return Placement(windows, (slice(None, None, -1 if flip else 1),), tuple(w.taps for w in windows))


def gaussian_passes(rank: int, sigma: Any, order: Any, mode: Any, truncate: Any, radius: Any, axes: Any) -> list[Pass]:
    """Return the passes of a Gaussian along several axes."""
    along = axis_indices(axes, rank)
    options = (per_axis(option, len(along)) for option in (sigma, order, mode, radius))
    return [
        gaussian_pass(axis, s, n, edge, truncate, reach)
        for axis, s, n, edge, reach in zip(along, *options, strict=True)
        if s > 1e-15
    ]


def gaussian_passes_along(
    rank: int, sigma: Any, order: Any, mode: Any, truncate: Any, radius: Any, axis: Any
) -> list[Pass]:
    """Return the pass of a Gaussian along one axis."""
    return [gaussian_pass(axis_index(axis, rank), sigma, order, mode, truncate, radius)]


def uniform_passes(rank: int, size: Any, mode: Any, origin: Any, axes: Any) -> list[Pass]:
    """Return the passes of a mean along several axes."""
    along = axis_indices(axes, rank)
    options = (per_axis(option, len(along)) for option in (size, origin, mode))
    return [
        uniform_pass(axis, int(n), shift, edge) for axis, n, shift, edge in zip(along, *options, strict=True) if n > 1
    ]


def uniform_passes_along(rank: int, size: Any, mode: Any, origin: Any, axis: Any) -> list[Pass]:
    """Return the pass of a mean along one axis."""
    return [uniform_pass(axis_index(axis, rank), size, origin, mode)]


def edge_passes(rank: int, smooth: tuple[int, ...], mode: Any, axis: Any) -> list[Pass]:
    """Return the passes of a central difference along one axis, and of a smoothing kernel along all others."""
    along, modes = axis_index(axis, rank), per_axis(mode, rank)
    kernels = {index: np.array((-1, 0, 1) if index == along else smooth, float) for index in range(rank)}
    order = sorted(kernels, key=lambda index: index != along)
    return [Pass(index, window(3, 0, modes[index]), kernels[index]) for index in order]


@lru_cache(maxsize=64)
def laplace_kernel(rank: int, axes: tuple[int, ...]) -> Array:
    """Return the kernel that adds up second differences along some axes."""
    kernel = np.zeros([3 if axis in axes else 1 for axis in range(rank)])
    centre = [1 if axis in axes else 0 for axis in range(rank)]
    for axis in axes:
        for tap, weight in enumerate((1, -2, 1)):
            kernel[tuple(tap if index == axis else place for index, place in enumerate(centre))] += weight
    return kernel


@lru_cache(maxsize=256)
def gaussian_kernel(sigma: float, order: int, radius: int) -> Array:
    """Return samples of a Gaussian that sum to 1, or its derivative, as correlation takes it.

    The n-th derivative is the Gaussian times a polynomial q: q[0] = 1, q[n + 1] = q[n]' - x / sigma^2 q[n].
    """
    x = np.arange(-radius, radius + 1)
    samples = np.exp(-0.5 / (sigma * sigma) * x**2)
    polynomial = np.polynomial.Polynomial([1.0])
    for _ in range(order):
        polynomial = polynomial.deriv() - polynomial * np.polynomial.Polynomial([0, 1 / (sigma * sigma)])
    kernel: Array = (samples / samples.sum() * polynomial(x))[::-1]
    return kernel


def gaussian_pass(axis: int, sigma: Any, order: Any, mode: object, truncate: Any, radius: Any) -> Pass:
    """Return the pass of a Gaussian along one axis."""
    if order < 0:
        raise ValueError(f"order must be non-negative; got {order!r}")
    reach = int(float(truncate) * float(sigma) + 0.5) if radius is None else radius
    if not isinstance(reach, Integral) or reach < 0:
        raise ValueError(f"Radius must be a nonnegative integer; got {radius!r}")
    kernel = gaussian_kernel(float(sigma), operator.index(order), int(reach))
    return Pass(axis, window(len(kernel), 0, mode), kernel)


def uniform_pass(axis: int, size: int, origin: Any, mode: object) -> Pass:
    """Return the pass of a mean along one axis."""
    if size < 1:
        raise RuntimeError(f"incorrect filter size: size must be 1 or more; got {size!r}")
    shift = operator.index(origin)
    if not 0 <= size // 2 + shift < size:
        raise ValueError(f"invalid origin: it must satisfy 0 <= size // 2 + origin < size; got {shift} for size {size}")
    kernel = np.full(size, 1 / size)
    return Pass(axis, Window(size, size // 2 + shift, padding_mode(mode)), kernel)
