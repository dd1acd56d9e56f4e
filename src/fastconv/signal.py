"""scipy.signal's convolutions and FIR filters: the same names, arguments and results, faster.

A change of import is enough: ``from fastconv import signal``. _signal.py says what is to be summed and how,
_sections.py runs it on the plans and the core of `conv2d`, _spectra.py by Fourier transforms of whole arrays.
"""

from __future__ import annotations

import math
import operator
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _along, _check, _core, _polyphase, _ready, _signal, config
from fastconv._problem import Array
from fastconv._sections import Border, Section
from fastconv._types import SignalBoundary, SignalMethod, SignalMode, UpfirdnMode

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "fftconvolve",
    "lfilter",
    "oaconvolve",
    "sepfir2d",
    "upfirdn",
]

NOT_FINITE = (
    "Use of fft convolution on input with NAN or inf results in NAN or inf output, here only where it belongs. "
    "method='direct' gives the same without this warning."
)
MEASURED_SECONDS = 5e-3  # of calls of each method, at least, in choose_conv_method


def convolve(in1: ArrayLike, in2: ArrayLike, mode: SignalMode = "full", method: SignalMethod = "auto") -> Array:
    """Convolve two arrays of the same rank, as `scipy.signal.convolve` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (n1, ...) and (n2, ...)
        Of any rank, the same for both.
    mode : {"full", "same", "valid"}
        ``"full"``: every position at which the arrays touch. ``"same"``: the centre of it, of the shape of `in1`.
        ``"valid"``: those at which one array lies within the other.
    method : {"auto", "direct", "fft"}
        ``"direct"`` adds up every product; ``"auto"`` and ``"fft"`` take what is fastest, which may be Fourier
        transforms, of blocks or of whole arrays. Their rounding errors are relative to the largest numbers.

    Returns
    -------
    ndarray, shape (n1 + n2 - 1, ...), (n1, ...) or (abs(n1 - n2) + 1, ...)
        Of dtype ``np.result_type(in1, in2)``. Integers wrap around, as those of NumPy's arrays do.

    Raises
    ------
    ValueError
        If ranks or shapes do not fit together, an array is empty, or an option is none of the above. With
        ``method="direct"`` also for bool and float16 of more than one dimension.
    TypeError
        If an argument is not an array of numbers.

    Warns
    -----
    RuntimeWarning
        If ``method="fft"`` was asked for and the result has NaN or infinity.

    Notes
    -----
    Along each axis, :math:`z[i] = \\sum_j x[j] \\, y[i - j]`.

    **Differences from SciPy**: a NaN or infinity reaches the outputs that read it, and no others, whatever the method.
    Integers are exact (modulo ``2**bits``) by every method; bool and float16 of any rank are taken by ``"auto"``,
    however small; float16 is added up in float32, and rounded once. An array whose mask hides values is refused.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.convolve([3, 4, 5], [1, 2, 3, 4], mode="same")
    array([10, 22, 34])
    """
    return _convolve(in1, in2, mode, method, correlated=False)


def correlate(in1: ArrayLike, in2: ArrayLike, mode: SignalMode = "full", method: SignalMethod = "auto") -> Array:
    """Cross-correlate two arrays of the same rank, as `scipy.signal.correlate` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (n1, ...) and (n2, ...)
        Of any rank, the same for both.
    mode, method : str
        As for `convolve`.

    Returns
    -------
    ndarray, shape (n1 + n2 - 1, ...), (n1, ...) or (abs(n1 - n2) + 1, ...)
        As of `convolve`. Where ``"valid"`` places `in1` within `in2`, the lags are negative: see `correlation_lags`.

    Raises
    ------
    ValueError, TypeError
        As for `convolve`.

    Warns
    -----
    RuntimeWarning
        As for `convolve`.

    Notes
    -----
    With m numbers of `in2` along an axis, :math:`z[i] = \\sum_j x[j] \\, \\overline{y[j - i + m - 1]}`.

    **Differences from SciPy**: as for `convolve`.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlate([1, 2, 3, 4], [1, 1], mode="same")
    array([1, 3, 5, 7])
    >>> signal.correlate([1, 2, 3], [1, 2, 3, 4], mode="valid")
    array([20, 14])
    """
    return _convolve(in1, in2, mode, method, correlated=True)


