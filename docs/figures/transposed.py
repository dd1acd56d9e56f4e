"""A transposed convolution with stride 2: every pixel stamps the kernel, two pixels apart, and stamps add up."""

import numpy as np
from drawing import BLUE, GREEN, ORANGE, grid, row_of_grids, window

import fastconv as fc

image = np.array([[1, 2], [3, 4]])
kernel = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]])
stamped = fc.conv_transpose2d(image[np.newaxis], kernel[np.newaxis, np.newaxis], stride=2)[0]
first, last = window(0, 0, 3, 3, BLUE), window(2, 2, 3, 3, GREEN)
panels = row_of_grids((2, 2), (3, 3), (5, 5), height=2.3)
grid(panels[0], image, "image", colours={(0, 0): BLUE, (1, 1): GREEN})
grid(panels[1], kernel, "kernel")
grid(panels[2], stamped, "result", colours=first | last | dict.fromkeys(first.keys() & last.keys(), ORANGE))
