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
from fastconv._ndimage import as_image, axis_indices, per_axis
from fastconv._problem import Array
from fastconv._types import NdimageMode, NdimageModes
from fastconv.config import num_threads

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
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Correlate an array with a kernel of the same rank, along all axes or some.

    Parameters
    ----------
    input : array_like
        Any rank, and any dtype but longdouble and object.
    weights : array_like
        The kernel, of as many axes as are filtered.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : {"reflect", "mirror", "nearest", "wrap", "constant", "grid-mirror", "grid-wrap", "grid-constant"}
        What lies beyond the array: d c b a | a b c d | d c b a, d c b | a b c d | c b a, a a a a | a b c d | d d d d,
        a b c d | a b c d | a b c d, and cval. The names with "grid-" mean the same as "reflect", "wrap" and "constant".
    cval : number
        What mode "constant" repeats.
    origin : int, or one per axis
        Moves the kernel's anchor, ``n // 2``, towards its end.
    axes : int or tuple of int, optional
        The axes to filter, all by default. Weights of fewer axes than the array lie along them in ascending order.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If an origin lies outside of the kernel, or axes do not exist.

    Notes
    -----
    Along each axis :math:`y[i] = \\sum_u w[u] \\; x[i + u - n // 2 - origin]`; complex weights are conjugated. Sums of
    integers are exact, or of float64 if weights are not integers, and are truncated towards zero and wrapped around to
    the dtype of the result.

    Differences from SciPy
    ----------------------
    float32 arrays are summed in float32 (pass ``output=float`` for sums in float64); float16 ones are taken, too. A NaN
    under a weight of 0 makes a NaN, as it does in `correlate1d`, and weights below 2.2e-16 are not dropped. bool arrays
    give True and False.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.correlate([[1, 2, 3], [4, 5, 6]], [[0, 1, 1]])
    array([[ 3,  5,  6],
           [ 9, 11, 12]])
    """
    return _ndimage.correlate(
        input, weights, output, cval, (mode, origin, axes, False), _ndimage.place_everywhere, num_threads(None)
    )


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: Any = None,
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Convolve an array with a kernel of the same rank: `correlate` with the kernel turned around.

    Parameters
    ----------
    input, weights, output, mode, cval, axes
        As for `correlate`; complex weights are not conjugated.
    origin : int, or one per axis
        Moves the kernel's anchor, ``(n - 1) // 2`` of the turned kernel, the other way.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If an origin lies outside of the kernel, or axes do not exist.

    Notes
    -----
    Along each axis :math:`y[i] = \\sum_u w[u] \\; x[i + n // 2 + origin - u]`. It differs from SciPy's as `correlate` does.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.convolve([1, 2, 3], [1, 10])
    array([12, 23, 33])
    """
    return _ndimage.correlate(
        input, weights, output, cval, (mode, origin, axes, True), _ndimage.place_everywhere, num_threads(None)
    )


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    """Correlate an array with a kernel along one axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    weights : array_like, shape (n,)
        The kernel.
    axis : int
        The axis to filter.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    origin : int
        Moves the kernel's anchor, ``n // 2``, towards its end.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it, or there are no weights.
    ValueError, TypeError
        If origin lies outside of the kernel, or the axis does not exist.

    Notes
    -----
    :math:`y[i] = \\sum_u w[u] \\; x[i + u - n // 2 - origin]`, summed as by `correlate`.

    Differences from SciPy
    ----------------------
    float32 arrays are summed in float32 (pass ``output=float`` for sums in float64), float16 ones are taken, too.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.correlate1d([1, 2, 4, 8], [-1, 1], origin=-1)
    array([1, 2, 4, 0])
    """
    return _ndimage.correlate(
        input, weights, output, cval, (mode, origin, axis, False), _ndimage.place_along, num_threads(None)
    )


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: int = -1,
    output: Any = None,
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    """Convolve an array with a kernel along one axis.

    Parameters
    ----------
    input, weights, axis, output, mode, cval
        As for `correlate1d`; complex weights are not conjugated.
    origin : int
        Moves the kernel's anchor towards its beginning.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it, or there are no weights.
    ValueError, TypeError
        If origin lies outside of the kernel, or the axis does not exist.

    Notes
    -----
    :math:`y[i] = \\sum_u w[u] \\; x[i + n // 2 + origin - u]`. It differs from SciPy's as `correlate1d` does.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.convolve1d([0, 0, 1, 0, 0], [1, 2, 3])
    array([0, 1, 2, 3, 0])
    """
    return _ndimage.correlate(
        input, weights, output, cval, (mode, origin, axis, True), _ndimage.place_along, num_threads(None)
    )