def convolve2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: SignalMode = "full",
    boundary: SignalBoundary = "fill",
    fillvalue: ArrayLike = 0,
) -> Array:
    """Convolve two matrices, as `scipy.signal.convolve2d` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (h1, w1) and (h2, w2)
        An image and a kernel.
    mode : {"full", "same", "valid"}
        As for `convolve`.
    boundary : {"fill", "wrap", "symm"}
        What lies beyond the image: a value, the image again, or its mirror image, as often as needed. ``"pad"``,
        ``"circular"`` and ``"symmetric"`` mean the same.
    fillvalue : number
        Of ``"fill"``, in the dtype of the result.

    Returns
    -------
    ndarray, shape (h1 + h2 - 1, w1 + w2 - 1), (h1, w1) or (abs(h1 - h2) + 1, abs(w1 - w2) + 1)
        Of dtype ``np.result_type(in1, in2)``. Integers wrap around.

    Raises
    ------
    ValueError
        If an array is not two-dimensional or of a dtype that SciPy refuses here (bool and float16), shapes do not fit
        together, or an option is none of the above.
    TypeError
        If an argument is not an array of numbers.

    Notes
    -----
    As `convolve`, of an image with a border. Bool and float16 are for `convolve`.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.convolve2d([[1, 2, 3]], [[1, 1]], boundary="symm")
    array([[2, 3, 5, 6]])
    """
    return _convolve2d(in1, in2, mode, boundary, fillvalue, correlated=False)


def correlate2d(
    in1: ArrayLike,
    in2: ArrayLike,
    mode: SignalMode = "full",
    boundary: SignalBoundary = "fill",
    fillvalue: ArrayLike = 0,
) -> Array:
    """Cross-correlate two matrices, as `scipy.signal.correlate2d` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (h1, w1) and (h2, w2)
        An image and a kernel, which is conjugated.
    mode, boundary, fillvalue
        As for `convolve2d`. With ``mode="same"`` and an even kernel, outputs are the ones that follow those of
        `correlate`.

    Returns
    -------
    ndarray, shape (h1 + h2 - 1, w1 + w2 - 1), (h1, w1) or (abs(h1 - h2) + 1, abs(w1 - w2) + 1)
        As of `convolve2d`.

    Raises
    ------
    ValueError, TypeError
        As for `convolve2d`.

    Notes
    -----
    As `correlate`, of an image with a border. Where `in1` lies within `in2` and ``mode="valid"``, SciPy reverses the
    result and conjugates `in1`, where `correlate` conjugates `in2`; so does this.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlate2d([[1, 2, 3]], [[1, 1]], mode="same")
    array([[3, 5, 3]])
    """
    return _convolve2d(in1, in2, mode, boundary, fillvalue, correlated=True)


def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: SignalMode = "full", axes: Any = None) -> Array:
    """Convolve two arrays along some axes in floating point, as `scipy.signal.fftconvolve` does.

    Parameters
    ----------
    in1, in2 : array_like, shapes (n1, ...) and (n2, ...)
        Of any rank, the same for both.
    mode : {"full", "same", "valid"}
        As for `convolve`, along these axes.
    axes : int or sequence of int, optional
        To convolve along; all by default. Along the others, lengths must be equal or 1, and are broadcast.

    Returns
    -------
    ndarray
        Of float32 for float16, and of float64 for integers. An empty array gives ``array([])``.

    Raises
    ------
    ValueError
        If ranks or shapes do not fit together, or an option is none of the above.
    TypeError
        If an argument is not an array of numbers.

    Notes
    -----
    Fourier transforms are taken where they are fastest, of blocks or of whole arrays, and sums of products elsewhere.

    **Differences from SciPy**: a NaN or infinity reaches the outputs that read it, and no others.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.fftconvolve(np.ones((2, 3)), np.ones((2, 2)), axes=1)
    array([[1., 2., 2., 1.],
           [1., 2., 2., 1.]])
    """
    return _convolve_along(_as_array("in1", in1), _as_array("in2", in2), mode, axes)


