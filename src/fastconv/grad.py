"""Gradients of convolutions: of their input, weight and bias, for training and inverse problems.

The functions follow ``torch.nn.grad``. _gradient.py plans and runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _check_transposed, _gradient, _plan, _weights, config
from fastconv._bank import conjugate
from fastconv._cache import Cache
from fastconv._problem import Array, Problem
from fastconv._types import Padding, PaddingMode, PerAxis, Precision

__all__ = [
    "conv1d_bias",
    "conv1d_input",
    "conv1d_weight",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_bias",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d_bias",
    "conv_transpose1d_input",
    "conv_transpose1d_weight",
    "conv_transpose2d_bias",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "conv_transpose3d_bias",
    "conv_transpose3d_input",
    "conv_transpose3d_weight",
]

PLAN_CACHE_BYTES = 2**22
_plans = Cache(PLAN_CACHE_BYTES)  # by shapes, dtypes and options

Shape = tuple[int, ...]
DTypes = tuple[np.dtype[Any], ...]


def conv2d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv2d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, H, W).
    weight : array_like
        The bank (K, C/groups, kh, kw), filter or kernel of the convolution.
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision
        Those of the call of `conv2d`.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape (..., C, H, W)
        Of the dtype ``np.result_type`` of weight and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    With :math:`y = \\mathrm{conv2d}(x, w)` and a loss L, of whose gradient :math:`g = \\partial L / \\partial y` is given,

    .. math:: \\frac{\\partial L}{\\partial x_c}[i, j] = \\sum_k \\sum_{u, v} w_{k, c}[u, v] \\; g_k[(i + p - u d) / s, (j + p - v d) / s]

    over the taps for which the quotients are whole and within g: the transposed convolution. Where the padding repeats
    pixels, the sums at the padded places are added to the pixels that they repeat. For complex numbers w is conjugated,
    by the convention of PyTorch: the gradient is that by the conjugate of x, so that ``x - rate * gradient`` descends.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv2d_input((4, 8, 8), np.ones((2, 4, 3, 3)), np.ones((2, 8, 8)), padding=1).shape
    (4, 8, 8)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _input(2, input_shape, weight, grad_output, options, threads)


def conv2d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv2d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, H, W)
        The input of the convolution.
    weight_shape : sequence of int
        Shape of its bank (K, C/groups, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision
        Those of the call of `conv2d`.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    .. math:: \\frac{\\partial L}{\\partial w_{k, c}}[u, v] = \\sum_n \\sum_{i, j} g_{n, k}[i, j] \\; x_{n, c}[i s + u d - p, j s + v d - p]

    over all outputs of all images, x padded as the convolution pads it; for complex numbers x is conjugated. Sums have
    an order that follows from the shapes alone: results depend on neither threads nor instruction set, but the sum of
    the gradients of two halves of a batch may differ from that of the batch by rounding.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv2d_weight(np.ones((4, 8, 8)), (2, 4, 3, 3), np.ones((2, 8, 8)), padding=1).shape
    (2, 4, 3, 3)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _weight(2, input, weight_shape, grad_output, options, threads)


def conv2d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv2d`: the sum over batch and images.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv2d_bias(np.ones((2, 8, 8)))
    array([64., 64.])
    """
    return _bias(2, grad_output)


