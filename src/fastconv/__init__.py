"""Multi-channel convolution on NumPy arrays: slide banks of filters over images and stack their feature maps."""

from importlib import import_module
from typing import TYPE_CHECKING

from fastconv.bank import FilterBank, Sequential
from fastconv.config import get_num_threads, set_num_threads, show_config
from fastconv.conv import conv1d, conv2d, conv3d

if TYPE_CHECKING:
    from fastconv import filters, plot

__version__ = "0.1.0"
__all__ = [
    "FilterBank",
    "Sequential",
    "conv1d",
    "conv2d",
    "conv3d",
    "filters",
    "get_num_threads",
    "plot",
    "set_num_threads",
    "show_config",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import `filters` and `plot` when they are first used: what does without them starts sooner."""
        if name in ("filters", "plot"):
            return import_module(f"fastconv.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