def oaconvolve(in1: ArrayLike, in2: ArrayLike, mode: SignalMode = "full", axes: Any = None) -> Array:
    """Convolve two arrays along some axes in floating point, as `scipy.signal.oaconvolve` does.

    Parameters
    ----------
    in1, in2, mode, axes
        As for `fftconvolve`, which this is: that transforms blocks, too, where it is fastest.

    Returns
    -------
    ndarray
        As of `fftconvolve`.

    Raises
    ------
    ValueError, TypeError
        As for `fftconvolve`.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.oaconvolve([1.0, 2.0, 3.0], [1.0, -1.0])
    array([ 1.,  1.,  1., -3.])
    """
    return _convolve_along(_as_array("in1", in1), _as_array("in2", in2), mode, axes)


def choose_conv_method(in1: ArrayLike, in2: ArrayLike, mode: SignalMode = "full", measure: bool = False) -> Any:
    """Return the method of `convolve` that is expected to be fastest, as `scipy.signal.choose_conv_method` does.

    Parameters
    ----------
    in1, in2 : array_like
        As for `convolve`.
    mode : {"full", "same", "valid"}
        As for `convolve`.
    measure : bool
        Time both methods instead.

    Returns
    -------
    str, or (str, dict)
        ``"direct"`` or ``"fft"``: whether ``method="auto"`` takes Fourier transforms. If measured, also the seconds of
        each method.

    Raises
    ------
    ValueError, TypeError
        As for `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.choose_conv_method(np.ones(100), np.ones(3))
    'direct'
    """
    first, second = _as_array("in1", in1), _as_array("in2", in2)
    if measure:
        seconds = {method: _seconds(first, second, mode, method) for method in ("fft", "direct")}
        return min(seconds, key=lambda method: seconds[method]), seconds
    return "fft" if _signal.takes_fft(first, second, _signal.check_mode(mode)) else "direct"


def correlation_lags(in1_len: int, in2_len: int, mode: SignalMode = "full") -> Array:
    """Return the lag of each number of a correlation of two signals, as `scipy.signal.correlation_lags` does.

    Parameters
    ----------
    in1_len, in2_len : int
        Lengths of the signals.
    mode : {"full", "same", "valid"}
        As for `correlate`.

    Returns
    -------
    ndarray of int
        By how many samples `in2` is moved to the right.

    Raises
    ------
    ValueError
        If `mode` is none of the above.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.correlation_lags(2, 4, mode="valid")
    array([-2, -1,  0])
    """
    if mode == "full":
        return np.arange(1 - in2_len, in1_len)
    if mode == "same":
        lags = np.arange(1 - in2_len, in1_len)
        first = len(lags) // 2 - in1_len // 2
        return lags[first : first + in1_len]
    if mode == "valid":
        return np.arange(min(in1_len - in2_len, 0), max(in1_len - in2_len, 0) + 1)
    raise ValueError(f"Mode {mode} is invalid: it must be 'full', 'same' or 'valid'")