def gaussian_filter1d(
    input: ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Array:
    """Blur an array by a Gaussian along one axis, or differentiate it.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    sigma : float
        Standard deviation, in pixels.
    axis : int
        The axis to filter.
    order : int
        0 for the Gaussian itself, n for its n-th derivative.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    truncate : float
        The kernel reaches ``int(truncate * sigma + 0.5)`` pixels to either side.
    radius : int, optional
        The same in pixels, instead of `truncate`.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If order or radius is negative, or the axis does not exist.

    Notes
    -----
    The kernel is :math:`\\exp(-x^2 / 2 \\sigma^2)`, sampled and divided by its sum, times the polynomial of its derivative.

    Differences from SciPy
    ----------------------
    As for `correlate1d`. A constant image of integers stays what it is: SciPy truncates some to the integer below.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter1d([0.0, 0, 1, 0, 0], 0.5).round(3)
    array([0.   , 0.106, 0.787, 0.106, 0.   ])
    """
    options = (sigma, order, mode, truncate, radius, axis)
    return _ndimage.run_passes(input, output, cval, options, _ndimage.gaussian_passes_along, num_threads(None))


def gaussian_filter(
    input: ArrayLike,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Any = None,
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int] | None = None,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Blur an array by a Gaussian, or differentiate it, in a pass along each axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    sigma : float, or one per axis
        Standard deviations, in pixels. Axes of sigma 0 are not filtered.
    order : int, or one per axis
        0 for the Gaussian itself, n for its n-th derivative.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    truncate : float
        Kernels reach ``int(truncate * sigma + 0.5)`` pixels to either side.
    radius : int, or one per axis, optional
        The same in pixels, instead of `truncate`.
    axes : int or tuple of int, optional
        The axes to filter, all by default; options per axis are in their order.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If an order or radius is negative, or axes do not exist.

    Notes
    -----
    The passes are those of `gaussian_filter1d`; each ends in the dtype of the result.

    Differences from SciPy
    ----------------------
    As for `gaussian_filter1d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.zeros((5, 5))
    >>> image[2, 2] = 1
    >>> ndimage.gaussian_filter(image, 0.5)[1:4, 1:4].round(3)
    array([[0.011, 0.084, 0.011],
           [0.084, 0.619, 0.084],
           [0.011, 0.084, 0.011]])
    """
    options = (sigma, order, mode, truncate, radius, axes)
    return _ndimage.run_passes(input, output, cval, options, _ndimage.gaussian_passes, num_threads(None))


def uniform_filter1d(
    input: ArrayLike,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: NdimageMode = "reflect",
    cval: complex = 0.0,
    origin: int = 0,
) -> Array:
    """Take the mean of neighbours along one axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    size : int
        How many neighbours.
    axis : int
        The axis to filter.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    origin : int
        Moves the window's anchor, ``size // 2``, towards its end.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it, or size is less than 1.
    ValueError, TypeError
        If origin lies outside of the window, or the axis does not exist.

    Notes
    -----
    :math:`y[i] = \\sum_{u < size} x[i + u - size // 2 - origin] / size`; for integers the exact mean, truncated.

    Differences from SciPy
    ----------------------
    As for `correlate1d`. Sums do not run on along the line: a NaN reaches only the windows that hold it, and a large
    number leaves no rounding error behind it.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter1d([2, 4, 6, 12], 3)
    array([ 2,  4,  7, 10])
    """
    return _ndimage.run_passes(
        input, output, cval, (size, mode, origin, axis), _ndimage.uniform_passes_along, num_threads(None)
    )


def uniform_filter(
    input: ArrayLike,
    size: int | Sequence[int] = 3,
    output: Any = None,
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    origin: int | Sequence[int] = 0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Take the mean of neighbours, in a pass along each axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    size : int, or one per axis
        How many neighbours. Axes of size 1 or 0 are not filtered.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    origin : int, or one per axis
        As for `uniform_filter1d`.
    axes : int or tuple of int, optional
        The axes to filter, all by default; options per axis are in their order.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If an origin lies outside of the window, or axes do not exist.

    Notes
    -----
    The passes are those of `uniform_filter1d`, from whose SciPy's differs likewise; each ends in the dtype of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.uniform_filter(np.eye(3) * 9, 3)
    array([[5., 3., 1.],
           [3., 3., 3.],
           [1., 3., 5.]])
    """
    return _ndimage.run_passes(
        input, output, cval, (size, mode, origin, axes), _ndimage.uniform_passes, num_threads(None)
    )


def sobel(
    input: ArrayLike, axis: int = -1, output: Any = None, mode: NdimageModes = "reflect", cval: complex = 0.0
) -> Array:
    """Differentiate an array along one axis by the Sobel kernel.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    axis : int
        The axis along which to differentiate.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If the axis does not exist.

    Notes
    -----
    A pass of [-1, 0, 1] along the axis, then one of [1, 2, 1] along each other axis; each ends in the dtype of the
    result. It differs from SciPy's as `correlate1d` does.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.sobel([[0, 0, 1, 1], [0, 0, 1, 1]])
    array([[0, 4, 4, 0],
           [0, 4, 4, 0]])
    """
    return _ndimage.run_passes(input, output, cval, ((1, 2, 1), mode, axis), _ndimage.edge_passes, num_threads(None))


def prewitt(
    input: ArrayLike, axis: int = -1, output: Any = None, mode: NdimageModes = "reflect", cval: complex = 0.0
) -> Array:
    """Differentiate an array along one axis by the Prewitt kernel.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    axis : int
        The axis along which to differentiate.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If the axis does not exist.

    Notes
    -----
    A pass of [-1, 0, 1] along the axis, then one of [1, 1, 1] along each other axis; each ends in the dtype of the
    result. It differs from SciPy's as `correlate1d` does.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.prewitt([[0, 0, 1, 1], [0, 0, 1, 1]])
    array([[0, 3, 3, 0],
           [0, 3, 3, 0]])
    """
    return _ndimage.run_passes(input, output, cval, ((1, 1, 1), mode, axis), _ndimage.edge_passes, num_threads(None))


def laplace(
    input: ArrayLike,
    output: Any = None,
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Add up the second differences of an array along its axes.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    axes : int or tuple of int, optional
        The axes to filter, all by default.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If axes do not exist.

    Notes
    -----
    The kernel is [1, -2, 1] along each axis. It differs from SciPy's as `correlate1d` does.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> ndimage.laplace([0, 0, 1, 0, 0])
    array([ 0,  1, -2,  1,  0])
    """
    image = as_image(input)
    along = axis_indices(axes, image.ndim)
    whole = image.dtype.kind not in "iu" or cval == int(cval.real)  # or each difference would be truncated
    if isinstance(mode, str) and 0 < len(along) <= 3 and output is None and image.dtype.kind != "b" and whole:
        kernel, options = _ndimage.laplace_kernel(image.ndim, along), (mode, 0, None, False)
        return _ndimage.correlate(image, kernel, output, cval, options, _ndimage.place_everywhere, num_threads(None))

    def derivative2(input: Array, axis: int, output: Any, mode: NdimageMode, cval: complex) -> Array:
        return correlate1d(input, [1, -2, 1], axis, output, mode, cval, 0)

    return generic_laplace(image, derivative2, output, mode, cval, axes=axes)


def generic_laplace(
    input: ArrayLike,
    derivative2: Callable[..., Array],
    output: Any = None,
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Add up the second derivatives of an array that a function computes along each axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    derivative2 : callable
        Called as ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    extra_arguments : sequence
        Passed on to the function, behind its own arguments.
    extra_keywords : dict, optional
        Passed on likewise.
    axes : int or tuple of int, optional
        The axes to filter, all by default.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If axes do not exist.

    Examples
    --------
    >>> from fastconv import ndimage
    >>> def second_difference(input, axis, output, mode, cval):
    ...     return ndimage.correlate1d(input, [1, -2, 1], axis, output, mode, cval)
    >>> ndimage.generic_laplace([0, 0, 1, 0, 0], second_difference)
    array([ 0,  1, -2,  1,  0])
    """
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
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    """Add up the second derivatives of an array that a Gaussian has blurred.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    sigma : float, or one per axis
        Standard deviations, in pixels.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    axes : int or tuple of int, optional
        The axes to filter, all by default.
    **kwargs
        Passed on to `gaussian_filter`.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If axes do not exist.

    Notes
    -----
    The sum over axes of `gaussian_filter` of order 2 along one of them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_laplace(np.array([0.0, 0, 1, 0, 0]), 1).round(3)
    array([ 0.197,  0.002, -0.399,  0.002,  0.197])
    """
    image = as_image(input)
    sigmas = _sigmas(sigma, axes, image.ndim)

    def derivative2(input: Array, axis: int, output: Any, mode: NdimageMode, cval: complex, **kwargs: Any) -> Array:
        orders = [2 if index == axis else 0 for index in range(input.ndim)]
        return gaussian_filter(input, sigmas, orders, output, mode, cval, **kwargs)

    return generic_laplace(image, derivative2, output, mode, cval, (), kwargs, axes=axes)


def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Callable[..., Array],
    output: Any = None,
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    extra_arguments: Sequence[Any] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: int | Sequence[int] | None = None,
) -> Array:
    """Return the length of the gradient that a function computes along each axis.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    derivative : callable
        Called as ``derivative(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    extra_arguments : sequence
        Passed on to the function, behind its own arguments.
    extra_keywords : dict, optional
        Passed on likewise.
    axes : int or tuple of int, optional
        The axes to filter, all by default.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If axes do not exist.

    Notes
    -----
    The square root of the sum of squares, all in the dtype of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ramp = np.add.outer(3.0 * np.arange(5), 4.0 * np.arange(5))
    >>> ndimage.generic_gradient_magnitude(ramp, ndimage.prewitt)[1:4, 1:4] / 6
    array([[5., 5., 5.],
           [5., 5., 5.],
           [5., 5., 5.]])
    """
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
    mode: NdimageModes = "reflect",
    cval: complex = 0.0,
    *,
    axes: int | Sequence[int] | None = None,
    **kwargs: Any,
) -> Array:
    """Return the length of the gradient of an array that a Gaussian has blurred.

    Parameters
    ----------
    input : array_like
        As for `correlate`.
    sigma : float, or one per axis
        Standard deviations, in pixels.
    output : ndarray, dtype, type or str, optional
        Where to write the result, or its dtype; by default that of the input (complex if anything is).
    mode : str, or one per axis
        What lies beyond the array, as for `correlate`.
    cval : number
        What mode "constant" repeats.
    axes : int or tuple of int, optional
        The axes to filter, all by default.
    **kwargs
        Passed on to `gaussian_filter`.

    Returns
    -------
    ndarray, of the input's shape
        `output` if it is an array.

    Raises
    ------
    RuntimeError
        If dtypes, modes or lengths do not fit, as SciPy has it.
    ValueError, TypeError
        If axes do not exist.

    Notes
    -----
    The square root of the sum over axes of the square of `gaussian_filter` of order 1 along one of them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_gradient_magnitude(np.array([0.0, 0, 1, 1, 1]), 1).round(3)
    array([0.108, 0.363, 0.364, 0.122, 0.013])
    """
    image = as_image(input)
    sigmas = _sigmas(sigma, axes, image.ndim)

    def derivative(input: Array, axis: int, output: Any, mode: NdimageMode, cval: complex, **kwargs: Any) -> Array:
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
