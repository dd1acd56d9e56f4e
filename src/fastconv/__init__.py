"""Multi-channel convolution on NumPy arrays: slide banks of filters over images and stack their feature maps."""

from fastconv import filters, plot
from fastconv.bank import FilterBank, Sequential
from fastconv.config import get_num_threads, set_num_threads, show_config
from fastconv.conv import conv1d, conv2d, conv3d

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
