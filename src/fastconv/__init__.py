"""Multi-channel convolution on NumPy arrays: slide banks of filters over images and stack their feature maps."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastconv._check import LayoutWarning
from fastconv.config import (
    get_num_threads,
    get_weight_cache,
    set_buffer_pool,
    set_num_threads,
    set_weight_cache,
    show_config,
)
from fastconv.conv import conv1d, conv2d, conv3d

if TYPE_CHECKING:
    from fastconv import filters, grad, ndimage, plot, signal
    from fastconv._bank import Gradients
    from fastconv.bank import FilterBank, Sequential
    from fastconv.explanation import explain
    from fastconv.quantized import QuantizedFilterBank, conv_integer, qlinear_conv
    from fastconv.transpose import TransposedFilterBank, conv_transpose1d, conv_transpose2d, conv_transpose3d

__version__ = "0.1.0"
__all__ = [
    "FilterBank",
    "Gradients",
    "LayoutWarning",
    "QuantizedFilterBank",
    "Sequential",
    "TransposedFilterBank",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_integer",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "explain",
    "filters",
    "get_num_threads",
    "get_weight_cache",
    "grad",
    "ndimage",
    "plot",
    "qlinear_conv",
    "set_buffer_pool",
    "set_num_threads",
    "set_weight_cache",
    "show_config",
    "signal",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import these on first use, so that programs without them start faster."""
        if name in ("dask", "filters", "grad", "ndimage", "plot", "signal", "storage"):
            return import_module(f"fastconv.{name}")
        modules = {"FilterBank": "bank", "Gradients": "_bank", "Sequential": "bank", "explain": "explanation"}
        modules["TransposedFilterBank"] = "transpose"
        modules.update((one, "quantized") for one in ("QuantizedFilterBank", "conv_integer", "qlinear_conv"))
        modules.update((f"conv_transpose{axes}d", "transpose") for axes in (1, 2, 3))
        if name in modules:
            globals()[name] = value = getattr(import_module(f"fastconv.{modules[name]}"), name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
