"""conv_transpose1d, conv_transpose2d, conv_transpose3d: the adjoint of a convolution, for up-sampling.

A call goes on to _plan.py, as those of conv.py do; algorithms/transposed.py says how the stride is dealt with.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from fastconv import _check, _check_transposed, _plan, _weights, config
from fastconv._cache import Cache
from fastconv._check import Padding, PerAxis
from fastconv._problem import Array

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]

PLAN_CACHE_BYTES = 2**22
_plans = Cache(PLAN_CACHE_BYTES)  # by shapes, dtypes and options


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: str | None = None,
    algorithm: str = "auto",
    precision: str = "default",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve images with a bank of filters, backwards: every pixel adds its multiple of a kernel to the output.

    It is the adjoint of `conv2d`, the map from a gradient of its output to that of its input, and up-samples images by
    the stride. Positional arguments and their meaning are those of ``torch.nn.functional.conv_transpose2d``.

    Parameters
    ----------
    input : array_like, shape (..., C, H, W)
        Images of C channels, as for `conv2d`; all leading axes are batch. ``(H, W)`` is an image of one channel.
    weight : array_like
        Its rank says what it is. A bank ``(C, K/groups, kh, kw)`` makes K feature maps of C channels; a filter
        ``(C, kh, kw)`` makes one map; a kernel ``(kh, kw)`` spreads each plane for itself.
    bias : array_like, shape (K,), optional
        Added to each feature map. For a filter or a kernel: one number.
    stride : int or (int, int)
        Pixels of the output from one kernel to the next.
    padding : int, (int, int), ((int, int), (int, int)) or str
        Pixels cut off around the output: those that `conv2d` with this padding would have added. ``"valid"``: none.
        ``"same"``: the output is stride times as large as the input, cut as Keras, TensorFlow and ONNX's ``SAME_UPPER``
        do (where an odd number is cut off, one more after); ``"same_lower"`` as ONNX's ``SAME_LOWER``. ``"full"``:
        one pixel less than the kernel's extent on each side.
    output_padding : int or (int, int)
        Pixels added to the output's size, after it: with a stride, several sizes are convolved to the size of the input.
        Less than stride or dilation.
    groups : int
        Channels and filters are split into so many groups, each convolved for itself.
    dilation : int or (int, int)
        Pixels of the output from one tap of the kernel to the next.
    output_size : int or (int, int), optional
        Height and width of the output, instead of `output_padding`.
    flip : bool
        Rotate every kernel by 180 degrees first, for the adjoint of `conv2d` with ``flip=True``.
    activation : {None, "relu", "relu6", "leaky_relu", "sigmoid", "silu", "hardswish", "tanh"}
        Applied to every output.
    algorithm : {"auto", "direct", "winograd", "fft"}
        How to compute it; one that cannot do the problem is refused. ``"fft"`` takes no stride.
    precision : {"default", "highest"}
        As for `conv2d`.
    out : ndarray, optional
        Where to write the result: any strides, any dtype that ``same_kind`` casting allows.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape (..., K, H', W')
        ``H' = (H - 1) * stride - before - after + dilation * (kh - 1) + output_padding + 1``, and W' likewise;
        ``(..., H', W')`` for a filter or a kernel. Dtypes are those of `conv2d`.

    Raises
    ------
    ValueError
        If shapes or options do not fit together, or if int64 might not hold a sum of the given integers.
    TypeError
        If a dtype is not supported, an argument is not an array, or an option is of the wrong type.

    Notes
    -----
    With stride s, dilation d, and p pixels cut off before each axis, feature map k is

    .. math:: y_k[i, j] = b_k + \\sum_c \\sum_{u, v} w_{c, k}[u, v] \\; x_c[(i + p - u d) / s, (j + p - v d) / s]

    over the taps for which both quotients are whole and within the image x, as in V. Dumoulin and F. Visin, "A guide
    to convolution arithmetic for deep learning", 2016. Outputs that no tap reaches are ``activation(bias)``. A NaN or
    infinity in the input reaches exactly the outputs that it is multiplied for. Results do not depend on the batch size.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.conv_transpose2d(np.array([[1.0, 2.0]]), np.ones((2, 2)), stride=2)  # every pixel becomes a square
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    >>> maps, bank = np.ones((8, 16, 14, 14), np.float32), np.ones((16, 3, 4, 4), np.float32)
    >>> fc.conv_transpose2d(maps, bank, stride=2, padding=1).shape
    (8, 3, 28, 28)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision)
    return _convolve(2, input, weight, bias, options, out, threads)


def conv_transpose1d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: str | None = None,
    algorithm: str = "auto",
    precision: str = "default",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve signals with a bank of filters, backwards: the adjoint of `conv1d`.

    Parameters
    ----------
    input : array_like, shape (..., C, W)
        Signals of C channels; all leading axes are batch. ``(W,)`` is a signal of one channel.
    weight : array_like
        A bank ``(C, K/groups, kw)``, a filter ``(C, kw)`` or a kernel ``(kw,)``.
    bias, stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision, out, threads
        As for `conv_transpose2d`, with one spatial axis.

    Returns
    -------
    ndarray, shape (..., K, W')
        The feature maps; ``(..., W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv_transpose2d`.

    Notes
    -----
    The sum of `conv_transpose2d` over one axis of taps.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.conv_transpose1d([1, 2, 4], [1, 1, 1], stride=2)
    array([1, 1, 3, 2, 6, 4, 4])
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision)
    return _convolve(1, input, weight, bias, options, out, threads)


def conv_transpose3d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    activation: str | None = None,
    algorithm: str = "auto",
    precision: str = "default",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Convolve volumes with a bank of filters, backwards: the adjoint of `conv3d`.

    Parameters
    ----------
    input : array_like, shape (..., C, D, H, W)
        Volumes of C channels; all leading axes are batch. ``(D, H, W)`` is a volume of one channel.
    weight : array_like
        A bank ``(C, K/groups, kd, kh, kw)``, a filter ``(C, kd, kh, kw)`` or a kernel ``(kd, kh, kw)``.
    bias, stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision, out, threads
        As for `conv_transpose2d`, with three spatial axes.

    Returns
    -------
    ndarray, shape (..., K, D', H', W')
        The feature maps; ``(..., D', H', W')`` for a filter or a kernel.

    Raises
    ------
    ValueError, TypeError
        As for `conv_transpose2d`.

    Notes
    -----
    The sum of `conv_transpose2d` over three axes of taps.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.conv_transpose3d(np.ones((4, 3, 8, 8)), np.ones((4, 2, 2, 2, 2)), stride=2).shape
    (2, 6, 16, 16)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, activation, algorithm, precision)
    return _convolve(3, input, weight, bias, options, out, threads)


def _convolve(
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    options: tuple[Any, ...],
    out: Array | None,
    threads: int | None,
) -> Array:
    """Convolve by a plan that is remembered for these shapes, dtypes and options, in the order of `TransposedOptions`."""
    image, filters = _check.as_array("input", input), _check.as_array("weight", weight)
    offset = None if bias is None else _check.as_bias(bias, image.dtype, filters.dtype)
    arrays = (image, filters) if offset is None else (image, filters, offset)
    options = tuple(map(_check.hashable, options))
    key = (axes, *((array.shape, array.dtype) for array in arrays), options, _check.types(options))
    plan = _plans.get(key)
    if plan is None:
        dtypes = tuple(array.dtype for array in arrays)
        offset_shape = None if offset is None else offset.shape
        _check.check_arrays(axes, image.shape, filters.shape, dtypes)
        checked = _check_transposed.options(axes, options)
        problem = _check_transposed.problem(axes, image.shape, filters.shape, offset_shape, dtypes, checked)
        with _weights.naming_weight(filters.shape):
            plan = _plan.make(problem, dtypes, reuse=False)
        _plans.put(key, plan, plan.nbytes)
    return _plan.run(plan, image, filters, offset, out, config.num_threads(threads))
