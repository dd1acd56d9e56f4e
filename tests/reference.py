"""The convolution written down as its definition, with loops: what every other way of computing it is compared with.

    out[n, k, y, x] = bias[k] + sum over c, i, j of  padded[n, c, y * stride + i * dilation, x * stride + j * dilation] * weight[k, c, i, j]

Sums are float64 or complex128, or Python's own unbounded integers (an object array) when every operand is an integer.
"""

import itertools
import math
from typing import Any

import numpy as np

NUMPY_PADDING_MODES = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}  # other names are np.pad's own

ACTIVATIONS = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.minimum(np.maximum(x, 0), 6),
    "leaky_relu": lambda x: np.where(x < 0, 0.01 * x, x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: np.where(x == -np.inf, 0, x) / (1 + np.exp(-x)),
    "hardswish": lambda x: np.where(x < -3, 0, x) * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "tanh": np.tanh,
}


def convolve(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    axes: int = 2,
    padding_mode: str = "zeros",
    flip: bool = False,
    activation: str | None = None,
) -> Any:
    """Convolve the last `axes` axes of `input` with a bank, a filter or a kernel, told apart by the weight's rank."""
    weight = np.asarray(weight)
    is_bank, is_kernel = weight.ndim == axes + 2, weight.ndim == axes
    weight = weight.reshape((1,) * (axes + 2 - weight.ndim) + weight.shape)  # (K, C/groups, kh, kw)
    filters, group_channels, *kernel = weight.shape
    if flip:
        weight = np.flip(weight, tuple(range(2, 2 + axes)))
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)

    image = np.asarray(input)
    if is_kernel or image.ndim == axes:  # each plane is an image of one channel
        image = np.expand_dims(image, -axes - 1)
    batch, (channels, *size) = image.shape[: -axes - 1], image.shape[-axes - 1 :]
    image = image.reshape(math.prod(batch), channels, *size)  # (N, C, H, W)
    pads = padding_pairs(padding, size, kernel, stride, dilation)
    padded = np.pad(image, [(0, 0), (0, 0), *pads], NUMPY_PADDING_MODES.get(padding_mode, padding_mode))

    bias = np.zeros(filters, np.int64) if bias is None else np.asarray(bias).reshape(filters)
    sum_dtype = exact_dtype(image, weight, bias)
    padded, weight, bias = padded.astype(sum_dtype), weight.astype(sum_dtype), bias.astype(sum_dtype)

    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]  # pixels from first to last tap
    out_size = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, stride, strict=True)]
    out = np.empty((len(padded), filters, *out_size), sum_dtype)  # (N, K, H', W')
    for n, k in itertools.product(range(len(padded)), range(filters)):
        group = k // (filters // groups)
        group_of_maps = slice(group * group_channels, (group + 1) * group_channels)
        for position in itertools.product(*map(range, out_size)):
            corner = [p * s for p, s in zip(position, stride, strict=True)]
            window = tuple(slice(c, c + r, d) for c, r, d in zip(corner, reach, dilation, strict=True))
            out[n, k, *position] = (padded[n, group_of_maps, *window] * weight[k]).sum() + bias[k]

    out = ACTIVATIONS[activation](out)
    return out.reshape(*batch, filters, *out_size) if is_bank else out.reshape(*batch, *out_size)


def per_axis(value: Any, axes: int) -> list[int]:
    return [value] * axes if np.ndim(value) == 0 else list(value)


def padding_pairs(
    padding: Any, size: list[int], kernel: list[int], stride: list[int], dilation: list[int]
) -> list[tuple[int, int]]:
    """Pixels added before and after every axis, from any way of writing the padding."""
    if not isinstance(padding, str):
        return [(p, p) if np.ndim(p) == 0 else (p[0], p[1]) for p in per_axis(padding, len(size))]
    pairs = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        to_same = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)  # gives ceil(n / s) outputs
        pairs.append(
            {
                "valid": (0, 0),
                "same": (to_same // 2, to_same - to_same // 2),
                "same_lower": (to_same - to_same // 2, to_same // 2),
                "full": (d * (k - 1), d * (k - 1)),
            }[padding]
        )
    return pairs


def exact_dtype(*operands: Any) -> type:
    """The dtype to add up in: Python's integers, float64 or complex128 (bfloat16's kind is "V")."""
    kinds = {operand.dtype.kind for operand in operands}
    if "c" in kinds:
        return np.complex128
    return object if kinds <= set("biu") else np.float64


def places(size: int, taps: int, stride: int, dilation: int, pads: tuple[int, int], mode: str) -> Any:
    """Where along an axis every output (outputs, taps) sees a pixel, however far apart; `size` for a zero of the padding."""
    outputs = (size + sum(pads) - (taps - 1) * dilation - 1) // stride + 1
    whole = object if max(size + sum(pads), taps * dilation, outputs * stride) >= 2**60 else np.int64  # without a bound
    position = (
        np.add.outer(np.arange(outputs).astype(whole) * stride, np.arange(taps).astype(whole) * dilation) - pads[0]
    )
    if mode == "zeros":
        position = np.where((position >= 0) & (position < size), position, size)
    elif mode == "replicate" or size == 1:
        position = np.clip(position, 0, size - 1)
    elif mode == "circular":
        position = position % size
    else:
        last = 2 * size - (1 if mode == "symmetric" else 2)  # whose mirror image is the first one
        position = position % (last + (mode == "symmetric"))
        position = np.minimum(position, last - position)
    return position.astype(np.intp)


def convolve_place_by_place(
    image: Any,
    weight: Any,
    stride: Any = (1, 1),
    padding: Any = ((0, 0), (0, 0)),
    dilation: Any = (1, 1),
    groups: int = 1,
    padding_mode: str = "zeros",
) -> Any:
    """Convolve an image (C, H, W) with a bank, without ever making the padding: it may be wider than memory."""
    axes = zip(image.shape[1:], weight.shape[2:], stride, dilation, padding, strict=True)
    rows, columns = (places(*axis, padding_mode) for axis in axes)
    seen = np.pad(image, ((0, 0), (0, 1), (0, 1)))[
        :, rows[:, :, np.newaxis, np.newaxis], columns
    ]  # (C, H', kh, W', kw)
    seen = seen.reshape(groups, -1, *seen.shape[1:])
    bank = weight.reshape(groups, -1, *weight.shape[1:])
    return np.einsum("gchiwj,gkcij->gkhw", seen, bank).reshape(len(weight), len(rows), len(columns))
