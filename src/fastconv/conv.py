"""conv1d, conv2d, conv3d: slide the kernels of a filter bank over images and stack the feature maps.

A call goes on to _plan.py (what to do for these shapes), _core.pyx with core/ (loops over blocks), kernels/ (one
block).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _check, _exact, _lengths, _missing, _plan, _views, config
from fastconv._cache import Cache
from fastconv._problem import Array
from fastconv._types import (
    Activation,
    Algorithm,
    AlongOptions,
    ConvOptions,
    Nan,
    Padding,
    PaddingMode,
    PerAxis,
    Precision,
    Real,
    Renormalize,
)

__all__ = ["conv1d", "conv2d", "conv3d"]

PLAN_CACHE_BYTES = 2**23
_plans = Cache(PLAN_CACHE_BYTES)  # by shapes, dtypes and options, so that these are checked only once
UNAMBIGUOUS_TYPES = {int, str, bool, np.int64}  # of options: equal ones of these types are interchangeable
ACTIVATION = _check.Options._fields.index("activation")
PLAIN_OPTIONS = _check.Options._fields.index("channels_last")  # those from here on take a longer way
MIN_COLUMNS = 8  # from so many signals side by side on they are convolved as they lie
PROPAGATE: Nan = "propagate"  # the default, compared by identity: any other takes the longer way to the same result


@overload
def conv2d(
    input: NDArray[Real],
    weight: NDArray[Real],
    bias: NDArray[Real] | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: NDArray[Real] | None = ...,
    **named: Unpack[ConvOptions],
) -> NDArray[Real]: ...
@overload
def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: Array | None = ...,
    **named: Unpack[ConvOptions],
) -> Array: ...
@overload
def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[True],
    out: Array | None = ...,
    **named: Unpack[ConvOptions],
) -> tuple[Array, Array]: ...
def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    saturate: bool = False,
    nan: Nan = PROPAGATE,
    mask: ArrayLike | None = None,
    renormalize: Renormalize = False,
    fill_value: complex = math.nan,
    return_weight: bool = False,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """Convolve images with a bank of filters, one filter, or one kernel.

    "Convolution" means what it means for neural networks: kernels are not flipped (cross-correlation).
    Pass ``flip=True`` for the mathematical convolution.

    Parameters
    ----------
    input : array_like, shape (..., C, H, W)
        Images of C channels; all leading axes are batch. ``(H, W)`` is an image of one channel. With
        ``channels_last=True``, shape (..., H, W, C).
        Any strides and byte order; nested lists of numbers, buffers, objects with ``__array__`` and tensors on the CPU
        (by DLPack; bfloat16 ones, too) will do. What the mask of a `numpy.ma.MaskedArray` hides is missing, as with
        `mask`, and the result is masked where outputs see nothing. Other objects with a mask that hides values are
        refused: pass ``mask=~x.mask``.
    weight : array_like
        Its rank says what it is. A bank of K filters ``(K, C/groups, kh, kw)`` gives K feature maps;
        a filter ``(C, kh, kw)``, a stack of one kernel per channel, gives one;
        a kernel ``(kh, kw)`` slides over the last two axes, each plane for itself.
    bias : array_like, shape (K,), optional
        Added to each feature map. For a filter or a kernel: one number; a Python number does not make the dtype of the
        result wider, as ``np.result_type`` has it.
    stride : int or (int, int)
        Pixels from one position of the kernel to the next.
    padding : int, (int, int), ((int, int), (int, int)) or str
        Pixels added around the image: everywhere, per axis, or per axis before and after.
        ``"valid"``: none. ``"same"``: the output has ``ceil(n / stride)`` pixels; where the padding is odd, one more
        comes after (``"same_lower"``: before; ``"same_upper"``, as ONNX has it, is "same"). ``"full"``: every position
        at which kernel and image touch. ``"causal"``: all before the image, so that no output sees what follows it.
        Each axis may have a name or pair of its own: ``("causal", (1, 1))``.
    dilation : int or (int, int)
        Pixels from one tap of the kernel to the next.
    groups : int
        Channels and filters are split into so many groups, each convolved for itself.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}, or one per axis
        What the padding holds; NumPy's names ``"constant"``, ``"edge"`` and ``"wrap"`` work too.
        Beware: what SciPy calls "reflect" is ``"symmetric"`` here.

        ==================  ===========  =================  =========  ===========  =========  =================
        around ``a b c d``  here         SciPy              NumPy      OpenCV       torch      others
        ==================  ===========  =================  =========  ===========  =========  =================
        ``0 0 | a b``       "zeros"      constant, fill     constant   CONSTANT     zeros      astropy: fill
        ``c b | a b``       "reflect"    mirror             reflect    REFLECT_101  reflect
        ``a a | a b``       "replicate"  nearest            edge       REPLICATE    replicate  astropy: extend
        ``c d | a b``       "circular"   wrap, grid-wrap    wrap       WRAP         circular   dask: periodic
        ``b a | a b``       "symmetric"  **reflect**, symm  symmetric  REFLECT                 dask: **reflect**
        ==================  ===========  =================  =========  ===========  =========  =================

    padding_value : number or array_like, shape (C,)
        What the padding holds where its mode is ``"constant"``, in all channels or in each. Where the result is of
        integers, integers that the input's dtype holds. Values other than 0, and modes that differ by axis, take
        longer than zeros, for blocks of the padded image are copied.
    flip : bool
        Rotate every kernel by 180 degrees first.
    activation : str or tuple, optional
        Applied to every output, while it is in the cache; names and meanings are PyTorch's: "relu", "relu6",
        "leaky_relu", "hardsigmoid", "hardswish", "sigmoid", "silu", "tanh", "elu", "softplus", "mish", "gelu" and, for
        its approximation by tanh, "gelu_tanh". ``("leaky_relu", 0.1)`` has another slope than 0.01, ``("elu", 0.5)``
        another alpha than 1, ``("clip", low, high)`` clips, ``("prelu", slopes)`` has a slope for each filter. Integers
        support ``relu`` and ``relu6``, complex numbers none. Errors are at most 2 units in the last place of the
        result in float32, on CPUs with FMA, and about 2e-15 in float64.
    algorithm : {"auto", "direct", "winograd", "fft"}
        How to compute it; one that cannot do the problem is refused. ``"direct"`` adds up every product. ``"winograd"``
        multiplies less, for kernels of 3 taps a side and more; ``"fft"`` transforms blocks of the image, for large
        kernels, by scipy if it is installed. ``"auto"`` takes the fastest, and a pass along each axis where every
        kernel that sees one channel is the product of a column and a row.
    precision : {"default", "highest"}
        ``"highest"`` is never less accurate than direct summation, whatever the data: it takes neither ``"winograd"``
        nor ``"fft"``.
    channels_last : bool
        Whether channels come last, in the input ``(..., H, W, C)`` and in the result ``(..., H', W', K)``. Filters are
        what they are otherwise; a kernel ``(kh, kw)`` convolves every channel for itself.
    saturate : bool
        Round sums to the nearest integer, ties to even, and clip them to the range of the integer dtype of `out` or,
        without one, of the input: a photograph of uint8 becomes one of uint8. Pixels of up to 16 bits add up in
        float32 if the result has no more, directly: exactly, where no sum of magnitudes needs more than 24 bits. NaN
        becomes 0.
    nan : {"propagate", "ignore"}
        ``"ignore"``: pixels that are NaN are missing, and so is padding with ``padding_value=np.nan``. They add nothing
        to a sum, as zeros would: a mean needs ``renormalize=True`` as well.
    mask : array_like of bool, optional
        True where a pixel is used, False where it is missing, whatever it holds. Its shape is that of the input, or
        broadcasts to it.
    renormalize : {False, True, "abs"}
        Whether to multiply sums by (sum of all weights) / (sum of the weights that met a number), before bias and
        activation; with ``"abs"`` by the quotient of the sums of their magnitudes, which suits weights of both signs.
        With ``True`` filters whose weights sum to zero are left alone. The result is of floating point.
    fill_value : number
        What outputs that see nothing become: those whose weights other than zero met no number.
    return_weight : bool
        Also return the sum of the weights that met a number, of their magnitudes with ``renormalize="abs"``, for
        every output.
    residual : array_like, optional
        Floats, of the shape of the result, that are added before the activation. `out` may be the same array.
    out : ndarray, optional
        Where to write the result: any strides, any dtype that ``same_kind`` casting allows. It may overlap the input.
    threads : int, optional
        The most threads to use, the caller's among them; as `get_num_threads` says by default. The result does not
        depend on it.

    Returns
    -------
    ndarray, shape (..., K, H', W'); (..., H', W', K) with channels_last
        ``H' = (H + before + after - dilation * (kh - 1) - 1) // stride + 1``, and W' likewise;
        ``(..., H', W')`` for a filter or a kernel. The dtype is ``np.result_type`` of input, weight and bias; bfloat16
        stays what it is beside integers and counts as float32 beside other floats and complex numbers.
        float16 and bfloat16 add up in float32 and are rounded once. Integers add up exactly: 8-bit input with 8-bit
        weights in int32, all others (and so many taps that int32 could overflow) in int64. Where weights and the
        image's dtype keep all sums below 2**24 (2**53), that is about as fast as in float32 (float64), and faster for
        8-bit integers of many channels; else it takes up to 20 times as long.
        A large result is a view of a slightly larger array, so that it begins at a line of the cache.
    weight_seen : ndarray, shape (..., K, H', W')
        With ``return_weight=True``; zero where nothing is seen. Of float64 where the result is of integers.

    Raises
    ------
    ValueError
        If shapes or options do not fit together, or if int64 might not hold a sum of the given integers.
    TypeError
        If a dtype is not supported, an argument is not an array, or an option is of the wrong type.

    Warns
    -----
    LayoutWarning
        If one kernel, wider than 1, slides over a last axis of 2 to 4 that is shorter than both before it: the channels
        of an image ``(H, W, C)``, it seems. Once for arrays of these shapes.

    Notes
    -----
    Messages begin with the argument that they are about. Checks run in this order: input, weight and bias, each by
    itself; the options, in the order of the signature; all these together; ``threads``; ``out``.

    With stride s, dilation d, and p pixels of padding before each axis of the image x, feature map k is

    .. math:: y_k[i, j] = b_k + \\sum_c \\sum_{u, v} w_{k, c}[u, v] \\; x_c[i s + u d - p, j s + v d - p]

    as in V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016.
    A NaN or infinity in the input reaches exactly the outputs whose receptive field holds it; an infinite pixel that
    the padding repeats within a kernel is multiplied by the sum of the weights at its copies. Under every algorithm an
    output whose receptive field holds only zeros is exactly ``activation(bias)``.

    The other errors are best compared with the sum of the magnitudes of an output's products. Direct summation of n
    products is within ``n * 2**-24`` of it in float32 (``2**-53`` in float64), or within ``(512 + n / 512)`` of these
    where there are several channels or more than 4 filters; ``precision="highest"`` within about ``2 * sqrt(n)``. By
    ``"winograd"`` an output may be off by some 3e-6 (float64: 6e-15) of the largest such sum in its tile, up to 3
    outputs away, and so beside a hot pixel be quite wrong. By ``"fft"`` errors are about 1e-6 (2e-15) of such sums in a
    large neighbourhood, but no more than about 1e-4 of an output's own where parts of the image are much darker than
    others; it loses contrasts of more than 1e10 within a few pixels, or in the weights. Subnormal numbers lose
    digits by both. A sum of non-negative products may so come out slightly negative: where `np.sqrt` is to follow,
    ``algorithm="direct"`` is right.

    Missing pixels get no weight. With m = 1 where a pixel is a number, else 0,

    .. math:: y_k[i, j] = b_k + r_k[i, j] \\sum_c \\sum_{u, v} w_{k, c}[u, v] \\; m_c[p, q] \\; x_c[p, q], \\quad
              r_k[i, j] = \\frac{\\sum_c \\sum_{u, v} w_{k, c}[u, v]}{\\sum_c \\sum_{u, v} w_{k, c}[u, v] \\; m_c[p, q]}

    where :math:`p = i s + u d - p_0`, q likewise, and r is 1 unless ``renormalize`` is given. With a kernel of positive
    weights that is an average of what is there, which astropy's ``convolve`` takes for missing pixels too; with equal
    weights it is partial convolution (G. Liu et al., "Image inpainting for irregular holes using partial
    convolutions", 2018). Padding repeats pixels and holes alike. Zeros, and other constants, count as numbers that are
    seen, as in astropy; ``padding_value=np.nan`` with ``nan="ignore"`` makes padding missing, so that borders are not
    darker either. Whether an output sees anything is counted exactly. Weights must be finite.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> image = np.arange(16.0).reshape(4, 4)
    >>> fc.conv2d(image, np.ones((3, 3)) / 9, padding="valid")  # a kernel: the box blur
    array([[ 5.,  6.],
           [ 9., 10.]])
    >>> batch = np.ones((8, 3, 32, 32), np.float32)
    >>> bank = np.ones((16, 3, 3, 3), np.float32)
    >>> fc.conv2d(batch, bank, stride=2, padding=1, activation="relu").shape
    (8, 16, 16, 16)
    >>> photo = np.full((4, 6, 3), 200, np.uint8)
    >>> fc.conv2d(photo, np.ones((3, 3)) / 4, padding="same", channels_last=True, saturate=True)[0, 0]
    array([200, 200, 200], dtype=uint8)
    >>> image[1, 1] = np.nan
    >>> fc.conv2d(image, np.ones((3, 3)) / 9, nan="ignore", renormalize=True)
    array([[ 5.   ,  6.125],
           [ 9.5  , 10.625]])
    """
    options: tuple[Any, ...]
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision)
    types = (type(stride), type(padding), type(dilation), type(groups), type(flip))
    missing = None
    if nan is not PROPAGATE or mask is not None or renormalize is not False or return_weight is not False:
        missing = _missing.Options(nan, mask, renormalize, fill_value, return_weight)
    if channels_last is not False or saturate is not False:
        options = (*options, channels_last, saturate)
        return _convolve_views(2, input, weight, bias, options, types, out, threads, missing, residual)
    return _convolve(2, input, weight, bias, options, types, out, threads, missing, residual)


@overload
def conv1d(
    input: NDArray[Real],
    weight: NDArray[Real],
    bias: NDArray[Real] | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: NDArray[Real] | None = ...,
    **named: Unpack[AlongOptions],
) -> NDArray[Real]: ...
@overload
def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: Array | None = ...,
    **named: Unpack[AlongOptions],
) -> Array: ...
@overload
def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[True],
    out: Array | None = ...,
    **named: Unpack[AlongOptions],
) -> tuple[Array, Array]: ...
def conv1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    saturate: bool = False,
    nan: Nan = PROPAGATE,
    mask: ArrayLike | None = None,
    renormalize: Renormalize = False,
    fill_value: complex = math.nan,
    return_weight: bool = False,
    residual: ArrayLike | None = None,
    axis: int = -1,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """Convolve signals with a bank of filters, one filter, or one kernel.

    "Convolution" means cross-correlation, as in neural networks; ``flip=True`` gives the mathematical one.

    Parameters
    ----------
    input : array_like, shape (..., C, W)
        Signals of C channels; all leading axes are batch. ``(W,)`` is a signal of one channel.
    weight : array_like
        A bank ``(K, C/groups, kw)``, a filter ``(C, kw)`` or a kernel ``(kw,)``.
    bias, stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision, channels_last, saturate, nan, mask, renormalize, fill_value, return_weight, residual, out, threads
        As for `conv2d`, with one spatial axis: ``padding=(2, 0)`` pads 2 samples before it and none after.
    axis : int
        The axis of the input along which the samples of a signal lie, by default the last: the result is that of
        ``np.moveaxis(input, axis, -1)``, with the samples moved back to this axis. Kernels ``(kw,)`` slide over
        contiguous arrays as they lie.

    Returns
    -------
    ndarray, shape (..., K, W')
        The feature maps; ``(..., W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Notes
    -----
    :math:`y_k[i] = b_k + \\sum_c \\sum_u w_{k, c}[u] \\; x_c[i s + u d - p]`; see `conv2d`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.conv1d([1, 2, 4, 8], [-1, 1])  # differences of neighbours
    array([1, 2, 4])
    >>> fc.conv1d([1, 2, 4, 8], [-1, 1], padding="same", padding_mode="circular")
    array([ 1,  2,  4, -7])
    """
    if axis != -1:
        if channels_last is not False:
            raise ValueError(f"axis must be -1 with channels_last, which says where signals lie; got {axis!r}")
        sizes = (stride, padding, dilation, groups)
        named = {
            "padding_mode": padding_mode,
            "padding_value": padding_value,
            "flip": flip,
            "activation": activation,
            "algorithm": algorithm,
            "precision": precision,
            "channels_last": channels_last,
            "saturate": saturate,
            "nan": nan,
            "renormalize": renormalize,
            "fill_value": fill_value,
            "return_weight": return_weight,
            "threads": threads,
        }
        return _convolve_along(axis, input, weight, bias, sizes, named, mask, residual, out)
    options: tuple[Any, ...]
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision)
    types = (type(stride), type(padding), type(dilation), type(groups), type(flip))
    missing = None
    if nan is not PROPAGATE or mask is not None or renormalize is not False or return_weight is not False:
        missing = _missing.Options(nan, mask, renormalize, fill_value, return_weight)
    if channels_last is not False or saturate is not False:
        options = (*options, channels_last, saturate)
        return _convolve_views(1, input, weight, bias, options, types, out, threads, missing, residual)
    return _convolve(1, input, weight, bias, options, types, out, threads, missing, residual)


@overload
def conv3d(
    input: NDArray[Real],
    weight: NDArray[Real],
    bias: NDArray[Real] | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: NDArray[Real] | None = ...,
    **named: Unpack[ConvOptions],
) -> NDArray[Real]: ...
@overload
def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[False] = ...,
    out: Array | None = ...,
    **named: Unpack[ConvOptions],
) -> Array: ...
@overload
def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = ...,
    stride: PerAxis = ...,
    padding: Padding = ...,
    dilation: PerAxis = ...,
    groups: int = ...,
    *,
    return_weight: Literal[True],
    out: Array | None = ...,
    **named: Unpack[ConvOptions],
) -> tuple[Array, Array]: ...
def conv3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    activation: Activation = None,
    algorithm: Algorithm = "auto",
    precision: Precision = "default",
    channels_last: bool = False,
    saturate: bool = False,
    nan: Nan = PROPAGATE,
    mask: ArrayLike | None = None,
    renormalize: Renormalize = False,
    fill_value: complex = math.nan,
    return_weight: bool = False,
    residual: ArrayLike | None = None,
    out: Array | None = None,
    threads: int | None = None,
) -> Any:
    """Convolve volumes with a bank of filters, one filter, or one kernel.

    "Convolution" means cross-correlation, as in neural networks; ``flip=True`` gives the mathematical one.

    Parameters
    ----------
    input : array_like, shape (..., C, D, H, W)
        Volumes of C channels; all leading axes are batch. ``(D, H, W)`` is a volume of one channel.
    weight : array_like
        A bank ``(K, C/groups, kd, kh, kw)``, a filter ``(C, kd, kh, kw)`` or a kernel ``(kd, kh, kw)``.
    bias, stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision, channels_last, saturate, nan, mask, renormalize, fill_value, return_weight, residual, out, threads
        As for `conv2d`, with three spatial axes.

    Returns
    -------
    ndarray, shape (..., K, D', H', W')
        The feature maps; ``(..., D', H', W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Notes
    -----
    The sum of `conv2d` over three axes of taps.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.conv3d(np.ones((2, 5, 8, 8)), np.ones((4, 2, 3, 3, 3)), padding=(0, 1, 1)).shape
    (4, 3, 8, 8)
    """
    options: tuple[Any, ...]
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, activation, algorithm, precision)
    types = (type(stride), type(padding), type(dilation), type(groups), type(flip))
    missing = None
    if nan is not PROPAGATE or mask is not None or renormalize is not False or return_weight is not False:
        missing = _missing.Options(nan, mask, renormalize, fill_value, return_weight)
    if channels_last is not False or saturate is not False:
        options = (*options, channels_last, saturate)
        return _convolve_views(3, input, weight, bias, options, types, out, threads, missing, residual)
    return _convolve(3, input, weight, bias, options, types, out, threads, missing, residual)


def _convolve(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    types: tuple[type, ...],
    out: Array | None,
    threads: int | None,
    missing: _missing.Options | None,
    residual: ArrayLike | None,
) -> Any:
    """Convolve by a plan that is remembered for these shapes, dtypes and options, in the order of `_check.Options`.

    types are those of the numbers among the options, for 1 == 1.0 == True.
    """
    if out is not None and type(out) is not np.ndarray and _check.is_storage(out):
        return _convolve_stored(axes, input, weight, bias, options, out, threads, missing, residual)
    if type(input) is np.ndarray:
        image = input
    elif _check.is_masked(input):
        image, missing = np.asarray(np.ma.getdata(input)), missing or _missing.Options()
    elif _check.is_lazy(input):
        return _convolve_lazily(axes, input, weight, bias, options, out, threads, missing, residual)
    elif missing is None and residual is None and _check.is_large_storage(input):
        return _convolve_stored(axes, input, weight, bias, options, out, threads, missing, residual)
    else:
        image = _check.as_array("input", input)
    filters = weight if type(weight) is np.ndarray else _check.as_array("weight", weight)
    offset = bias if bias is None or type(bias) is np.ndarray else _check.as_bias(bias, image.dtype, filters.dtype)
    offset_key = None if offset is None else (offset.shape, offset.dtype)
    given = activation = options[ACTIVATION]
    if activation is not None and type(activation) is not str:  # slopes are no part of what is remembered
        activation = _check.activation_of(given)
        options = (*options[:ACTIVATION], activation, *options[ACTIVATION + 1 :])
    shape = image.shape
    holes = None if missing is None else missing.key
    rounded = shape if holes or not shape or shape[-1] < _lengths.LONG_ROW else _lengths.rounded(shape)
    sums = _exact.of_call(axes, image, filters, offset) if image.dtype.kind in "biu" and missing is None else None
    key: object = (axes, rounded, image.dtype, filters.shape, filters.dtype, offset_key, sums, options, types, holes)
    plan: Any
    try:
        plan = _plans.get(key)
    except TypeError:  # an option is not hashable: a list or an array
        key, plan = None, None
    if plan is None and not UNAMBIGUOUS_TYPES.issuperset(types):
        if key is None or not _are_ints(options[:3]):
            checked = _checked(axes, image, filters, offset, options)
            key = axes, rounded, image.dtype, filters.shape, filters.dtype, offset_key, sums, checked, holes
        else:
            key = (key,)  # for tuples of ints; (2.0, 2.0) equals (2, 2), so the key without this would not do
        plan = _plans.get(key)
    if plan is None or (rounded is not shape and plan.columns != shape[-1]):
        adapted = None if plan is None else _lengths.adapt(plan, shape)
        if adapted is None:
            checked = _checked(axes, image, filters, offset, options)
            dtypes = (image.dtype, filters.dtype) if offset is None else (image.dtype, filters.dtype, offset.dtype)
            offset_shape = None if offset is None else offset.shape
            shapes = shape, filters.shape, offset_shape
            if missing is None:
                plan = _lengths.plan_for(axes, *shapes, dtypes, checked, sums)
            else:
                plan = _missing.Plan(axes, shapes, dtypes, checked, missing, reuse=False)
            if not checked.channels_last and _check.looks_channels_last(axes, shape, filters.shape):
                stacklevel = 3 if len(options) == PLAIN_OPTIONS else 4  # _convolve_views lies between
                warnings.warn(_check.CHANNELS_LAST, _check.LayoutWarning, stacklevel=stacklevel)
            _plans.put(key, plan, plan.nbytes)
        else:
            plan = adapted
            _plans.replace(key, plan)
    count = config.num_threads(threads)
    if residual is None and activation != "prelu":
        if missing is not None:
            return plan.run(input, image, filters, offset, missing, out, count)
        return _plan.run(plan, image, filters, offset, out, count)
    slopes = _check.slopes_of(given, plan.problem.filters)
    if missing is not None:
        _check.check_no_residual(residual)
        return plan.run(input, image, filters, offset, missing, out, count, slopes=slopes)
    more = None if residual is None else _check.check_residual(residual, plan.problem)
    return _plan.run(plan, image, filters, offset, out, count, None, more, slopes)


def _convolve_lazily(
    axes: int,
    input: Any,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    out: Array | None,
    threads: int | None,
    missing: _missing.Options | None,
    residual: ArrayLike | None,
) -> Any:
    """Return a dask array that is computed chunk by chunk."""
    _check.check_left_out(_check.LAZY, out=out, residual=residual, missing=missing)
    from fastconv import dask

    named = dict(zip(_check.Options._fields, options, strict=False))
    return dask.convolve_arrays(axes, input, weight, bias, named, threads)


def _convolve_stored(
    axes: int,
    input: Any,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    out: Any,
    threads: int | None,
    missing: _missing.Options | None,
    residual: ArrayLike | None,
) -> Any:
    """Convolve block by block, from or to storage that is no ndarray."""
    _check.check_left_out(_check.STORED, residual=residual, missing=missing)
    from fastconv import storage

    named = dict(zip(_check.Options._fields, options, strict=False))
    return storage.convolve_arrays(axes, input, weight, bias, named, out, threads)


def _convolve_views(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    types: tuple[type, ...],
    out: Array | None,
    threads: int | None,
    missing: _missing.Options | None,
    residual: ArrayLike | None,
) -> Any:
    """Convolve images whose channels may come last, to results that may saturate; the options say so at their end."""
    if _check.is_lazy(input):
        return _convolve_lazily(axes, input, weight, bias, options, out, threads, missing, residual)
    is_plain = missing is None and residual is None and options[-2] is False  # channels last are loaded whole
    if (out is not None and _check.is_storage(out)) or (is_plain and _check.is_large_storage(input)):
        return _convolve_stored(axes, input, weight, bias, options, out, threads, missing, residual)
    *options_, channels_last, saturate = options
    image = input if _check.is_masked(input) else _check.as_array("input", input)
    filters, out = _check.as_array("weight", weight), None if out is None else _check.array_out(out)
    options = (*options_, channels_last, _views.target_dtype(saturate, image, out))
    if channels_last is not True:
        return _convolve(axes, image, filters, bias, options, types, out, threads, missing, residual)
    has_maps = filters.ndim != axes + 1
    target = out if out is None or not has_maps else _views.channels_first("out", out, axes)
    if residual is not None and has_maps:
        residual = _views.channels_first("residual", _check.as_array("residual", residual), axes)
    if missing is not None and missing.mask is not None:
        missing = missing._replace(mask=_views.mask_first(missing.mask, axes))
    image = _views.channels_first("input", image, axes)
    result = _convolve(axes, image, filters, bias, options, types, target, threads, missing, residual)
    return out if result is target else _views.channels_last(result, axes) if has_maps else result


def _convolve_along(
    axis: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    sizes: tuple[Any, ...],
    options: dict[str, Any],
    mask: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
) -> Any:
    """Convolve signals along any axis; sizes: stride, padding, dilation and groups."""
    is_array = isinstance(input, np.ndarray) or _check.is_lazy(input)
    signals: Any = input if is_array else _check.as_array("input", input)
    kernel = _check.as_array("weight", weight)
    place = _check.axis("axis", axis, signals.ndim)
    after = signals.shape[place + 1 :]
    named = dict(zip(("stride", "padding", "dilation", "groups"), sizes, strict=True))
    if not after:
        return conv1d(signals, kernel, bias, **named, mask=mask, residual=residual, out=out, **options)
    is_plain = type(signals) is np.ndarray and signals.flags.c_contiguous
    is_plain = is_plain and mask is None and residual is None and out is None
    if is_plain and kernel.ndim == 1 and math.prod(after) >= MIN_COLUMNS and options["return_weight"] is False:
        stride, padding, dilation, groups = sizes
        ends = _check.normalize_padding(padding, 1)
        strides, dilations = _check.per_axis("stride", stride, 1), _check.per_axis("dilation", dilation, 1)
        planes = signals.reshape(math.prod(signals.shape[:place]), -1, math.prod(after))
        pads: Any = (ends if isinstance(ends, str) else ends[0], (0, 0))
        maps = conv2d(planes, kernel[:, np.newaxis], bias, (*strides, 1), pads, (*dilations, 1), groups, **options)
        return maps.reshape(*signals.shape[:place], maps.shape[1], *after)
    return along(place, signals, mask, residual, out, partial(conv1d, weight=kernel, bias=bias, **named, **options))


def along(
    place: int,
    signals: Array,
    mask: ArrayLike | None,
    residual: ArrayLike | None,
    out: Array | None,
    convolve: Callable[..., Any],
) -> Any:
    """Return what a function of signals, mask, residual and out makes of them where samples lie along any axis."""
    if mask is not None:
        flags = _check.as_array("mask", mask)
        mask = np.moveaxis(flags.reshape((1,) * (signals.ndim - flags.ndim) + flags.shape), place, -1)
    target = None if out is None else np.moveaxis(out, place, -1)
    if residual is not None:
        more = _check.as_array("residual", residual)
        residual = np.moveaxis(more, min(place, more.ndim - 1), -1)
    result = convolve(np.moveaxis(signals, place, -1), mask=mask, residual=residual, out=target)
    if isinstance(result, tuple):
        return tuple(np.moveaxis(array, -1, min(place, array.ndim - 1)) for array in result)
    return out if result is target else np.moveaxis(result, -1, min(place, result.ndim - 1))


def _checked(axes: int, image: Array, filters: Array, offset: Array | None, options: tuple[Any, ...]) -> _check.Options:
    """Check the arrays and the options, each by itself, and return the normalised options."""
    dtypes = [array.dtype for array in (image, filters, offset) if array is not None]
    _check.check_arrays(axes, image.shape, filters.shape, dtypes)
    return _check.options(axes, options)


def _are_ints(entries: list[object] | tuple[object, ...]) -> bool:
    """Return whether all entries are ints or names, or tuples of them."""
    for entry in entries:
        if type(entry) is tuple:
            if not _are_ints(entry):
                return False
        elif type(entry) not in (int, str):
            return False
    return True
