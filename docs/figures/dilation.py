"""The pixels that nine taps see, one and two and three pixels apart; stamped by a transposed convolution of one pixel."""

import numpy as np
from drawing import BLUE, grid, row_of_grids

import fastconv as fc

pixel = np.ones((1, 1, 1))
for axes, step in zip(row_of_grids((7, 7), (7, 7), (7, 7)), (1, 2, 3), strict=True):
    seen = fc.conv_transpose2d(pixel, np.ones((1, 1, 3, 3)), dilation=step)[0]
    around = np.pad(seen, (7 - len(seen)) // 2)
    blue = dict.fromkeys(zip(*np.nonzero(around), strict=True), BLUE)
    grid(axes, np.full((7, 7), np.nan), f"dilation {step}", colours=blue)