def sepfir2d(input: ArrayLike, hrow: ArrayLike, hcol: ArrayLike) -> Array:
    """Convolve an image with a row and a column, mirrored at its borders, as `scipy.signal.sepfir2d` does.

    Parameters
    ----------
    input : array_like, shape (h, w)
        An image.
    hrow : array_like, shape (m,)
        Weights along rows; m must be odd.
    hcol : array_like, shape (n,)
        Weights along columns; n must be odd.

    Returns
    -------
    ndarray, shape (h, w)
        In the dtype of the image; float32 or float64 for integers.

    Raises
    ------
    ValueError
        If ranks are others, or m or n is even.
    TypeError
        If the image is of longdouble or clongdouble, or weights cannot be cast safely to the dtype of the image.

    Notes
    -----
    :math:`z[i, j] = \\sum_{u, v} c[u] \\, r[v] \\, x[i + (n - 1) / 2 - u, j + (m - 1) / 2 - v]`, where pixels beyond a
    border are those at the same distance before it.

    **Differences from SciPy**: weights may be longer than the image, for which SciPy reads beyond its memory.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import signal
    >>> signal.sepfir2d([[1.0, 2.0, 3.0]], [1.0, 10.0, 100.0], [1.0])
    array([[112., 123., 233.]])
    """
    arrays = input, hrow, hcol
    ready = _core.run_ready(_ready.calls, "sepfir2d", arrays, None, config.num_threads(None))
    if ready is not None:
        return ready
    image, row, column = _as_array("input", input), _as_array("hrow", hrow), _as_array("hcol", hcol)
    for name, array, rank in (("input", image, 2), ("hrow", row, 1), ("hcol", column, 1)):
        if array.ndim != rank:
            depth = "object too deep" if array.ndim > rank else "object of too small depth"
            raise ValueError(f"{name} is an {depth}: it must be {rank}-D; got shape {array.shape}")
    if not (row.size % 2 and column.size % 2):
        raise ValueError(f"hrow and hcol must be odd length; got {row.size} and {column.size}")
    dtype = image.dtype.newbyteorder("=")
    if dtype.kind not in "fc" or dtype.itemsize < 4:
        dtype = np.result_type(dtype, np.float32)
    if dtype.char in "gG":
        raise TypeError(f"input must be of at most 64 bits a real number; got {dtype}")
    for name, weights in (("hrow", hrow), ("hcol", hcol)):  # those in lists have no dtype of their own
        if isinstance(weights, np.ndarray) and not np.can_cast(weights.dtype, dtype, "safe"):
            raise TypeError(f"{name} must be castable to {dtype}, the dtype of the result, safely; got {weights.dtype}")
    if not image.size:
        return image.astype(dtype)
    mirrored, threads = Border("symmetric"), config.num_threads(None)
    along = _signal.prepared(image, row[None], "same", dtype, border=mirrored)
    rows = along.run(image, row[None], threads)
    down = _signal.prepared(rows, column[:, None], "same", dtype, border=mirrored)
    if along.plan is not None and down.plan is not None:
        passes = [_ready.Pass(along.plan), _ready.Pass(down.plan)]
        _ready.remember("sepfir2d", arrays, None, passes, dtype, image.shape, turned=(1, 2))
    return down.run(rows, column[:, None], threads)


