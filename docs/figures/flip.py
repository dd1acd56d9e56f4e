"""What a kernel makes of a single bright pixel: the kernel turned by 180 degrees, or with flip=True the kernel itself."""

import numpy as np
from drawing import BLUE, ORANGE, grid, row_of_grids, window

import fastconv as fc

kernel = np.arange(1, 10).reshape(3, 3)
pixel = np.zeros((5, 5), int)
pixel[2, 2] = 1
panels = row_of_grids((5, 5), (3, 3), (5, 5), (5, 5))
grid(panels[0], pixel, "image", colours={(2, 2): ORANGE}, size=8)
grid(panels[1], kernel, "kernel", colours=window(0, 0, 3, 3, BLUE), size=8)
for axes, flip in ((panels[2], False), (panels[3], True)):
    grid(axes, fc.conv2d(pixel, kernel, padding=1, flip=flip), f"flip={flip}", colours=window(1, 1, 3, 3, BLUE), size=8)