def conv_transpose2d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv_transpose2d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, H, W).
    weight : array_like
        The bank (C, K/groups, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision
        Those of the call of `conv_transpose2d`.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape (..., C, H, W)
        Of the dtype ``np.result_type`` of weight and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is the convolution `conv2d` of grad_output by the same bank; for complex numbers the bank is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose2d_input((3, 4, 4), np.ones((3, 2, 2, 2)), np.ones((2, 8, 8)), stride=2).shape
    (3, 4, 4)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_input(2, input_shape, weight, grad_output, options, threads)


def conv_transpose2d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv_transpose2d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, H, W)
        The input of the transposed convolution.
    weight_shape : sequence of int
        Shape of its bank (C, K/groups, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision
        Those of the call of `conv_transpose2d`.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is `conv2d_weight` with the roles of input and grad_output exchanged; for complex numbers input is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose2d_weight(np.ones((3, 4, 4)), (3, 2, 2, 2), np.ones((2, 8, 8)), stride=2).shape
    (3, 2, 2, 2)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_weight(2, input, weight_shape, grad_output, options, threads)


def conv_transpose2d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv_transpose2d`: as `conv2d_bias`.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, H', W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose2d_bias(np.ones((2, 8, 8)))
    array([64., 64.])
    """
    return _bias(2, grad_output)


def conv1d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv1d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, W).
    weight : array_like
        The bank (K, C/groups, kw), filter or kernel of the convolution.
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision, threads
        As for `conv2d_input`, with one spatial axis.

    Returns
    -------
    ndarray, shape (..., C, W)
        Of the dtype ``np.result_type`` of weight and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    The formula of `conv2d_input` for one axis.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv1d_input((4, 8), np.ones((2, 4, 3)), np.ones((2, 8)), padding=1).shape
    (4, 8)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _input(1, input_shape, weight, grad_output, options, threads)


def conv1d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv1d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, W)
        The input of the convolution.
    weight_shape : sequence of int
        Shape of its bank (K, C/groups, kw), filter or kernel.
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision, threads
        As for `conv2d_input`, with one spatial axis.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    The formula of `conv2d_weight` for one axis.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv1d_weight(np.ones((4, 8)), (2, 4, 3), np.ones((2, 8)), padding=1).shape
    (2, 4, 3)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _weight(1, input, weight_shape, grad_output, options, threads)


def conv1d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv1d`: the sum over batch and signals.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv1d_bias(np.ones((2, 8)))
    array([8., 8.])
    """
    return _bias(1, grad_output)


def conv_transpose1d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv_transpose1d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, W).
    weight : array_like
        The bank (C, K/groups, kw), filter or kernel.
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision, threads
        As for `conv_transpose2d_input`, with one spatial axis.

    Returns
    -------
    ndarray, shape (..., C, W)
        Of the dtype ``np.result_type`` of weight and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is the convolution `conv1d` of grad_output by the same bank; for complex numbers the bank is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose1d_input((3, 4), np.ones((3, 2, 2)), np.ones((2, 8)), stride=2).shape
    (3, 4)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_input(1, input_shape, weight, grad_output, options, threads)


def conv_transpose1d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv_transpose1d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, W)
        The input of the transposed convolution.
    weight_shape : sequence of int
        Shape of its bank (C, K/groups, kw), filter or kernel.
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision, threads
        As for `conv_transpose2d_input`, with one spatial axis.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is `conv1d_weight` with the roles of input and grad_output exchanged; for complex numbers input is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose1d_weight(np.ones((3, 4)), (3, 2, 2), np.ones((2, 8)), stride=2).shape
    (3, 2, 2)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_weight(1, input, weight_shape, grad_output, options, threads)


def conv_transpose1d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv_transpose1d`: as `conv1d_bias`.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose1d_bias(np.ones((2, 8)))
    array([8., 8.])
    """
    return _bias(1, grad_output)


def conv3d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv3d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, D, H, W).
    weight : array_like
        The bank (K, C/groups, kd, kh, kw), filter or kernel of the convolution.
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision, threads
        As for `conv2d_input`, with three spatial axes.

    Returns
    -------
    ndarray, shape (..., C, D, H, W)
        Of the dtype ``np.result_type`` of weight and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    The formula of `conv2d_input` for three axes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv3d_input((4, 8, 8, 8), np.ones((2, 4, 3, 3, 3)), np.ones((2, 8, 8, 8)), padding=1).shape
    (4, 8, 8, 8)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _input(3, input_shape, weight, grad_output, options, threads)