def upfirdn(
    h: ArrayLike,
    x: ArrayLike,
    up: int = 1,
    down: int = 1,
    axis: int = -1,
    mode: UpfirdnMode = "constant",
    cval: complex = 0,
) -> Array:
    """Upsample, filter and downsample signals, as `scipy.signal.upfirdn` does.

    Parameters
    ----------
    h : array_like, shape (m,)
        Weights of the filter.
    x : array_like, shape (..., n, ...)
        Signals.
    up : int
        Samples are followed by ``up - 1`` zeros each before they are filtered.
    down : int
        Of the filtered samples, one in `down` is kept.
    axis : int
        Along which signals run.
    mode : {"constant", "wrap", "edge", "smooth", "symmetric", "reflect", "antisymmetric", "antireflect", "line"}
        What lies beyond the signals: `cval`, a repetition, the last sample, a line through the last two samples, a
        mirror image (that repeats the last sample, or does not), its negative, its mirror image through the last
        sample, or a line through the first and the last sample.
    cval : number
        Of ``mode="constant"``.

    Returns
    -------
    ndarray, shape (..., ceil(((n - 1) * up + m) / down), ...)
        Of dtype ``np.result_type(h, x, np.float32)``.

    Raises
    ------
    ValueError
        If `h` is empty or of another rank, `up` or `down` is less than 1, or `mode` is none of the above.
    IndexError
        If `axis` is none of `x`.
    TypeError
        If an argument is not an array of numbers.

    Notes
    -----
    :math:`z[i] = \\sum_j h[i d - j u] \\, x[j]`, where u is `up` and d is `down`. Outputs with the same remainder of
    :math:`i d` by u are a convolution without zeros in between.

    Examples
    --------
    >>> from fastconv import signal
    >>> signal.upfirdn([1, 1, 1], [1, 2, 3], up=3)
    array([1., 1., 1., 2., 2., 2., 3., 3., 3.])
    """
    weights, signals = _as_array("h", h), _as_array("x", x)
    if weights.ndim != 1 or not weights.size:
        raise ValueError(f"h must be 1-D with non-zero length; got shape {weights.shape}")
    up, down = int(up), int(down)
    if up < 1 or down < 1:
        raise ValueError(f"Both up and down must be >= 1; got {up} and {down}")
    if not -signals.ndim <= axis < signals.ndim:
        raise IndexError(f"axis must be one of the {signals.ndim} of x; got {axis}")
    dtype = np.result_type(weights.dtype, signals.dtype, np.float32)
    if dtype.char not in "fdFD":
        raise TypeError(f"h and x must give float32, float64, complex64 or complex128; got {dtype}")
    along = signals if axis in (-1, signals.ndim - 1) else signals.swapaxes(axis, -1)
    rows = along.reshape(math.prod(along.shape[:-1]), along.shape[-1])
    extension = _polyphase.check_extension(mode), cval
    result = _polyphase.upfirdn(weights.astype(dtype), rows, up, down, extension, config.num_threads(None))
    result = result.reshape(*along.shape[:-1], result.shape[-1])
    return result if along is signals else result.swapaxes(axis, -1)


def lfilter(b: ArrayLike, a: ArrayLike, x: ArrayLike, axis: int = -1, zi: ArrayLike | None = None) -> Any:
    """Filter signals by an FIR filter, as `scipy.signal.lfilter` does.

    Parameters
    ----------
    b : array_like, shape (m,)
        Weights of the filter.
    a : number, or array_like of shape (1,)
        By which they are divided. IIR filters, with more of them, are not for this function.
    x : array_like, shape (..., n, ...)
        Signals.
    axis : int
        Along which signals run.
    zi : array_like, shape (..., m - 1, ...), optional
        What samples before the first ones add to outputs, as the last call's `zf`; lengths of 1 are broadcast.

    Returns
    -------
    y : ndarray, shape (..., n, ...)
        The filtered signals. :math:`y[i] = \\sum_j b[j] / a \\; x[i - j]`.
    zf : ndarray, shape (..., m - 1, ...)
        Only if `zi` is given: what these samples add to the outputs that follow.

    Raises
    ------
    NotImplementedError
        If `a` has more than one number, or all arguments are of integers, bool or float16.
    ValueError
        If ranks or shapes do not fit together, or `x` is empty.
    TypeError
        If an argument is not an array of numbers.

    Examples
    --------
    >>> from fastconv import signal
    >>> y, state = signal.lfilter([1.0, 1.0], 1, [1.0, 2.0, 3.0], zi=[10.0])
    >>> y, state
    (array([11.,  3.,  5.]), array([3.]))
    """
    weights, divisor, signals = np.atleast_1d(_as_array("b", b)), np.atleast_1d(_as_array("a", a)), _as_array("x", x)
    for name, array in (("b", weights), ("a", divisor)):
        if array.ndim != 1 or not array.size:
            raise ValueError(f"Parameter {name} is not a non-empty 1-D array; got shape {array.shape}")
    if len(divisor) > 1:
        raise NotImplementedError(f"a must be one number, for an FIR filter; got {len(divisor)}: use scipy.signal's")
    if not signals.ndim:
        raise ValueError("x must be at least 1-D; got a number")
    if not signals.size:
        raise ValueError(f"x must not be empty; got shape {signals.shape}")
    axis = np.lib.array_utils.normalize_axis_index(operator.index(axis), signals.ndim)
    state = None if zi is None else _polyphase.filter_state(_as_array("zi", zi), signals.shape, axis, len(weights) - 1)
    dtype = np.result_type(*(array for array in (weights, divisor, signals, state) if array is not None))
    if dtype.char not in "fdgFDGO":
        raise NotImplementedError(
            f"Parameter's dtypes produced {dtype}, which is not supported; it must be a floating-point dtype of 32 bits or more"
        )
    kernel = (weights.astype(dtype) / divisor.astype(dtype)).reshape(
        [-1 if i == axis else 1 for i in range(signals.ndim)]
    )
    n, lengths = signals.shape[axis], list(signals.shape)
    if state is not None:
        lengths[axis] = n + len(weights) - 1
    where = Section((0,) * signals.ndim, tuple(lengths))
    result = _signal.convolve(signals, kernel, where, dtype, config.num_threads(None))
    if state is None:
        return result
    before = (slice(None),) * axis
    result[(*before, slice(len(weights) - 1))] += state
    return result[(*before, slice(n))], result[(*before, slice(n, None))]


