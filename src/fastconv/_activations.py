"""Derivatives of the activations, for gradients; the core applies the activations themselves."""

from __future__ import annotations

import numpy as np

from fastconv._problem import Array

FROM_MAPS = (None, "relu", "relu6", "leaky_relu", "sigmoid", "tanh")  # derivatives follow from the activation's value
LEAKY_SLOPE = 0.01


def gradient(activation: str | None, values: Array, grad_output: Array) -> Array:
    """Return the gradient of a loss by the sums before an activation, given that by its values.

    `values` are the activation's, or the sums before it if it is not in FROM_MAPS. At kinks the derivative is that of
    PyTorch: 0 for relu and relu6.
    """
    if activation is None:
        return grad_output
    dtype = grad_output.dtype if grad_output.dtype.itemsize > 2 else np.dtype(np.float32)
    grad, x = grad_output.astype(dtype, copy=False), values.astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        if activation == "relu":
            grad = np.where(x <= 0, 0, grad)
        elif activation == "relu6":
            grad = np.where((x <= 0) | (x >= 6), 0, grad)
        elif activation == "leaky_relu":
            grad = np.where(x > 0, grad, LEAKY_SLOPE * grad)
        elif activation == "sigmoid":
            grad = grad * (x * (1 - x))
        elif activation == "tanh":
            grad = grad * (1 - x * x)
        elif activation == "silu":
            sigmoid = 1 / (1 + np.exp(-x))
            grad = grad * np.where(np.isinf(x), x > 0, sigmoid * (1 + x * (1 - sigmoid)))
        elif activation == "hardswish":
            grad = grad * np.where(x < -3, 0, np.where(x <= 3, x / 3 + 0.5, 1))
    return grad.astype(grad_output.dtype, copy=False)
