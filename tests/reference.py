"""Convolution, transposed convolution and gradients written down as their definitions, with loops: the yardstick of the tests.

    out[n, k, y, x] = bias[k] + sum over c, i, j of  padded[n, c, y * stride + i * dilation, x * stride + j * dilation] * weight[k, c, i, j]

A transposed convolution adds to its output, for every pixel, the kernel times the pixel. Sums are float64 or complex128,
or Python's own unbounded integers (an object array) when every operand is an integer.
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
    "hardsigmoid": lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "hardswish": lambda x: np.maximum(x, -3) * (np.minimum(np.maximum(x + 3, 0), 6) / 6),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: np.where(x == -np.inf, 0, x) / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "softplus": lambda x: np.where(x > 20, x, np.logaddexp(0, x)),
    "mish": lambda x: np.maximum(x, -1e3) * np.tanh(np.logaddexp(0, x)),
    "gelu": lambda x: np.maximum(x, -1e3) * _normal(x),
    "gelu_tanh": lambda x: np.maximum(x, -1e3) / (1 + np.exp(np.minimum(_cubic(x), 700))),
}
_cubic = lambda x: -np.sqrt(8 / np.pi) * (x + 0.044715 * np.clip(x, -1e3, 1e3) ** 3)
_normal = np.vectorize(lambda x: math.erfc(-x * math.sqrt(0.5)) / 2, otypes=[float])


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
    padding_mode: Any = "zeros",
    padding_value: Any = 0,
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
    padded = pad(image, pads, padding_mode, padding_value)

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


def convolve_seen(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    axes: int = 2,
    padding_mode: Any = "zeros",
    padding_value: Any = 0,
    flip: bool = False,
    activation: str | None = None,
    nan: str = "propagate",
    mask: Any = None,
    renormalize: Any = False,
    fill_value: Any = math.nan,
) -> tuple[Any, Any, Any]:
    """Convolve as `convolve` does, but add up the taps that meet a number only.

    Returns the outputs, the sums of the weights of these taps (of their magnitudes if renormalize is "abs"), and where
    no tap with a weight other than zero (in a filter of zeros, none at all) met a number, so that the output is
    fill_value.
    """
    image, weight = np.asarray(input), np.asarray(weight)
    seen = np.ones(image.shape, bool) if mask is None else np.broadcast_to(mask, image.shape)
    is_bank, is_kernel = weight.ndim == axes + 2, weight.ndim == axes
    weight = weight.reshape((1,) * (axes + 2 - weight.ndim) + weight.shape)  # (K, C/groups, kh, kw)
    filters, group_channels, *kernel = weight.shape
    if flip:
        weight = np.flip(weight, tuple(range(2, 2 + axes)))
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    if is_kernel or image.ndim == axes:
        image, seen = np.expand_dims(image, -axes - 1), np.expand_dims(seen, -axes - 1)
    batch, (channels, *size) = image.shape[: -axes - 1], image.shape[-axes - 1 :]
    pads = padding_pairs(padding, size, kernel, stride, dilation)
    bias = np.zeros(filters, np.int64) if bias is None else np.asarray(bias).reshape(filters)
    sum_dtype = exact_dtype(image, weight, bias, np.asarray(padding_value))
    image = pad(image.reshape(-1, channels, *size).astype(sum_dtype), pads, padding_mode, padding_value)
    seen = pad(seen.reshape(-1, channels, *size), pads, padding_mode, True)
    if nan == "ignore" and sum_dtype is not object:
        seen = seen & ~np.isnan(image)
    weight, bias = weight.astype(sum_dtype), bias.astype(sum_dtype)
    measure = abs(weight) if renormalize == "abs" else weight

    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    out_size = [(n - r) // s + 1 for n, r, s in zip(image.shape[2:], reach, stride, strict=True)]
    shape = (len(image), filters, *out_size)
    out, weights, nothing = np.empty(shape, object), np.zeros(shape, sum_dtype), np.zeros(shape, bool)
    for n, k in itertools.product(range(len(image)), range(filters)):
        maps = slice(k // (filters // groups) * group_channels, (k // (filters // groups) + 1) * group_channels)
        total, magnitude = measure[k].sum(), abs(weight[k]).sum()
        for position in itertools.product(*map(range, out_size)):
            corner = [p * s for p, s in zip(position, stride, strict=True)]
            window = tuple(slice(c, c + r, d) for c, r, d in zip(corner, reach, dilation, strict=True))
            met = seen[n, maps, *window]
            value = (image[n, maps, *window][met] * weight[k][met]).sum()
            weights[n, k, *position] = measure[k][met].sum()
            nothing[n, k, *position] = not (met & (weight[k] != 0)).any() if magnitude else not met.any()
            if renormalize and not nothing[n, k, *position] and abs(total) > 1e-12 * magnitude:
                value = np.divide(value * total, weights[n, k, *position])
            out[n, k, *position] = value + bias[k]
    dtype = np.float64 if renormalize and sum_dtype is object else sum_dtype
    with np.errstate(all="ignore"):
        out = ACTIVATIONS[activation](out.astype(dtype))
    out[nothing] = fill_value
    shape = (*batch, filters, *out_size) if is_bank else (*batch, *out_size)
    return out.reshape(shape), weights.reshape(shape), nothing.reshape(shape)


def transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    axes: int = 2,
    output_size: Any = None,
    flip: bool = False,
    activation: str | None = None,
) -> Any:
    """Add, for every pixel, its kernel times the pixel to the output, then cut off the padding; ranks are those of `convolve`."""
    weight = np.asarray(weight)
    is_bank, is_kernel = weight.ndim == axes + 2, weight.ndim == axes
    if not is_bank:
        weight = np.expand_dims(weight, -axes - 1)  # one map
    weight = weight.reshape((1,) * (axes + 2 - weight.ndim) + weight.shape)  # (C, K/groups, kh, kw)
    group_maps, *kernel = weight.shape[1:]
    if flip:
        weight = np.flip(weight, tuple(range(2, 2 + axes)))
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)

    image = np.asarray(input)
    if is_kernel or image.ndim == axes:
        image = np.expand_dims(image, -axes - 1)
    batch, (channels, *size) = image.shape[: -axes - 1], image.shape[-axes - 1 :]
    image = image.reshape(math.prod(batch), channels, *size)  # (N, C, H, W)
    bias = np.zeros(group_maps * groups, np.int64) if bias is None else np.asarray(bias).reshape(group_maps * groups)
    sum_dtype = exact_dtype(image, weight, bias)
    image, weight, bias = image.astype(sum_dtype), weight.astype(sum_dtype), bias.astype(sum_dtype)

    out = stamp(image, weight, stride, dilation, groups)
    cuts, out_size = transposed_cuts(padding, size, kernel, stride, dilation, output_padding, output_size)
    room = [max(cut + n - whole, 0) for cut, n, whole in zip(cuts, out_size, out.shape[2:], strict=True)]
    out = np.pad(out, [(0, 0), (0, 0), *((0, n) for n in room)])
    out = out[:, :, *(slice(cut, cut + n) for cut, n in zip(cuts, out_size, strict=True))]
    out = ACTIVATIONS[activation](out + bias.reshape(-1, *[1] * axes))
    return out.reshape(*batch, group_maps * groups, *out_size) if is_bank else out.reshape(*batch, *out_size)


def stamp(image: Any, weight: Any, stride: list[int], dilation: list[int], groups: int) -> Any:
    """Add the kernels (C, K/groups, kh, kw), times the pixels of (N, C, H, W), to maps with room for all, (N, K, H', W')."""
    channels, group_maps, *kernel = weight.shape
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    whole = [(n - 1) * s + r for n, s, r in zip(image.shape[2:], stride, reach, strict=True)]
    maps = np.zeros((len(image), group_maps * groups, *whole), image.dtype)
    for c, position in itertools.product(range(channels), itertools.product(*map(range, image.shape[2:]))):
        group = c // (channels // groups)
        corner = [p * s for p, s in zip(position, stride, strict=True)]
        window = tuple(slice(p, p + r, d) for p, r, d in zip(corner, reach, dilation, strict=True))
        for n in range(len(image)):
            maps[n, group * group_maps : (group + 1) * group_maps, *window] += image[n, c, *position] * weight[c]
    return maps


def transposed_cuts(
    padding: Any,
    size: list[int],
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    output_padding: Any = 0,
    output_size: Any = None,
) -> tuple[list[int], list[int]]:
    """Along every axis, how many outputs the padding cuts off before the first, and how many are left."""
    steps = list(zip(size, kernel, stride, dilation, per_axis(output_padding, len(size)), strict=True))
    seen = [n * s for n, _, s, _, _ in steps] if output_size is None else per_axis(output_size, len(size))
    pairs = padding_pairs(padding, seen, kernel, stride, dilation)  # of the convolution whose adjoint this is
    if output_size is None and padding not in ("same", "same_lower"):
        seen = [
            (n - 1) * s + d * (k - 1) + 1 - sum(p) + extra for (n, k, s, d, extra), p in zip(steps, pairs, strict=True)
        ]
    return [before for before, _ in pairs], seen


def input_gradient(
    input_shape: Any,
    weight: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: Any = "zeros",
    padding_value: Any = 0,
    flip: bool = False,
) -> Any:
    """The gradient of `convolve`'s input for a bank: stamped on the padded image, whose padding is then added to its originals."""
    weight = np.asarray(weight)
    axes, kernel = weight.ndim - 2, weight.shape[2:]
    if flip:
        weight = np.flip(weight, tuple(range(2, 2 + axes)))
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    size = list(input_shape[-axes:])
    pads = padding_pairs(padding, size, kernel, stride, dilation)
    gradient = np.asarray(grad_output).reshape(-1, *np.shape(grad_output)[-axes - 1 :])
    sum_dtype = exact_dtype(gradient, weight)
    stamped = stamp(gradient.astype(sum_dtype), weight.astype(sum_dtype).conj(), stride, dilation, groups)

    original = np.arange(math.prod(size)).reshape(size)  # of every pixel of the padded image
    nowhere = original.size
    original = pad(original[np.newaxis, np.newaxis], pads, padding_mode, nowhere)[0, 0]
    original = original[tuple(map(slice, stamped.shape[2:]))]
    result = np.zeros((*stamped.shape[:2], math.prod(size) + 1), sum_dtype)
    np.add.at(result, (slice(None), slice(None), original), stamped)
    return result[..., :-1].reshape(input_shape)


