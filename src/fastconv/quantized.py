"""Convolutions of 8-bit integers as ONNX defines them: ConvInteger, QLinearConv, and a bank for the latter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _check, _quantized, config
from fastconv._bank import equal_arrays, read_only_copy
from fastconv._problem import Array
from fastconv._quantized import Filters
from fastconv._types import Padding, PerAxis
from fastconv.algorithms.byte_tiles import Requantization

__all__ = ["QuantizedFilterBank", "conv_integer", "qlinear_conv"]


def conv_integer(
    input: ArrayLike,
    weight: ArrayLike,
    input_zero_point: ArrayLike = 0,
    weight_zero_point: ArrayLike = 0,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    threads: int | None = None,
) -> Array:
    """Convolve 8-bit integers less their zero points: ONNX's ConvInteger.

    Parameters
    ----------
    input : array_like of uint8 or int8, shape (..., C, H, W)
        Signals (..., C, W) and volumes (..., C, D, H, W) for weights of rank 3 and 5.
    weight : array_like of uint8 or int8, shape (K, C/groups, kh, kw)
        K filters.
    input_zero_point : int
        The integer that stands for 0 in the input, and in the padding.
    weight_zero_point : int or array_like of int, shape (K,)
        The integer that stands for 0 in the weight, or in each filter.
    stride, padding, dilation, groups
        As for `conv2d`: ONNX's strides, pads, dilations and group.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray of int32, shape (..., K, H', W')

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit together, or a sum might exceed int32.

    Notes
    -----
    ``sum of (input - input_zero_point) * (weight - weight_zero_point)`` over channels and taps, exactly.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> image = np.array([[[130, 128, 127]]], np.uint8)
    >>> fc.conv_integer(image, np.array([[[[2, -1]]]], np.int8), input_zero_point=128)
    array([[[4, 1]]], dtype=int32)
    """
    array, filters = _quantized.bytes_of("input", input), _quantized.bytes_of("weight", weight)
    options = _options(filters, (stride, padding, dilation, groups))
    zero = _quantized.zero_points("input_zero_point", input_zero_point, array.dtype)
    zeros = _quantized.zero_points("weight_zero_point", weight_zero_point, filters.dtype, len(filters))
    _check.check_arrays(filters.ndim - 2, array.shape, filters.shape, (array.dtype, filters.dtype))
    bank = Filters(filters, zeros, array.dtype, int(zero[0]), None, options, None)
    return bank(array, config.num_threads(threads))


def qlinear_conv(
    input: ArrayLike,
    input_scale: ArrayLike,
    input_zero_point: ArrayLike,
    weight: ArrayLike,
    weight_scale: ArrayLike,
    weight_zero_point: ArrayLike,
    output_scale: ArrayLike,
    output_zero_point: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    threads: int | None = None,
) -> Array:
    """Convolve quantized images with quantized filters, and quantize the result: ONNX's QLinearConv.

    Parameters
    ----------
    input : array_like of uint8 or int8, shape (..., C, H, W)
        Signals (..., C, W) and volumes (..., C, D, H, W) for weights of rank 3 and 5.
    input_scale, input_zero_point : float, int
        The input stands for ``(input - input_zero_point) * input_scale``. The padding holds the zero point.
    weight : array_like of uint8 or int8, shape (K, C/groups, kh, kw)
        K filters.
    weight_scale, weight_zero_point : float or array_like, int or array_like, shape (K,)
        The same for the weight, or for each filter.
    output_scale, output_zero_point : float, int
        The same for the result. Its dtype is that of the zero point, uint8 or int8, or for a Python number that of the
        input.
    bias : array_like of int32, shape (K,), optional
        In units of ``input_scale * weight_scale``, added to the sums.
    stride, padding, dilation, groups
        As for `conv2d`: ONNX's strides, pads, dilations and group.
    threads : int, optional
        The most threads to use; the result does not depend on it.

    Returns
    -------
    ndarray of uint8 or int8, shape (..., K, H', W')

    Raises
    ------
    ValueError, TypeError
        If the arguments do not fit together, or a sum might exceed int32.

    See Also
    --------
    QuantizedFilterBank : the same for many images, with the weights packed once.

    Notes
    -----
    Sums are exact, in int32. As in onnxruntime they are converted to float32, multiplied by
    ``input_scale * weight_scale / output_scale``, computed in float32 in this order, rounded to the nearest integer, to
    the even one where two are as near, and only then moved by the zero point, and clipped to the range of the dtype.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> image = np.array([[[130, 128, 127]]], np.uint8)
    >>> kernel = np.array([[[[100, -50]]]], np.int8)
    >>> fc.qlinear_conv(image, 0.5, np.uint8(128), kernel, 0.02, np.int8(0), 0.1, np.uint8(10))
    array([[[30, 15]]], dtype=uint8)
    """
    bank = QuantizedFilterBank(
        input_scale,
        _typed(input_zero_point, _quantized.bytes_of("input", input).dtype),
        weight,
        weight_scale,
        weight_zero_point,
        output_scale,
        output_zero_point,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return bank(input, threads=threads)


class QuantizedFilterBank:
    """A bank of quantized filters for quantized images: `qlinear_conv` with weights that are packed once.

    Parameters
    ----------
    input_scale, input_zero_point, weight, weight_scale, weight_zero_point, output_scale, output_zero_point, bias
        As for `qlinear_conv`. The dtype of the input is that of its zero point, and uint8 for a Python number.
    stride, padding, dilation, groups
        As for `conv2d`.

    Attributes
    ----------
    weight, bias : ndarray
        Read-only views.
    in_channels, out_channels : int
        C and K.

    Raises
    ------
    ValueError, TypeError
        As for `qlinear_conv`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> weight = np.ones((4, 3, 3, 3), np.int8)
    >>> bank = fc.QuantizedFilterBank(0.1, np.uint8(0), weight, 0.2, np.int8(0), 0.5, np.int8(-3), padding=1)
    >>> bank
    QuantizedFilterBank(3 -> 4, kernel 3x3, uint8 x int8 -> int8, padding=1)
    >>> maps = bank(np.full((3, 5, 5), 20, np.uint8))
    >>> maps.dtype, maps.shape, int(maps.max())
    (dtype('int8'), (4, 5, 5), 19)
    """

    __hash__ = None  # type: ignore[assignment]  # equal by value, like arrays

    def __init__(
        self,
        input_scale: ArrayLike,
        input_zero_point: ArrayLike,
        weight: ArrayLike,
        weight_scale: ArrayLike,
        weight_zero_point: ArrayLike,
        output_scale: ArrayLike,
        output_zero_point: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
    ) -> None:
        self._weight = read_only_copy(_quantized.bytes_of("weight", weight))
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self._checked = _options(self._weight, tuple(options.values()))
        self._options = {name: _check.hashable(option) for name, option in options.items()}
        filters = len(self._weight)
        self._dtype = _byte_dtype("input_zero_point", input_zero_point, np.dtype(np.uint8))
        output = _byte_dtype("output_zero_point", output_zero_point, self._dtype)
        zero = _quantized.zero_points("input_zero_point", input_zero_point, self._dtype)
        zeros = _quantized.zero_points("weight_zero_point", weight_zero_point, self._weight.dtype, filters)
        output_zero = _quantized.zero_points("output_zero_point", output_zero_point, output)
        input_scales, output_scales = (
            _quantized.scales(name, value)
            for name, value in (("input_scale", input_scale), ("output_scale", output_scale))
        )
        weight_scales = _quantized.scales("weight_scale", weight_scale, filters)
        self._bias = None if bias is None else read_only_copy(_bias(bias, filters))
        with np.errstate(all="ignore"):
            multipliers = input_scales * weight_scales / output_scales
        if not np.isfinite(multipliers).all():
            raise ValueError(f"output_scale must not be so small that a multiplier is infinite; got {output_scales[0]}")
        requantization = Requantization(
            np.ascontiguousarray(np.broadcast_to(multipliers, filters)), int(output_zero[0]), output
        )
        self._filters = Filters(
            self._weight, zeros, self._dtype, int(zero[0]), self._bias, self._checked, requantization
        )
        self._quantization = (
            (input_scales, zero.astype(self._dtype)),
            (weight_scales, zeros.astype(self._weight.dtype)),
            (output_scales, output_zero.astype(output)),
        )

    def __call__(self, input: ArrayLike, *, threads: int | None = None) -> Array:
        """Return the quantized feature maps ``(..., K, H', W')`` of quantized images ``(..., C, H, W)``."""
        array = _quantized.bytes_of("input", input)
        if array.dtype != self._dtype:
            raise TypeError(f"input must have the dtype of its zero point, {self._dtype}; got {array.dtype}")
        if array.ndim < self._weight.ndim - 2:
            dtypes = array.dtype, self._weight.dtype
            _check.check_arrays(self._weight.ndim - 2, array.shape, self._weight.shape, dtypes)
        return self._filters(array, config.num_threads(threads))

    @property
    def weight(self) -> Array:
        """The filters, a read-only view."""
        return self._weight

    @property
    def bias(self) -> Array | None:
        """The biases, (K,), or None."""
        return self._bias

    @property
    def in_channels(self) -> int:
        """Channels that the bank expects."""
        return int(self._weight.shape[1] * self._checked.groups)

    @property
    def out_channels(self) -> int:
        """Feature maps that the bank returns."""
        return len(self._weight)

    def __repr__(self) -> str:
        size = "x".join(map(str, self._weight.shape[2:]))
        dtypes = f"{self._dtype} x {self._weight.dtype} -> {self._quantization[2][1].dtype}"
        defaults = _check.Options()._asdict()
        changed = [f"{name}={value!r}" for name, value in self._options.items() if value != defaults[name]]
        parts = [f"{self.in_channels} -> {self.out_channels}", f"kernel {size}", dtypes, *changed]
        return f"{type(self).__name__}({', '.join(parts if self._bias is None else [*parts, 'bias'])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return (
            self._checked == other._checked
            and (self._bias is None) == (other._bias is None)
            and all(map(equal_arrays, self._arrays, other._arrays))
        )

    @property
    def _arrays(self) -> list[Array]:
        arrays = [array for pair in self._quantization for array in pair]
        return [*arrays, self._weight] if self._bias is None else [*arrays, self._weight, self._bias]

    def __reduce__(self) -> tuple[Any, ...]:
        (input_scale, zero), weights, (output_scale, output_zero) = self._quantization
        arguments = (input_scale, zero, self._weight, *weights, output_scale, output_zero, self._bias)
        return _rebuild, (type(self), arguments, self._options)


def _rebuild(kind: type[Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return kind(*arguments, **options)


def _options(weight: Array, given: tuple[Any, ...]) -> _check.Options:
    """Check the rank of a bank, and its options."""
    axes = weight.ndim - 2
    if axes not in (1, 2, 3):
        raise ValueError(
            "weight must be a bank for signals (K, C/groups, kw), images (K, C/groups, kh, kw) or volumes "
            f"(K, C/groups, kd, kh, kw); got shape {weight.shape}"
        )
    _check.check_weight(axes, weight.shape, [weight.dtype])
    return _check.options(axes, (*given, *_check.Options()[4:]))


def _byte_dtype(name: str, zero_point: ArrayLike, default: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of a zero point; that of a Python number is the default."""
    return default if isinstance(zero_point, (int, list)) else _quantized.bytes_of(name, zero_point).dtype


def _typed(zero_point: Any, dtype: np.dtype[Any]) -> Any:
    """Return a Python number as a zero point of a dtype; others as they are."""
    if not isinstance(zero_point, int) or not np.iinfo(dtype).min <= zero_point <= np.iinfo(dtype).max:
        return zero_point
    return dtype.type(zero_point)


def _bias(value: ArrayLike, filters: int) -> Array:
    array = _check.as_array("bias", value)
    limits = np.iinfo(np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"bias must hold int32; got dtype {array.dtype}")
    if array.shape != (filters,):
        raise ValueError(f"bias must have shape ({filters},); got shape {array.shape}")
    if array.min() < limits.min or array.max() > limits.max:
        raise ValueError(f"bias must be within int32; got {array.tolist()}")
    return array.astype(np.int32)