def conv3d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: PaddingMode = "zeros",
    padding_value: ArrayLike = 0,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv3d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, D, H, W)
        The input of the convolution.
    weight_shape : sequence of int
        Shape of its bank (K, C/groups, kd, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, dilation, groups, padding_mode, padding_value, flip, precision, threads
        As for `conv2d_input`, with three spatial axes.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output; float16 and bfloat16 add up in float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    The formula of `conv2d_weight` for three axes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv3d_weight(np.ones((4, 8, 8, 8)), (2, 4, 3, 3, 3), np.ones((2, 8, 8, 8)), padding=1).shape
    (2, 4, 3, 3, 3)
    """
    options = (stride, padding, dilation, groups, padding_mode, padding_value, flip, None, "auto", precision)
    return _weight(3, input, weight_shape, grad_output, options, threads)


def conv3d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv3d`: the sum over batch and volumes.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv3d_bias(np.ones((2, 8, 8, 8)))
    array([512., 512.])
    """
    return _bias(3, grad_output)


def conv_transpose3d_input(
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the input of `conv_transpose3d`, given that by its output.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of the input, (..., C, D, H, W).
    weight : array_like
        The bank (C, K/groups, kd, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision, threads
        As for `conv_transpose2d_input`, with three spatial axes.

    Returns
    -------
    ndarray, shape (..., C, D, H, W)
        Of the dtype ``np.result_type`` of weight and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is the convolution `conv3d` of grad_output by the same bank; for complex numbers the bank is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose3d_input((3, 4, 4, 4), np.ones((3, 2, 2, 2, 2)), np.ones((2, 8, 8, 8)), stride=2).shape
    (3, 4, 4, 4)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_input(3, input_shape, weight, grad_output, options, threads)


def conv_transpose3d_weight(
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    flip: bool = False,
    precision: Precision = "default",
    threads: int | None = None,
) -> Array:
    """Return the gradient of a loss by the weight of `conv_transpose3d`, given that by its output.

    Parameters
    ----------
    input : array_like, shape (..., C, D, H, W)
        The input of the transposed convolution.
    weight_shape : sequence of int
        Shape of its bank (C, K/groups, kd, kh, kw), filter or kernel.
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output, of the output's shape.
    stride, padding, output_padding, groups, dilation, output_size, flip, precision, threads
        As for `conv_transpose2d_input`, with three spatial axes.

    Returns
    -------
    ndarray, shape weight_shape
        Of the dtype ``np.result_type`` of input and grad_output.

    Raises
    ------
    ValueError, TypeError
        If shapes, dtypes or options do not fit together.

    Notes
    -----
    It is `conv3d_weight` with the roles of input and grad_output exchanged; for complex numbers input is conjugated.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose3d_weight(np.ones((3, 4, 4, 4)), (3, 2, 2, 2, 2), np.ones((2, 8, 8, 8)), stride=2).shape
    (3, 2, 2, 2, 2)
    """
    options = (stride, padding, output_padding, groups, dilation, output_size, flip, None, "auto", precision)
    return _transposed_weight(3, input, weight_shape, grad_output, options, threads)


def conv_transpose3d_bias(grad_output: ArrayLike) -> Array:
    """Return the gradient of a loss by the bias of `conv_transpose3d`: as `conv3d_bias`.

    Parameters
    ----------
    grad_output : array_like, shape (..., K, D', H', W')
        Gradient of the loss by the output of a bank.

    Returns
    -------
    ndarray, shape (K,)
        Of grad_output's dtype; integers add up in 64 bits, float16 and bfloat16 in float32.

    Raises
    ------
    ValueError, TypeError
        If grad_output is not an array of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.grad.conv_transpose3d_bias(np.ones((2, 8, 8, 8)))
    array([512., 512.])
    """
    return _bias(3, grad_output)


def _input(
    axes: int,
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    options: tuple[Any, ...],
    threads: int | None,
) -> Array:
    filters, maps = _check.as_array("weight", weight), _as_maps(grad_output)
    plan = _planned(_plan_input, axes, input_shape, filters.shape, maps.shape, (maps.dtype, filters.dtype), options)
    return _gradient.run_input(plan, conjugate(filters), maps, config.num_threads(threads))


def _weight(
    axes: int,
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    options: tuple[Any, ...],
    threads: int | None,
) -> Array:
    image, maps = _check.as_array("input", input), _as_maps(grad_output)
    plan = _planned(_plan_weight, axes, image.shape, weight_shape, maps.shape, (image.dtype, maps.dtype), options)
    return _gradient.run_weight(plan, conjugate(image), maps, config.num_threads(threads))


def _transposed_input(
    axes: int,
    input_shape: Sequence[int],
    weight: ArrayLike,
    grad_output: ArrayLike,
    options: tuple[Any, ...],
    threads: int | None,
) -> Array:
    filters, maps = _check.as_array("weight", weight), _as_maps(grad_output)
    dtypes = maps.dtype, filters.dtype
    plan = _planned(_plan_transposed_input, axes, input_shape, filters.shape, maps.shape, dtypes, options)
    return _plan.run(plan, maps, conjugate(filters), None, None, config.num_threads(threads))


def _transposed_weight(
    axes: int,
    input: ArrayLike,
    weight_shape: Sequence[int],
    grad_output: ArrayLike,
    options: tuple[Any, ...],
    threads: int | None,
) -> Array:
    image, maps = _check.as_array("input", input), _as_maps(grad_output)
    _check.check_dtype("input", image.dtype)
    dtypes = maps.dtype, image.dtype
    plan = _planned(_plan_transposed_weight, axes, image.shape, weight_shape, maps.shape, dtypes, options)
    return _gradient.run_weight(plan, maps, conjugate(image), config.num_threads(threads))


def _planned(
    make: Callable[..., Any],
    axes: int,
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    maps_shape: Shape,
    dtypes: DTypes,
    options: tuple[Any, ...],
) -> Any:
    """Return a plan that is remembered for these shapes, dtypes and options; `make` makes one."""
    given: Any = (input_shape, weight_shape, options)
    key: Any = (make, axes, maps_shape, dtypes, given, _check.types(given))
    try:
        plan = _plans.get(key)
    except TypeError:  # something is a list or an array
        given = (_check.hashable(input_shape), _check.hashable(weight_shape), tuple(map(_check.hashable, options)))
        key = (make, axes, maps_shape, dtypes, given, _check.types(given))
        plan = _plans.get(key)
    if plan is None:
        shapes = _check.shape_of("input_shape", input_shape), _check.shape_of("weight_shape", weight_shape)
        with _naming_shape("input" if make in (_plan_input, _plan_transposed_input) else "weight"):
            _check.check_arrays(axes, *shapes, dtypes)
            plan = make(axes, *shapes, maps_shape, dtypes, options)
        _plans.put(key, plan, plan.nbytes)
    return plan


@contextmanager
def _naming_shape(array: str) -> Iterator[None]:
    """Let errors about this array, of which only the shape was given, begin with that argument."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(f"{array} "):
            raise
        raise ValueError(f"{array}_shape{str(error).removeprefix(array)}") from None


def _plan_input(
    axes: int, input_shape: Shape, weight_shape: Shape, maps_shape: Shape, dtypes: DTypes, options: tuple[Any, ...]
) -> _gradient.InputGradient:
    """Plan the gradient of a convolution's input; dtypes: of grad_output and weight."""
    forward = _check.problem(axes, input_shape, weight_shape, None, dtypes, _check.options(axes, options))
    _check_maps(maps_shape, forward)
    with _weights.naming_weight(weight_shape):
        return _gradient.plan_input(forward, input_shape, dtypes)


def _plan_weight(
    axes: int, input_shape: Shape, weight_shape: Shape, maps_shape: Shape, dtypes: DTypes, options: tuple[Any, ...]
) -> _gradient.WeightGradient:
    """Plan the gradient of a convolution's weight; dtypes: of input and grad_output."""
    forward = _check.problem(axes, input_shape, weight_shape, None, dtypes, _check.options(axes, options))
    _check_maps(maps_shape, forward)
    return _gradient.plan_weight(forward, weight_shape, dtypes)


def _plan_transposed_input(
    axes: int, input_shape: Shape, weight_shape: Shape, maps_shape: Shape, dtypes: DTypes, options: tuple[Any, ...]
) -> _plan.Plan:
    """Plan the gradient of a transposed convolution's input, a convolution; dtypes: of grad_output and weight."""
    forward = _forward(axes, input_shape, weight_shape, maps_shape, dtypes, options)
    dtype, accumulator = _check.result_types(dtypes, forward.taps)
    with _weights.naming_weight(weight_shape):
        return _plan.make(forward._replace(dtype=dtype, accumulator=accumulator), dtypes)


def _plan_transposed_weight(
    axes: int, input_shape: Shape, weight_shape: Shape, maps_shape: Shape, dtypes: DTypes, options: tuple[Any, ...]
) -> _gradient.WeightGradient:
    """Plan the gradient of a transposed convolution's weight; dtypes: of grad_output, the image, and of input, its maps."""
    forward = _forward(axes, input_shape, weight_shape, maps_shape, dtypes, options)
    return _gradient.plan_weight(forward, weight_shape, dtypes)


def _forward(
    axes: int, input_shape: Shape, weight_shape: Shape, maps_shape: Shape, dtypes: DTypes, options: tuple[Any, ...]
) -> Problem:
    """Return the convolution whose adjoint a transposed one is: of images of the shape of grad_output."""
    checked = _check_transposed.options(axes, options)
    problem = _check_transposed.problem(axes, input_shape, weight_shape, None, dtypes, checked)
    _check_maps(maps_shape, problem)
    return _check_transposed.forward(problem, input_shape)


def _as_maps(grad_output: ArrayLike) -> Array:
    """Return grad_output as an array of a dtype that is supported."""
    maps = _check.as_array("grad_output", grad_output)
    _check.check_dtype("grad_output", maps.dtype)
    return maps


def _check_maps(maps_shape: Shape, problem: Problem) -> None:
    """Raise ValueError if grad_output does not have the shape of the output."""
    if maps_shape != problem.output_shape:
        raise ValueError(f"grad_output must have the shape of the output, {problem.output_shape}; got {maps_shape}")


def _bias(axes: int, grad_output: ArrayLike) -> Array:
    maps = _as_maps(grad_output)
    if maps.ndim <= axes:
        raise ValueError(f"grad_output must have an axis of filters before its last {axes}; got shape {maps.shape}")
    return _gradient.run_bias(maps, axes)
