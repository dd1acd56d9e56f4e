"""A kernel at one place of an image, and the number that it makes there."""

from drawing import BLUE, IMAGE, KERNEL, ORANGE, grid, row_of_grids, window

import fastconv as fc

image, kernel, feature_map = row_of_grids((7, 7), (3, 3), (5, 5))
grid(image, IMAGE, "image", colours=window(1, 2, 3, 3, BLUE))
grid(kernel, KERNEL, "kernel", colours=window(0, 0, 3, 3, BLUE))
grid(feature_map, fc.conv2d(IMAGE, KERNEL), "feature map", colours={(1, 2): ORANGE})
