"""scipy.ndimage's linear filters: the same names, arguments and results, many times faster.

A change of import is enough: ``from fastconv import ndimage``. _ndimage.py checks arguments, _passes.py runs the
correlations on the plans and the core of `conv2d`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _ndimage
from fastconv._ndimage import as_image, as_kernel, axis_indices, per_axis
from fastconv._problem import Array

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "generic_gradient_magnitude",
    "generic_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    image, kernel = as_image(input), as_kernel(weights)
    if kernel.dtype.kind == "c":
        kernel = kernel.conj()
    return _ndimage.correlate(image, kernel, output, cval, (mode, origin, axes, False), _ndimage.place_everywhere)


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    image, kernel = as_image(input), as_kernel(weights)
    return _ndimage.correlate(image, kernel, output, cval, (mode, origin, axes, True), _ndimage.place_everywhere)


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    image, kernel = as_image(input), as_kernel(weights)
    if kernel.dtype.kind == "c":
        kernel = kernel.conj()
    return _ndimage.correlate(image, kernel, output, cval, (mode, origin, axis, False), _ndimage.place_along)


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    image, kernel = as_image(input), as_kernel(weights)
    return _ndimage.correlate(image, kernel, output, cval, (mode, origin, axis, True), _ndimage.place_along)


def gaussian_filter1d(
    input: ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Array:
    options = (sigma, order, mode, truncate, radius, axis)
    return _ndimage.run_passes(as_image(input), output, cval, options, _ndimage.gaussian_passes_along)


def gaussian_filter(
    input: ArrayLike,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
    axes: int | Sequence[int] | None = None,
) -> Array:
    options = (sigma, order, mode, truncate, radius, axes)
    return _ndimage.run_passes(as_image(input), output, cval, options, _ndimage.gaussian_passes)


def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    return _ndimage.run_passes(as_image(input), output, cval, (size, mode, origin, axis), _ndimage.uniform_passes_along)


def uniform_filter(
    input: ArrayLike,
    size: int | Sequence[int] = 3,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    return _ndimage.run_passes(as_image(input), output, cval, (size, mode, origin, axes), _ndimage.uniform_passes)


def sobel(
    input: ArrayLike, axis: int = -1, output: Any = None, mode: str | Sequence[str] = "reflect", cval: complex = 0.0
) -> Array:
    return _ndimage.run_passes(as_image(input), output, cval, ((1, 2, 1), mode, axis), _ndimage.edge_passes)


def prewitt(
    input: ArrayLike, axis: int = -1, output: Any = None, mode: str | Sequence[str] = "reflect", cval: complex = 0.0
) -> Array:
    return _ndimage.run_passes(as_image(input), output, cval, ((1, 1, 1), mode, axis), _ndimage.edge_passes)


def laplace(
    input: ArrayLike,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    image = as_image(input)
    along = axis_indices(axes, image.ndim)
    if isinstance(mode, str) and 0 < len(along) <= 3 and (output is None and image.dtype.kind != "b"):
        kernel, options = _ndimage.laplace_kernel(image.ndim, along), (mode, 0, None, False)
        return _ndimage.correlate(image, kernel, output, cval, options, _ndimage.place_everywhere)

    def derivative2(input: Array, axis: int, output: Any, mode: str, cval: complex) -> Array:
        return correlate1d(input, [1, -2, 1], axis, output, mode, cval, 0)

    return generic_laplace(image, derivative2, output, mode, cval, axes=axes)


def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Array],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    image, keywords = as_image(input), dict(extra_keywords or {})
    along = axis_indices(axes, image.ndim)
    result = _result(image, output)
    if not along:
        result[...] = image
        return result
    modes = per_axis(mode, len(along))
    derivative2(image, along[0], result, modes[0], cval, *extra_arguments, **keywords)
    for axis, edge in zip(along[1:], modes[1:], strict=True):
        result += derivative2(image, axis, result.dtype, edge, cval, *extra_arguments, **keywords)
    return result


def gaussian_laplace(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    image = as_image(input)
    sigmas = _sigmas(sigma, axes, image.ndim)

    def derivative2(input: Array, axis: int, output: Any, mode: str, cval: complex, **kwargs: Any) -> Array:
        orders = [2 if index == axis else 0 for index in range(input.ndim)]
        return gaussian_filter(input, sigmas, orders, output, mode, cval, **kwargs)

    return generic_laplace(image, derivative2, output, mode, cval, (), kwargs, axes=axes)


def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Array],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    image, keywords = as_image(input), dict(extra_keywords or {})
    along = axis_indices(axes, image.ndim)
    result = _result(image, output)
    if not along:
        result[...] = image
        return result
    modes = per_axis(mode, len(along))
    derivative(image, along[0], result, modes[0], cval, *extra_arguments, **keywords)
    np.multiply(result, result, result)
    for axis, edge in zip(along[1:], modes[1:], strict=True):
        part = derivative(image, axis, result.dtype, edge, cval, *extra_arguments, **keywords)
        np.multiply(part, part, part)
        result += part
    np.sqrt(result, result, casting="unsafe")
    return result


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: float | Sequence[float],
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    image = as_image(input)
    sigmas = _sigmas(sigma, axes, image.ndim)

    def derivative(input: Array, axis: int, output: Any, mode: str, cval: complex, **kwargs: Any) -> Array:
        orders = [1 if index == axis else 0 for index in range(input.ndim)]
        return gaussian_filter(input, sigmas, orders, output, mode, cval, **kwargs)

    return generic_gradient_magnitude(image, derivative, output, mode, cval, (), kwargs, axes=axes)


def _sigmas(sigma: Any, axes: Any, rank: int) -> list[float]:
    """Return the sigma of every axis: 0 for those that are not filtered."""
    along = axis_indices(axes, rank)
    given = dict(zip(along, per_axis(sigma, len(along)), strict=True))
    return [given.get(axis, 0) for axis in range(rank)]


def _result(image: Array, output: Any) -> Array:
    """Return the array for a result: the one that was given as output, or a new one."""
    dtype, array = _ndimage.output_array(output, image, image.dtype.kind == "c", 0)
    return np.zeros(image.shape, dtype) if array is None else array