def weight_gradient(
    input: Any,
    weight_shape: Any,
    grad_output: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: Any = "zeros",
    padding_value: Any = 0,
    flip: bool = False,
) -> Any:
    """The gradient of `convolve`'s weight for a bank: for every output, its gradient times the window that it sees."""
    filters, group_channels, *kernel = weight_shape
    axes = len(kernel)
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    image, gradient = np.asarray(input), np.asarray(grad_output)
    size = image.shape[-axes:]
    pads = padding_pairs(padding, size, kernel, stride, dilation)
    gradient = gradient.reshape(-1, *gradient.shape[-axes - 1 :])  # (N, K, H', W')
    image = image.reshape(len(gradient), group_channels * groups, *size)
    padded = pad(image, pads, padding_mode, padding_value)
    sum_dtype = exact_dtype(image, gradient)
    padded, gradient = padded.astype(sum_dtype).conj(), gradient.astype(sum_dtype)

    result = np.zeros(weight_shape, sum_dtype)
    for k, position in itertools.product(range(filters), itertools.product(*map(range, gradient.shape[2:]))):
        group = k // (filters // groups)
        corner = [p * s for p, s in zip(position, stride, strict=True)]
        window = tuple(slice(p, p + d * (n - 1) + 1, d) for p, d, n in zip(corner, dilation, kernel, strict=True))
        for n in range(len(gradient)):
            seen = padded[n, group * group_channels : (group + 1) * group_channels, *window]
            result[k] += gradient[n, k, *position] * seen
    return np.flip(result, tuple(range(2, 2 + axes))) if flip else result


