"""A stride of 2: the places at which the kernel stops, and what is left of the map."""

from drawing import BLUE, GREEN, IMAGE, KERNEL, ORANGE, PALE, grid, row_of_grids, window

import fastconv as fc

first, second = window(0, 0, 3, 3, BLUE), window(0, 2, 3, 3, GREEN)
both = dict.fromkeys(first.keys() & second.keys(), ORANGE)
image, every, strided = row_of_grids((7, 7), (5, 5), (3, 3))
grid(image, IMAGE, "image", colours=first | second | both)
kept = {(row, column): PALE for row in (0, 2, 4) for column in (0, 2, 4)}
grid(every, fc.conv2d(IMAGE, KERNEL), "stride 1", colours=kept)
grid(strided, fc.conv2d(IMAGE, KERNEL, stride=2), "stride 2", colours={(0, 0): BLUE, (0, 1): GREEN})