def _as_array(name: str, value: ArrayLike) -> Array:
    return value if type(value) is np.ndarray else _check.as_array(name, value)


def _convolve(in1: ArrayLike, in2: ArrayLike, mode: str, method: str, correlated: bool) -> Array:
    """Return the convolution, or the correlation with the second array."""
    meaning, threads = ("convolve", mode, method, correlated), config.num_threads(None)
    ready = _core.run_ready(_ready.calls, meaning, (in1, in2), None, threads)
    if ready is not None:
        return ready
    first, second = _as_array("in1", in1), _as_array("in2", in2)
    conjugates = correlated and second.dtype.kind == "c"
    if conjugates:
        second = second.conj()
    if first.ndim != second.ndim:
        raise ValueError(f"in1 and in2 should have the same dimensionality; got shapes {first.shape}, {second.shape}")
    if not first.ndim:
        return first * second
    dtype = _signal.result_dtype(first, second)
    convolution = _signal.prepared(first, second, mode, dtype, correlated, method, spectra=True)
    if method == "fft":
        result = convolution.run(first, second, threads)
        if dtype.kind in "fc" and not np.isfinite(result).all():
            warnings.warn(NOT_FINITE, RuntimeWarning, stacklevel=3)
        return result
    convolution.remember(meaning, (first, second), 1 if conjugates else None)
    return convolution.run(first, second, threads)


def _convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str, boundary: str, fillvalue: ArrayLike, correlated: bool
) -> Array:
    meaning = "convolve2d", mode, boundary, fillvalue, type(fillvalue), correlated
    threads = config.num_threads(None)
    ready = _core.run_ready(_ready.calls, meaning, (in1, in2), None, threads)
    if ready is not None:
        return ready
    first, second = _as_array("in1", in1), _as_array("in2", in2)
    if not first.ndim == second.ndim == 2:
        raise ValueError(f"in1 and in2 must both be 2-D arrays; got shapes {first.shape} and {second.shape}")
    return _signal.convolve2d(first, second, mode, boundary, fillvalue, threads, correlated, meaning)


def _convolve_along(first: Array, second: Array, mode: str, axes: Any) -> Array:
    if first.ndim != second.ndim:
        raise ValueError(f"in1 and in2 should have the same dimensionality; got shapes {first.shape}, {second.shape}")
    if not first.ndim:
        return first * second
    if not (first.size and second.size):
        return np.array([])
    return _along.convolve(first, second, mode, axes, config.num_threads(None))


def _seconds(first: Array, second: Array, mode: SignalMode, method: SignalMethod) -> float:
    """Return the shortest time that a call has taken, of several."""
    spent, shortest = 0.0, float("inf")
    while spent < MEASURED_SECONDS:
        start = time.perf_counter()
        convolve(first, second, mode, method)
        last = time.perf_counter() - start
        spent, shortest = spent + last, min(shortest, last)
    return shortest