def per_axis(value: Any, axes: int) -> list[int]:
    return list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value] * axes


def pad(image: Any, pads: list[tuple[int, int]], padding_mode: Any, padding_value: Any) -> Any:
    """Pad images (N, C, H, W): what lies outside along an axis of mode "zeros" is padding_value, a number or one per channel."""
    modes = [padding_mode] * len(pads) if isinstance(padding_mode, str) else padding_mode
    modes = [NUMPY_PADDING_MODES.get(mode, mode) for mode in modes]
    repeated = [pair if mode != "constant" else (0, 0) for pair, mode in zip(pads, modes, strict=True)]
    for axis, mode in enumerate(modes):
        if mode != "constant":
            widths = [(0, 0)] * image.ndim
            widths[axis + 2] = repeated[axis]
            image = np.pad(image, widths, mode)
    constant = [(0, 0) if mode != "constant" else pair for pair, mode in zip(pads, modes, strict=True)]
    values = np.asarray(padding_value).reshape(-1, *[1] * len(pads))
    shape = [n + sum(pair) for n, pair in zip(image.shape[2:], constant, strict=True)]
    padded = np.empty((*image.shape[:2], *shape), image.dtype)
    padded[...] = values
    padded[(..., *(slice(b, b + n) for n, (b, _) in zip(image.shape[2:], constant, strict=True)))] = image
    return padded


def padding_pairs(
    padding: Any, size: list[int], kernel: list[int], stride: list[int], dilation: list[int]
) -> list[tuple[int, int]]:
    """Pixels added before and after every axis, from any way of writing the padding."""
    if len(size) == 1 and np.shape(padding) == (2,):
        padding = [padding]
    entries = [padding] * len(size) if isinstance(padding, str) else per_axis(padding, len(size))
    pairs = []
    for entry, n, k, s, d in zip(entries, size, kernel, stride, dilation, strict=True):
        if not isinstance(entry, str):
            pairs.append((entry, entry) if np.ndim(entry) == 0 else (entry[0], entry[1]))
            continue
        to_same = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)  # gives ceil(n / s) outputs
        pairs.append(
            {
                "valid": (0, 0),
                "same": (to_same // 2, to_same - to_same // 2),
                "same_lower": (to_same - to_same // 2, to_same // 2),
                "full": (d * (k - 1), d * (k - 1)),
                "causal": (d * (k - 1), 0),
            }[entry]
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


def requantize(sums: Any, multipliers: Any, zero: int, dtype: Any, axes: int = 2) -> Any:
    """Multiply sums (..., K, H', W') of int32 by float32 multipliers (K,), round to even, then add the zero point, and clip."""
    scaled = sums.astype(np.int32).astype(np.float32) * multipliers.reshape(-1, *(1,) * axes)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(scaled.astype(np.float64)) + zero, limits.min, limits.max).astype(dtype)
