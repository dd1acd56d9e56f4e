"""Derivatives of the activations, for gradients; the core applies the activations themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import _core
from fastconv._arrays import pieces
from fastconv._problem import Activation, Array

# Derivatives follow from the activation's value; those of others from the sums before it.
FROM_MAPS = ("relu", "relu6", "clip", "leaky_relu", "sigmoid", "tanh", "hardsigmoid", "softplus")
PIECE_NUMBERS = 2**17  # that stay in the cache between one step and the next, and let interrupts (Ctrl-C) in
ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715  # of gelu_tanh
erf = np.vectorize(math.erf, otypes=[np.float64])


def follows_from_maps(activation: Activation, slopes: Array | None = None) -> bool:
    """Return whether the derivative of an activation follows from its value: whether it is strictly monotonic, or flat."""
    name = activation[0] if isinstance(activation, tuple) else activation
    slope = np.min(slopes) if slopes is not None else _parameters(activation)[0] if name == "leaky_relu" else None
    return name is None or name in FROM_MAPS if slope is None else bool(slope > 0)


def gradient(activation: Activation, values: Array, grad_output: Array, slopes: Array | None = None) -> Array:
    """Return the gradient of a loss by the sums before an activation, given that by its values.

    `values` are the activation's, or the sums before it if it does not follow from these. `slopes` are those of prelu,
    of a shape to be broadcast. At kinks the derivative is that of PyTorch: 0 for relu and relu6.
    """
    if activation is None:
        return grad_output
    result: Array = np.empty(grad_output.shape, grad_output.dtype)
    along = None if slopes is None else np.broadcast_to(slopes, grad_output.shape)
    for place in pieces(result.shape, PIECE_NUMBERS):
        some = None if along is None else along[place]
        result[place] = _gradient(activation, values[place], grad_output[place], some)
    return result


def _gradient(activation: Activation, values: Array, grad_output: Array, slopes: Array | None) -> Array:
    """Return the gradient of some numbers; slopes have their shape."""
    name = activation[0] if isinstance(activation, tuple) else activation
    dtype = grad_output.dtype if grad_output.dtype.itemsize > 2 else np.dtype(np.float32)
    grad, x = grad_output.astype(dtype, copy=False), values.astype(dtype, copy=False)
    first, second = _parameters(activation)
    with np.errstate(all="ignore"):
        if name in ("relu", "relu6", "clip"):
            ends = [x <= first] * math.isfinite(first) + [x >= second] * math.isfinite(second)  # infinity is none
            grad = np.where(np.logical_or.reduce(ends), 0, grad) if ends else grad
        elif name in ("leaky_relu", "prelu"):
            slope = first if slopes is None else slopes.astype(dtype)
            grad = np.where(x > 0, grad, slope * grad).astype(dtype, copy=False)
        elif name in DERIVATIVES:
            grad = grad * DERIVATIVES[name](x, first).astype(dtype, copy=False)
    return grad.astype(grad_output.dtype, copy=False)


def _parameters(activation: Activation) -> tuple[float, float]:
    """Return the parameters of an activation."""
    name, *given = activation if isinstance(activation, tuple) else (activation,)
    first, second = (*given, 0.0)[:2] if given else _core.ACTIVATIONS[name][1:3]
    return first, second


def _sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


def _silu(x: Array, _: float) -> Any:
    sigmoid = _sigmoid(x)
    return np.where(np.isinf(x), x > 0, sigmoid * (1 + x * (1 - sigmoid)))


def _mish(x: Array, _: float) -> Any:
    tanh = np.tanh(np.logaddexp(0, x))
    return np.where(np.isinf(x), x > 0, tanh + x * _sigmoid(x) * (1 - tanh * tanh))


def _gelu(x: Array, _: float) -> Any:
    density = np.exp(-x * x / 2) * (ROOT / 2)
    return np.where(np.isinf(x), x > 0, (1 + erf(x * math.sqrt(0.5))) / 2 + x * density)


def _gelu_tanh(x: Array, _: float) -> Any:
    sigmoid = _sigmoid(2 * ROOT * (x + CUBIC * x**3))
    slope = 2 * ROOT * (x + 3 * CUBIC * x**3)
    return np.where(abs(x) > 30, x > 0, sigmoid * (1 + slope * (1 - sigmoid)))


# By the values x of those in FROM_MAPS, by the sums x of the others, and by their first parameter.
DERIVATIVES = {
    "sigmoid": lambda x, _: x * (1 - x),
    "tanh": lambda x, _: 1 - x * x,
    "hardsigmoid": lambda x, _: np.where((x > 0) & (x < 1), 1 / 6, 0),
    "softplus": lambda x, _: np.where(x > 20, 1, -np.expm1(-x)),
    "hardswish": lambda x, _: np.where(x <= -3, 0, np.where(x < 3, x / 3 + 0.5, 1)),
    "elu": lambda x, alpha: np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0))),
    "silu": _silu,
    "mish": _mish,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}
