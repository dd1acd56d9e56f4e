"""Zero padding: the same image with a border, and a map that is as large as the image."""

import numpy as np
from drawing import BLUE, IMAGE, KERNEL, ORANGE, PALE, grid, row_of_grids, window

import fastconv as fc

padded = np.pad(IMAGE, 1)
border = {place: PALE for place in np.ndindex(padded.shape) if not (0 < place[0] < 8 and 0 < place[1] < 8)}
image, feature_map = row_of_grids((9, 9), (7, 7))
grid(image, padded, "image with padding=1", colours=border | window(0, 0, 3, 3, BLUE))
grid(feature_map, fc.conv2d(IMAGE, KERNEL, padding=1), "feature map", colours={(0, 0): ORANGE})
